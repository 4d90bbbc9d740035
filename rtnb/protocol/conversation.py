"""The conversation, folded from frames: items in order, with their text and audio.

Client and server fold the same frames, so after any legal exchange both sides' conversations are equal.
Items are ordered by ``previous_item_id`` and joined by ``item_id``, never by time of arrival: a transcript of
the user's speech may arrive after the answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pybase64 import b64decode

from ..audio.codecs import Codec, wire_format
from .events import Direction, Event, as_object
from .items import Item
from .log_storage import Chunk, Sound, cut

__all__ = ["NOT_PLAYED", "Conversation", "Mark", "not_played"]


@dataclass(slots=True)
class Mark:
    """A commit, a clear or a change of format that the client sent and the server has not answered yet."""

    verb: str
    position: int  # bytes of input since the session began
    event_id: str | None


class InputBuffer:
    """The input audio buffer as the frames show it: appended bytes with their position in the session."""

    def __init__(self) -> None:
        self.start = 0  # position of the first byte kept
        self.end = 0
        self.chunks: deque[Chunk] = deque()
        self.marks: deque[Mark] = deque()
        self.speech: dict[str, list[float | None]] = {}  # item id → [start ms, end ms]

    def append(self, data: Chunk) -> None:
        """Add what the client appended."""
        self.chunks.append(data)
        self.end += len(data)

    def drop_to(self, position: int) -> None:
        """Drop everything before a position."""
        while self.chunks and self.start + len(self.chunks[0]) <= position:
            self.start += len(self.chunks.popleft())
        if self.chunks and self.start < position:
            self.chunks[0] = cut(self.chunks[0], position - self.start, len(self.chunks[0]))
            self.start = position

    def take(self, start: int, end: int) -> list[Chunk]:
        """Return the audio between two positions and drop everything before ``end``."""
        found, at = [], self.start
        for chunk in self.chunks:
            first, last = max(start - at, 0), min(end - at, len(chunk))
            if first < last:
                found.append(cut(chunk, first, last))
            at += len(chunk)
        self.drop_to(end)
        return found

    def change_codec(self, position: int, before: Codec, after: Codec) -> None:
        """Continue in another format from ``position``; earlier audio that was not committed is dropped.

        Positions are bytes in the current format, so that they measure the time since the session began.
        """
        self.drop_to(position)
        samples = position * after.bytes_per_second // before.bytes_per_second // after.width
        moved = samples * after.width - position
        self.start, self.end = max(self.start, position) + moved, self.end + moved
        for mark in self.marks:
            mark.position += moved


_KEEP_SECONDS = 120
"""How much input without speech a hands-free session keeps; far more than any prefix padding."""


NOT_PLAYED = "not_played"
"""The prefix of the event id of a ``conversation.item.delete`` for an answer of which nothing was played.

The protocol cannot truncate an item to nothing, and an item may be deleted for other reasons. With the reason
in the event id, the log and each recording of it contain it."""


def not_played(event: Event) -> bool:
    """Return whether a client's ``conversation.item.delete`` means that nothing of the item was played."""
    return str(event.get("event_id") or "").startswith(f"{NOT_PLAYED}_")


def _text(value: Any) -> str:
    """Return ``value``; raise TypeError if it is not a string."""
    if not isinstance(value, str):
        raise TypeError(f"expected a string, got {type(value).__name__}")
    return value


def _sound(text: Any) -> Sound | None:
    """Return the audio in a base64 text; None if it is not base64, which the server will refuse."""
    try:
        return Sound(b64decode(text, validate=True)) if text else None
    except (TypeError, ValueError):
        return None


def _kind(wire_type: str) -> str:
    """Return text, audio or image for ``input_text``, ``output_audio``, ``text``, …"""
    return wire_type.rsplit("_", 1)[-1]


