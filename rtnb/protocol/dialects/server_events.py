"""Server frames, read: each event type to the changes that it reports.

One reader for GA, the beta and their relatives: their names do not collide, and many servers mix them. It
accepts what servers leave out (indices, ids, parts, usage) as far as a meaning is left; see ``reading``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..changes import (
    ArgumentsDelta,
    AudioDelta,
    AudioDone,
    Change,
    ConversationStarted,
    ErrorData,
    Failed,
    InputCleared,
    InputCommitted,
    InputTimedOut,
    InputTranscript,
    InputTranscriptDelta,
    InputTranscriptFailed,
    ItemAdded,
    ItemDeleted,
    ItemDone,
    ItemRetrieved,
    Limits,
    OutputItemAdded,
    OutputItemDone,
    PartAdded,
    PartDone,
    Playback,
    ResponseEnded,
    ResponseStarted,
    SessionChanged,
    SessionStarted,
    SpeechStarted,
    SpeechStopped,
    TextDelta,
    TextDone,
    ToolCall,
    Truncated,
    Unknown,
    UsageReported,
)
from ..events import Event, as_object
from . import reading
from .reading import Unreadable, identifier, index, milliseconds, text
from .session_shapes import nested_response, nested_session
from .usage import read_usage

__all__ = ["read_server_event"]


def read_server_event(event: Event) -> list[Change]:
    """Return what a server's event reports, in order. Raises Unreadable where it says nothing usable."""
    reader = _READERS.get(event["type"])
    if reader is None:
        response_id = identifier(event, "response_id")
        item_id = identifier(event, "item_id") or identifier(as_object(event.get("item")), "id")
        return [Unknown(event["type"], response_id, item_id)]
    return reader(event)


def _session(event: Event) -> Event:
    session = event.get("session")
    if not isinstance(session, dict):
        raise Unreadable(f"session is {type(session).__name__}: expected an object")
    return nested_session(session)


def _session_created(event: Event) -> list[Change]:
    try:
        return [SessionStarted(_session(event))]
    except Unreadable as error:  # it is open, whatever its configuration
        raise Unreadable(str(error), changes=[ConversationStarted()]) from None


def _session_updated(event: Event) -> list[Change]:
    return [SessionChanged(_session(event))]


def _transcription_created(event: Event) -> list[Change]:
    return [SessionStarted({"type": "transcription", **_session(event)})]


def _transcription_updated(event: Event) -> list[Change]:
    return [SessionChanged({"type": "transcription", **_session(event)})]


def _conversation_created(event: Event) -> list[Change]:
    return [ConversationStarted(identifier(as_object(event.get("conversation")), "id"))]


def _speech_started(event: Event) -> list[Change]:
    return [SpeechStarted(_id(event), milliseconds(event, "audio_start_ms"))]


def _speech_stopped(event: Event) -> list[Change]:
    return [SpeechStopped(_id(event), milliseconds(event, "audio_end_ms"))]


def _timeout(event: Event) -> list[Change]:
    start, end = milliseconds(event, "audio_start_ms"), milliseconds(event, "audio_end_ms")
    return [InputTimedOut(_id(event), start, end)]


def _committed(event: Event) -> list[Change]:
    return [InputCommitted(_id(event), reading.previous(event))]


def _cleared(event: Event) -> list[Change]:
    return [InputCleared()]


def _id(event: Event) -> str:
    item_id = identifier(event, "item_id")
    if not item_id:
        raise Unreadable("item_id is missing")
    return item_id


def _transcript_delta(event: Event) -> list[Change]:
    return [InputTranscriptDelta(_id(event), text(event.get("delta")), index(event))]


def _transcript(event: Event) -> list[Change]:
    usage = as_object(event.get("usage"))
    return [InputTranscript(_id(event), text(event.get("transcript")), index(event), usage)]


def _transcript_failed(event: Event) -> list[Change]:
    return [InputTranscriptFailed(_id(event), reading.error(event.get("error")), index(event))]


def _item_of(event: Event) -> Any:
    item = reading.item(event.get("item"))
    if not item.id:
        raise Unreadable("the item has no id")
    return item


def _item_added(event: Event) -> list[Change]:
    return [ItemAdded(_item_of(event), reading.previous(event))]


def _item_done(event: Event) -> list[Change]:
    return [ItemDone(_item_of(event), reading.previous(event))]


def _item_retrieved(event: Event) -> list[Change]:
    return [ItemRetrieved(_item_of(event))]


