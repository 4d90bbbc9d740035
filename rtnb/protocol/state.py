"""The state of a session: a log and all that is folded from it, the same live, replayed or from a file."""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from typing import Any, cast

import orjson
from msgspec import Struct

from ..audio.codecs import Codec
from ..redaction import clean_name, clean_text
from . import dialects
from .changes import (
    AddItem,
    AppendAudio,
    AudioDelta,
    Change,
    Command,
    Limits,
    ResponseEnded,
    TextDelta,
    Unknown,
)
from .conversation import Conversation
from .dialects import GA, Dialect, Unreadable
from .dialects.fast import read_fast
from .events import BINARY, Direction, Event
from .log import NO_TURN, Log
from .log_storage import Cut, Sound, find_cut
from .models import Model, resolve
from .read_only_log import ReadOnlyLog
from .tracks import Piece, Track
from .turns import Turns
from .usage import Usage

__all__ = ["TIME_SCALED", "Applied", "SessionState"]

TIME_SCALED = "Its times are those of the replay, not of the model."
"""What is said of a session that is a replay at another speed than it was recorded."""

_REMEMBERED = 4096
"""How many event ids are remembered to recognize a repeated frame."""


class Applied(Struct, gc=False):
    """What became of a frame: its place in the log, its turn, and what it said."""

    row: int
    turn: int
    changes: list[Change] | list[Command]


