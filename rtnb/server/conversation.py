"""The conversation's items as a client may change them: create, retrieve, truncate, delete, reference."""

from __future__ import annotations

import math
from base64 import b64encode
from binascii import Error as Base64Error
from binascii import a2b_base64
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from ..audio.codecs import Codec, decoded_length
from ..protocol.events import Event, server_id
from ..protocol.items import Item, Part
from .session_context import ItemExtras, SessionContext, apply_event
from .validation import InvalidRequest, check, invalid_value, missing, quoted

__all__ = ["ConversationItems", "decode_audio", "wire_item"]

MAX_AUDIO_BYTES = 15 * 1024 * 1024
"""The most audio in one event (Realtime API reference, input_audio_buffer.append)."""


class _Wire(Struct, forbid_unknown_fields=True, tag_field="type"):
    pass


class _Item(_Wire):
    id: str | UnsetType = UNSET
    object: Literal["realtime.item"] | UnsetType = UNSET
    status: Literal["completed", "incomplete", "in_progress"] | UnsetType = UNSET


class _FunctionCall(_Item, tag="function_call", kw_only=True):
    call_id: str | UnsetType = UNSET
    name: str
    arguments: str


class _FunctionCallOutput(_Item, tag="function_call_output", kw_only=True):
    call_id: str
    output: str


class _Message(_Item, tag="message", kw_only=True):
    role: Literal["system", "user", "assistant"]
    content: list[dict[str, Any]]


class _Reference(_Wire, tag="item_reference"):
    id: str


class _InputText(_Wire, tag="input_text"):
    text: str


class _OutputText(_Wire, tag="output_text"):
    text: str


class _InputAudio(_Wire, tag="input_audio"):
    audio: str
    transcript: str | UnsetType | None = UNSET
    format: str | UnsetType | None = UNSET


class _InputImage(_Wire, tag="input_image"):
    image_url: str
    detail: str | UnsetType = UNSET


_ANY_ITEM: Any = _Message | _FunctionCall | _FunctionCallOutput
_PARTS: dict[str, type[Struct]] = {
    "input_text": _InputText,
    "input_audio": _InputAudio,
    "input_image": _InputImage,
    "output_text": _OutputText,
}
_CONTENT = {
    "system": ("input_text",),
    "user": ("input_text", "input_audio", "input_image"),
    "assistant": ("output_text", "output_audio"),
}


def decode_audio(text: str, path: str, codec: Codec) -> bytes:
    """Return the bytes of base64 audio in the format of ``codec``.

    Raises:
        InvalidRequest: It is not base64, is more than 15 MiB, or ends within a sample.
    """
    if (size := decoded_length(text)) > MAX_AUDIO_BYTES:
        raise _invalid_audio(path, f"more than 15 MiB of audio in one event ({size:,} bytes)")
    try:
        data = a2b_base64(text.encode("ascii"), strict_mode=True)
    except (Base64Error, UnicodeEncodeError):
        raise _invalid_audio(path, "the audio is not valid base64") from None
    if len(data) % codec.width:
        raise _invalid_audio(
            path,
            f"{codec.type} has {codec.width} bytes a sample, but {len(data):,} bytes end within a sample",
        )
    return data


def _invalid_audio(path: str, why: str) -> InvalidRequest:
    return InvalidRequest("invalid_value", f"Invalid '{path}': {why}.", path)


def checked_item(
    value: Any, path: str, *, codec: Codec, model: str, images: bool
) -> tuple[dict[str, Any], list[tuple[int, bytes]]]:
    """Return an item that a client creates, and its audio as (content index, bytes).

    Raises:
        InvalidRequest: The item is not one that a client may create.
    """
    item = check(_ANY_ITEM, value, path)
    if item["type"] != "message":
        return item, []
    role = item["role"]
    audio: list[tuple[int, bytes]] = []
    for index, part in enumerate(item["content"]):
        where = f"{path}.content[{index}]"
        item["content"][index] = checked = _content(part, where, role, model, images)
        if checked["type"] == "input_audio":
            audio.append((index, decode_audio(checked["audio"], f"{where}.audio", codec)))
    if not item["content"]:
        raise InvalidRequest(
            "invalid_value",
            f"Invalid '{path}.content': a message needs at least one part.",
            f"{path}.content",
        )
    return item, audio


