"""Contents as the wire has them: message items, and sound in the session's format."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable

from ..audio import Clip, Codec
from ..protocol.events import Event
from .content import Content, Picture

__all__ = ["encoded", "grouped", "message"]


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
