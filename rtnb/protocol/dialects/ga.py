"""GA, written strictly as the API reference has it (August 2026)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pybase64 import b64encode

from ..changes import (
    UNSTATED,
    AddItem,
    AppendAudio,
    ArgumentsDelta,
    AudioDelta,
    AudioDone,
    Cancel,
    Change,
    Clear,
    ClearOutput,
    Command,
    Commit,
    Configure,
    Content,
    ConversationStarted,
    DeleteItem,
    ErrorData,
    Failed,
    InputCleared,
    InputCommitted,
    InputTimedOut,
    InputTranscript,
    InputTranscriptDelta,
    InputTranscriptFailed,
    ItemAdded,
    ItemData,
    ItemDeleted,
    ItemDone,
    ItemRetrieved,
    Limits,
    OutputItemAdded,
    OutputItemDone,
    PartAdded,
    PartDone,
    Playback,
    Respond,
    ResponseEnded,
    ResponseStarted,
    RetrieveItem,
    SessionChanged,
    SessionStarted,
    SpeechStarted,
    SpeechStopped,
    TextDelta,
    TextDone,
    ToolCall,
    Truncate,
    Truncated,
)
from ..events import Direction, Event, as_object

__all__ = ["GA", "GaDialect"]


class GaDialect:
    """The dialect that OpenAI, Azure and most others speak today."""

    name = "ga"

    def command(self, command: Command) -> Event:
        """Return the event that a client sends for a command. Raises TypeError for one it cannot express."""
        writer = _COMMANDS.get(type(command))
        if writer is None:
            raise TypeError(f"{self.name} has no event for {type(command).__name__}")
        event = writer(self, command)
        if event_id := getattr(command, "event_id", ""):
            event["event_id"] = event_id
        return event

    def events(self, change: Change) -> list[Event]:
        """Return the events that a server sends for a change, in order."""
        writer = _CHANGES.get(type(change))
        return [] if writer is None else [writer(self, change)]

    def shown_by(self, event: Event, direction: Direction) -> bool:
        """Return whether only a peer that speaks this dialect sends such an event."""
        if event["type"] in _ONLY_GA:
            return True
        session = as_object(event.get("session"))
        return event["type"] in _SESSIONS and bool({"audio", "output_modalities"} & session.keys())

    # What differs between dialects.

    def name_of(self, ga_name: str) -> str:
        """Return this wire's name for an event."""
        return ga_name

    def session(self, config: Event) -> Event:
        """Return a session's configuration in this wire's shape."""
        return {"type": "realtime", **config}

    def response(self, response: Event) -> Event:
        """Return a response, or the options of one, in this wire's shape."""
        return response

    def path(self, path: str) -> str:
        """Return where a field of GA's shape is in this wire's."""
        return path

    def item(self, item: ItemData) -> Event:
        """Return an item in this wire's shape: as it came, or from its fields where it was made here."""
        wire = item.raw or _item_fields(item)
        contents = wire.get("content")
        if isinstance(contents, list) and (item.role or wire.get("role")) == "assistant":
            wire = {**wire, "content": [self.assistant_content(one) for one in contents]}
        return wire

    def assistant_content(self, content: Any) -> Any:
        """Return a content part of the assistant's in this wire's shape."""
        renamed = {"text": "output_text", "audio": "output_audio"}.get(str(as_object(content).get("type")))
        return {**content, "type": renamed} if renamed else content

    def input_item(self, item: ItemData) -> Event:
        """Return an item of a response's own input: it may be a reference."""
        return item.raw if item.type == "item_reference" else self.item(item)


def _item_fields(item: ItemData) -> Event:
    wire: Event = {name: value for name in ("id", "type", "role", "status") if (value := getattr(item, name))}
    for name in ("phase", "call_id", "name"):
        if value := getattr(item, name):
            wire[name] = value
    if item.type == "function_call":
        wire["arguments"] = item.arguments
    if item.output is not None:
        wire["output"] = item.output
    if item.type == "message":
        wire["content"] = [_content(part, item.role) for part in item.contents]
    return wire


def _content(part: Content, role: str) -> Event:
    prefix = "output" if role == "assistant" else "input"
    wire: Event = {"type": f"{prefix}_{part.kind}"}
    if part.kind == "text":
        wire["text"] = part.text
    elif part.kind == "image":
        wire["image_url"] = part.image_url
    else:
        if part.audio is not None:
            wire["audio"] = part.encoded or b64encode(bytes(part.audio)).decode()
        if part.text is not None:
            wire["transcript"] = part.text or ("" if role == "assistant" else None)
    return wire


def _part(part: Content) -> Event:
    """Parts of a response say ``text`` or ``audio`` in both dialects, as seen on the wire."""
    return {"type": part.kind, ("text" if part.kind == "text" else "transcript"): part.text or ""}


def _place(previous: str | None) -> Event:
    return {} if previous == UNSTATED else {"previous_item_id": previous}


def _error(error: ErrorData) -> Event:
    return {
        "type": error.type,
        "code": error.code,
        "message": error.message,
        "param": error.param,
        "event_id": error.event_id,
    }


# Commands.