def _content(given: dict[str, Any], path: str, role: str, model: str, images: bool) -> dict[str, Any]:
    allowed = _CONTENT[role]
    kind = given.get("type")
    if kind is None:
        raise missing(f"{path}.type")
    # Clients still send the older names; the hosted service accepts them as well.
    if role == "assistant" and kind in ("text", "audio"):
        kind = f"output_{kind}"
    if kind not in allowed:
        raise invalid_value(f"{path}.type", kind, allowed)
    if kind == "output_audio":
        raise InvalidRequest(
            "invalid_value",
            "Assistant messages cannot be created with audio: send the transcript as 'output_text'.",
            f"{path}.type",
        )
    if kind == "input_image" and not images:
        raise InvalidRequest(
            "invalid_value",
            f"The model '{model}' does not accept images:"
            f" send {quoted(k for k in allowed if k != 'input_image')}.",
            f"{path}.type",
        )
    return check(_PARTS[kind], {**given, "type": kind}, path)


def wire_item(item: Item, *, audio: bool = False) -> dict[str, Any]:
    """Return an item as the server sends it; with its audio, as base64, if ``audio``.

    A truncated item has only the audio that was played, and no transcript.
    """
    wire: dict[str, Any] = {"id": item.id, "type": item.type, "status": item.status or "completed"}
    if item.type == "function_call":
        return {**wire, "call_id": item.call_id, "name": item.name, "arguments": item.arguments}
    if item.type == "function_call_output":
        return {**wire, "call_id": item.call_id, "output": item.output or ""}
    prefix = "output" if item.role == "assistant" else "input"
    content: list[dict[str, Any]] = []
    for part in item.parts:
        wire_part: dict[str, Any] = {"type": f"{prefix}_{part.kind}"}
        if part.kind == "text":
            wire_part["text"] = part.text
        elif part.kind == "image":
            wire_part["image_url"] = part.image_url
        else:
            if item.played_ms is None:
                wire_part["transcript"] = part.text or (None if prefix == "input" else "")
            if audio:
                wire_part["audio"] = b64encode(played_audio(item, part.data, part.codec)).decode()
        content.append(wire_part)
    return {**wire, "role": item.role, "content": content}


def played_audio(item: Item, data: bytes, codec: Codec | None) -> bytes:
    """Return the audio of a part up to the point where the item was truncated."""
    if item.played_ms is None or codec is None:
        return data
    return data[: int(item.played_ms * codec.rate / 1000) * codec.width]


