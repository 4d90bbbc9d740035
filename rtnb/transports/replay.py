"""A transport that answers from a log: the same code runs against what was recorded.

::

    session = rtnb.replay("sea.rtnb")  # or, with another log:
    session = rtnb.connect(rtnb.transports.Replay(recording.log))

A server frame is sent when the client frames before it in the log have been sent again. In strict mode,
those must be the same bytes in the same order. Otherwise they must be the same commands, in whatever dialect,
except for ids and audio: appended audio counts by its length; the session may be configured in any way; a
command that depends on timing (such as one that ends a response) may come, or not, or later. A command that
is not in the log is refused with an error event, as a server would, and the session continues. ``in_order``,
commands are compared by their kind alone: for a log whose words were removed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import orjson

from ..errors import ArgumentError, ConnectionLost, ReplayError, not_copyable
from ..protocol.changes import (
    AddItem,
    AppendAudio,
    Cancel,
    Clear,
    ClearOutput,
    Command,
    Configure,
    DeleteItem,
    ItemData,
    Other,
    Respond,
    Truncate,
)
from ..protocol.dialects import Unreadable
from ..protocol.dialects.client_events import read_client_event
from ..protocol.dialects.names import APPENDS
from ..protocol.entries import Entry
from ..protocol.events import Event, parse_object
from ..protocol.log import Log, LogView
from ..redaction import clean_name, clean_text, known_keys, redact

__all__ = ["Replay"]

_TIME_DEPENDENT = (Cancel, Clear, ClearOutput, DeleteItem, Truncate)
_IDS = frozenset({"audio", "call_id", "event_id", "id", "item_id", "previous_item_id", "response_id"})
_NOT_AN_EVENT = "a frame that is not an event"
_YIELD_EVERY = 32
"""Frames after which other tasks may run: a replay at full speed never waits by itself."""


class Replay:
    """One connection to a log; see ``Transport`` for its methods.

    ``speed`` 1 sends frames at their recorded times after the client's frames; 2 is twice as fast; None, or
    "max", does not wait. ``in_order`` takes any words for those in the log, but no text for audio, and no
    message for a function's output; strict mode compares bytes all the same. ``end`` says why the log ends
    while a turn still waits for frames: then the connection ends there. Raises ArgumentError for another
    speed.
    """

    __reduce_ex__ = not_copyable("a replay cannot be pickled or copied: make a new one from its recording")

    def __init__(
        self,
        log: Log | LogView,
        *,
        speed: float | str | None = None,
        strict: bool = False,
        in_order: bool = False,
        end: str | None = None,
    ) -> None:
        if speed == "max":
            speed = None
        if isinstance(speed, (bool, str)) or (speed is not None and not speed > 0):
            raise ArgumentError(
                f'speed: expected a number above 0 (1 is as recorded), None or "max", got {speed!r:.80}'
            )
        self._log = log = _whole(log)
        self._speed = speed
        self._strict = strict
        self._same = _same_kind if in_order else _same
        self._end = end
        self._row = 0  # the next frame
        self._client = [int(row) for row in log.rows(direction="client")]
        self._next = 0  # the next of those that was not sent yet
        self._sent: dict[int, float] = {}  # row → when
        self._appended_in_log = 0  # bytes of audio appended in the log before ``_row``
        self._appended = 0  # bytes of audio appended by the client
        self._passed = 0  # bytes of audio in the log before ``_next``
        self._ids: dict[bytes, bytes] = {}
        self._refusals: deque[bytes] = deque()
        self._refused = 0
        self._failure: ReplayError | None = None
        self._read: tuple[int, Command] | None = None  # the row that was read last
        self._closed: tuple[int, str] | None = None
        self._wake = asyncio.Event()
        self._shift: float | None = None
        self._since_yield = 0

    @property
    def remaining(self) -> int:
        """How many of the client's frames were not sent; outside strict mode, of those that are required."""
        left = self._client[self._next :]
        return len(left) if self._strict else sum(_is_required(self._recorded(row)) for row in left)

    def check(self) -> None:
        """Raise ReplayError if client frames of the log were not sent."""
        if self._failure is not None:
            raise self._failure
        if self.remaining:
            following = self._log.entry(self._client[self._next])
            count = f"{self.remaining} frame{'' if self.remaining == 1 else 's'}"
            raise ReplayError(
                f"the replay was not used to its end: {_expectation(following)}, "
                f"and {count} of the client were not sent"
            )

    # Client frames.

    async def send(self, frame: bytes) -> None:
        """Take a frame. In strict mode, raises ReplayError if it is not the recorded one."""
        self._check_open()
        now = asyncio.get_running_loop().time()
        if self._strict:
            self._take_strictly(bytes(frame), now)
        else:
            self._take(bytes(frame), now)
        self._wake.set()

    def _check_open(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._closed is not None:
            code, reason = self._closed
            raise ConnectionLost(f"the replay was closed ({code})", code=code, reason=reason)

    def _take_strictly(self, frame: bytes, now: float) -> None:
        entry = self._expected()
        if entry is None or (entry.frame != frame and entry.frame != redact(frame, known_keys())[0]):
            sent = Entry(-1, "client", _type(frame), 0.0, 0.0, -1, frame)
            self._failure = ReplayError(f"{_expectation(entry)}, {_difference(entry, sent)}")
            self._wake.set()
            raise self._failure
        self._sent[entry.index] = now
        self._next += 1

    def _expected(self) -> Entry | None:
        return self._log.entry(self._client[self._next]) if self._next < len(self._client) else None

    def _take(self, frame: bytes, now: float) -> None:
        sent = _command(frame)
        if isinstance(sent, AppendAudio):
            self._appended += len(sent.audio)
            return
        at, passed = self._next, self._passed
        while at < len(self._client):
            row = self._client[at]
            recorded = self._recorded(row)
            if self._same(recorded, self._log.entry(row).frame, sent, frame):
                self._map_ids(recorded, sent)
                self._sent[row] = now
                self._next, self._passed, self._appended = at + 1, passed, passed
                return
            if isinstance(recorded, AppendAudio):
                passed += len(recorded.audio)
            elif _is_required(recorded):
                break
            at += 1
        if not isinstance(sent, _TIME_DEPENDENT):
            missed = self._log.entry(self._client[at]) if at < len(self._client) else None
            self._refuse(missed, Entry(-1, "client", _type(frame), 0.0, 0.0, -1, frame), _event_id(sent))

    def _recorded(self, row: int) -> Command:
        """Return the command of a client's frame in the log; the last one is remembered."""
        if self._read is None or self._read[0] != row:
            self._read = row, _command(self._log.entry(row).frame)
        return self._read[1]

    def _map_ids(self, recorded: Command, sent: Command) -> None:
        pairs = [(_event_id(recorded), _event_id(sent))]
        if isinstance(recorded, AddItem) and isinstance(sent, AddItem):
            pairs.append((recorded.item.id, sent.item.id))
        for old, new in pairs:
            if old and new and old != new:
                self._ids[orjson.dumps(old)] = orjson.dumps(new)

    def _refuse(self, entry: Entry | None, sent: Entry, event_id: str | None) -> None:
        self._refused += 1
        message = f"the recording has no answer to this: {_expectation(entry)}, {_difference(entry, sent)}"
        error = {"type": "replay_error", "code": "not_recorded", "message": message, "param": None}
        event = {"type": "error", "event_id": f"event_replay{self._refused:04d}"}
        self._refusals.append(orjson.dumps({**event, "error": {**error, "event_id": event_id}}))

    # Server frames.

    async def recv(self) -> bytes:
        """Return the next frame of the server when it is due."""
        self._since_yield += 1
        if self._since_yield >= _YIELD_EVERY:
            self._since_yield = 0
            await asyncio.sleep(0)
        while True:
            self._check_open()
            if self._refusals:
                return self._refusals.popleft()
            if self._row >= len(self._log):
                if self._end is not None and not self._refused:
                    self._failure = ReplayError(f"the recording ends here: {self._end}")
                    continue
                await self._wait()
                continue
            entry = self._log.entry(self._row)
            if entry.direction == "client":
                if self._was_sent(entry):
                    self._row += 1
                    self._pace(entry)
                else:
                    await self._wait()
            elif self._speed is None or await self._due(entry):
                self._row += 1
                return self._with_ids(entry.frame)

    async def _wait(self, seconds: float | None = None) -> None:
        self._wake.clear()
        try:
            await asyncio.wait_for(self._wake.wait(), seconds)
        except TimeoutError:
            return

    def _was_sent(self, entry: Entry) -> bool:
        """Return whether frames after this client frame may be sent."""
        if self._strict:
            return entry.index in self._sent
        recorded = self._recorded(entry.index)
        if not isinstance(recorded, AppendAudio):
            return entry.index in self._sent or isinstance(recorded, _TIME_DEPENDENT)
        due = self._appended_in_log + len(recorded.audio)
        is_next = self._next < len(self._client) and entry.index >= self._client[self._next]
        if is_next and self._appended < due:
            return False
        # Where a later frame was sent, the client appends no more.
        self._appended_in_log = due
        return True

    def _pace(self, entry: Entry) -> None:
        """Measure time from when the client sent a frame, now and in the log."""
        sent = self._sent.pop(entry.index, None)
        if self._speed is not None and (sent is not None or entry.type in APPENDS):
            now = asyncio.get_running_loop().time() if sent is None else sent
            self._shift = now - entry.t / self._speed

    async def _due(self, entry: Entry) -> bool:
        """Wait until a frame is due; False if something happened before."""
        assert self._speed is not None
        now = asyncio.get_running_loop().time()
        if self._shift is None:
            self._shift = now - entry.t / self._speed
        left = self._shift + entry.t / self._speed - now
        if left <= 0:
            return True
        await self._wait(left)
        return False

    def _with_ids(self, frame: bytes) -> bytes:
        """Return a frame with the client's ids in place of those in the log."""
        for old, new in self._ids.items():
            frame = frame.replace(old, new)
        return frame

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection. Closing twice is allowed; ``check`` raises if not all frames were sent."""
        if self._closed is None:
            self._closed = (code, reason)
        self._wake.set()


def _type(frame: bytes) -> str:
    return str(parse_object(frame).get("type") or _NOT_AN_EVENT)


def _command(frame: bytes) -> Command:
    """Return the command of a client's frame; `Other` for one that cannot be read."""
    event = parse_object(frame)
    if not isinstance(event.get("type"), str):
        return Other(_NOT_AN_EVENT)
    try:
        return read_client_event(event)
    except Unreadable:
        event_id = event.get("event_id")
        return Other(event["type"], event_id if isinstance(event_id, str) else "")


def _event_id(command: Command) -> str | None:
    return getattr(command, "event_id", "") or None


def _is_required(command: Command) -> bool:
    return not isinstance(command, (AppendAudio, *_TIME_DEPENDENT))


def _same(recorded: Command, recorded_frame: bytes, sent: Command, sent_frame: bytes) -> bool:
    """Return whether a command is the recorded one, except for ids and audio."""
    if type(recorded) is not type(sent):
        return False
    if isinstance(sent, (Configure, *_TIME_DEPENDENT)):
        return True
    if isinstance(recorded, AddItem) and isinstance(sent, AddItem):
        return bool(_comparable_item(recorded.item) == _comparable_item(sent.item))
    if isinstance(recorded, Respond) and isinstance(sent, Respond):
        return _comparable_request(recorded) == _comparable_request(sent)
    if isinstance(sent, Other):  # unknown, or unreadable: by its frame
        found = parse_object(sent_frame)
        return bool(found) and _comparable(parse_object(recorded_frame)) == _comparable(found)
    return True


def _same_kind(recorded: Command, recorded_frame: bytes, sent: Command, sent_frame: bytes) -> bool:
    """Return whether a command is of the kind of the recorded one, whatever the words in it."""
    return type(recorded) is type(sent) and _kind(recorded) == _kind(sent)


def _kind(command: Command) -> Any:
    if isinstance(command, AddItem):
        item = command.item
        return item.type or "message", item.role, {part.kind for part in item.contents}
    return command.type if isinstance(command, Other) else None


def _comparable(value: Any) -> Any:
    """Return a value without ids and audio."""
    if isinstance(value, dict):
        return {key: _comparable(inner) for key, inner in value.items() if key not in _IDS}
    return [_comparable(inner) for inner in value] if isinstance(value, list) else value


def _comparable_item(item: ItemData) -> Any:
    """Return an item without ids and audio; the dialects' types of content, which differ, are one."""
    contents = item.raw.get("content")
    if not isinstance(contents, list):
        return _comparable(item.raw)
    return _comparable({**item.raw, "content": [_comparable_part(part) for part in contents]})


def _comparable_part(part: Any) -> Any:
    if isinstance(part, dict) and isinstance(part.get("type"), str):
        return {**part, "type": part["type"].rpartition("_")[2]}
    return part


def _comparable_request(command: Respond) -> tuple[Event, Any]:
    options = {name: value for name, value in command.options.items() if name != "input"}
    items = None if command.input is None else [_comparable_item(item) for item in command.input]
    return _comparable(options), items


def _expectation(entry: Entry | None) -> str:
    if entry is None:
        return "expected nothing more from the client"
    return f"expected {_summary(entry)} (event {entry.index})"


def _summary(entry: Entry) -> str:
    """Return an event's type and the text in it."""
    item = entry.data.get("item")
    parts = item.get("content") if isinstance(item, dict) else None
    parts = parts if isinstance(parts, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    text = " ".join(text for text in texts if isinstance(text, str))
    clean = clean_text(text)
    return clean_name(entry.type) + (f" {clean[:80]!r}" if clean else "")


def _difference(entry: Entry | None, sent: Entry) -> str:
    """Return a summary of what was sent, and its first difference if the summaries are equal."""
    got = f"got {_summary(sent)}"
    if entry is None or _summary(entry) != _summary(sent):
        return got
    a, b = (redact(one.frame, known_keys())[0] for one in (entry, sent))
    at = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    recorded, received = (side[max(at - 10, 0) : at + 40].decode("utf-8", "replace") for side in (a, b))
    return f"{got}, which differs from byte {at:,} on: recorded {recorded!r}, got {received!r}"


def _whole(log: Log | LogView) -> Log:
    if isinstance(log, Log):
        return log
    if not log.grows:
        raise ArgumentError("a replay needs a whole log, such as recording.log, got a part of one")
    return log.source
