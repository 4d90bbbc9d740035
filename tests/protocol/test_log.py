import sys
import threading
from base64 import b64encode
from collections import Counter
from fnmatch import fnmatchcase

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtnb.errors import ArgumentError
from rtnb.protocol.events import BINARY
from rtnb.protocol.log import NO_TURN, Log, LogView
from rtnb.protocol.log_storage import find_cut

S = 1_000_000_000
WALL = 1_700_000_000 * S


def make(*rows):
    """Return a log of (frame, direction, type, turn), a second apart."""
    log = Log()
    for index, (frame, direction, type, turn) in enumerate(rows):
        log.append(frame, direction, type, mono_ns=index * S, wall_ns=WALL + index * S, turn=turn)
    return log


@pytest.fixture
def log():
    return make(
        (b'{"type":"session.created"}', "server", "session.created", NO_TURN),
        (b'{"type":"response.create"}', "client", "response.create", 0),
        (b'{"type":"response.created"}', "server", "response.created", 0),
        (b'{"type":"response.output_text.delta"}', "server", "response.output_text.delta", 0),
        (b'{"type":"response.done"}', "server", "response.done", 0),
        (b'{"type":"response.create"}', "client", "response.create", 1),
        (b'{"type":"error"}', "server", "error", 1),
    )


def indices(view):
    return [entry.index for entry in view]


def test_an_empty_log():
    log = Log()
    assert len(log) == 0
    assert list(log) == []
    assert log.bytes == 0
    assert len(log.filter("*")) == len(log.filter()) == len(log.filter(turn=0, direction="server")) == 0
    assert log[:].counts() == Counter()
    assert repr(log) == "Log(empty)"
    assert repr(log[:]) == "0 events"
    with pytest.raises(IndexError):
        log[0]
    with pytest.raises(IndexError):
        log[-1]


def test_append_returns_the_index_and_entry_gives_it_back():
    log = Log()
    assert log.append(b'{"type":"a"}', "client", "a", mono_ns=5 * S, wall_ns=WALL, turn=3) == 0
    assert log.append(b"[1]", "server", BINARY, mono_ns=7 * S, wall_ns=WALL + 2 * S) == 1
    first, second = log
    assert (first.index, first.direction, first.type, first.t, first.turn) == (0, "client", "a", 0.0, 3)
    assert (first.frame, first.raw, first.data) == (b'{"type":"a"}', '{"type":"a"}', {"type": "a"})
    assert first.wall == pytest.approx(WALL / S)
    assert (second.direction, second.type, second.t, second.turn) == ("server", BINARY, 2.0, NO_TURN)
    assert second.wall - first.wall == pytest.approx(2.0)
    assert second.data == {}
    assert log.bytes == len(b'{"type":"a"}[1]')


def test_indices_and_slices(log):
    assert log[-1].type == "error"
    assert log[-7].index == 0
    assert indices(log[2:5]) == [2, 3, 4]
    assert indices(log[::-3]) == [6, 3, 0]
    assert indices(log[-2:]) == [5, 6]
    assert indices(log[2:6][1:-1]) == [3, 4]
    view = log[1:4]
    assert isinstance(view, LogView)
    assert view[-1].index == 3
    assert view[0] in view
    for wrong in (7, -8):
        with pytest.raises(IndexError, match=f"index out of range: {wrong},"):
            log[wrong]
    with pytest.raises(IndexError):
        view[3]


def test_filters(log):
    assert indices(log.filter("response.create")) == [1, 5]
    assert indices(log.filter("response.*")) == [1, 2, 3, 4, 5]
    assert indices(log.filter(["error", "session.*"])) == [0, 6]
    assert indices(log.filter(name for name in ("error",))) == [6]
    assert indices(log.filter("response.*", direction="server")) == [2, 3, 4]
    assert indices(log.filter(direction="client")) == [1, 5]
    assert indices(log.filter(turn=1)) == [5, 6]
    assert indices(log.filter(turn=NO_TURN)) == [0]
    assert indices(log.filter("response.create", turn=1, direction="client")) == [5]
    assert indices(log.filter()) == list(range(7))
    assert indices(log.filter("nothing.such")) == indices(log.filter([])) == []
    with pytest.raises(ArgumentError, match="'client' or 'server', got 'both'"):
        log.filter(direction="both")


