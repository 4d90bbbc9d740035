"""Client frames, read: each event type to the command that it is. GA's and the beta's alike."""

from __future__ import annotations

from collections.abc import Callable

from ..changes import (
    AddItem,
    AppendAudio,
    Cancel,
    Clear,
    ClearOutput,
    Command,
    Commit,
    Configure,
    DeleteItem,
    Other,
    Respond,
    RetrieveItem,
    Truncate,
)
from ..events import Event, as_object
from . import reading
from .reading import Unreadable, identifier
from .session_shapes import nested_response, nested_session

__all__ = ["read_client_event"]


def read_client_event(event: Event) -> Command:
    """Return the command that a client's event is. Raises Unreadable where it says nothing usable."""
    reader = _READERS.get(event["type"])
    event_id = identifier(event, "event_id")
    return Other(event["type"], event_id) if reader is None else reader(event, event_id)


def _update(event: Event, event_id: str) -> Command:
    session = event.get("session")
    if not isinstance(session, dict):
        raise Unreadable(f"session is {type(session).__name__}: expected an object")
    return Configure(nested_session(session), event_id)


def _transcription_update(event: Event, event_id: str) -> Command:
    session = nested_session(as_object(event.get("session")))
    return Configure({"type": "transcription", **session}, event_id)


def _append(event: Event, event_id: str) -> Command:
    audio = reading.audio(event.get("audio"))
    if audio is None:
        raise Unreadable("the audio is not valid base64", "audio")
    return AppendAudio(audio, event["audio"], event_id)


def _commit(event: Event, event_id: str) -> Command:
    return Commit(event_id)


def _clear(event: Event, event_id: str) -> Command:
    return Clear(event_id)


def _clear_output(event: Event, event_id: str) -> Command:
    return ClearOutput(event_id)


def _create_item(event: Event, event_id: str) -> Command:
    item = event.get("item")
    if not isinstance(item, dict):
        raise Unreadable(f"item is {type(item).__name__}: expected an object")
    return AddItem(reading.item(item), reading.previous(event), event_id)


def _id(event: Event) -> str:
    item_id = identifier(event, "item_id")
    if not item_id:
        raise Unreadable("item_id is missing", "item_id")
    return item_id


def _delete_item(event: Event, event_id: str) -> Command:
    return DeleteItem(_id(event), event_id)


def _retrieve_item(event: Event, event_id: str) -> Command:
    return RetrieveItem(_id(event), event_id)


def _truncate(event: Event, event_id: str) -> Command:
    played = int(reading.milliseconds(event, "audio_end_ms") or 0)
    return Truncate(_id(event), played, reading.index(event), event_id)


def _respond(event: Event, event_id: str) -> Command:
    options = nested_response(as_object(event.get("response")))
    given = options.get("input")
    items = [reading.item(one) for one in given] if isinstance(given, list) else None
    return Respond(options, items, event_id)


def _cancel(event: Event, event_id: str) -> Command:
    return Cancel(identifier(event, "response_id"), event_id)


_READERS: dict[str, Callable[[Event, str], Command]] = {
    "conversation.item.create": _create_item,
    "conversation.item.delete": _delete_item,
    "conversation.item.retrieve": _retrieve_item,
    "conversation.item.truncate": _truncate,
    "input_audio_buffer.append": _append,
    "input_audio_buffer.clear": _clear,
    "input_audio_buffer.commit": _commit,
    "output_audio_buffer.clear": _clear_output,
    "response.cancel": _cancel,
    "response.create": _respond,
    "session.input_audio_buffer.append": _append,
    "session.update": _update,
    "transcription_session.update": _transcription_update,
}