class Conversation:
    """The fold. ``apply`` is called with each event once, in the order of the log.

    ``items`` has all items ever seen, those of out-of-band responses too; ``order`` the ids that are in the
    conversation now.
    """

    def __init__(self) -> None:
        self.items: dict[str, Item] = {}
        self.order: list[str] = []
        self._placed: set[str] = set()  # the ids in ``order``
        self.session: Event = {}
        self.input_codec = wire_format({"type": "audio/pcm", "rate": 24000})
        self.output_codec = self.input_codec
        self.sound: tuple[str, Sound] | None = None
        """The audio in the last event: its base64 text and its bytes."""
        self._input = InputBuffer()
        # unanswered item.create events: event id, item, and the audio of each of its parts
        self._sent: deque[tuple[str | None, Event, list[Sound | None]]] = deque()
        self._codecs: dict[str, Codec] = {}  # response id → its own output format

    def __iter__(self) -> Iterator[Item]:
        """Yield the items in order."""
        return (self.items[id] for id in self.order)

    def __len__(self) -> int:
        return len(self.order)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Conversation):
            return NotImplemented
        return self.order == other.order and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # it changes

    def apply(self, direction: Direction, event: Event) -> None:
        """Fold one event. Events that do not concern the conversation are ignored.

        Raises KeyError, TypeError or ValueError for a malformed event.
        """
        self.sound = None
        handlers = _CLIENT if direction == "client" else _SERVER
        handler = handlers.get(event["type"])
        if handler is not None:
            handler(self, event)

    # The session's configuration.

    @property
    def input_settings(self) -> Event:
        """``session.audio.input``; {} until the server has reported it."""
        return as_object(as_object(self.session.get("audio")).get("input"))

    @property
    def turn_detection(self) -> Event | None:
        """The server's turn detection settings; None if the client commits turns."""
        return as_object(self.input_settings.get("turn_detection")) or None

    def _on_session(self, event: Event) -> None:
        session = event["session"]
        if not isinstance(session, dict):
            raise TypeError(f"session: expected an object, got {type(session).__name__}")
        self.session = session
        if form := self.input_settings.get("format"):
            self._change_input(wire_format(form))
        if form := as_object(as_object(session.get("audio")).get("output")).get("format"):
            self.output_codec = wire_format(form)

    def _change_input(self, codec: Codec) -> None:
        mark = self._pop_mark("update")
        if codec != self.input_codec:
            self._input.change_codec(mark.position if mark else self._input.end, self.input_codec, codec)
            self.input_codec = codec

    # Client events.

    def _on_append(self, event: Event) -> None:
        buffer = self._input
        sound = Sound(b64decode(event["audio"], validate=True))
        self.sound = event["audio"], sound
        buffer.append(sound)
        limit = _KEEP_SECONDS * self.input_codec.bytes_per_second
        if self.turn_detection and not buffer.speech and buffer.end - buffer.start > 2 * limit:
            buffer.drop_to(buffer.end - limit)

    def _on_mark(self, event: Event) -> None:
        verb = event["type"].rsplit(".", 1)[-1]
        self._input.marks.append(Mark(verb, self._input.end, event.get("event_id")))

    def _on_create(self, event: Event) -> None:
        item = event["item"]
        if not isinstance(item, dict):
            raise TypeError(f"item: expected an object, got {type(item).__name__}")
        contents = item.get("content")
        listed = contents if isinstance(contents, list) else []
        texts: list[Any] = [as_object(content).get("audio") for content in listed]
        sounds = [_sound(text) for text in texts]
        self._sent.append((event.get("event_id"), item, sounds))
        found = [(text, sound) for text, sound in zip(texts, sounds, strict=True) if sound is not None]
        self.sound = found[0] if found else None

    def _on_delete(self, event: Event) -> None:
        item = self.items.get(event["item_id"])
        if item is not None and item.played_ms is None and not_played(event):
            item.played_ms = 0

    # Server events.

    def _on_error(self, event: Event) -> None:
        culprit = event["error"].get("event_id")
        if culprit is None:
            if event["error"].get("code") == "input_audio_buffer_commit_empty":
                self._pop_mark("commit")
            return
        self._input.marks = deque(mark for mark in self._input.marks if mark.event_id != culprit)
        self._sent = deque(sent for sent in self._sent if sent[0] != culprit)

    def _on_speech(self, event: Event) -> None:
        span = self._input.speech.setdefault(event["item_id"], [None, None])
        if "audio_start_ms" in event:
            span[0] = float(event["audio_start_ms"])
        if "audio_end_ms" in event:
            span[1] = float(event["audio_end_ms"])

    def _on_cleared(self, event: Event) -> None:
        mark = self._pop_mark("clear")
        self._input.drop_to(mark.position if mark else self._input.end)
        self._input.speech.clear()

    def _on_committed(self, event: Event) -> None:
        span = self._input.speech.pop(event["item_id"], None)
        buffer = self._input
        if span is not None and span[1] is not None:
            per_ms = self.input_codec.bytes_per_second / 1000
            width = self.input_codec.width
            first = int((span[0] or 0) * per_ms) // width * width
            last = int(span[1] * per_ms) // width * width
            chunks = buffer.take(first, last)
        else:
            mark = self._pop_mark("commit")
            chunks = buffer.take(buffer.start, mark.position if mark else buffer.end)
        item = self._item(event["item_id"])
        item.type, item.role, item.committed = "message", "user", True
        item.part(0, "audio").codec = self.input_codec
        item.parts[0].chunks = chunks
        self._place(item, event)

    def _pop_mark(self, verb: str) -> Mark | None:
        for mark in self._input.marks:
            if mark.verb == verb:
                self._input.marks.remove(mark)
                return mark
        return None

    def _on_item(self, event: Event) -> None:
        """Handle conversation.item.added, .done and .created."""
        wire = event["item"]
        new = wire["id"] not in self.items
        item = self._item(wire["id"])
        if new:
            self._adopt(item, wire)
        self._merge(item, wire)
        if event["type"] != "conversation.item.done" or new:
            self._place(item, event)

    def _adopt(self, item: Item, wire: Event) -> None:
        """Add the content that the client sent to a created item: the server's event has no audio."""
        for sent in self._sent:
            named = sent[1].get("id")
            if named == item.id or (named is None and sent[1].get("role") == wire.get("role")):
                self._sent.remove(sent)
                self._merge(item, {**sent[1], "id": item.id})
                for part, sound in zip(item.parts, sent[2], strict=False):
                    if sound is not None:
                        part.codec = self.input_codec
                        part.chunks = [sound]
                return

    def out_of_band(self, items: Any) -> list[Item]:
        """Return the user items in the ``input`` of an out-of-band response; they join no conversation."""
        found = []
        for wire in map(as_object, items if isinstance(items, list) else ()):
            item = Item("")
            with suppress(KeyError, TypeError, ValueError):  # the server will refuse a malformed item
                self._merge(item, wire)
                for part, content in zip(item.parts, wire["content"], strict=True):
                    if (sound := _sound(content.get("audio"))) is not None:
                        part.codec, part.chunks = self.input_codec, [sound]
                if item.role == "user":
                    found.append(item)
        return found

    def _on_output_item(self, event: Event) -> None:
        item = self._item(event["item"]["id"])
        if event.get("response_id") is not None:
            item.response_id = _text(event["response_id"])
        self._merge(item, event["item"])

    def _merge(self, item: Item, wire: Event) -> None:
        """Update an item from ``wire``; what ``wire`` does not have stays."""
        for name in ("type", "role", "status", "call_id", "name", "arguments"):
            if value := wire.get(name):
                setattr(item, name, _text(value))
        if wire.get("output") is not None:
            item.output = _text(wire["output"])
        for index, content in enumerate(wire.get("content") or ()):
            part = item.part(index, _kind(content["type"]))
            part.text = _text(content.get("text") or content.get("transcript") or part.text)
            if url := content.get("image_url"):
                part.image_url = _text(url)
        item.raw = wire

    def _on_part(self, event: Event) -> None:
        wire = event["part"]
        part = self._item(event["item_id"]).part(event["content_index"], _kind(wire["type"]))
        part.text = _text(wire.get("text") or wire.get("transcript") or part.text)

    def _on_response_created(self, event: Event) -> None:
        response = event["response"]
        form = as_object(as_object(response.get("audio")).get("output")).get("format")
        if form:
            self._codecs[response["id"]] = wire_format(form)

    def _on_response_done(self, event: Event) -> None:
        response = event["response"]
        self._codecs.pop(response["id"], None)
        for wire in response.get("output") or ():
            if wire.get("id") in self.items:
                self._merge(self.items[wire["id"]], wire)

    def _on_text(self, event: Event) -> None:
        self._item(event["item_id"]).part(event["content_index"], "text").text += event["delta"]

    def _on_text_done(self, event: Event) -> None:
        part = self._item(event["item_id"]).part(event["content_index"], "text")
        part.text = _text(event["text"] or part.text)

    def _on_transcript(self, event: Event) -> None:
        self._item(event["item_id"]).part(event["content_index"], "audio").text += event["delta"]

    def _on_transcript_done(self, event: Event) -> None:
        part = self._item(event["item_id"]).part(event["content_index"], "audio")
        part.text = _text(event["transcript"] or part.text)

    def _on_audio(self, event: Event) -> None:
        part = self._item(event["item_id"]).part(event["content_index"], "audio")
        if part.codec is None:
            part.codec = self._codecs.get(event["response_id"], self.output_codec)
        sound = Sound(b64decode(event["delta"], validate=True))
        self.sound = event["delta"], sound
        part.chunks.append(sound)

    def _on_arguments(self, event: Event) -> None:
        self._item(event["item_id"]).arguments += event["delta"]

    def _on_arguments_done(self, event: Event) -> None:
        item = self._item(event["item_id"])
        item.type = "function_call"
        item.arguments = _text(event["arguments"])
        if event.get("call_id"):
            item.call_id = _text(event["call_id"])
        if event.get("name"):
            item.name = _text(event["name"])

    def _on_transcription(self, event: Event) -> None:
        self._item(event["item_id"]).part(event["content_index"], "audio").text += event.get("delta") or ""

    def _on_transcription_done(self, event: Event) -> None:
        item = self._item(event["item_id"])
        item.part(event["content_index"], "audio").text = _text(event["transcript"])
        item.transcribed = True

    def _on_transcription_failed(self, event: Event) -> None:
        error = event["error"]
        message = error.get("message") or error.get("code") or "transcription failed"
        item = self._item(event["item_id"])
        item.transcription_error = _text(message)
        item.transcribed = True

    def _on_truncated(self, event: Event) -> None:
        self._item(event["item_id"]).played_ms = max(int(event["audio_end_ms"]), 0)

    def _on_deleted(self, event: Event) -> None:
        if event["item_id"] in self._placed:
            self._placed.remove(event["item_id"])
            self.order.remove(event["item_id"])

    def _item(self, id: str) -> Item:
        item = self.items.get(id)
        if item is None:
            item = self.items[_text(id)] = Item(id)
        return item

    def _place(self, item: Item, event: Event) -> None:
        """Insert an item after ``previous_item_id``, or first if that is null."""
        if item.id in self._placed:
            return
        previous = event.get("previous_item_id", "")
        if previous is None:
            self.order.insert(0, item.id)
        elif isinstance(previous, str) and previous in self._placed and previous != self.order[-1]:
            self.order.insert(self.order.index(previous) + 1, item.id)
        else:  # after the last; or unknown, as in a log that starts late
            self.order.append(item.id)
        self._placed.add(item.id)