def test_views_of_views(log):
    view = log[1:6].filter(direction="server")
    assert indices(view) == [2, 3, 4]
    assert indices(view.filter("*.done")) == [4]
    assert indices(view.filter(turn=0)[::2]) == [2, 4]
    assert indices(log[::-1].filter("response.create")) == [5, 1]
    assert view.filter() is not None
    assert indices(view.filter()) == [2, 3, 4]


def test_a_view_does_not_grow(log):
    view = log.filter("error")
    log.append(b"{}", "server", "error", mono_ns=0, wall_ns=WALL)
    assert len(view) == 1
    assert len(log.filter("error")) == 2


def test_counts(log):
    assert log[:].counts()["response.create"] == 2
    assert log.filter(turn=0).counts() == Counter(
        ["response.create", "response.created", "response.output_text.delta", "response.done"]
    )
    assert log.count_types() == log[:].counts() == Counter(entry.type for entry in log)


def test_reprs(log):
    assert repr(log) == f"Log(7 events, 6.0 s, {log.bytes} bytes)"
    assert repr(log[1]) == "<1     1.000s ↑ response.create (26 bytes)>"
    assert "↓ error" in repr(log[6])
    lines = repr(make(*[(b"{}", "client", "a", 0)] * 11)[:]).splitlines()
    assert lines[0] == "11 events"
    assert len(lines) == 10
    assert lines[-1] == "… and 3 more"


def test_a_type_with_the_signs_of_a_pattern_is_found_by_its_name():
    log = make((b"{}", "client", "a[1]", 0), (b"{}", "client", "a1", 0))
    assert indices(log.filter("a[1]")) == [0, 1]
    assert indices(log.filter("a1")) == [1]


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xff\xfe\x00",
        b'"\xed\xa0\x80"',
        b"null",
        b"[]",
        b'{"a":',
        b"[" * 5000,
        "🦉".encode(),
        b"\x00" * 9,
    ],
    ids=range(9),
)
def test_any_bytes_are_kept_as_they_are(frame):
    log = make((frame, "server", BINARY, NO_TURN), (b"{}", "client", "b", 0))
    assert log[0].frame == frame
    assert log[0].raw.encode("utf-8", "surrogateescape") == frame
    assert log[0].data == {}
    assert log[1].frame == b"{}"


def test_frames_larger_than_a_block():
    sizes = [10, 3 << 20, 0, 1 << 20, (1 << 20) - 1, 1, 5 << 20, 7]
    frames = [bytes([65 + n]) * size for n, size in enumerate(sizes)]
    log = make(*((frame, "server", "a", 0) for frame in frames))
    assert [entry.frame for entry in log] == frames
    assert log.bytes == sum(sizes)


def test_many_small_frames_over_many_blocks():
    frames = [b"%06d" % n * (n % 90) for n in range(12_000)]
    log = make(*((frame, "client", "a", 0) for frame in frames))
    assert log.bytes > 3 << 20
    assert [entry.frame for entry in log] == frames
    assert [log[n].frame for n in (0, 11_999, 4_321)] == [frames[n] for n in (0, 11_999, 4_321)]


def test_a_buffer_that_changes_later_is_copied_and_text_is_refused():
    log = Log()
    buffer = bytearray(b"before")
    log.append(buffer, "server", BINARY, mono_ns=0, wall_ns=0)
    log.append(memoryview(buffer), "server", BINARY, mono_ns=0, wall_ns=0)
    buffer[:] = b"after!"
    with pytest.raises(TypeError):
        log.append("text", "server", BINARY, mono_ns=0, wall_ns=0)
    log.append(b"next", "server", BINARY, mono_ns=0, wall_ns=0)
    assert [entry.frame for entry in log] == [b"before", b"before", b"next"]


def test_the_wall_clock_may_step():
    log = Log()
    steps = [(0, 0), (S, S), (2 * S, 2 * S + 900_000), (3 * S, 3600 * S), (4 * S, 3601 * S), (5 * S, 10 * S)]
    for mono, wall in steps:
        log.append(b"{}", "client", "a", mono_ns=mono, wall_ns=WALL + wall)
    for entry, (mono, wall) in zip(log, steps, strict=True):
        assert entry.t == mono / S
        assert entry.wall == pytest.approx((WALL + wall) / S, abs=0.0011)


