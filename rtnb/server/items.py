"""Items: what a client may create, and how the server shows what it has."""

from __future__ import annotations

from base64 import b64encode
from binascii import Error as Base64Error
from binascii import a2b_base64
from typing import Any

from ..audio.codecs import Codec
from ..protocol.items import Item
from .faults import Fault, invalid_value, missing, quoted
from .validation import Check, array, mapping, one_of, record, string

__all__ = ["MAX_AUDIO_BYTES", "checked_item", "decode_audio", "wire_item"]

MAX_AUDIO_BYTES = 15 * 1024 * 1024
"""The most sound that one event may carry (Realtime API reference, input_audio_buffer.append)."""

_CONTENT: dict[str, dict[str, tuple[str, ...]]] = {
    "system": {"input_text": ("text",)},
    "user": {
        "input_text": ("text",),
        "input_audio": ("audio", "transcript", "format"),
        "input_image": ("image_url", "detail"),
    },
    "assistant": {"output_text": ("text",), "output_audio": ("audio", "transcript", "format")},
}
_REQUIRED = {"input_text": "text", "output_text": "text", "input_audio": "audio", "input_image": "image_url"}
_TYPES = ("message", "function_call", "function_call_output")
_STATUS = one_of(("completed", "incomplete", "in_progress"))


def decode_audio(value: Any, path: str, codec: Codec) -> bytes:
    """Return the bytes of base64 sound in the form of ``codec``.

    Raises:
        Fault: It is no string, no base64, more than 15 MiB, or ends within a sample.
    """
    text = string(value, path)
    if len(text) > MAX_AUDIO_BYTES * 4 // 3 + 4:
        raise _audio_fault(path, f"more than 15 MiB of sound in one event ({len(text) * 3 // 4:,} bytes)")
    try:
        data = a2b_base64(text.encode("ascii"), strict_mode=True)
    except (Base64Error, UnicodeEncodeError):
        raise _audio_fault(path, "the sound is not valid base64") from None
    if len(data) > MAX_AUDIO_BYTES:
        raise _audio_fault(path, f"more than 15 MiB of sound in one event ({len(data):,} bytes)")
    if len(data) % codec.width:
        raise _audio_fault(
            path, f"{codec.type} has {codec.width} bytes a sample, and {len(data):,} bytes end within one"
        )
    return data


def _audio_fault(path: str, why: str) -> Fault:
    return Fault("invalid_value", f"Invalid '{path}': {why}.", path)


def checked_item(
    value: Any, path: str, *, codec: Codec, model: str, images: bool
) -> tuple[dict[str, Any], list[tuple[int, bytes]]]:
    """Return an item that a client creates, and the sound in it as (content index, bytes).

    Raises:
        Fault: The item is not one that a client may create.
    """
    given = mapping(value, path)
    kind = given.get("type")
    if kind is None:
        raise missing(f"{path}.type")
    one_of(_TYPES)(kind, f"{path}.type")
    common: dict[str, Check] = {
        "id": string,
        "object": one_of(("realtime.item",)),
        "type": string,
        "status": _STATUS,
    }
    if kind == "function_call":
        fields = {**common, "call_id": string, "name": string, "arguments": string}
        return record(fields, ("name", "arguments"))(given, path), []
    if kind == "function_call_output":
        fields = {**common, "call_id": string, "output": string}
        return record(fields, ("call_id", "output"))(given, path), []
    role = one_of(_CONTENT)(given["role"], f"{path}.role") if "role" in given else None
    if role is None:
        raise missing(f"{path}.role")
    item = record({**common, "role": string, "content": array(mapping)}, ("content",))(given, path)
    sounds: list[tuple[int, bytes]] = []
    for index, part in enumerate(item["content"]):
        where = f"{path}.content[{index}]"
        item["content"][index] = checked = _content(part, where, role, model, images)
        if checked["type"] == "input_audio":
            sounds.append((index, decode_audio(checked["audio"], f"{where}.audio", codec)))
    if not item["content"]:
        raise Fault(
            "invalid_value",
            f"Invalid '{path}.content': a message needs at least one part.",
            f"{path}.content",
        )
    return item, sounds


def _content(given: dict[str, Any], path: str, role: str, model: str, images: bool) -> dict[str, Any]:
    allowed = _CONTENT[role]
    kind = given.get("type")
    if kind is None:
        raise missing(f"{path}.type")
    # Clients that learned the older names still send them; the service takes them too.
    if role == "assistant" and kind in ("text", "audio"):
        kind = f"output_{kind}"
    if kind not in allowed:
        raise invalid_value(f"{path}.type", kind, allowed)
    if kind == "output_audio":
        raise Fault(
            "invalid_value",
            "Assistant messages cannot be created with audio: send what was said as 'output_text'.",
            f"{path}.type",
        )
    if kind == "input_image" and not images:
        raise Fault(
            "invalid_value",
            f"The model '{model}' takes no images: send {quoted(k for k in allowed if k != 'input_image')}.",
            f"{path}.type",
        )
    fields: dict[str, Check] = {"type": string, **dict.fromkeys(allowed[kind], string)}
    checked = record({k: _string_or_null if k in ("transcript", "format") else c for k, c in fields.items()})(
        given, path
    )
    if _REQUIRED[kind] not in checked:
        raise missing(f"{path}.{_REQUIRED[kind]}")
    return {**checked, "type": kind}


def _string_or_null(value: Any, path: str) -> str | None:
    return None if value is None else string(value, path)


def wire_item(item: Item, *, audio: bool = False) -> dict[str, Any]:
    """Return an item as the server shows it; with its sound, base64, if ``audio``.

    Of a truncated item only the sound that was heard is left, and no transcript.
    """
    shown: dict[str, Any] = {"id": item.id, "type": item.type, "status": item.status or "completed"}
    if item.type == "function_call":
        return {**shown, "call_id": item.call_id, "name": item.name, "arguments": item.arguments}
    if item.type == "function_call_output":
        return {**shown, "call_id": item.call_id, "output": item.output or ""}
    prefix = "output" if item.role == "assistant" else "input"
    content: list[dict[str, Any]] = []
    for part in item.parts:
        wire: dict[str, Any] = {"type": f"{prefix}_{part.kind}"}
        if part.kind == "text":
            wire["text"] = part.text
        elif part.kind == "image":
            wire["image_url"] = part.image_url
        else:
            if item.heard_ms is None:
                wire["transcript"] = part.text or (None if prefix == "input" else "")
            if audio:
                wire["audio"] = b64encode(heard_audio(item, part.data, part.codec)).decode()
        content.append(wire)
    return {**shown, "role": item.role, "content": content}


def heard_audio(item: Item, data: bytes, codec: Codec | None) -> bytes:
    """Return the sound of a part up to where the item was truncated."""
    if item.heard_ms is None or codec is None:
        return data
    return data[: int(item.heard_ms * codec.rate / 1000) * codec.width]