class SessionState:
    """One session: its log, conversation, turns and limits.

    ``problems`` lists, as (index in the log, sentence), the frames that could not be understood.
    They are kept in the log like any other.
    """

    __reduce_ex__ = Log.__reduce_ex__

    def __init__(self, dialect: Dialect = GA) -> None:
        self.log = Log()
        self.conversation = Conversation()
        self.turns = Turns(self.conversation)
        self.dialect = dialect
        """What the other side speaks: as the endpoint has it, until the first frames show it."""
        self.limits: dict[str, Event] = {}
        self.limits_at: dict[str, float] = {}
        """When each limit was reported last, in seconds since the log began."""
        self.problems: list[tuple[int, str]] = []
        self.source = ""
        """Where the frames come from, as a sentence, if not from a server that answers now."""
        self.time_scaled = False
        """Whether it is a replay at another speed than recorded: its times say nothing of the model."""
        self.requested_model = ""
        """The model's name as the caller stated it; a server may report another, or only a deployment's."""
        self.tracks = {"input": Track("input"), "output": Track("output")}
        """The audio of both sides in time, including audio that is in no frame."""
        self._began = 0
        self._shown = False  # whether a frame has shown the dialect
        self._repeated: set[int] = set()  # rows of frames that repeat others
        # A server's event id → its row; -1 where it names different frames. A plain dict is slow to give up
        # its oldest key, as it skips all deleted ones.
        self._seen: OrderedDict[str, int] = OrderedDict()

    @classmethod
    def of(cls, log: Log) -> SessionState:
        """Fold a log that is complete, such as one from a file."""
        self = cls()
        self.log = log
        for entry in log:
            read = self._read(entry.frame, entry.direction)
            if entry.direction == "server" and self._repeats(read.event_id, entry.frame, entry.index):
                continue
            _, wrong = self._fold(read.changes, entry.t)
            if read.cut is not None and isinstance(log, ReadOnlyLog):
                log.share(entry.index, read.cut.audio)
            self._note(entry.index, read.problem or wrong)
        return self

    def append(
        self,
        frame: bytes,
        direction: Direction,
        *,
        mono_ns: int,
        wall_ns: int,
        command: Command | None = None,
        kind: str = "",
    ) -> Applied:
        """Keep one frame and fold it in; a server's frame that repeats another is kept and not folded.

        ``command`` and the event's type, ``kind``, spare reading the frame where the caller made it of them.
        """
        row = len(self.log)
        if not row:
            self._began = mono_ns
        read = _Read(kind, "", [command], None, _cut(command, frame)) if command else None
        read = read or self._read(frame, direction)
        repeated = direction == "server" and self._repeats(read.event_id, frame, row)
        if repeated:
            turn, wrong = self.log.entry(self._seen[read.event_id]).turn, None
            changes: list[Any] = []
        else:
            turn, wrong = self._fold(read.changes, (mono_ns - self._began) / 1e9)
            changes = read.changes
        self.log.append(
            frame, direction, read.kind, mono_ns=mono_ns, wall_ns=wall_ns, turn=turn, cut=read.cut
        )
        self._note(row, read.problem or wrong)
        return Applied(row, turn, changes)

    def _read(self, frame: bytes, direction: Direction) -> _Read:
        if direction == "server" and (fast := read_fast(frame)) is not None:
            cut = None
            if fast.cut is not None and isinstance(fast.change, AudioDelta):
                cut = Cut(*fast.cut, fast.change.audio)
            if not self._shown:
                self._detect({"type": fast.type}, direction)
            return _Read(fast.type, fast.event_id, [fast.change], None, cut)
        event, problem = _parse(frame)
        if event is None:
            odd = _parse_leniently(frame) if direction == "server" else None
            return _Read(BINARY, "", [] if odd is None else self._read_odd(odd), problem, None)
        if not self._shown:
            self._detect(event, direction)
        try:
            found: list[Any] = list(dialects.read(event, direction))
        except Unreadable as error:
            found = list(error.changes)
            problem = f"{clean_name(event['type']):.80} cannot be read: {error}"
        id = event.get("event_id")
        cut = _cut(found[0], frame) if found else None
        return _Read(event["type"], id if isinstance(id, str) else "", found, problem, cut)

    def _read_odd(self, event: Event) -> list[Any]:
        """Return what a frame says that is nearly JSON: the end of a response, or text, must not be lost."""
        try:
            return [one for one in dialects.read(event, "server") if not isinstance(one, Unknown)]
        except Unreadable as error:
            return list(error.changes)

    def read_again(self, row: int) -> list[Change] | list[Command]:
        """Return what the frame of a row says, read from the log; [] for a repeated one."""
        if row in self._repeated:
            return []
        entry = self.log.entry(row)
        return self._read(entry.frame, entry.direction).changes

    def _detect(self, event: Event, direction: Direction) -> None:
        shown = dialects.detect(event, direction)
        if shown is not None:
            self.dialect, self._shown = shown, True

    def _repeats(self, event_id: str, frame: bytes, row: int) -> bool:
        """Return whether a server has sent this frame before; an id on other bytes identifies nothing."""
        if not event_id:
            return False
        before = self._seen.get(event_id)
        if before is None:
            self._seen[event_id] = row
            if len(self._seen) > _REMEMBERED:
                self._seen.popitem(last=False)
            return False
        if before >= 0 and self.log.entry(before).frame == frame:
            self._repeated.add(row)
            return True
        self._seen[event_id] = -1
        return False

    def append_media(self, side: str, data: bytes, codec: Codec, *, mono_ns: int) -> Applied:
        """Add audio that came in no frame, such as over WebRTC, and fold it in as if it had.

        ``side`` is input or output. Output belongs to the answer that the server speaks,
        input to the input buffer. Raises ValueError for another side.
        """
        if side not in self.tracks:
            raise ValueError(f"side: expected 'input' or 'output', got {side!r}")
        if not len(self.log):
            self._began = mono_ns
        audio = Sound(data)
        change: AudioDelta | AppendAudio
        if side == "input":
            self.conversation.input_codec = codec
            change = AppendAudio(audio)
        else:
            response_id, item_id = self.conversation.media_target()
            self.conversation.set_codec(item_id, codec)
            change = AudioDelta(response_id, item_id, audio)
        turn, problem = self._fold([change], (mono_ns - self._began) / 1e9, framed=False)
        self._note(len(self.log) - 1, problem)
        return Applied(-1, turn, cast("list[Change]", [change]))

    def _add_to_track(self, change: AudioDelta | AppendAudio, t: float, *, framed: bool) -> None:
        conversation = self.conversation
        if isinstance(change, AppendAudio):
            piece = Piece(t, "", change.audio, conversation.input_codec, framed)
            self.tracks["input"].append(piece)
            return
        id = conversation.output_id(change.response_id, change.item_id)
        item = conversation.items.get(id)
        codec = item.parts[change.content_index].codec if item is not None else None
        piece = Piece(t, id, change.audio, codec or conversation.output_codec, framed)
        self.tracks["output"].append(piece)

    def _fold(self, changes: list[Any], t: float, *, framed: bool = True) -> tuple[int, str | None]:
        """Fold changes in; return the number of their turn, and what is wrong with them."""
        turn, problem = NO_TURN, None
        for change in changes:
            try:
                self.conversation.apply(change)
            except (LookupError, TypeError, ValueError) as error:  # such as an unknown audio format
                problem = f"{type(change).__name__} cannot be used: {error}"
            # A response that has ended is over, however odd the items that it lists.
            try:
                found = self.turns.apply(change, t)
            except (LookupError, TypeError, ValueError) as error:
                found, problem = NO_TURN, f"{type(change).__name__} cannot be used: {error!r:.200}"
            turn = found if turn == NO_TURN else turn
            if isinstance(change, TextDelta):
                continue
            if isinstance(change, (AudioDelta, AppendAudio)):
                self._add_to_track(change, t, framed=framed)
            elif isinstance(change, Limits):
                self.limits.update(change.limits)
                self.limits_at.update(dict.fromkeys(change.limits, t))
            elif isinstance(change, ResponseEnded) and change.problems:
                problem = "; ".join(change.problems)
        return turn, problem

    def _note(self, index: int, problem: str | None) -> None:
        if problem is not None:
            self.problems.append((index, clean_text(problem)))

    @property
    def session(self) -> Event:
        """The session's configuration as the server last reported it, in GA's shape; {} before that."""
        return self.conversation.session

    @property
    def model(self) -> str:
        """The model's id as the server reported it; "" where it did not."""
        return str(self.session.get("model") or "")

    @property
    def row(self) -> Model:
        """The model's row in the catalogue, by which tokens are priced: see ``models.resolve``."""
        return resolve(self.model, self.requested_model)

    @property
    def usage(self) -> Usage:
        """Tokens of all turns."""
        return sum((turn.usage for turn in self.turns.all), Usage())