def test_a_slow_drift_of_the_wall_clock_is_followed():
    log = Log()
    for n in range(1000):
        log.append(b"{}", "client", "a", mono_ns=n * S, wall_ns=WALL + n * S + n * 100_000)
    for n, entry in enumerate(log):
        assert entry.wall == pytest.approx((WALL + n * S + n * 100_000) / S, abs=0.0011)


def test_a_peer_that_names_at_random_is_kept_within_bounds():
    log = Log()
    for n in range(40_000):
        log.append(b"{}", "server", f"kind.{n}", mono_ns=n, wall_ns=n)
    log.append(b"{}", "client", "kind.7", mono_ns=0, wall_ns=0)
    log.append(b"{}", "client", "late", mono_ns=0, wall_ns=0)
    assert log[100].type == "kind.100"
    assert (log[0].direction, log[39_999].direction, log[39_999].type) == ("server", "server", BINARY)
    assert (log[40_000].direction, log[40_000].type, log[40_001].type) == ("client", "kind.7", BINARY)
    assert indices(log.filter("kind.7")) == [7, 40_000]
    assert len(log.filter("*")) == 40_002
    assert len(log.filter("kind.*", direction="client")) == 1
    assert sum(log[:].counts().values()) == 40_002


frames = st.one_of(
    st.binary(max_size=40), st.sampled_from([b'{"type":"x"}', b"{}"]), st.builds(bytes, st.integers(0, 2**19))
)
types = st.sampled_from(["a", "a.b", "a.b.c", "b", "b.delta", BINARY]) | st.text(max_size=3)
rows = st.lists(
    st.tuples(
        frames,
        st.sampled_from(["client", "server"]),
        types,
        st.integers(-1, 4) | st.just(2**31 - 1),
        st.integers(0, 10**15),
        st.integers(0, 2 * 10**18),
    ),
    max_size=30,
)
wanted = st.none() | types | st.sampled_from(["*", "a*", "*.b", "?"]) | st.lists(types, max_size=3)


@settings(max_examples=150, deadline=None)
@given(
    rows, wanted, st.none() | st.integers(-1, 4), st.none() | st.sampled_from(["client", "server"]), st.data()
)
def test_what_goes_in_comes_out_and_filters_equal_a_comprehension(rows, type, turn, direction, data):
    log = Log()
    for frame, side, name, number, mono, wall in rows:
        log.append(frame, side, name, mono_ns=mono, wall_ns=wall, turn=number)
    back = [(e.frame, e.direction, e.type, e.turn) for e in log]
    assert back == [row[:4] for row in rows]
    assert [e.t for e in log] == [(row[4] - rows[0][4]) / 1e9 for row in rows]
    for entry, row in zip(log, rows, strict=True):
        assert abs(entry.wall - row[5] / 1e9) < 0.0012
    assert log.bytes == sum(len(row[0]) for row in rows)
    patterns = [type] if isinstance(type, str) else type

    def fits(entry):
        named = patterns is None or any(p == entry.type or fnmatchcase(entry.type, p) for p in patterns)
        return named and turn in (None, entry.turn) and direction in (None, entry.direction)

    assert list(log.filter(type, turn=turn, direction=direction)) == [e for e in log if fits(e)]
    cut = data.draw(st.slices(len(rows)))
    part = log[cut].filter(type, turn=turn, direction=direction)
    assert list(part) == [e for e in list(log)[cut] if fits(e)]
    assert part.counts() == Counter(e.type for e in part)


@pytest.mark.slow
def test_one_thread_appends_while_others_read():
    log, total, failures = Log(), 60_000, []
    names = ("a", "b.delta", "c")

    def append():
        try:
            for n in range(total):
                log.append(
                    b"%d" % n,
                    "server" if n % 2 else "client",
                    names[n % 3],
                    mono_ns=n,
                    wall_ns=n,
                    turn=n // 9,
                )
        except BaseException as error:
            failures.append(error)

    def read():
        try:
            while writer.is_alive():
                found = log.filter("b.*", direction="server")
                assert all(entry.type == "b.delta" for entry in found[-5:])
                assert set(log.filter(turn=3).counts().values()) <= {1, 2, 3}
                size = len(log)
                if size:
                    assert log[size - 1].frame == b"%d" % (size - 1)
                assert log.nbytes >= log.bytes - 10
        except BaseException as error:
            failures.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        writer = threading.Thread(target=append)
        readers = [threading.Thread(target=read) for _ in range(2)]
        for thread in (writer, *readers):
            thread.start()
        for thread in (writer, *readers):
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert failures == []
    assert len(log) == total
    assert [entry.frame for entry in log] == [b"%d" % n for n in range(total)]


