"""What a client does to the conversation's items: create, retrieve, truncate, delete, refer to."""

from __future__ import annotations

import math
from typing import Any

from ..protocol.events import Event
from ..protocol.ids import server_id
from ..protocol.items import Item, Part
from .faults import Fault
from .items import checked_item, wire_item
from .session_context import Memory, State
from .validation import mapping, record, string

__all__ = ["Conversations"]


class Conversations:
    """The items of one session's conversation, as its client may change them."""

    def __init__(self, state: State, *, model: str, images: bool) -> None:
        self._state = state
        self._model, self._images = model, images

    def create(self, event: Event) -> Item:
        """Add an item.

        Raises:
            Fault: The item or its place is refused.
        """
        state, conversation = self._state, self._state.conversation
        item, sounds = self._checked(event["item"], "item")
        if not item.get("id"):
            item["id"] = server_id("item")
        id = item["id"]
        if id in conversation.items:
            raise Fault(
                "invalid_value",
                f"Error creating item: an item with id '{id:.80}' already exists in this session.",
                "item.id",
            )
        previous = self._place(event.get("previous_item_id"))
        self._check_call(item)
        conversation.apply("client", event)
        codec = conversation.input_codec
        state.memory[id] = Memory(words={index: state.listen(data, codec) for index, data in sounds})
        wire = _shown(item)
        state.emit("conversation.item.added", previous_item_id=previous, item=wire)
        state.emit("conversation.item.done", previous_item_id=previous, item=wire)
        return conversation.items[id]

    def _checked(self, item: Any, path: str) -> tuple[dict[str, Any], list[tuple[int, bytes]]]:
        codec = self._state.conversation.input_codec
        checked, sounds = checked_item(item, path, codec=codec, model=self._model, images=self._images)
        if checked["type"] == "function_call" and not checked.get("call_id"):
            checked["call_id"] = server_id("call")
        return checked, sounds

    def _place(self, given: str | None) -> str | None:
        if given is None:
            return self._state.last_item()
        if given == "root":
            return None
        if given not in self._state.conversation.order:
            raise Fault(
                "invalid_value",
                f"Error creating item: there is no item '{given:.80}' in the conversation to put it after."
                " Leave 'previous_item_id' out for the end, or send 'root' for the beginning.",
                "previous_item_id",
            )
        return given

    def _check_call(self, item: dict[str, Any]) -> None:
        if item["type"] != "function_call_output":
            return
        if not any(
            other.type == "function_call" and other.call_id == item["call_id"]
            for other in self._state.conversation
        ):
            raise Fault(
                "invalid_tool_call_id",
                f"Tool call ID '{item['call_id']:.80}' not found in conversation.",
                "item.call_id",
            )

    def given(self, items: list[Any]) -> list[tuple[Item, Memory]]:
        """Return the items of a response's own ``input``; they do not enter the conversation.

        Raises:
            Fault: One of them is refused, or refers to an item that is not in the conversation.
        """
        state = self._state
        found: list[tuple[Item, Memory]] = []
        for index, wire in enumerate(items):
            path = f"response.input[{index}]"
            if mapping(wire, path).get("type") == "item_reference":
                id = record({"type": string, "id": string}, ("id",))(wire, path)["id"]
                found.append((self._existing(id, "response", f"{path}.id"), state.memory[id]))
                continue
            checked, sounds = self._checked(wire, path)
            item = _detached(checked)
            codec = state.conversation.input_codec
            for part, data in sounds:
                item.parts[part].chunks, item.parts[part].codec = [data], codec
            words = {part: state.listen(data, codec) for part, data in sounds}
            found.append((item, Memory(words=words)))
        return found

    def retrieve(self, event: Event) -> None:
        """Send an item back, with its sound."""
        item = self._existing(event["item_id"], "retrieve", "item_id")
        wire = {"object": "realtime.item", **wire_item(item, audio=True)}
        self._state.emit("conversation.item.retrieved", item=wire)

    def delete(self, event: Event) -> None:
        """Take an item out of the conversation."""
        item = self._existing(event["item_id"], "delete", "item_id")
        self._state.emit("conversation.item.deleted", item_id=item.id)

    def truncate(self, event: Event) -> None:
        """Cut an answer to what was heard of it: its sound, and the words that the model remembers."""
        item = self._existing(event["item_id"], "truncate", "item_id")
        index, end = event["content_index"], event["audio_end_ms"]
        part = item.parts[index] if index < len(item.parts) else None
        if item.role != "assistant" or part is None or part.kind != "audio":
            raise Fault(
                "unsupported_content_type", "Only model output audio messages can be truncated", "item_id"
            )
        length = math.ceil(part.ms) if item.heard_ms is None else item.heard_ms
        if end > length:
            raise Fault(
                "invalid_value",
                f"Audio content of {length}ms is already shorter than {end}ms",
                "audio_end_ms",
            )
        self._state.emit(
            "conversation.item.truncated", item_id=item.id, content_index=index, audio_end_ms=end
        )

    def _existing(self, id: str, verb: str, param: str) -> Item:
        if id not in self._state.conversation.order:
            doing = {
                "response": "creating response",
                "truncate": "truncating item",
                "delete": "deleting item",
            }
            raise Fault(
                f"item_{verb}_invalid_item_id" if verb != "response" else "invalid_value",
                f"Error {doing.get(verb, 'retrieving item')}: the item with id '{id:.80}' does not exist.",
                param,
            )
        return self._state.conversation.items[id]


def _shown(item: dict[str, Any]) -> dict[str, Any]:
    """Return a created item as the server repeats it: whole, but for its sound."""
    shown = {key: value for key, value in item.items() if key != "object"}
    if "content" in item:
        shown["content"] = [_without_sound(part) for part in item["content"]]
    return {**shown, "status": item.get("status") or "completed"}


def _without_sound(part: dict[str, Any]) -> dict[str, Any]:
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
