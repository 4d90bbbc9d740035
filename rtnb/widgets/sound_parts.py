"""A clip as pages get it, however long it is: a first picture, and the sound in the parts they ask for."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict

import numpy as np

from ..audio import Clip
from ..audio.peaks import BASE, FACTOR, Peaks

__all__ = ["PART_SECONDS", "SoundParts", "first_picture"]

PART_SECONDS = 5.0
_PICTURE_ROWS = 1024
# Of sound before and after a part, so that Opus is in full swing at its edges; the page cuts it off.
_RUN_UP = 0.08
_SOUND_RATE = 24_000
_KEPT_PARTS = 16


class SoundParts:
    """The sound of a clip as WebM/Opus in parts of 5 s; those that were asked for last are kept."""

    def __init__(self, clip: Clip) -> None:
        self._clip = clip
        self._parts: OrderedDict[int, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, part: int) -> tuple[float, bytes] | None:
        """Return where in the clip, in seconds, a part's data begin, and the data; None where it has none."""
        start = part * PART_SECONDS
        if not 0 <= start < self._clip.seconds:
            return None
        begin = max(0.0, start - _RUN_UP)
        with self._lock:
            data = self._parts.pop(part, None)
            if data is None:
                data = _webm(self._clip[begin : start + PART_SECONDS + _RUN_UP])
            self._parts[part] = data
            while len(self._parts) > _KEPT_PARTS:
                self._parts.popitem(last=False)
        return begin, data


def _webm(piece: Clip) -> bytes:
    """Return Opus that needs little memory to decode, so that parts join without a click."""
    import av

    sound = np.clip(piece.resample(_SOUND_RATE).samples, -1.0, 1.0).reshape(1, -1)
    buffer = io.BytesIO()
    with av.open(buffer, mode="w", format="webm") as out:
        stream = out.add_stream("libopus", rate=_SOUND_RATE, options={"application": "lowdelay"})
        stream.codec_context.layout = "mono"
        stream.codec_context.bit_rate = 48_000
        frame = av.AudioFrame.from_ndarray(sound, format="flt", layout="mono")
        frame.sample_rate = _SOUND_RATE
        frame.pts = 0
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return buffer.getvalue()


def first_picture(clip: Clip) -> tuple[Peaks, int]:
    """Return a clip's pyramid, whole to its last row, and the level of its first picture, a few kB."""
    level = 0
    while len(clip) // (BASE * FACTOR ** (level + 1)) >= _PICTURE_ROWS:
        level += 1
    pyramid = Peaks(clip.samples)
    span = BASE * FACTOR**level
    # Only full rows are given out: silence fills the last ones.
    pyramid.append(np.zeros(-len(clip) % span, np.float32))
    return pyramid, level
