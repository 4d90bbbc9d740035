"""The conversation clock: where a listener would have placed the audio of a session in time.

A log has the times of frames. A server sends an answer faster than it plays, and a program may send a clip at
once, so audio that is placed where its frames are would overlap its own past, and the answer to a clip would
begin while the clip still plays. On the conversation clock each side's audio follows its own past, and the
clock waits (it gains on the log, never the reverse) where the log went on before audio could have ended:

- for a clip that was sent at once, at its commit, or where the server found the end of speech in it;
- for an answer, before the next input or request, unless a microphone was live;
- for the part of an answer that was played, where the client truncated it.

Between these, time passes as in the log, so every measured wait is kept. While a microphone sends in real
time the clock does not wait: the times of a live session are those of its log, and an answer that the user
spoke into overlaps with that speech until it was cut. Where the log does not say how much of such an answer
was played, it ends when the server reported speech. Out-of-band responses are not played.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..audio.codecs import Codec
from ..protocol.changes import (
    AddItem,
    Clear,
    Commit,
    InputTimedOut,
    Playback,
    Respond,
    ResponseStarted,
    SessionChanged,
    SessionStarted,
    SpeechStarted,
    SpeechStopped,
    Truncate,
)
from ..protocol.dialects.names import PLACING_EVENTS
from ..protocol.events import Event, as_object
from ..protocol.log import NO_TURN
from ..protocol.log_storage import Chunk
from ..protocol.state import SessionState
from ..protocol.tracks import Piece
from ..protocol.turn_state import TurnState
from .input_pacing import late_by, sent_live

__all__ = ["ConversationClock", "PlacedAudio"]

_JOINED = 0.05
"""Seconds between two pieces of audio that are jitter of the network, not a pause."""
_LIVE = 0.5
"""Seconds within which a microphone that is on sends its next piece."""


@dataclass(slots=True)
class PlacedAudio:
    """A stretch of audio without a gap. ``start`` is in seconds of the conversation.

    ``seconds`` of it were played, out of ``received`` that were sent or received; ``offset`` is where it
    starts in its item's audio, or for input that is not an item yet (``item_id`` ""), in all appended audio.
    """

    side: str
    start: float
    seconds: float
    received: float
    offset: float
    item_id: str
    turn: int
    codec: Codec
    chunks: list[Chunk]
    skip: int = 0
    """Bytes at its start that end a sample which began before it."""

    @property
    def end(self) -> float:
        """When it stops playing, in seconds of the conversation."""
        return self.start + self.seconds

    @property
    def complete(self) -> bool:
        """Whether all of it was played."""
        return self.seconds == self.received

    @property
    def data(self) -> bytes:
        """What was played of it, encoded, in whole samples."""
        width = self.codec.width
        data = b"".join(map(bytes, self.chunks))[self.skip :]
        size = len(data) if self.complete else round(self.seconds * self.codec.bytes_per_second)
        return data[: min(size, len(data)) // width * width]


class ConversationClock:
    """Maps the times of a log to those of the conversation, and places its audio.

    ``placed`` has all audio in order of its start, the parts that were not played as well. It is that of the
    state when this is made.
    """

    def __init__(self, state: SessionState) -> None:
        fold = _Fold(state)
        self.placed: list[PlacedAudio] = sorted(
            [*fold.inputs, *fold.given, *fold.outputs], key=lambda one: one.start
        )
        self._times, self._ahead = fold.times, fold.ahead
        self._inputs = fold.inputs
        self._offsets = [one.offset for one in fold.inputs]
        self._at_once = fold.at_once
        self._ranges, self._speech = fold.ranges, fold.speech
        self._of_turn: dict[tuple[int, str], list[PlacedAudio]] = defaultdict(list)
        for one in (*fold.given, *fold.outputs):
            self._of_turn[one.turn, one.side].append(one)

    def at(self, t: float) -> float:
        """Return when, in seconds of the conversation, a moment of the log was. Later is never earlier."""
        place = bisect_right(self._times, t) - 1
        return t if place < 0 else t + self._ahead[place]

    def output(self, turn: int) -> list[PlacedAudio]:
        """Return the audio of a turn's answer, in order."""
        return self._of_turn.get((turn, "output"), [])

    def input(self, turn: int) -> list[tuple[float, float]]:
        """Return where a turn's input audio is, as (start, end) in seconds of the conversation, in order."""
        found = [(one.start, one.end) for one in self._of_turn.get((turn, "input"), [])]
        for first, last in self._ranges.get(turn, ()):
            for one in self._inputs[max(bisect_right(self._offsets, first) - 1, 0) :]:
                if one.offset >= last:
                    break
                start, end = max(one.offset, first), min(one.offset + one.received, last)
                if start < end:
                    found.append((one.start + start - one.offset, one.start + end - one.offset))
        return sorted(found)

    def sent_at_once(self, turn: int) -> bool:
        """Return whether a turn's input audio was sent faster than real time."""
        given = bool(self._of_turn.get((turn, "input")))
        return given or any(_within(self._at_once, *one) for one in self._ranges.get(turn, ()))

    def marks(self, turn: TurnState) -> dict[str, float]:
        """Return a turn's marks in seconds of the conversation.

        Those that are positions in audio are where that audio is placed, not where its frames are.
        """
        marks = {name: self.at(t) for name, t in turn.marks.items()}
        answer = self.output(turn.number)
        if answer and {"first_sound", "first_audio"} <= set(marks):
            marks["first_sound"] = answer[0].start + turn.marks["first_sound"] - turn.marks["first_audio"]
        places = self.input(turn.number)
        if not places or not self.sent_at_once(turn.number):
            return marks
        if "input" in marks:
            marks["input"] = min(marks["input"], places[0][0])
        if "input_end" in marks:
            marks["input_end"] = places[-1][1]
        for name, offset in self._speech.get(turn.number, {}).items():
            at = _position(self._inputs, self._offsets, offset)
            if name in marks and at is not None:
                marks[name] = at
        return marks


