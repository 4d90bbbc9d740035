"""A transport that answers from a log: the same code runs against what was recorded.

::

    session = rtnb.replay("sea.rtnb")  # or, with a log of one's own:
    session = rtnb.connect(rtnb.transports.Replay(recording.log))

The server's frames come when the client's frames that stood before them in the log have been sent again.
Strictly, those are the same bytes in the same order. Leniently, they are the same events but for ids and for
sound: appended sound counts by its length; ``session.update`` may say anything; what depends on the moment
(``response.cancel`` and its like) may come, or not, or later. What is not in the log is refused by an
``error`` event, as a server would, and the session goes on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import orjson

from ..audio.codecs import decoded_length
from ..errors import ArgumentError, ConnectionLost, ReplayError
from ..protocol.entries import Entry, LogView
from ..protocol.events import parse_object
from ..protocol.log import Log
from ..redaction import known_keys, redact

__all__ = ["Replay"]

_APPEND = "input_audio_buffer.append"
_OF_THE_MOMENT = frozenset(
    {
        "conversation.item.delete",
        "conversation.item.truncate",
        "input_audio_buffer.clear",
        "output_audio_buffer.clear",
        "response.cancel",
    }
)
_IDS = frozenset({"audio", "call_id", "event_id", "id", "item_id", "previous_item_id", "response_id"})
_BREATH = 32
"""Frames after which other tasks have their turn: a replay at once never waits by itself."""


class Replay:
    """One connection to a log; see ``Transport`` for its methods.

    ``speed`` 1 paces frames as they were recorded, counted from what the client sends; 2 is twice as fast;
    None, or "max", is at once. ``end`` says why there is nothing after the last frame, where a turn waits
    for it still: then the connection ends there. Raises ArgumentError for another speed.
    """

    def __init__(
        self,
        log: Log | LogView,
        *,
        speed: float | str | None = None,
        strict: bool = False,
        end: str | None = None,
    ) -> None:
        if speed == "max":
            speed = None
        if isinstance(speed, (bool, str)) or (speed is not None and not speed > 0):
            raise ArgumentError(f'speed is above 0 (1 as recorded), None or "max", not {speed!r}')
        self._log = log = _whole(log)
        self._speed = speed
        self._strict = strict
        self._end = end
        self._row = 0  # the next frame to look at
        self._client = [int(row) for row in log.rows(direction="client")]
        self._next = 0  # the next of those that was not sent again
        self._sent: dict[int, float] = {}  # row → when
        self._heard = 0  # bytes of sound appended in the log so far, as far as frames were looked at
        self._spoken = 0  # and appended here
        self._passed = 0  # bytes of sound that stand in the log before the next that is to be sent
        self._ids: dict[bytes, bytes] = {}
        self._refusals: deque[bytes] = deque()
        self._refused = 0
        self._failure: ReplayError | None = None
        self._closed: tuple[int, str] | None = None
        self._wake = asyncio.Event()
        self._shift: float | None = None
        self._since_breath = 0

    @property
    def rest(self) -> int:
        """How many of the client's frames in the log were not sent again; leniently, of those that count."""
        left = (self._log.entry(row).type for row in self._client[self._next :])
        return sum(self._strict or not (kind == _APPEND or kind in _OF_THE_MOMENT) for kind in left)

    def check(self) -> None:
        """Raise ReplayError if frames of the log were not sent again."""
        if self._failure is not None:
            raise self._failure
        if self.rest:
            following = self._log.entry(self._client[self._next])
            count = f"{self.rest} frame{'' if self.rest == 1 else 's'}"
            raise ReplayError(
                f"the replay was not used to its end: {_expectation(following)}, "
                f"and {count} of the client never came"
            )

    # What the client sends.

    async def send(self, frame: bytes) -> None:
        """Take a frame. Raises ReplayError, strictly, if it is not the one that was recorded."""
        self._usable()
        now = asyncio.get_running_loop().time()
        if self._strict:
            self._take_strictly(bytes(frame), now)
        else:
            self._take(bytes(frame), now)
        self._wake.set()

    def _usable(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._closed is not None:
            code, reason = self._closed
            raise ConnectionLost(f"the replay was closed ({code})", code=code, reason=reason)

    def _take_strictly(self, frame: bytes, now: float) -> None:
        entry = self._expected()
        if entry is None or (entry.frame != frame and entry.frame != redact(frame, known_keys())[0]):
            came = Entry(-1, "client", _type(frame), 0.0, 0.0, -1, frame)
            self._failure = ReplayError(f"{_expectation(entry)}, {_difference(entry, came)}")
            self._wake.set()
            raise self._failure
        self._sent[entry.index] = now
        self._next += 1

    def _expected(self) -> Entry | None:
        return self._log.entry(self._client[self._next]) if self._next < len(self._client) else None

    def _take(self, frame: bytes, now: float) -> None:
        kind, event = _type(frame), parse_object(frame)
        if kind == _APPEND:
            self._spoken += _sound(event)
            return
        at, passed = self._next, self._passed
        while at < len(self._client):
            entry = self._log.entry(self._client[at])
            if entry.type == kind and _same(entry.type, entry.data, event):
                self._map_ids(entry.data, event)
                self._sent[entry.index] = now
                self._next, self._passed, self._spoken = at + 1, passed, passed
                return
            if entry.type == _APPEND:
                passed += _sound(entry.data)
            elif entry.type not in _OF_THE_MOMENT:
                break
            at += 1
        if kind not in _OF_THE_MOMENT:
            missed = self._log.entry(self._client[at]) if at < len(self._client) else None
            self._refuse(missed, Entry(-1, "client", kind, 0.0, 0.0, -1, frame), event.get("event_id"))

    def _map_ids(self, recorded: dict[str, Any], sent: dict[str, Any]) -> None:
        pairs = [(recorded.get("event_id"), sent.get("event_id"))]
        if isinstance(recorded.get("item"), dict) and isinstance(sent.get("item"), dict):
            pairs.append((recorded["item"].get("id"), sent["item"].get("id")))
        for old, new in pairs:
            if isinstance(old, str) and isinstance(new, str) and old != new:
                self._ids[orjson.dumps(old)] = orjson.dumps(new)

    def _refuse(self, entry: Entry | None, came: Entry, event_id: Any) -> None:
        self._refused += 1
        said = f"the recording has no answer to this: {_expectation(entry)}, {_difference(entry, came)}"
        error = {"type": "replay_error", "code": "not_recorded", "message": said, "param": None}
        event = {"type": "error", "event_id": f"event_replay{self._refused:04d}"}
        self._refusals.append(orjson.dumps({**event, "error": {**error, "event_id": event_id}}))

    # What the server sends.

    async def recv(self) -> bytes:
        """Return the next frame of the server, when its time has come."""
        self._since_breath += 1
        if self._since_breath >= _BREATH:
            self._since_breath = 0
            await asyncio.sleep(0)
        while True:
            self._usable()
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
                if self._fulfilled(entry):
                    self._row += 1
                    self._pace(entry)
                else:
                    await self._wait()
            elif self._speed is None or await self._due(entry):
                self._row += 1
                return self._named(entry.frame)

    async def _wait(self, seconds: float | None = None) -> None:
        self._wake.clear()
        try:
            await asyncio.wait_for(self._wake.wait(), seconds)
        except TimeoutError:
            return

    def _fulfilled(self, entry: Entry) -> bool:
        """Tell whether what follows this frame of the client may come."""
        if self._strict or entry.type != _APPEND:
            loose = not self._strict and entry.type in _OF_THE_MOMENT
            return entry.index in self._sent or loose
        if self._next < len(self._client) and entry.index >= self._client[self._next]:
            size = _sound(entry.data)
            if self._spoken < self._heard + size:
                return False
            self._heard += size
        else:  # something that stands after it was sent: there will be no more of it
            self._heard += _sound(entry.data)
        return True

    def _pace(self, entry: Entry) -> None:
        """Count time from what the client did now and then."""
        sent = self._sent.pop(entry.index, None)
        if self._speed is not None and (sent is not None or entry.type == _APPEND):
            now = asyncio.get_running_loop().time() if sent is None else sent
            self._shift = now - entry.t / self._speed

    async def _due(self, entry: Entry) -> bool:
        """Wait for a frame's time; False where something happened before."""
        assert self._speed is not None
        now = asyncio.get_running_loop().time()
        if self._shift is None:
            self._shift = now - entry.t / self._speed
        left = self._shift + entry.t / self._speed - now
        if left <= 0:
            return True
        await self._wait(left)
        return False

    def _named(self, frame: bytes) -> bytes:
        """Return a frame with the ids that this client gave instead of those in the log."""
        for old, new in self._ids.items():
            frame = frame.replace(old, new)
        return frame

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Hang up. Closing twice is allowed; ``check`` tells whether all was sent."""
        if self._closed is None:
            self._closed = (code, reason)
        self._wake.set()


def _type(frame: bytes) -> str:
    return str(parse_object(frame).get("type") or "a frame that is no event")


def _sound(event: dict[str, Any]) -> int:
    """Return the length of an append's sound, in bytes."""
    text = event.get("audio")
    return decoded_length(text) if isinstance(text, str) else 0


def _same(kind: str, recorded: Any, sent: Any) -> bool:
    return kind in _OF_THE_MOMENT or kind == "session.update" or _bare(recorded) == _bare(sent)


def _bare(value: Any) -> Any:
    """Return a value without ids and sound."""
    if isinstance(value, dict):
        return {key: _bare(inner) for key, inner in value.items() if key not in _IDS}
    return [_bare(inner) for inner in value] if isinstance(value, list) else value


def _expectation(entry: Entry | None) -> str:
    if entry is None:
        return "expected nothing more from the client"
    return f"expected {_words(entry)} (event {entry.index})"


def _words(entry: Entry) -> str:
    """Return an event's type and the text in it."""
    item = entry.data.get("item")
    parts = item.get("content") if isinstance(item, dict) else None
    parts = parts if isinstance(parts, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    text = " ".join(text for text in texts if isinstance(text, str))
    clean = redact(text.encode(), known_keys())[0].decode("utf-8", "replace")
    return entry.type + (f" {clean[:80]!r}" if clean else "")


def _difference(entry: Entry | None, came: Entry) -> str:
    """Return what came, and where it differs if that cannot be seen from its words."""
    said = f"came {_words(came)}"
    if entry is None or _words(entry) != _words(came):
        return said
    a, b = (redact(one.frame, known_keys())[0] for one in (entry, came))
    at = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    there, here = (side[max(at - 10, 0) : at + 40].decode("utf-8", "replace") for side in (a, b))
    return f"{said}, which differs from byte {at:,} on: {there!r} was recorded, {here!r} came"


def _whole(log: Log | LogView) -> Log:
    if isinstance(log, Log):
        return log
    if not log.grows:
        raise ArgumentError(
            "a replay answers from a whole log, such as recording.log, not from a part of one"
        )
    return log.source