def _configure(dialect: GaDialect, command: Configure) -> Event:
    return {"type": "session.update", "session": dialect.session(command.config)}


def _append(dialect: GaDialect, command: AppendAudio) -> Event:
    encoded = command.encoded or b64encode(bytes(command.audio)).decode()
    return {"type": "input_audio_buffer.append", "audio": encoded}


def _simple(name: str) -> Callable[[GaDialect, Any], Event]:
    return lambda dialect, command: {"type": name}


def _add_item(dialect: GaDialect, command: AddItem) -> Event:
    place = _place(command.previous_item_id)
    return {"type": "conversation.item.create", **place, "item": dialect.item(command.item)}


def _of_item(name: str) -> Callable[[GaDialect, Any], Event]:
    return lambda dialect, command: {"type": name, "item_id": command.item_id}


def _truncate(dialect: GaDialect, command: Truncate) -> Event:
    return {
        "type": "conversation.item.truncate",
        "item_id": command.item_id,
        "content_index": command.content_index,
        "audio_end_ms": command.ms,
    }


def _respond(dialect: GaDialect, command: Respond) -> Event:
    options = dialect.response({name: v for name, v in command.options.items() if name != "input"})
    if command.input is not None:
        options = {**options, "input": [dialect.input_item(item) for item in command.input]}
    return {"type": "response.create", **({"response": options} if options else {})}


def _cancel(dialect: GaDialect, command: Cancel) -> Event:
    named = {"response_id": command.response_id} if command.response_id else {}
    return {"type": "response.cancel", **named}


_COMMANDS: dict[type, Callable[[GaDialect, Any], Event]] = {
    AddItem: _add_item,
    AppendAudio: _append,
    Cancel: _cancel,
    Clear: _simple("input_audio_buffer.clear"),
    ClearOutput: _simple("output_audio_buffer.clear"),
    Commit: _simple("input_audio_buffer.commit"),
    Configure: _configure,
    DeleteItem: _of_item("conversation.item.delete"),
    Respond: _respond,
    RetrieveItem: _of_item("conversation.item.retrieve"),
    Truncate: _truncate,
}


# Changes.


def _session_started(dialect: GaDialect, change: SessionStarted) -> Event:
    return {"type": "session.created", "session": dialect.session(change.config)}


def _session_changed(dialect: GaDialect, change: SessionChanged) -> Event:
    return {"type": "session.updated", "session": dialect.session(change.config)}


def _conversation(dialect: GaDialect, change: ConversationStarted) -> Event:
    conversation = {"id": change.id, "object": "realtime.conversation"}
    return {"type": "conversation.created", "conversation": conversation}


def _speech(name: str, field: str) -> Callable[[GaDialect, Any], Event]:
    def write(dialect: GaDialect, change: Any) -> Event:
        at = {} if change.ms is None else {field: int(change.ms)}
        return {"type": name, **at, "item_id": change.item_id}

    return write


def _timed_out(dialect: GaDialect, change: InputTimedOut) -> Event:
    span = {"audio_start_ms": change.start_ms, "audio_end_ms": change.end_ms}
    at = {name: int(ms) for name, ms in span.items() if ms is not None}
    return {"type": "input_audio_buffer.timeout_triggered", **at, "item_id": change.item_id}


def _committed(dialect: GaDialect, change: InputCommitted) -> Event:
    place = _place(change.previous_item_id)
    return {"type": "input_audio_buffer.committed", **place, "item_id": change.item_id}


def _input_delta(dialect: GaDialect, change: InputTranscriptDelta) -> Event:
    return {
        "type": "conversation.item.input_audio_transcription.delta",
        "item_id": change.item_id,
        "content_index": change.content_index,
        "delta": change.text,
    }


def _input_done(dialect: GaDialect, change: InputTranscript) -> Event:
    return {
        "type": "conversation.item.input_audio_transcription.completed",
        "item_id": change.item_id,
        "content_index": change.content_index,
        "transcript": change.text,
        **({"usage": change.usage} if change.usage else {}),
    }


def _input_failed(dialect: GaDialect, change: InputTranscriptFailed) -> Event:
    return {
        "type": "conversation.item.input_audio_transcription.failed",
        "item_id": change.item_id,
        "content_index": change.content_index,
        "error": {name: value for name, value in _error(change.error).items() if name != "event_id"},
    }


def _item(ga_name: str) -> Callable[[GaDialect, Any], Event]:
    def write(dialect: GaDialect, change: Any) -> Event:
        place = _place(getattr(change, "previous_item_id", UNSTATED))
        return {"type": dialect.name_of(ga_name), **place, "item": dialect.item(change.item)}

    return write


def _retrieved(dialect: GaDialect, change: ItemRetrieved) -> Event:
    """Only an item that is asked for says that it is one."""
    item = change.item
    wire = dialect.item(item)
    return {
        "type": "conversation.item.retrieved",
        "item": wire if item.raw else {"object": "realtime.item", **wire},
    }


def _truncated(dialect: GaDialect, change: Truncated) -> Event:
    return {
        "type": "conversation.item.truncated",
        "item_id": change.item_id,
        "content_index": 0,
        "audio_end_ms": change.ms,
    }


