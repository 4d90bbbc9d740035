"""The conversation's items as a client may change them: create, retrieve, truncate, delete, reference."""

from __future__ import annotations

import math
from typing import Any

from msgspec.structs import replace

from ..audio.codecs import Codec
from ..protocol.changes import (
    UNSTATED,
    AddItem,
    Content,
    DeleteItem,
    ItemAdded,
    ItemData,
    ItemDeleted,
    ItemDone,
    ItemRetrieved,
    RetrieveItem,
    Truncate,
    Truncated,
)
from ..protocol.dialects.client_schema import CONTENT_PARTS, ClientItem, ItemReference
from ..protocol.events import server_id
from ..protocol.items import Item, Part
from ..protocol.log_storage import Sound
from .prompt import ItemExtras
from .session_context import SessionContext
from .validation import InvalidRequest, check, invalid_value, missing, quoted

__all__ = ["ConversationItems", "checked_audio", "item_data"]

MAX_AUDIO_BYTES = 15 * 1024 * 1024
"""The most audio in one event (Realtime API reference)."""


_CONTENT = {
    "system": ("input_text",),
    "user": ("input_text", "input_audio", "input_image"),
    "assistant": ("output_text", "output_audio"),
}


def checked_audio(audio: Sound, path: str, codec: Codec) -> bytes:
    """Return the bytes of audio in the format of ``codec``.

    Raises:
        InvalidRequest: It is more than 15 MiB, or ends within a sample.
    """
    if len(audio) > MAX_AUDIO_BYTES:
        raise _invalid_audio(path, f"more than 15 MiB of audio in one event ({len(audio):,} bytes)")
    if len(audio) % codec.width:
        raise _invalid_audio(
            path,
            f"{codec.type} has {codec.width} bytes a sample, but {len(audio):,} bytes end within a sample",
        )
    return bytes(audio)


def _invalid_audio(path: str, why: str) -> InvalidRequest:
    return InvalidRequest("invalid_value", f"Invalid '{path}': {why}.", path)


def checked_item(
    data: ItemData, path: str, *, codec: Codec, model: str, images: bool
) -> tuple[dict[str, Any], list[tuple[int, bytes]]]:
    """Return an item that a client creates, as on the wire, and its audio as (content index, bytes).

    Raises:
        InvalidRequest: The item is not one that a client may create.
    """
    item = check(ClientItem, data.raw, path)
    if item["type"] != "message":
        return item, []
    role = item["role"]
    audio: list[tuple[int, bytes]] = []
    for index, part in enumerate(item["content"]):
        where = f"{path}.content[{index}]"
        item["content"][index] = checked = _content(part, where, role, model, images)
        if checked["type"] == "input_audio":
            sound = data.contents[index].audio
            if sound is None and checked["audio"]:
                raise _invalid_audio(f"{where}.audio", "the audio is not valid base64")
            audio.append((index, checked_audio(sound or Sound(b""), f"{where}.audio", codec)))
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
    return check(CONTENT_PARTS[kind], {**given, "type": kind}, path)


def item_data(item: Item, *, audio: bool = False, status: str = "") -> ItemData:
    """Return an item as the server reports it; with its audio if ``audio``.

    A truncated item has only the audio that was played, and no transcript.
    """
    contents = []
    for part in item.parts:
        spoken = part.kind == "audio"
        data = Sound(played_audio(item, part.data, part.codec)) if spoken and audio else None
        text = None if spoken and item.played_ms is not None else part.text
        contents.append(Content(part.kind, text, data, image_url=part.image_url))
    return ItemData(
        id=item.id,
        type=item.type,
        role=item.role or "",
        status=status or item.status or "completed",
        call_id=item.call_id or "",
        name=item.name or "",
        arguments=item.arguments,
        output=item.output or "" if item.type == "function_call_output" else None,
        contents=contents,
    )


def played_audio(item: Item, data: bytes, codec: Codec | None) -> bytes:
    """Return the audio of a part up to the point where the item was truncated."""
    if item.played_ms is None or codec is None:
        return data
    return data[: int(item.played_ms * codec.rate / 1000) * codec.width]


