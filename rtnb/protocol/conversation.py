"""The conversation, folded from commands and changes: items in order, with their text and their audio.

Client and server fold the same frames, so after any legal exchange both sides' conversations are equal.
Items are ordered by ``previous_item_id`` and joined by ``item_id``, never by time of arrival: a transcript of
the user's words may come after the answer. Items and parts that a server never announced are made when
their text or audio arrives.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..audio.codecs import Codec, wire_format
from . import changes
from .changes import UNSTATED, Change, Command, ItemData
from .events import Event, as_object
from .input_buffer import InputBuffer
from .items import Item, Part

__all__ = ["NOT_PLAYED", "Conversation", "not_played"]

_KEEP_SECONDS = 120
"""How much unspoken input a hands-free session keeps; far more than any prefix padding."""

NOT_PLAYED = "not_played"
"""How the event id of a `DeleteItem` begins that removes an answer because nothing of it was played. The
protocol has no truncation to nothing, and a deletion may have any other reason; so the log says it, and a
recording knows it too."""


def not_played(command: changes.DeleteItem) -> bool:
    """Return whether a client's deletion says that nothing of the item was played."""
    return command.event_id.startswith(f"{NOT_PLAYED}_")


class Conversation:
    """The fold. ``apply`` takes each change and command once, in order of the log.

    ``items`` holds all items ever seen, those of out-of-band responses too; ``order`` the ids that are in
    the conversation now; ``outputs`` those of function calls by call id, also before a server has echoed
    them.
    """

    def __init__(self) -> None:
        self.items: dict[str, Item] = {}
        self.order: list[str] = []
        self.outputs: dict[str, str] = {}
        self._placed: set[str] = set()  # what is in it
        self.session: Event = {}
        self.input_codec = wire_format({"type": "audio/pcm", "rate": 24000})
        self.output_codec = self.input_codec
        self._input = InputBuffer()
        self._sent: deque[changes.AddItem] = deque()  # items on their way to the server
        self._codecs: dict[str, Codec] = {}  # response id → its own output format
        self._current: dict[str, str] = {}  # response id → the item that it wrote last; "" → any
        self._unnamed = 0  # counts responses that named no items
        self._out_of_band: set[str] = set()  # ids of out-of-band responses

    def __iter__(self) -> Iterator[Item]:
        """Yield the items in order."""
        return (self.items[id] for id in self.order)

    def __len__(self) -> int:
        return len(self.order)

    def __contains__(self, id: object) -> bool:
        return id in self._placed

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Conversation):
            return NotImplemented
        return self.order == other.order and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # it changes

    def apply(self, change: Change | Command) -> None:
        """Fold a change or a command in. Those that say nothing of the conversation are passed over.

        Raises ValueError for one that cannot be folded, such as a format that is not known.
        """
        handler = _HANDLERS.get(type(change))
        if handler is not None:
            handler(self, change)

    # The session's configuration, as far as the folds need it.

    @property
    def input_settings(self) -> Event:
        """``session.audio.input``; {} where the server has not reported it."""
        return as_object(as_object(self.session.get("audio")).get("input"))

    @property
    def turn_detection(self) -> Event | None:
        """The settings by which the server detects turns; None where the client commits them."""
        return as_object(self.input_settings.get("turn_detection")) or None

    @property
    def responds_automatically(self) -> bool:
        """Whether the server answers detected speech without being asked to."""
        detection = self.turn_detection
        return detection is not None and detection.get("create_response") is not False

    def _on_session(self, change: changes.SessionStarted | changes.SessionChanged) -> None:
        self.session = change.config
        before = self.input_codec
        if form := self.input_settings.get("format"):
            self.input_codec = wire_format(form)
        self._input.change_codec(before, self.input_codec)
        if form := as_object(as_object(change.config.get("audio")).get("output")).get("format"):
            self.output_codec = wire_format(form)

    # What the client sends.

    def _on_append(self, command: changes.AppendAudio) -> None:
        buffer = self._input
        buffer.append(command.audio)
        limit = _KEEP_SECONDS * self.input_codec.bytes_per_second
        if self.turn_detection and not buffer.speech and buffer.end - buffer.start > 2 * limit:
            buffer.drop_to(buffer.end - limit)

    def _on_commit(self, command: changes.Commit) -> None:
        self._input.mark("commit", command.event_id)

    def _on_clear(self, command: changes.Clear) -> None:
        self._input.mark("clear", command.event_id)

    def _on_configure(self, command: changes.Configure) -> None:
        self._input.mark("update", command.event_id)

    def _on_add(self, command: changes.AddItem) -> None:
        self._sent.append(command)
        self._take_outputs([command.item])

    def _on_respond(self, command: changes.Respond) -> None:
        self._take_outputs(command.input or [])

    def _take_outputs(self, items: Iterable[ItemData]) -> None:
        for item in items:
            if item.output is not None and item.call_id:
                self.outputs[item.call_id] = item.output

    def _on_delete(self, command: changes.DeleteItem) -> None:
        item = self.items.get(command.item_id)
        if item is not None and item.played_ms is None and not_played(command):
            item.played_ms = 0

    # What the server sends.

    def _on_failed(self, change: changes.Failed) -> None:
        culprit = change.error.event_id
        if culprit is None:
            if change.error.code == "input_audio_buffer_commit_empty":
                self._input.pop_mark("commit")
            return
        self._input.refuse(culprit)
        for sent in self._sent:
            if sent.event_id == culprit:
                self.outputs.pop(sent.item.call_id, None)
        self._sent = deque(sent for sent in self._sent if sent.event_id != culprit)

    def _on_speech_started(self, change: changes.SpeechStarted) -> None:
        self._input.speech.setdefault(change.item_id, [None, None])[0] = change.ms

    def _on_speech_stopped(self, change: changes.SpeechStopped) -> None:
        self._input.speech.setdefault(change.item_id, [None, None])[1] = change.ms

    def _on_timed_out(self, change: changes.InputTimedOut) -> None:
        self._input.speech[change.item_id] = [change.start_ms, change.end_ms]

    def _on_cleared(self, change: changes.InputCleared) -> None:
        mark = self._input.pop_mark("clear")
        self._input.drop_to(mark.position if mark else self._input.end)
        self._input.speech.clear()

    def _on_committed(self, change: changes.InputCommitted) -> None:
        chunks = self._input.take_speech(change.item_id, self.input_codec)
        item = self._item(change.item_id)
        item.type, item.role, item.committed = "message", "user", True
        item.part(0, "audio").codec = self.input_codec
        item.parts[0].chunks = chunks
        self._place(item, change.previous_item_id)

    def _on_item(self, change: changes.ItemAdded | changes.ItemDone) -> None:
        new = change.item.id not in self.items
        item = self._item(change.item.id)
        if new:
            self._adopt(item, change.item)
        self._merge(item, change.item)
        self._take_outputs([change.item])
        if new or not isinstance(change, changes.ItemDone):
            self._place(item, change.previous_item_id)

    def _adopt(self, item: Item, echo: ItemData) -> None:
        """Give a created item the content that the client sent: the server's echo has no audio."""
        for sent in self._sent:
            named = sent.item.id
            if named == item.id or (not named and sent.item.role == echo.role):
                self._sent.remove(sent)
                self._merge(item, sent.item)
                self._take_audio(item, sent.item)
                return

    def _take_audio(self, item: Item, data: ItemData) -> None:
        for part, content in zip(item.parts, data.contents, strict=False):
            if content.audio is not None:
                part.codec = self.input_codec
                part.chunks = [content.audio]

    def out_of_band(self, given: list[ItemData] | None) -> list[Item]:
        """Return what the user says in the ``input`` of an out-of-band response; it joins no conversation."""
        found = []
        for data in given or ():
            if data.role == "user":
                item = Item("")
                self._merge(item, data)
                self._take_audio(item, data)
                found.append(item)
        return found

    def _on_output_item(self, change: changes.OutputItemAdded | changes.OutputItemDone) -> None:
        id = change.item.id
        if not id and isinstance(change, changes.OutputItemAdded):
            id = f"{self.output_id(change.response_id, '')}/{change.output_index}"
        self._merge(self._output(change.response_id, id), change.item)

    def _merge(self, item: Item, data: ItemData) -> None:
        """Take over what an item says; what it leaves out or has lost stays as it was."""
        for name in ("type", "role", "status", "phase", "call_id", "name", "arguments"):
            if value := getattr(data, name):
                setattr(item, name, value)
        if data.output is not None:
            item.output = data.output
        for index, content in enumerate(data.contents):
            part = item.part(index, content.kind)
            part.merge_text(content.text or "")
            if content.image_url:
                part.image_url = content.image_url
        item.raw = data.raw

    def _on_part(self, change: changes.PartAdded | changes.PartDone) -> None:
        part = self._part(change, change.content.kind)
        if isinstance(change, changes.PartDone):
            part.merge_text(change.content.text or "")
        elif change.content.text:
            part.text = part.text or change.content.text

    def _on_response_started(self, change: changes.ResponseStarted) -> None:
        if change.format:
            self._codecs[change.id] = wire_format(change.format)
        if change.raw.get("conversation_id", "") is None:
            self._out_of_band.add(change.id)

    def _on_response_ended(self, change: changes.ResponseEnded) -> None:
        self._codecs.pop(change.id, None)
        last = self._current.pop(change.id, None)
        if last is None or self._current.get("") == last:
            self._current.pop("", None)
            self._unnamed += 1
        for data in change.items:
            if data.id in self.items:
                self._merge(self.items[data.id], data)
            elif data.id and data.type:  # nothing announced it
                item = self._output(change.id, data.id)
                self._merge(item, data)
                if change.id not in self._out_of_band:
                    self._place(item, UNSTATED)

    def _on_text(self, change: changes.TextDelta) -> None:
        self._part(change, change.kind).add_text(change.text)

    def _on_text_done(self, change: changes.TextDone) -> None:
        self._part(change, change.kind).finish_text(change.text)

    def _on_audio(self, change: changes.AudioDelta) -> None:
        part = self._part(change, "audio")
        if part.codec is None:
            part.codec = self._codecs.get(change.response_id, self.output_codec)
        part.chunks.append(change.audio)

    def _on_arguments(self, change: changes.ArgumentsDelta) -> None:
        self._output(change.response_id, change.item_id).arguments += change.text

    def _on_call(self, change: changes.ToolCall) -> None:
        item = self._output(change.response_id, change.item_id)
        item.type = "function_call"
        item.arguments = change.arguments or item.arguments
        item.call_id = change.call_id or item.call_id
        item.name = change.name or item.name

    def _on_transcript_delta(self, change: changes.InputTranscriptDelta) -> None:
        self._item(change.item_id).part(change.content_index, "audio").add_text(change.text)

    def _on_transcript(self, change: changes.InputTranscript) -> None:
        item = self._item(change.item_id)
        part = item.part(change.content_index, "audio")
        part.text = change.text or part.text
        item.transcribed = True

    def _on_transcript_failed(self, change: changes.InputTranscriptFailed) -> None:
        item = self._item(change.item_id)
        item.transcription_error = change.error.message or change.error.code or "transcription failed"
        item.transcribed = True

    def _on_truncated(self, change: changes.Truncated) -> None:
        self._item(change.item_id).played_ms = change.ms

    def _on_deleted(self, change: changes.ItemDeleted) -> None:
        if change.item_id in self._placed:
            self._placed.remove(change.item_id)
            self.order.remove(change.item_id)

    # Items.

    def output_id(self, response_id: str, item_id: str) -> str:
        """Return the id of the item that a response writes: the one named, or else its latest.

        A server that names no items at all gets one item per response, with an id made here.
        """
        written = item_id or self._current.get(response_id)
        return written or f"{response_id or f'response_{self._unnamed}'}/item"

    def media_target(self) -> tuple[str, str]:
        """Return the response and the item that audio beside the frames belongs to: the latest answer."""
        if item_id := self._current.get(""):
            return self.items[item_id].response_id or "", item_id
        spoken = (item for item in reversed(self.items.values()) if item.role == "assistant")
        item = next(spoken, None)
        return ("", self.output_id("", "")) if item is None else (item.response_id or "", item.id)

    def set_codec(self, item_id: str, codec: Codec) -> None:
        """Set the format of an item's audio, before any of it has arrived."""
        part = self._item(item_id).part(0, "audio")
        if not part.chunks:
            part.codec = codec

    def _output(self, response_id: str, item_id: str) -> Item:
        id = self.output_id(response_id, item_id)
        self._current[response_id] = self._current[""] = id
        item = self._item(id)
        item.response_id = item.response_id or response_id or None
        return item

    def _part(self, change: Any, kind: str) -> Part:
        item = self._output(change.response_id, change.item_id)
        if item.role is None:
            item.role = "assistant"
        return item.part(change.content_index, kind)

    def _item(self, id: str) -> Item:
        item = self.items.get(id)
        if item is None:
            item = self.items[id] = Item(id)
        return item

    def _place(self, item: Item, previous: str | None) -> None:
        """Put an item after ``previous``, or first where that is None; at the end where it is not known."""
        if item.id in self._placed:
            return
        if previous is None:
            self.order.insert(0, item.id)
        elif previous in self._placed and previous != self.order[-1]:
            self.order.insert(self.order.index(previous) + 1, item.id)
        else:  # after the last; or unstated, or a neighbour never seen, as in a log that was joined late
            self.order.append(item.id)
        self._placed.add(item.id)