def _response(ga_name: str) -> Callable[[GaDialect, Any], Event]:
    def write(dialect: GaDialect, change: Any) -> Event:
        wire = change.raw
        if items := getattr(change, "items", None):
            wire = {**wire, "output": [dialect.item(item) for item in items]}
        return {"type": ga_name, "response": dialect.response(wire)}

    return write


def _output_item(ga_name: str) -> Callable[[GaDialect, Any], Event]:
    return lambda dialect, change: {
        "type": ga_name,
        "response_id": change.response_id,
        "output_index": change.output_index,
        "item": dialect.item(change.item),
    }


def _in_part(ga_name: str, **fields: str) -> Callable[[GaDialect, Any], Event]:
    """Return the writer of an event about a content part; ``fields`` are wire name → the change's."""

    def write(dialect: GaDialect, change: Any) -> Event:
        return {
            "type": dialect.name_of(ga_name),
            "response_id": change.response_id,
            "item_id": change.item_id,
            "output_index": change.output_index,
            "content_index": change.content_index,
            **{name: getattr(change, field) for name, field in fields.items()},
        }

    return write


def _by_kind(text: Callable[[GaDialect, Any], Event], audio: Callable[[GaDialect, Any], Event]) -> Any:
    return lambda dialect, change: (audio if change.kind == "audio" else text)(dialect, change)


def _part_event(ga_name: str) -> Callable[[GaDialect, Any], Event]:
    plain = _in_part(ga_name)
    return lambda dialect, change: {**plain(dialect, change), "part": _part(change.content)}


def _audio_delta(dialect: GaDialect, change: AudioDelta) -> Event:
    encoded = change.encoded or b64encode(bytes(change.audio)).decode()
    return {**_in_part("response.output_audio.delta")(dialect, change), "delta": encoded}


def _arguments_delta(dialect: GaDialect, change: ArgumentsDelta) -> Event:
    return {
        "type": "response.function_call_arguments.delta",
        "response_id": change.response_id,
        "item_id": change.item_id,
        "output_index": change.output_index,
        **({"call_id": change.call_id} if change.call_id else {}),
        "delta": change.text,
    }


def _tool_call(dialect: GaDialect, change: ToolCall) -> Event:
    named = {"name": change.name} if change.name else {}
    return {
        "type": "response.function_call_arguments.done",
        "response_id": change.response_id,
        "item_id": change.item_id,
        "output_index": change.output_index,
        "call_id": change.call_id,
        **named,
        "arguments": change.arguments,
    }


def _playback(dialect: GaDialect, change: Playback) -> Event:
    return {"type": f"output_audio_buffer.{change.state}", "response_id": change.response_id}


def _limits(dialect: GaDialect, change: Limits) -> Event:
    return {"type": "rate_limits.updated", "rate_limits": list(change.limits.values())}


def _failed(dialect: GaDialect, change: Failed) -> Event:
    return {"type": "error", "error": _error(change.error)}


_CHANGES: dict[type, Callable[[GaDialect, Any], Event]] = {
    ArgumentsDelta: _arguments_delta,
    AudioDelta: _audio_delta,
    AudioDone: _in_part("response.output_audio.done"),
    ConversationStarted: _conversation,
    Failed: _failed,
    InputCleared: _simple("input_audio_buffer.cleared"),
    InputCommitted: _committed,
    InputTimedOut: _timed_out,
    InputTranscript: _input_done,
    InputTranscriptDelta: _input_delta,
    InputTranscriptFailed: _input_failed,
    ItemAdded: _item("conversation.item.added"),
    ItemDeleted: _of_item("conversation.item.deleted"),
    ItemDone: _item("conversation.item.done"),
    ItemRetrieved: _retrieved,
    Limits: _limits,
    OutputItemAdded: _output_item("response.output_item.added"),
    OutputItemDone: _output_item("response.output_item.done"),
    PartAdded: _part_event("response.content_part.added"),
    PartDone: _part_event("response.content_part.done"),
    Playback: _playback,
    ResponseEnded: _response("response.done"),
    ResponseStarted: _response("response.created"),
    SessionChanged: _session_changed,
    SessionStarted: _session_started,
    SpeechStarted: _speech("input_audio_buffer.speech_started", "audio_start_ms"),
    SpeechStopped: _speech("input_audio_buffer.speech_stopped", "audio_end_ms"),
    TextDelta: _by_kind(
        _in_part("response.output_text.delta", delta="text"),
        _in_part("response.output_audio_transcript.delta", delta="text"),
    ),
    TextDone: _by_kind(
        _in_part("response.output_text.done", text="text"),
        _in_part("response.output_audio_transcript.done", transcript="text"),
    ),
    ToolCall: _tool_call,
    Truncated: _truncated,
}

_SESSIONS = frozenset({"session.created", "session.update", "session.updated"})
_ONLY_GA = frozenset(
    {
        "conversation.item.added",
        "conversation.item.done",
        "response.output_audio.delta",
        "response.output_audio_transcript.delta",
        "response.output_text.delta",
    }
)

GA = GaDialect()