class _Read(Struct, gc=False):
    kind: str
    event_id: str
    changes: list[Any]
    problem: str | None
    cut: Cut | None


def _cut(change: Any, frame: bytes) -> Cut | None:
    """Return where the audio of a change stands in its frame."""
    if isinstance(change, (AppendAudio, AudioDelta)):
        return find_cut(frame, change.encoded, change.audio) if change.encoded else None
    if isinstance(change, AddItem):
        for content in change.item.contents:
            if content.audio is not None:
                return find_cut(frame, content.encoded, content.audio)
    return None


def _parse(frame: bytes) -> tuple[Event | None, str | None]:
    try:
        event = orjson.loads(frame)
    except orjson.JSONDecodeError as error:
        return None, f"a frame is not JSON: {error}"
    if not isinstance(event, dict) or not isinstance(event.get("type"), str):
        return None, "a frame is not a JSON object with a type"
    return event, None


def _parse_leniently(frame: bytes) -> Event | None:
    """Return an event that is JSON but for NaN, infinity, half a surrogate pair, bad UTF-8 or control codes.

    What cannot be kept is replaced. Returns None for anything else.
    """

    def number(text: str) -> float | None:
        value = float(text)
        return value if math.isfinite(value) else None

    try:
        text = frame.decode("utf-8-sig", "replace")
        value = json.loads(text, strict=False, parse_float=number, parse_constant=lambda name: None)
        value = orjson.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and isinstance(value.get("type"), str) else None