_HANDLERS: dict[type, Callable[[Conversation, Any], None]] = {
    changes.AddItem: Conversation._on_add,
    changes.AppendAudio: Conversation._on_append,
    changes.ArgumentsDelta: Conversation._on_arguments,
    changes.AudioDelta: Conversation._on_audio,
    changes.Clear: Conversation._on_clear,
    changes.Commit: Conversation._on_commit,
    changes.Configure: Conversation._on_configure,
    changes.DeleteItem: Conversation._on_delete,
    changes.Failed: Conversation._on_failed,
    changes.InputCleared: Conversation._on_cleared,
    changes.InputCommitted: Conversation._on_committed,
    changes.InputTimedOut: Conversation._on_timed_out,
    changes.InputTranscript: Conversation._on_transcript,
    changes.InputTranscriptDelta: Conversation._on_transcript_delta,
    changes.InputTranscriptFailed: Conversation._on_transcript_failed,
    changes.ItemAdded: Conversation._on_item,
    changes.ItemDeleted: Conversation._on_deleted,
    changes.ItemDone: Conversation._on_item,
    changes.OutputItemAdded: Conversation._on_output_item,
    changes.OutputItemDone: Conversation._on_output_item,
    changes.PartAdded: Conversation._on_part,
    changes.PartDone: Conversation._on_part,
    changes.Respond: Conversation._on_respond,
    changes.ResponseEnded: Conversation._on_response_ended,
    changes.ResponseStarted: Conversation._on_response_started,
    changes.SessionChanged: Conversation._on_session,
    changes.SessionStarted: Conversation._on_session,
    changes.SpeechStarted: Conversation._on_speech_started,
    changes.SpeechStopped: Conversation._on_speech_stopped,
    changes.TextDelta: Conversation._on_text,
    changes.TextDone: Conversation._on_text_done,
    changes.ToolCall: Conversation._on_call,
    changes.Truncated: Conversation._on_truncated,
}