class ConversationItems:
    """Carries out a client's commands about the items of one session's conversation."""

    def __init__(self, context: SessionContext, *, model: str, images: bool) -> None:
        self._context = context
        self._model, self._images = model, images

    def add(self, command: AddItem) -> Item:
        """Add an item.

        Raises:
            InvalidRequest: The item or its position is invalid.
        """
        context, conversation = self._context, self._context.conversation
        item, audio = self._checked(command.item, "item")
        id = item["id"] = item.get("id") or server_id("item")
        if id in conversation.items:
            raise InvalidRequest(
                "invalid_value",
                f"Error creating item: an item with id '{id:.80}' already exists in this session.",
                "item.id",
            )
        previous = self._previous(command.previous_item_id)
        self._check_call(item)
        conversation.apply(command)
        codec = conversation.input_codec
        context.item_extras[id] = ItemExtras(
            transcripts={index: context.transcribe(data, codec) for index, data in audio}
        )
        data = _announced(command.item, item)
        context.emit(ItemAdded(data, previous))
        context.emit(ItemDone(data, previous))
        return conversation.items[id]

    def _checked(self, item: ItemData, path: str) -> tuple[dict[str, Any], list[tuple[int, bytes]]]:
        codec = self._context.conversation.input_codec
        checked, audio = checked_item(item, path, codec=codec, model=self._model, images=self._images)
        if checked["type"] == "function_call" and not checked.get("call_id"):
            checked["call_id"] = server_id("call")
        return checked, audio

    def _previous(self, given: str | None) -> str | None:
        if given in (None, UNSTATED):
            return self._context.last_item()
        if given == "root":
            return None
        if given not in self._context.conversation:
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
        conversation = self._context.conversation
        latest_first = (conversation.items[id] for id in reversed(conversation.order))
        if not any(
            other.type == "function_call" and other.call_id == item["call_id"] for other in latest_first
        ):
            raise InvalidRequest(
                "invalid_tool_call_id",
                f"Tool call ID '{item['call_id']:.80}' not found in conversation.",
                "item.call_id",
            )

    def input_items(self, items: list[ItemData]) -> list[tuple[Item, ItemExtras]]:
        """Return the items of a response's ``input``, which are not added to the conversation.

        Raises:
            InvalidRequest: One of them is invalid, or references an item that is not in the conversation.
        """
        context = self._context
        found: list[tuple[Item, ItemExtras]] = []
        for index, data in enumerate(items):
            path = f"response.input[{index}]"
            if data.type == "item_reference":
                id = check(ItemReference, data.raw, path)["id"]
                found.append((self._existing(id, "response", f"{path}.id"), context.item_extras[id]))
                continue
            checked, audio = self._checked(data, path)
            item = _detached(checked)
            codec = context.conversation.input_codec
            for part, sound in audio:
                item.parts[part].chunks, item.parts[part].codec = [sound], codec
            transcripts = {part: context.transcribe(sound, codec) for part, sound in audio}
            found.append((item, ItemExtras(transcripts=transcripts)))
        return found

    def retrieve(self, command: RetrieveItem) -> None:
        """Send an item with its audio."""
        item = self._existing(command.item_id, "retrieve", "item_id")
        self._context.emit(ItemRetrieved(item_data(item, audio=True)))

    def delete(self, command: DeleteItem) -> None:
        """Remove an item from the conversation."""
        item = self._existing(command.item_id, "delete", "item_id")
        self._context.emit(ItemDeleted(item.id))

    def truncate(self, command: Truncate) -> None:
        """Truncate an answer to what was played: its audio, and its words in the prompts that follow."""
        item = self._existing(command.item_id, "truncate", "item_id")
        index, end = command.content_index, command.ms
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
        self._context.emit(Truncated(item.id, end))

    def _existing(self, id: str, verb: str, param: str) -> Item:
        if id not in self._context.conversation:
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


def _announced(data: ItemData, item: dict[str, Any]) -> ItemData:
    """Return a created item as the server announces it: complete, except for its audio."""
    shown = {key: value for key, value in item.items() if key != "object"}
    if "content" in item:
        shown["content"] = [_without_audio(part) for part in item["content"]]
    status = shown["status"] = item.get("status") or "completed"
    return replace(data, id=item["id"], call_id=item.get("call_id", ""), status=status, raw=shown)


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