def _item_deleted(event: Event) -> list[Change]:
    return [ItemDeleted(_id(event))]


def _truncated(event: Event) -> list[Change]:
    return [Truncated(_id(event), int(milliseconds(event, "audio_end_ms") or 0))]


def _response_created(event: Event) -> list[Change]:
    wire = nested_response(as_object(event.get("response")))
    limit = wire.get("max_output_tokens")
    return [
        ResponseStarted(
            id=identifier(wire, "id") or identifier(event, "response_id"),
            metadata=reading.metadata(wire.get("metadata")),
            max_output_tokens=limit if type(limit) is int else None,
            format=_format(wire),
            raw=wire,
        )
    ]


def _format(response: Event) -> Event | None:
    form = as_object(as_object(response.get("audio")).get("output")).get("format")
    return form if isinstance(form, dict) else None


def _response_done(event: Event) -> list[Change]:
    response = event.get("response")
    problems = [] if isinstance(response, dict) else ["response.done has no response"]
    wire = nested_response(as_object(response))
    usage, problem = read_usage(wire.get("usage"))
    problems += [problem] if problem else []
    status, reason, error = _status(wire)
    output = wire.get("output")
    return [
        ResponseEnded(
            id=identifier(wire, "id") or identifier(event, "response_id"),
            status=status,
            reason=reason,
            error=error,
            usage=usage,
            items=[reading.item(one) for one in output] if isinstance(output, list) else [],
            metadata=reading.metadata(wire.get("metadata")),
            problems=tuple(problems),
            raw=wire,
        )
    ]


def _status(wire: Event) -> tuple[str, str | None, ErrorData | None]:
    """Return a response's final status, the reason and the error, from details of any type."""
    details = wire.get("status_details")
    if isinstance(details, list):
        details = next((one for one in details if isinstance(one, dict)), None)
    error = None
    if isinstance(details, str):
        reason: str | None = details
    else:
        details = as_object(details)
        reason = text(details.get("reason")) or None
        if details.get("error"):
            error = reading.error(details["error"])
    status = text(wire.get("status"))
    if not status or status == "in_progress":
        status = "failed" if error is not None else "incomplete" if reason else "completed"
    return status, reason, error


def _output_item_added(event: Event) -> list[Change]:
    item = reading.item(event.get("item"))
    return [OutputItemAdded(identifier(event, "response_id"), item, index(event, "output_index"))]


def _output_item_done(event: Event) -> list[Change]:
    item = reading.item(event.get("item"))
    return [OutputItemDone(identifier(event, "response_id"), item, index(event, "output_index"))]


def _indices(event: Event) -> tuple[int, int]:
    return index(event), index(event, "output_index")


def _part_added(event: Event) -> list[Change]:
    response_id, item_id = identifier(event, "response_id"), identifier(event, "item_id")
    return [PartAdded(response_id, item_id, reading.content(event.get("part")), *_indices(event))]


def _part_done(event: Event) -> list[Change]:
    response_id, item_id = identifier(event, "response_id"), identifier(event, "item_id")
    if "part" not in event:
        return []  # some servers only say that it is over
    return [PartDone(response_id, item_id, reading.content(event.get("part")), *_indices(event))]


def _text_delta(kind: str) -> Callable[[Event], list[Change]]:
    def read(event: Event) -> list[Change]:
        response_id, item_id = identifier(event, "response_id"), identifier(event, "item_id")
        delta = event.get("delta")
        if not isinstance(delta, str):
            raise Unreadable(f"delta is {type(delta).__name__}: expected text")
        return [TextDelta(response_id, item_id, delta, kind, *_indices(event))]

    return read


def _text_done(kind: str, name: str) -> Callable[[Event], list[Change]]:
    def read(event: Event) -> list[Change]:
        response_id, item_id = identifier(event, "response_id"), identifier(event, "item_id")
        return [TextDone(response_id, item_id, text(event.get(name)), kind, *_indices(event))]

    return read


def _audio_delta(event: Event) -> list[Change]:
    encoded = event.get("delta")
    audio = reading.audio(encoded)
    if audio is None:
        raise Unreadable("delta is not audio in base64")
    response_id, item_id = identifier(event, "response_id"), identifier(event, "item_id")
    return [AudioDelta(response_id, item_id, audio, text(encoded), *_indices(event))]


def _audio_done(event: Event) -> list[Change]:
    return [AudioDone(identifier(event, "response_id"), identifier(event, "item_id"), *_indices(event))]


