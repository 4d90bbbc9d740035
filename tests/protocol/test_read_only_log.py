"""A log made from columns is the log that they came from."""

import numpy as np
import pytest
from frames import MS, WALL, full
from hypothesis import given
from hypothesis import strategies as st

from rtnb.errors import ArgumentError
from rtnb.protocol.log import Log
from rtnb.protocol.read_only_log import ReadOnlyLog
from rtnb.protocol.state import SessionState


def again(log, step):
    pieces = [log.columns(row, row + step) for row in range(0, len(log), step)]
    return ReadOnlyLog(pieces, [p.frames for p in pieces], [sound for p in pieces for sound in p.sounds])


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_the_same_events_and_the_same_folds(step):
    record = full().state
    loaded = again(record.log, step)
    assert list(loaded) == list(record.log)
    assert loaded.bytes == record.log.bytes
    assert loaded.count_types() == record.log.count_types()
    assert list(loaded.filter("response.*", turn=0)) == list(record.log.filter("response.*", turn=0))
    assert list(again(loaded, 5)) == list(record.log)
    folded = SessionState.of(loaded)
    assert folded.conversation == record.conversation
    assert [turn.marks for turn in folded.turns.all] == [turn.marks for turn in record.turns.all]
    assert (folded.usage, folded.limits, folded.problems) == (record.usage, record.limits, record.problems)
    assert repr(loaded) == repr(record.log)


@given(
    st.lists(
        st.tuples(st.binary(max_size=50), st.booleans(), st.sampled_from("abc"), st.integers(0, 3 * MS)),
        max_size=30,
    ),
    st.integers(1, 10),
)
def test_any_log(rows, step):
    log, now = Log(), 0
    for frame, server, type, wait in rows:
        now += wait
        log.append(
            frame, "server" if server else "client", type, mono_ns=now, wall_ns=WALL + now * 2, turn=wait
        )
    loaded = again(log, step)
    assert list(loaded) == list(log)


def test_over_many_blocks():
    log = Log()
    for number in range(50):
        log.append(bytes([number]) * 100_000, "server", "x", mono_ns=number, wall_ns=number)
    assert list(again(log, 9)) == list(log)
    assert [entry.index for entry in again(log, 9)[10:12]] == [10, 11]


def test_it_takes_no_more():
    with pytest.raises(ArgumentError, match="is read-only"):
        again(full().state.log, 10).append(b"{}", "client", "x", mono_ns=0, wall_ns=0)


def test_columns_that_contradict_themselves_are_refused():
    record = full().state
    piece = record.log.columns()
    piece.kinds = piece.kinds + np.uint16(1000)
    with pytest.raises(ValueError, match="without a name"):
        ReadOnlyLog([piece], [piece.frames], piece.sounds)
    piece = record.log.columns()
    piece.sound_cuts = piece.sound_cuts + np.uint32(100_000)
    with pytest.raises(ValueError, match="outside"):
        ReadOnlyLog([piece], [piece.frames], piece.sounds)


def test_memory_is_the_columns_alone():
    log = full().state.log
    assert again(log, 10).nbytes < log.nbytes


def test_what_is_folded_of_a_recording_holds_no_sound_of_its_own(tmp_path):
    from frames import full

    from rtnb.protocol.log_storage import Sound
    from rtnb.recordings import open as opened
    from rtnb.recordings import save
    from rtnb.recordings.writer import pieces

    live = full().state
    save(pieces(live.log), {"format": 1}, tmp_path / "x.rtnb")
    record = opened(tmp_path / "x.rtnb").state
    parts = [part for item in record.conversation.items.values() for part in item.parts]
    chunks = [chunk for part in parts for chunk in part.chunks]
    assert sum(map(len, chunks)) > 10_000
    assert all(isinstance(chunk, Sound) and chunk.nbytes < 200 for chunk in chunks)
    assert record.conversation == live.conversation
