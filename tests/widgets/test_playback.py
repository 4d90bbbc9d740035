"""The kernel's end of the loudspeaker, against a page that is played by the test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rtnb.audio.codecs import pcm16, ulaw
from rtnb.widgets.playback import RATE, Player, Sound

SECOND = np.arange(RATE, dtype="<i2").tobytes()


class Bench:
    """A player, all that it told the pages, and the timers that it set."""

    def __init__(self) -> None:
        self.told: list[tuple[dict[str, Any], bytes]] = []
        self.timers: list[Callable[[], None]] = []
        self.player = Player(
            lambda message, *buffers: self.told.append((message, b"".join(buffers))),
            lambda seconds, call: self.timers.append(call),
        )

    def kinds(self) -> list[str]:
        return [message["kind"] for message, _ in self.told]

    def sound(self, page: str) -> bytes:
        return b"".join(data for message, data in self.told if data and message["page"] == page)

    def hear(self, page: str, kind: str = "played", **items: tuple[float, bool]) -> None:
        counts = {
            id: {"played_ms": ms, "heard_ms": ms if over else max(0, ms - 30), "over": over}
            for id, (ms, over) in items.items()
        }
        number = next((m["id"] for m, _ in reversed(self.told) if m["kind"] == "flush"), 0)
        self.player.hear({"kind": kind, "page": page, "items": counts, "id": number, "underruns": 0})


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_what_may_not_sound_yet_is_kept_for_the_page(bench: Bench) -> None:
    bench.player.held = True
    bench.player.give("one")
    bench.player.feed("a", SECOND, pcm16)
    bench.player.end("a")
    assert bench.kinds() == ["owner"]
    assert bench.player.pending
    bench.player.release()
    assert bench.sound("one") == SECOND
    assert bench.kinds() == ["owner", "begin", "sound", "end"]


def test_what_comes_before_a_page_waits_for_it(bench: Bench) -> None:
    bench.player.feed("a", SECOND, pcm16)
    assert bench.told == []
    bench.player.give("one")
    bench.player.feed("a", SECOND, pcm16)
    bench.player.end("a")
    assert bench.sound("one") == SECOND * 2
    assert bench.kinds() == ["owner", "begin", "sound", "sound", "end"]
    assert bench.player.pending
    bench.hear("one", a=(2000, True))
    assert not bench.player.pending
    assert bench.player.played_ms == 2000


def test_a_long_backlog_goes_in_pieces(bench: Bench) -> None:
    for _ in range(5):
        bench.player.feed("a", SECOND, pcm16)
    bench.player.give("one")
    assert bench.sound("one") == SECOND * 5
    assert max(len(data) for _, data in bench.told) <= 96_000


def test_a_flush_tells_what_was_heard_of_each_item_that_was_cut(bench: Bench) -> None:
    bench.player.give("one")
    for id in "abc":
        bench.player.feed(id, SECOND, pcm16)
        bench.player.end(id)
    bench.hear("one", a=(1000, True), b=(100, False))
    heard: list[dict[str, float]] = []
    bench.player.flush(heard.append)
    assert bench.player.silencing
    assert heard == []
    bench.hear("one", "flushed", b=(250, False), c=(0, False))
    assert heard == [{"b": 0.22, "c": 0.0}]
    assert not bench.player.pending
    assert not bench.player.silencing
    before = len(bench.told)
    bench.player.feed("c", SECOND, pcm16)  # late deltas of what was cut
    bench.player.end("c")
    assert len(bench.told) == before
    for timer in bench.timers:
        timer()
    assert len(heard) == 1


def test_a_page_that_fell_silent_by_itself_is_asked_for_nothing(bench: Bench) -> None:
    bench.player.give("one")
    bench.player.feed("a", SECOND, pcm16)
    heard: list[dict[str, float]] = []
    bench.player.flush(heard.append, "page-1")
    bench.player.flush(heard.append)  # speech was noticed at the same moment
    assert [m for m, _ in bench.told if m["kind"] in ("flush", "hushed")] == [
        {"kind": "hushed", "id": "page-1", "page": "one"},
        {"kind": "flush", "id": "2", "page": "one"},
    ]
    items = {"a": {"played_ms": 250, "heard_ms": 220, "over": False}}
    bench.player.hear({"kind": "flushed", "page": "one", "items": items, "id": "page-1", "underruns": 0})
    bench.hear("one", "flushed")
    assert heard == [{"a": 0.22}, {}]


def test_a_page_that_does_not_answer_is_taken_at_its_last_word(bench: Bench) -> None:
    bench.player.give("one")
    bench.player.feed("a", SECOND, pcm16)
    bench.hear("one", a=(530, False))
    heard: list[dict[str, float]] = []
    bench.player.flush(heard.append)
    (timer,) = bench.timers
    timer()
    assert heard == [{"a": 0.5}]


def test_an_item_that_ended_while_the_flush_was_on_its_way_was_heard_whole(bench: Bench) -> None:
    bench.player.give("one")
    bench.player.feed("a", SECOND, pcm16)
    bench.player.end("a")
    heard: list[dict[str, float]] = []
    bench.player.flush(heard.append)
    bench.hear("one", "flushed", a=(1000, True))
    assert heard == [{}]


def test_without_a_page_nothing_was_heard(bench: Bench) -> None:
    bench.player.feed("a", SECOND, pcm16)
    heard: list[dict[str, float]] = []
    bench.player.flush(heard.append)
    assert heard == [{"a": 0.0}]
    bench.player.give("late")
    assert bench.sound("late") == b""


def test_another_page_takes_over_where_the_first_stopped(bench: Bench) -> None:
    bench.player.give("one")
    bench.player.feed("a", SECOND, pcm16)
    bench.hear("one", a=(500, False))
    bench.hear("stranger", a=(900, False))
    bench.player.give("two")
    begin = next(m for m, _ in bench.told if m["kind"] == "begin" and m["page"] == "two")
    assert begin["played_ms"] == 500
    assert bench.sound("two") == SECOND[RATE:]
    assert ("flush", "one") in [(m["kind"], m.get("page")) for m, _ in bench.told]


def test_a_page_that_plays_already_gets_nothing_twice(bench: Bench) -> None:
    bench.player.give("one")
    bench.player.feed("a", SECOND, pcm16)
    bench.player.give("one")
    assert bench.sound("one") == SECOND
    bench.hear("one", a=(500, False))
    bench.player.give("one", loaded=True)
    assert bench.sound("one") == SECOND + SECOND[RATE:]


def test_sound_may_be_cut_within_a_sample() -> None:
    sound = Sound("a")
    pieces = [sound.take(SECOND[start : start + 333], pcm16) for start in range(0, len(SECOND), 333)]
    assert b"".join(pieces) == SECOND == bytes(sound.data)
    assert all(len(piece) % 2 == 0 for piece in pieces)


def test_telephone_sound_is_played_at_the_pages_rate() -> None:
    tone = np.sin(np.arange(8000) * 2 * np.pi * 440 / 8000).astype(np.float32) * 0.5
    coded = ulaw.encode(tone)
    sound = Sound("a")
    data = b"".join(sound.take(coded[start : start + 160], ulaw) for start in range(0, 8000, 160))
    data += sound.take(b"", ulaw, last=True)
    assert len(data) == RATE * 2