_Handler = Callable[[Conversation, Any], None]

_CLIENT: dict[str, _Handler] = {
    "input_audio_buffer.append": Conversation._on_append,
    "input_audio_buffer.commit": Conversation._on_mark,
    "input_audio_buffer.clear": Conversation._on_mark,
    "conversation.item.create": Conversation._on_create,
    "conversation.item.delete": Conversation._on_delete,
    "session.update": Conversation._on_mark,
}

_SERVER: dict[str, _Handler] = {
    "session.created": Conversation._on_session,
    "session.updated": Conversation._on_session,
    "error": Conversation._on_error,
    "input_audio_buffer.speech_started": Conversation._on_speech,
    "input_audio_buffer.speech_stopped": Conversation._on_speech,
    "input_audio_buffer.timeout_triggered": Conversation._on_speech,
    "input_audio_buffer.cleared": Conversation._on_cleared,
    "input_audio_buffer.committed": Conversation._on_committed,
    "conversation.item.added": Conversation._on_item,
    "conversation.item.created": Conversation._on_item,
    "conversation.item.done": Conversation._on_item,
    "conversation.item.truncated": Conversation._on_truncated,
    "conversation.item.deleted": Conversation._on_deleted,
    "conversation.item.input_audio_transcription.delta": Conversation._on_transcription,
    "conversation.item.input_audio_transcription.completed": Conversation._on_transcription_done,
    "conversation.item.input_audio_transcription.failed": Conversation._on_transcription_failed,
    "response.created": Conversation._on_response_created,
    "response.done": Conversation._on_response_done,
    "response.output_item.added": Conversation._on_output_item,
    "response.output_item.done": Conversation._on_output_item,
    "response.content_part.added": Conversation._on_part,
    "response.content_part.done": Conversation._on_part,
    "response.output_text.delta": Conversation._on_text,
    "response.output_text.done": Conversation._on_text_done,
    "response.output_audio_transcript.delta": Conversation._on_transcript,
    "response.output_audio_transcript.done": Conversation._on_transcript_done,
    "response.output_audio.delta": Conversation._on_audio,
    "response.function_call_arguments.delta": Conversation._on_arguments,
    "response.function_call_arguments.done": Conversation._on_arguments_done,
}