def _arguments_delta(event: Event) -> list[Change]:
    response_id, call_id = identifier(event, "response_id"), identifier(event, "call_id")
    place = index(event, "output_index")
    return [ArgumentsDelta(response_id, _id(event), text(event.get("delta")), call_id, place)]


def _tool_call(event: Event) -> list[Change]:
    return [
        ToolCall(
            response_id=identifier(event, "response_id"),
            item_id=_id(event),
            arguments=reading.item(event).arguments,
            call_id=identifier(event, "call_id"),
            name=text(event.get("name")),
            output_index=index(event, "output_index"),
        )
    ]


def _playback(state: str) -> Callable[[Event], list[Change]]:
    return lambda event: [Playback(identifier(event, "response_id"), state)]


def _limits(event: Event) -> list[Change]:
    listed = event.get("rate_limits")
    found = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    return [Limits({str(one["name"]): one for one in found if one.get("name")})]


def _error(event: Event) -> list[Change]:
    error = reading.error(event.get("error", event))
    if "error" not in event:  # then the event's own id is the server's, not that of a culprit
        error = ErrorData(
            error.message, error.type if error.type != "error" else None, error.code, error.param
        )
    return [Failed(error)]


def _ignore(event: Event) -> list[Change]:
    return []


# Translations (``/v1/realtime/translations``): one response without a beginning or an end.

_TRANSLATION = "translation"


def _translation_audio(event: Event) -> list[Change]:
    encoded = event.get("delta")
    audio = reading.audio(encoded)
    if audio is None:
        raise Unreadable("delta is not audio in base64")
    return [AudioDelta("", _TRANSLATION, audio, text(encoded))]


def _translation_output(event: Event) -> list[Change]:
    return [TextDelta("", _TRANSLATION, text(event.get("delta")), "audio")]


def _translation_input(event: Event) -> list[Change]:
    return [InputTranscriptDelta(f"{_TRANSLATION}_input", text(event.get("delta")))]


def _usage(event: Event) -> list[Change]:
    return [UsageReported(as_object(event.get("usage")) or {k: v for k, v in event.items() if k != "type"})]


_READERS: dict[str, Callable[[Event], list[Change]]] = {
    "conversation.created": _conversation_created,
    "conversation.item.added": _item_added,
    "conversation.item.created": _item_added,
    "conversation.item.deleted": _item_deleted,
    "conversation.item.done": _item_done,
    "conversation.item.input_audio_transcription.completed": _transcript,
    "conversation.item.input_audio_transcription.delta": _transcript_delta,
    "conversation.item.input_audio_transcription.failed": _transcript_failed,
    "conversation.item.retrieved": _item_retrieved,
    "conversation.item.truncated": _truncated,
    "error": _error,
    "input_audio_buffer.cleared": _cleared,
    "input_audio_buffer.committed": _committed,
    "input_audio_buffer.speech_started": _speech_started,
    "input_audio_buffer.speech_stopped": _speech_stopped,
    "input_audio_buffer.timeout_triggered": _timeout,
    "output_audio_buffer.cleared": _playback("cleared"),
    "output_audio_buffer.started": _playback("started"),
    "output_audio_buffer.stopped": _playback("stopped"),
    "rate_limits.updated": _limits,
    "response.audio.delta": _audio_delta,
    "response.audio.done": _audio_done,
    "response.audio_transcript.delta": _text_delta("audio"),
    "response.audio_transcript.done": _text_done("audio", "transcript"),
    "response.content_part.added": _part_added,
    "response.content_part.done": _part_done,
    "response.created": _response_created,
    "response.done": _response_done,
    "response.function_call_arguments.delta": _arguments_delta,
    "response.function_call_arguments.done": _tool_call,
    "response.output_audio.delta": _audio_delta,
    "response.output_audio.done": _audio_done,
    "response.output_audio_transcript.delta": _text_delta("audio"),
    "response.output_audio_transcript.done": _text_done("audio", "transcript"),
    "response.output_item.added": _output_item_added,
    "response.output_item.done": _output_item_done,
    "response.output_text.delta": _text_delta("text"),
    "response.output_text.done": _text_done("text", "text"),
    "response.text.delta": _text_delta("text"),
    "response.text.done": _text_done("text", "text"),
    "session.created": _session_created,
    "session.input_transcript.delta": _translation_input,
    "session.output_audio.delta": _translation_audio,
    "session.output_transcript.delta": _translation_output,
    "session.updated": _session_updated,
    "session.usage.updated": _usage,
    "transcription_session.created": _transcription_created,
    "transcription_session.updated": _transcription_updated,
}