def test_the_log_takes_little_more_than_its_frames():
    """A response of speech: about two text deltas of 250 bytes to one audio delta of 100 ms."""
    log = Log()
    for n in range(100_000):
        size = 6_650 if n % 10 == 0 else 250
        log.append(bytes(size), "server", "response.output_audio.delta", mono_ns=n, wall_ns=n)
    assert log.nbytes <= 1.25 * log.bytes


def test_rows_are_plain_indices():
    log = make(*[(b"{}", "client", "a", 0)] * 5)
    rows = log.rows("a", among=np.array([4, 0], np.int64))
    assert rows.dtype == np.int64
    assert rows.tolist() == [4, 0]
    assert log.rows().tolist() == [0, 1, 2, 3, 4]


def spoken():
    """Return a log of small and large frames, some of whose sound is cut out."""
    log = Log()
    for n in range(700):
        data = bytes([n % 251]) * (n % 5 * 1000)
        text = b64encode(data).decode()
        frame = b'{"type":"x","n":%d,"audio":"%s"}' % (n, text.encode())
        log.append(
            frame, "server", "x", mono_ns=n, wall_ns=WALL, cut=find_cut(frame, text, data) if n % 2 else None
        )
    return log


def test_lengths_and_sound_are_known_without_the_frames():
    log = spoken()
    assert log.bytes > 1 << 20
    rows = np.arange(len(log))
    assert log.lengths(rows).tolist() == [len(entry.frame) for entry in log]
    assert log.lengths(rows[::-7]).tolist() == [len(log[int(n)].frame) for n in rows[::-7]]
    sizes = log.sound_sizes(rows).tolist()
    assert sizes == [n % 5 * 1000 if n % 2 else 0 for n in range(700)]
    assert [len(log.sound(n) or b"") for n in range(700)] == sizes
    assert Log().lengths(np.zeros(0, np.int64)).tolist() == []
    assert make((b"{}", "client", "a", 0)).sound_sizes(np.array([0])).tolist() == [0]


def test_a_look_at_some_rows():
    log = spoken()
    look = log.columns_of(np.array([699, 3, 4]))
    assert [frame.count(b"A") for frame in look.frames] == [0, 0, log[4].frame.count(b"A")]
    assert look.frames[1] == b'{"type":"x","n":3,"audio":""}'
    assert [log.names[kind & 0x7FFF] for kind in look.kinds.tolist()] == ["x"] * 3
    assert (look.times.tolist(), look.turns.tolist()) == ([699, 3, 4], [NO_TURN] * 3)
    t, wall = log.times(np.array([699, 3]))
    assert t.tolist() == [log[699].t, log[3].t]
    assert wall.tolist() == [log[699].wall, log[3].wall]
    assert [part.tolist() for part in Log().times(np.zeros(0, np.int64))] == [[], []]


def test_a_view_of_the_whole_log_grows(log):
    view = LogView(log)
    assert view.grows
    assert not view[:].grows
    log.append(b"{}", "server", "late", mono_ns=0, wall_ns=WALL)
    assert (len(view), view[-1].type, view[7].index) == (8, "late", 7)
    assert view.rows.tolist() == list(range(8))
    assert indices(view.filter("error")) == [6]
    assert view.counts() == log.count_types()
    assert view.source is log


def test_watchers_hear_of_each_append(log):
    heard = []
    end = log.watch(lambda: heard.append(len(log)))
    log.append(b"{}", "server", "a", mono_ns=0, wall_ns=WALL)
    log.append(b"{}", "server", "a", mono_ns=0, wall_ns=WALL)
    end()
    end()
    log.append(b"{}", "server", "a", mono_ns=0, wall_ns=WALL)
    assert heard == [8, 9]