class ConversationItems:
    """Handles the client events about the items of one session's conversation."""

    def __init__(self, context: SessionContext, *, model: str, images: bool) -> None:
        self._context = context
        self._model, self._images = model, images

    def create(self, event: Event) -> Item:
        """Add an item.

        Raises:
            InvalidRequest: The item or its position is invalid.
        """
        context, conversation = self._context, self._context.conversation
        item, audio = self._checked(event["item"], "item")
        if not item.get("id"):
            item["id"] = server_id("item")
        id = item["id"]
        if id in conversation.items:
            raise InvalidRequest(
                "invalid_value",
                f"Error creating item: an item with id '{id:.80}' already exists in this session.",
                "item.id",
            )
        previous = self._previous(event.get("previous_item_id"))
        self._check_call(item)
        apply_event(conversation, "client", event)
        codec = conversation.input_codec
        context.item_extras[id] = ItemExtras(
            transcripts={index: context.transcribe(data, codec) for index, data in audio}
        )
        wire = _announced(item)
        context.emit("conversation.item.added", previous_item_id=previous, item=wire)
        context.emit("conversation.item.done", previous_item_id=previous, item=wire)
        return conversation.items[id]

    def _checked(self, item: Any, path: str) -> tuple[dict[str, Any], list[tuple[int, bytes]]]:
        codec = self._context.conversation.input_codec
        checked, audio = checked_item(item, path, codec=codec, model=self._model, images=self._images)
        if checked["type"] == "function_call" and not checked.get("call_id"):
            checked["call_id"] = server_id("call")
        return checked, audio

    def _previous(self, given: str | None) -> str | None:
        if given is None:
            return self._context.last_item()
        if given == "root":
            return None
        if given not in self._context.conversation.order:
            raise InvalidRequest(
                "invalid_value",
                f"Error creating item: the previous item with id '{given:.80}' does not exist. Leave"
                " 'previous_item_id' out to append the item, or send 'root' to insert it at the beginning.",
                "previous_item_id",
            )
        return given

    def _check_call(self, item: dict[str, Any]) -> None:
        if item["type"] != "function_call_output":
            return
        if not any(
            other.type == "function_call" and other.call_id == item["call_id"]
            for other in self._context.conversation
        ):
            raise InvalidRequest(
                "invalid_tool_call_id",
                f"Tool call ID '{item['call_id']:.80}' not found in conversation.",
                "item.call_id",
            )

    def input_items(self, items: list[Any]) -> list[tuple[Item, ItemExtras]]:
        """Return the items of a response's ``input``, which are not added to the conversation.

        Raises:
            InvalidRequest: One of them is invalid, or references an item that is not in the conversation.
        """
        context = self._context
        found: list[tuple[Item, ItemExtras]] = []
        for index, wire in enumerate(items):
            path = f"response.input[{index}]"
            if wire.get("type") == "item_reference":
                id = check(_Reference, wire, path)["id"]
                found.append((self._existing(id, "response", f"{path}.id"), context.item_extras[id]))
                continue
            checked, audio = self._checked(wire, path)
            item = _detached(checked)
            codec = context.conversation.input_codec
            for part, data in audio:
                item.parts[part].chunks, item.parts[part].codec = [data], codec
            transcripts = {part: context.transcribe(data, codec) for part, data in audio}
            found.append((item, ItemExtras(transcripts=transcripts)))
        return found

    def retrieve(self, event: Event) -> None:
        """Send an item with its audio."""
        item = self._existing(event["item_id"], "retrieve", "item_id")
        wire = {"object": "realtime.item", **wire_item(item, audio=True)}
        self._context.emit("conversation.item.retrieved", item=wire)

    def delete(self, event: Event) -> None:
        """Remove an item from the conversation."""
        item = self._existing(event["item_id"], "delete", "item_id")
        self._context.emit("conversation.item.deleted", item_id=item.id)

    def truncate(self, event: Event) -> None:
        """Truncate an answer to what was played: its audio, and its words in the prompts that follow."""
        item = self._existing(event["item_id"], "truncate", "item_id")
        index, end = event["content_index"], event["audio_end_ms"]
        part = item.parts[index] if index < len(item.parts) else None
        if item.role != "assistant" or part is None or part.kind != "audio":
            raise InvalidRequest(
                "unsupported_content_type", "Only model output audio messages can be truncated", "item_id"
            )
        length = math.ceil(part.ms) if item.played_ms is None else item.played_ms
        if end > length:
            raise InvalidRequest(
                "invalid_value",
                f"Audio content of {length}ms is already shorter than {end}ms",
                "audio_end_ms",
            )
        self._context.emit(
            "conversation.item.truncated", item_id=item.id, content_index=index, audio_end_ms=end
        )

    def _existing(self, id: str, verb: str, param: str) -> Item:
        if id not in self._context.conversation.order:
            action = {
                "response": "creating response",
                "truncate": "truncating item",
                "delete": "deleting item",
            }
            raise InvalidRequest(
                f"item_{verb}_invalid_item_id" if verb != "response" else "invalid_value",
                f"Error {action.get(verb, 'retrieving item')}: the item with id '{id:.80}' does not exist.",
                param,
            )
        return self._context.conversation.items[id]


def _announced(item: dict[str, Any]) -> dict[str, Any]:
    """Return a created item as the server announces it: complete, except for its audio."""
    shown = {key: value for key, value in item.items() if key != "object"}
    if "content" in item:
        shown["content"] = [_without_audio(part) for part in item["content"]]
    return {**shown, "status": item.get("status") or "completed"}


def _without_audio(part: dict[str, Any]) -> dict[str, Any]:
    if part["type"] != "input_audio":
        return part
    return {"type": "input_audio", "transcript": part.get("transcript")}


def _detached(wire: dict[str, Any]) -> Item:
    """Return an item outside the conversation."""
    parts = [
        Part(
            kind=content["type"].rsplit("_", 1)[-1],
            text=content.get("text") or content.get("transcript") or "",
            image_url=content.get("image_url"),
        )
        for content in wire.get("content", ())
    ]
    return Item(
        wire.get("id") or server_id("item"),
        type=wire["type"],
        role=wire.get("role"),
        status="completed",
        parts=parts,
        call_id=wire.get("call_id"),
        name=wire.get("name"),
        arguments=wire.get("arguments", ""),
        output=wire.get("output"),
    )
