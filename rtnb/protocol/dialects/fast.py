"""Fast readers for the frames that come by the thousand: pieces of audio, transcript and text.

Of an audio frame the base64 is cut out of the bytes first and the small rest is parsed: half the time of
parsing it whole. Whatever is not exactly as expected (a field of another type, an escape, base64 that does
not come back the same) is left to the general reader: None is returned, and nothing of it was kept.

A guess from the bytes alone would be wrong for a frame with a nested or a second ``delta``, so the rest of
the frame is parsed with a marker in the place of the base64, and counts only if the marker is the ``delta``.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import DecodeError, Meta, Struct
from msgspec.json import Decoder
from pybase64 import b64decode, b64encode

from ..changes import AudioDelta, TextDelta
from ..log_storage import Cut, Sound
from .base import ReadFrame
from .names import AUDIO_DELTAS
from .reading import MOST_PARTS

__all__ = ["read_fast"]

_MARKER = "~"
_PADDING = ord("=")
_DELTA = b'"delta":"'
_SPACED_DELTA = b'"delta": "'
_LEAST = 64
"""Shorter base64 is not worth cutting out."""


_Index = Annotated[int, Meta(ge=0, lt=MOST_PARTS)]


class _Wire(Struct, gc=False):
    type: str
    delta: str
    response_id: str = ""
    item_id: str = ""
    content_index: _Index = 0
    output_index: _Index = 0
    event_id: str = ""


_decode = Decoder(_Wire).decode
_TEXT = {
    "response.output_text.delta": "text",
    "response.text.delta": "text",
    "response.output_audio_transcript.delta": "audio",
    "response.audio_transcript.delta": "audio",
}
_RESPONSE_AUDIO = AUDIO_DELTAS - {"session.output_audio.delta"}
_HEAD = 1024
"""Where the ``delta`` of a frame with pieces begins, also with the longest ids before it."""


def read_fast(frame: bytes) -> ReadFrame | None:
    """Return a piece of audio or text as a change; None for every other frame and for whatever is odd."""
    start = frame.find(_DELTA, 0, _HEAD) + len(_DELTA)
    if start < len(_DELTA):
        start = frame.find(_SPACED_DELTA, 0, _HEAD) + len(_SPACED_DELTA)
        if start < len(_SPACED_DELTA):
            return None
    end = frame.find(b'"', start)
    try:
        if end - start >= _LEAST:
            wire = _decoded(frame[:start] + b"~" + frame[end:])
            if wire.delta == _MARKER and wire.type in _RESPONSE_AUDIO and wire.item_id:
                return _audio(frame, start, end, wire)
        wire = _decoded(frame)
    except (DecodeError, ValueError):
        return None
    kind = _TEXT.get(wire.type)
    if kind is None or not wire.item_id:
        return None
    change = TextDelta(
        wire.response_id, wire.item_id, wire.delta, kind, wire.content_index, wire.output_index
    )
    return ReadFrame(wire.type, wire.event_id, [change])


def _decoded(frame: bytes) -> _Wire:
    if not frame.isascii():
        frame.decode()  # msgspec does not check the fields that it skips; raises a ValueError
    return _decode(frame)


def _audio(frame: bytes, start: int, end: int, wire: _Wire) -> ReadFrame | None:
    data = b64decode(memoryview(frame)[start:end], validate=True)
    if frame[end - 1] == _PADDING and b64encode(data[-(len(data) % 3) :]) != frame[end - 4 : end]:
        return None  # not the canonical form, so that it would not come back the same
    sound = Sound(data)
    change = AudioDelta(wire.response_id, wire.item_id, sound, "", wire.content_index, wire.output_index)
    return ReadFrame(wire.type, wire.event_id, [change], None, Cut(start, end, len(data), sound))
