"""The content of a turn: text, audio and pictures, converted from what users pass to ``send``."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from ..audio import Clip, Codec
from ..audio.samples import as_pair
from ..errors import ArgumentError
from ..paths import short, user_path
from ..protocol.changes import Content as ItemContent
from ..protocol.changes import ItemData
from ..protocol.log_storage import Sound
from ..protocol.models import Model

__all__ = ["Content", "Picture", "check_json", "encoded", "grouped", "message", "parse_content"]

_PICTURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}
_FILES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".mp4", ".webm", ".png", ".jpg", ".jpeg")
_ARRAY_RATE = 24_000


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG or JPEG as a data URI."""

    url: str


Content = str | Clip | Picture


def parse_content(things: Iterable[Any], model: Model) -> list[Content]:
    """Return ``things`` as text, clips and pictures, in order; lists are flattened.

    A str is text, never a path; the name of an existing sound or picture file is refused. A ``Path`` or bytes
    are a sound or picture file; a numpy array is audio at 24 kHz, an ``(array, rate)`` or ``(rate, array)``
    pair audio at that rate; a recorder is its clip, by ``__clip__``.

    Raises ArgumentError for anything else, for no content at all, and for a picture if the model takes none;
    AudioError for audio that cannot be read.
    """
    found = [content for thing in things for content in _contents(thing)]
    if not found:
        raise ArgumentError("nothing to send: pass a text, a Clip, a path, an array, or a list of them")
    if model.supports("image") is False and any(isinstance(content, Picture) for content in found):
        raise ArgumentError(f"{model.id} accepts text and audio but not images. Nothing was sent")
    return found


def _contents(thing: Any) -> list[Content]:
    if isinstance(thing, str):
        if not thing.strip():
            raise ArgumentError("the text to send is empty")
        check_json(thing, "the text to send")
        if thing.lower().endswith(_FILES) and os.path.isfile(thing):  # it never raises
            raise ArgumentError(
                f"{thing!r} is the name of an existing file, and a str is sent as text: "
                f"pass pathlib.Path({thing!r}) to send the file"
            )
        return [thing]
    if isinstance(thing, Clip):
        if not len(thing):
            raise ArgumentError("the clip to send is empty (0 s)")
        return [thing]
    if isinstance(thing, Picture):
        return [thing]
    if hasattr(thing, "__clip__"):
        return _contents(Clip.of(thing))
    if isinstance(thing, Path):
        return [_from_path(thing)]
    if isinstance(thing, (bytes, bytearray, memoryview)):
        return [_from_bytes(bytes(thing))]
    if hasattr(thing, "__array__"):
        return _contents(Clip(thing, _ARRAY_RATE)) if not _is_picture(thing) else [_from_pillow(thing)]
    array_first = isinstance(thing, tuple) and len(thing) == 2 and hasattr(thing[0], "__array__")
    if as_pair(thing) is not None or (array_first and not isinstance(thing[0], Clip)):
        return _contents(Clip.of(thing))
    if _is_picture(thing):
        return [_from_pillow(thing)]
    if isinstance(thing, (list, tuple)):
        return [content for part in thing for content in _contents(part)]
    raise ArgumentError(
        "send: expected a text, a Clip, a path (pathlib.Path), an array, a picture, or a list of them, "
        f"got {type(thing).__name__}"
    )


def _from_path(path: Path) -> Content:
    path = user_path(path, "a file to send")
    if path.suffix.lower() in (".png", ".jpg", ".jpeg"):
        try:
            picture = _picture(path.read_bytes())
        except OSError as error:
            raise ArgumentError(f"{short(path)} cannot be read: {error.strerror}") from None
        if picture is None:
            raise ArgumentError(f"{path} is not a PNG or JPEG file, although its name says so")
        return picture
    return Clip.read(path)


def _from_bytes(data: bytes) -> Content:
    return _picture(data) or Clip.read(data)


def _picture(data: bytes) -> Picture | None:
    for magic, mime in _PICTURES.items():
        if data.startswith(magic):
            return Picture(f"data:{mime};base64,{b64encode(data).decode()}")
    return None


def _is_picture(thing: Any) -> bool:
    """Return whether ``thing`` is a Pillow image, without importing Pillow."""
    return hasattr(thing, "save") and hasattr(thing, "getbands")


def _from_pillow(image: Any) -> Picture:
    from io import BytesIO

    buffer = BytesIO()
    image.save(buffer, "PNG")
    return Picture(f"data:image/png;base64,{b64encode(buffer.getvalue()).decode()}")


def check_json(value: Any, what: str) -> None:
    """Raise ArgumentError for a value that JSON cannot hold: half a surrogate pair, a set, an array, …"""
    try:
        orjson.dumps(value)
    except (TypeError, ValueError, RecursionError) as error:  # orjson's own error is a TypeError
        raise ArgumentError(f"{what} cannot be sent as JSON: {error}. Nothing was sent") from None


def grouped(content: Iterable[Content]) -> list[Clip | list[str | Picture]]:
    """Group consecutive texts and pictures into one message each; a clip is on its own."""
    groups: list[Clip | list[str | Picture]] = []
    for part in content:
        if isinstance(part, Clip):
            groups.append(part)
        elif groups and isinstance(groups[-1], list):
            groups[-1].append(part)
        else:
            groups.append([part])
    return groups


def message(parts: Iterable[Content], codec: Codec, id: str = "") -> ItemData:
    """Return a user's message item, with its audio encoded by ``codec``."""
    contents = [_item_content(part, codec) for part in parts]
    return ItemData(id=id, type="message", role="user", contents=contents)


def _item_content(part: Content, codec: Codec) -> ItemContent:
    if isinstance(part, str):
        return ItemContent("text", part)
    if isinstance(part, Picture):
        return ItemContent("image", image_url=part.url)
    data = encoded(part, codec)
    return ItemContent("audio", audio=Sound(data), encoded=b64encode(data).decode())


def encoded(clip: Clip, codec: Codec) -> bytes:
    """Return a clip's audio, resampled and encoded for ``codec``."""
    return codec.encode(clip.resample(codec.rate).samples)
