"""Playback seen from the kernel, against a page that the test simulates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rtnb.audio.codecs import pcm16, ulaw
from rtnb.widgets.playback import RATE, ItemAudio, PlaybackQueue, Player

SECOND = np.arange(RATE, dtype="<i2").tobytes()


class Bench:
    """A player, all messages that it sent to pages, and the timers that it set."""

    def __init__(self) -> None:
        self.sent: list[tuple[dict[str, Any], bytes]] = []
        self.timers: list[Callable[[], None]] = []
        self.player = Player(
            lambda message, *buffers: self.sent.append((message, b"".join(buffers))),
            lambda seconds, call: self.timers.append(call),
        )

    def kinds(self) -> list[str]:
        return [message["kind"] for message, _ in self.sent]

    def audio(self, page: str) -> bytes:
        return b"".join(data for message, data in self.sent if data and message["page"] == page)

    def report(self, page: str, kind: str = "played", **items: tuple[float, bool]) -> None:
        counts = {
            id: {"rendered_ms": ms, "played_ms": ms if done else max(0, ms - 30), "done": done}
            for id, (ms, done) in items.items()
        }
        number = next((m["id"] for m, _ in reversed(self.sent) if m["kind"] == "flush"), 0)
        self.player.on_report({"kind": kind, "page": page, "items": counts, "id": number, "underruns": 0})


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_held_audio_is_sent_when_playback_is_released(bench: Bench) -> None:
    bench.player.held = True
    bench.player.set_owner("one")
    bench.player.feed("a", SECOND, pcm16)
    bench.player.end("a")
    assert bench.kinds() == ["owner"]
    assert bench.player.pending
    bench.player.send_held()
    assert bench.audio("one") == SECOND
    assert bench.kinds() == ["owner", "begin", "audio", "end"]


def test_audio_before_there_is_an_owner_is_kept(bench: Bench) -> None:
    bench.player.feed("a", SECOND, pcm16)
    assert bench.sent == []
    bench.player.set_owner("one")
    bench.player.feed("a", SECOND, pcm16)
    bench.player.end("a")
    assert bench.audio("one") == SECOND * 2
    assert bench.kinds() == ["owner", "begin", "audio", "audio", "end"]
    assert bench.player.pending
    bench.report("one", a=(2000, True))
    assert not bench.player.pending
    assert bench.player.played_ms == 2000


def test_a_long_backlog_is_sent_in_pieces(bench: Bench) -> None:
    for _ in range(5):
        bench.player.feed("a", SECOND, pcm16)
    bench.player.set_owner("one")
    assert bench.audio("one") == SECOND * 5
    assert max(len(data) for _, data in bench.sent) <= 96_000


def test_a_flush_reports_what_was_played_of_each_item_that_was_not_done(bench: Bench) -> None:
    bench.player.set_owner("one")
    for id in "abc":
        bench.player.feed(id, SECOND, pcm16)
        bench.player.end(id)
    bench.report("one", a=(1000, True), b=(100, False))
    played: list[dict[str, float]] = []
    bench.player.flush(played.append)
    assert bench.player.flushing
    assert played == []
    bench.report("one", "flushed", b=(250, False), c=(0, False))
    assert played == [{"b": 0.22, "c": 0.0}]
    assert not bench.player.pending
    assert not bench.player.flushing
    before = len(bench.sent)
    bench.player.feed("c", SECOND, pcm16)  # late deltas of a flushed item
    bench.player.end("c")
    assert len(bench.sent) == before
    for timer in bench.timers:
        timer()
    assert len(played) == 1


def test_a_page_that_stopped_by_itself_is_not_asked_to(bench: Bench) -> None:
    bench.player.set_owner("one")
    bench.player.feed("a", SECOND, pcm16)
    played: list[dict[str, float]] = []
    bench.player.flush(played.append, "page-1")
    bench.player.flush(played.append)  # speech was noticed at the same moment
    assert [m for m, _ in bench.sent if m["kind"] in ("flush", "playback_stopped")] == [
        {"kind": "playback_stopped", "id": "page-1", "page": "one"},
        {"kind": "flush", "id": "2", "page": "one"},
    ]
    items = {"a": {"rendered_ms": 250, "played_ms": 220, "done": False}}
    bench.player.on_report({"kind": "flushed", "page": "one", "items": items, "id": "page-1", "underruns": 0})
    bench.report("one", "flushed")
    assert played == [{"a": 0.22}, {}]


def test_the_last_report_counts_for_a_page_that_does_not_answer(bench: Bench) -> None:
    bench.player.set_owner("one")
    bench.player.feed("a", SECOND, pcm16)
    bench.report("one", a=(530, False))
    played: list[dict[str, float]] = []
    bench.player.flush(played.append)
    (timer,) = bench.timers
    timer()
    assert played == [{"a": 0.5}]


def test_an_item_that_ended_before_the_flush_arrived_was_played_whole(bench: Bench) -> None:
    bench.player.set_owner("one")
    bench.player.feed("a", SECOND, pcm16)
    bench.player.end("a")
    played: list[dict[str, float]] = []
    bench.player.flush(played.append)
    bench.report("one", "flushed", a=(1000, True))
    assert played == [{}]


def test_without_a_page_nothing_was_played(bench: Bench) -> None:
    bench.player.feed("a", SECOND, pcm16)
    played: list[dict[str, float]] = []
    bench.player.flush(played.append)
    assert played == [{"a": 0.0}]
    bench.player.set_owner("late")
    assert bench.audio("late") == b""


def test_another_page_takes_over_where_the_first_stopped(bench: Bench) -> None:
    bench.player.set_owner("one")
    bench.player.feed("a", SECOND, pcm16)
    bench.report("one", a=(500, False))
    bench.report("stranger", a=(900, False))
    bench.player.set_owner("two")
    begin = next(m for m, _ in bench.sent if m["kind"] == "begin" and m["page"] == "two")
    assert begin["rendered_ms"] == 500
    assert bench.audio("two") == SECOND[RATE:]
    assert ("flush", "one") in [(m["kind"], m.get("page")) for m, _ in bench.sent]


def test_a_page_that_already_plays_gets_nothing_twice(bench: Bench) -> None:
    bench.player.set_owner("one")
    bench.player.feed("a", SECOND, pcm16)
    bench.player.set_owner("one")
    assert bench.audio("one") == SECOND
    bench.report("one", a=(500, False))
    bench.player.set_owner("one", reloaded=True)
    assert bench.audio("one") == SECOND + SECOND[RATE:]


def test_a_piece_may_end_within_a_sample() -> None:
    audio = ItemAudio("a")
    pieces = [audio.append(SECOND[start : start + 333], pcm16) for start in range(0, len(SECOND), 333)]
    assert b"".join(pieces) == SECOND == bytes(audio.data)
    assert all(len(piece) % 2 == 0 for piece in pieces)


def test_telephone_audio_is_resampled_to_the_pages_rate() -> None:
    tone = np.sin(np.arange(8000) * 2 * np.pi * 440 / 8000).astype(np.float32) * 0.5
    coded = ulaw.encode(tone)
    audio = ItemAudio("a")
    data = b"".join(audio.append(coded[start : start + 160], ulaw) for start in range(0, 8000, 160))
    data += audio.append(b"", ulaw, last=True)
    assert len(data) == RATE * 2


def test_one_at_a_time_plays_in_the_order_of_acquiring() -> None:
    class Loop:
        def call_soon(self, call: Callable[[], None]) -> None:
            soon.append(call)

    soon: list[Callable[[], None]] = []
    started: list[str] = []
    first, second, third = (lambda name=name: started.append(name) for name in ("first", "second", "third"))
    queue = PlaybackQueue(Loop())  # type: ignore[arg-type]
    for start in (first, second, first, third):
        queue.acquire(start)
    assert started == ["first"]
    queue.release(second)  # which waits, and gives up its place
    assert soon == []
    queue.release(first)
    queue.release(first)
    assert soon == [third]
    assert started == ["first"]
    queue.release(third)
    assert soon == [third]
