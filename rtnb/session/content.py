"""What can be sent: text, sound, pictures, in whatever shape they come."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..audio import Clip, Codec
from ..audio.samples import as_pair
from ..errors import ArgumentError
from ..paths import short, user_path
from ..protocol.events import Event
from ..protocol.models import Model

__all__ = ["Content", "Picture", "encoded", "grouped", "message", "parse_content"]

_PICTURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}
_FILES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".mp4", ".webm", ".png", ".jpg", ".jpeg")
_ARRAY_RATE = 24_000


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG or JPEG as a data URI."""

    url: str


Content = str | Clip | Picture


def parse_content(things: Iterable[Any], model: Model) -> list[Content]:
    """Return what was given as text, clips and pictures, in order; lists are flattened.

    A str is text, never a path, and refused where it names a sound or picture that is there; a ``Path`` or
    bytes are a sound or picture file; a numpy array is sound at 24 kHz, an ``(array, rate)`` or
    ``(rate, array)`` pair sound at that rate; a recorder is its clip, by ``__clip__``.

    Raises ArgumentError for anything else, for nothing at all, and for a picture that the model's row
    refuses; AudioError for a sound that cannot be read.
    """
    found = [content for thing in things for content in _contents(thing)]
    if not found:
        raise ArgumentError("nothing to send: give a text, a Clip, a path, an array, or a list of them")
    if model.supports("image") is False and any(isinstance(content, Picture) for content in found):
        raise ArgumentError(f"{model.id} takes text and audio, no images. Nothing was sent")
    return found


def _contents(thing: Any) -> list[Content]:
    if isinstance(thing, str):
        if not thing.strip():
            raise ArgumentError("the text to send is empty")
        if thing.lower().endswith(_FILES) and os.path.isfile(thing):  # which never raises
            raise ArgumentError(
                f"{thing!r} is the name of a file that is here. A str is sent as text: "
                f"send pathlib.Path({thing!r}) for what is in it"
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
        "send takes text, a Clip, a path (pathlib.Path), an array, a picture, or a list of them, "
        f"not {type(thing).__name__}"
    )


def _from_path(path: Path) -> Content:
    path = user_path(path, "a file to send")
    if path.suffix.lower() in (".png", ".jpg", ".jpeg"):
        try:
            picture = _picture(path.read_bytes())
        except OSError as error:
            raise ArgumentError(f"{short(path)} cannot be read: {error.strerror}") from None
        if picture is None:
            raise ArgumentError(f"{path} is no PNG or JPEG, though it is named like one")
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
    """Tell a Pillow image without importing Pillow."""
    return hasattr(thing, "save") and hasattr(thing, "getbands")


def _from_pillow(image: Any) -> Picture:
    from io import BytesIO

    buffer = BytesIO()
    image.save(buffer, "PNG")
    return Picture(f"data:image/png;base64,{b64encode(buffer.getvalue()).decode()}")


def grouped(given: Iterable[Content]) -> list[Clip | list[str | Picture]]:
    """Put texts and pictures that stand together into one message; a clip stands alone."""
    groups: list[Clip | list[str | Picture]] = []
    for part in given:
        if isinstance(part, Clip):
            groups.append(part)
        elif groups and isinstance(groups[-1], list):
            groups[-1].append(part)
        else:
            groups.append([part])
    return groups


def message(parts: Iterable[Content], codec: Codec) -> Event:
    """Return a user's message item; sound in it is in the form of ``codec``."""
    content = [_content(part, codec) for part in parts]
    return {"type": "message", "role": "user", "content": content}


def _content(part: Content, codec: Codec) -> Event:
    if isinstance(part, str):
        return {"type": "input_text", "text": part}
    if isinstance(part, Picture):
        return {"type": "input_image", "image_url": part.url}
    return {"type": "input_audio", "audio": b64encode(encoded(part, codec)).decode()}


def encoded(clip: Clip, codec: Codec) -> bytes:
    """Return a clip's sound in the form of ``codec``."""
    return codec.encode(clip.resample(codec.rate).samples)