class _Fold:
    """Walks through a session in order of time, once."""

    def __init__(self, state: SessionState) -> None:
        self.state = state
        self.times: list[float] = []  # of the log, when the clock waited
        self.ahead: list[float] = []  # by how much the conversation is later from then on, in seconds
        self.inputs: list[PlacedAudio] = []  # appended
        self.given: list[PlacedAudio] = []  # in items that the client sent whole
        self.outputs: list[PlacedAudio] = []
        self.at_once: list[tuple[float, float]] = []  # of appended audio, in seconds of all of it
        self.ranges: dict[int, list[tuple[float, float]]] = defaultdict(list)  # turn → the same, its input
        self.speech: dict[int, dict[str, float]] = defaultdict(dict)  # turn → mark → second of the input
        self._offsets: list[float] = []
        self._sent = 0.0  # seconds of all appended audio
        self._taken = 0.0  # how much of it was committed or cleared
        self._ends: dict[str, float] = {}  # item id → when what was played of it ends
        self._free = {"input": 0.0, "output": 0.0}  # when the last audio of each side ends
        self._waits_for_input = False  # whether the last input was sent at once
        self._barge_in = -math.inf
        self._detection: Event | None = None
        self._apart: set[str] = set()  # ids of out-of-band responses
        self._turns = {id: turn for turn in state.turns.all for id in turn.outputs}
        self._items: dict[str, list[Piece]] = defaultdict(list)
        for piece in state.tracks["output"]:
            self._items[piece.item_id].append(piece)
        events = list(self._events())
        bounds = [t for t, change, _ in events if isinstance(change, (Commit, Clear))]
        inputs = list(state.tracks["input"])
        live = sent_live(inputs, bounds)
        self._live_times = [piece.t for piece, one in zip(inputs, live, strict=True) if one]
        steps: list[tuple[float, int, Any, Any]] = [(t, 1, change, turn) for t, change, turn in events]
        late = [by if one else None for by, one in zip(late_by(inputs, live), live, strict=True)]
        steps += [(piece.t, 0, piece, by) for piece, by in zip(inputs, late, strict=True)]
        steps += [(pieces[0].t, 2, id, pieces) for id, pieces in self._items.items()]
        for t, kind, what, more in sorted(steps, key=lambda step: step[:2]):
            if kind == 0:
                self._on_append(t, what, more)
            elif kind == 1:
                self._on_event(t, what, more)
            else:
                self._on_answer(t, what, more)

    def _events(self) -> Iterator[tuple[float, Any, int]]:
        log = self.state.log
        for row in log.rows(PLACING_EVENTS).tolist():
            entry = log.entry(row)
            for change in self.state.read_again(row):
                yield entry.t, change, entry.turn

    def _now(self, t: float) -> float:
        return t + (self.ahead[-1] if self.ahead else 0.0)

    def _wait(self, t: float, until: float) -> None:
        """Let the conversation be at ``until``, at least, when the log is at ``t``."""
        if until > self._now(t):
            self.times.append(t)
            self.ahead.append(until - t)

    def _wait_for_input(self, t: float) -> None:
        if self._waits_for_input:
            self._wait(t, self._free["input"])

    def _wait_for_answer(self, t: float) -> None:
        """Let the answer end, unless a microphone is on: then whatever comes meanwhile came meanwhile."""
        if not self._is_live(t):
            self._wait(t, self._free["output"])

    def _is_live(self, t: float) -> bool:
        place = bisect_right(self._live_times, t)
        around = self._live_times[max(place - 1, 0) : place + 1]
        return len(around) == 2 and around[0] >= t - _LIVE and around[1] <= t + _LIVE

    def _on_append(self, t: float, piece: Piece, late: float | None) -> None:
        """Place appended audio; ``late`` is by how many seconds a live piece was, None for another."""
        live = late is not None
        if not piece.seconds:
            return
        if not live:
            self._wait_for_answer(t)
            first = self.at_once.pop()[0] if self._waits_for_input else self._sent
            self.at_once.append((first, self._sent + piece.seconds))
        self._waits_for_input = not live
        at = self._now(t) - (late or 0.0)
        self._place(self.inputs, "input", at, piece, self._sent, jitter=_JOINED if live else 0.0)
        self._sent += piece.seconds
        if len(self.inputs) > len(self._offsets):
            self._offsets.append(self.inputs[-1].offset)

    def _place(
        self,
        placed: list[PlacedAudio],
        side: str,
        t: float,
        piece: Piece,
        offset: float,
        turn: int = NO_TURN,
        jitter: float = _JOINED,
    ) -> None:
        """Place a piece at ``t`` or after what is before it, without a gap where that is only jitter."""
        free, seconds = self._free[side], piece.seconds
        before = placed[-1] if placed else None
        if before is None or (before.end, before.codec) != (free, piece.codec) or t - free > jitter:
            # The bytes that its item has had so far show whether it begins within a sample.
            had = round(offset * piece.codec.bytes_per_second) if side == "output" else 0
            skip, start = -had % piece.codec.width, max(t, free)
            before = PlacedAudio(side, start, 0.0, 0.0, offset, piece.item_id, turn, piece.codec, [], skip)
            placed.append(before)
        before.chunks.append(piece.audio)
        before.received += seconds
        before.seconds = before.received
        self._free[side] = before.end

    def _on_answer(self, t: float, id: str, pieces: Sequence[Piece]) -> None:
        """Place an item of an answer as a whole: it plays on from its first audio."""
        item = self.state.conversation.items.get(id)
        turn = self._turns.get(id)
        response_id = (item.response_id if item is not None else None) or ""
        apart = response_id in self._apart or (turn is not None and turn.out_of_band)
        if not self._detection and not apart:
            self._wait_for_input(t)
        most = math.inf
        if apart:
            most = 0.0
        elif item is not None and item.played_ms is not None:
            most = item.played_ms / 1000
        elif known := self.state.turns.of_response(response_id):
            response = known[1]
            if response.status == "cancelled" and response.marks.get("created", t) <= self._barge_in:
                most = 0.0
        free, offset = self._free["output"], 0.0
        if apart:
            self._free["output"] = 0.0
        placed: list[PlacedAudio] = []
        for piece in pieces:
            number = turn.number if turn is not None else NO_TURN
            self._place(placed, "output", self._now(piece.t), piece, offset, number)
            offset += piece.seconds
        for one in placed:
            one.seconds = min(one.received, max(most - one.offset, 0.0))
        self.outputs += placed
        self._free["output"] = max([free, *(one.end for one in placed if one.seconds)])
        self._ends[id] = self._free["output"]

    def _on_event(self, t: float, change: Any, turn: int) -> None:
        if isinstance(change, (SessionStarted, SessionChanged)):
            given = as_object(as_object(change.config.get("audio")).get("input"))
            self._detection = as_object(given.get("turn_detection")) or None
        elif isinstance(change, ResponseStarted):
            if change.raw.get("conversation_id", "") is None:
                self._apart.add(change.id)
        elif isinstance(change, (Commit, Clear)):
            self._wait_for_input(t)
            if isinstance(change, Commit) and self._taken < self._sent:
                self.ranges[turn].append((self._taken, self._sent))
            self._taken = self._sent
        elif isinstance(change, AddItem):
            if change.item.role == "user":
                self._wait_for_input(t)
                self._wait_for_answer(t)
                self._on_given(t, change, turn)
        elif isinstance(change, Respond):
            made = self.state.turns.all[turn].marks.get("created", t) if turn >= 0 else t
            if not change.out_of_band:
                self._wait_for_input(t)
                if made >= t:  # else it continues after function calls, whatever still plays
                    self._wait_for_answer(t)
        elif isinstance(change, (SpeechStarted, SpeechStopped, InputTimedOut)):
            self._on_speech(t, change, turn)
        elif isinstance(change, Truncate):
            if not self._is_live(t):
                self._wait(t, self._ends.get(change.item_id, 0.0))
        elif isinstance(change, Playback):  # cleared
            self._cut(self._now(t))

    def _on_given(self, t: float, change: AddItem, turn: int) -> None:
        """Place the audio of an item that the client sent whole; it lasts as long as it lasts."""
        item = self.state.conversation.items.get(change.item.id)
        codecs = [part.codec for part in item.parts if part.codec is not None] if item is not None else []
        codec = codecs[0] if codecs else self.state.conversation.input_codec
        offset = 0.0
        for content in change.item.contents:
            if content.audio is not None and len(content.audio):
                piece = Piece(t, change.item.id, content.audio, codec, True)
                placed: list[PlacedAudio] = []
                self._place(placed, "input", self._now(t), piece, offset, turn)
                self.given += placed
                offset += piece.seconds
                self._wait(t, self._free["input"])

    def _on_speech(self, t: float, change: SpeechStarted | SpeechStopped | InputTimedOut, turn: int) -> None:
        detection = self._detection or {}
        if isinstance(change, InputTimedOut):
            if change.start_ms is not None and change.end_ms is not None:
                self.ranges[turn].append((change.start_ms / 1000, change.end_ms / 1000))
            return
        offset = None if change.ms is None else change.ms / 1000
        at = None if offset is None else _position(self.inputs, self._offsets, offset)
        if self._waits_for_input:
            self._wait(t, self._free["input"] if at is None else at)
        if isinstance(change, SpeechStopped):
            start = self.speech[turn].get("start")
            if offset is not None:
                self._taken = offset
                self.speech[turn]["speech_end"] = offset - _seconds(detection, "silence_duration_ms")
                if start is not None:
                    self.ranges[turn].append((start, offset))
            return
        if offset is not None:
            self.speech[turn]["start"] = offset
            self.speech[turn]["speech_begin"] = offset + _seconds(detection, "prefix_padding_ms")
        if detection.get("interrupt_response") is not False:
            self._barge_in = t
            self._cut(self._now(t))

    def _cut(self, at: float) -> None:
        """Stop playing at ``at``, except where the log says how much was played."""
        for one in reversed(self.outputs):
            item = self.state.conversation.items.get(one.item_id)
            if item is None or item.played_ms is None:
                if one.seconds and one.end <= at:
                    break
                one.seconds = min(one.seconds, max(at - one.start, 0.0))
        self._free["output"] = next((one.end for one in reversed(self.outputs) if one.seconds), 0.0)


def _within(ranges: Iterable[tuple[float, float]], first: float, last: float) -> bool:
    return any(start < last and end > first for start, end in ranges)


def _position(placed: Sequence[PlacedAudio], offsets: Sequence[float], offset: float) -> float | None:
    """Return when, in seconds of the conversation, the second ``offset`` of all input is."""
    place = bisect_right(offsets, offset) - 1
    if place < 0:
        return None
    one = placed[place]
    return one.start + min(offset - one.offset, one.received)


def _seconds(detection: Event, name: str) -> float:
    value = detection.get(name)
    return value / 1000 if isinstance(value, (int, float)) and not isinstance(value, bool) else 0.0
