"""`Waveform`: a recording of any length to look at, zoom into and hear, without raw samples in the page."""

from __future__ import annotations

import io
import threading
import uuid
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..audio import Clip
from ..audio.peaks import BASE, FACTOR, Peaks, peaks
from ..audio.samples import as_number
from ..formatting import duration, peak_level
from ..render.audio_player import clip_html, waveform_svg
from ..render.html import data_uri
from .base import anywidget, css, esm, pin, traitlets

__all__ = ["PART_SECONDS", "SoundParts", "Waveform", "first_picture"]

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


_TILE_ROWS = 2048
_MOST_COLUMNS = 8192
_STATIC_SECONDS = 60.0
_STATIC_COLUMNS = 240


class Waveform(anywidget.AnyWidget):
    """A live waveform of a clip: zoom, scroll, click to seek, play at 0.5 to 2 times its speed.

    The page asks for what it shows: rows of the peak pyramid (an hour's first picture is 3 kB), and Opus of
    5 s around the playhead. What a saved notebook keeps is the clip's static form, with its sound up to 60 s.

    Parameters
    ----------
    clip
        A `Clip`, or what `Clip.of` takes: a path, the bytes of a sound file, an ``(array, rate)`` pair.
    title
        Words before the time, such as a name.

    Attributes
    ----------
    position
        Where the playhead stands, in seconds, 0 to `seconds`. The page sets it when the reader seeks or
        pauses; setting it moves the page's playhead.

    Raises
    ------
    AudioError
        No sound can be read.
    MissingPackageError
        anywidget is not installed.
    """

    _esm = esm("waveform/waveform")
    _css = css()
    uid = traitlets.Unicode().tag(sync=True)
    title = traitlets.Unicode().tag(sync=True)
    words = traitlets.Unicode().tag(sync=True)
    seconds = traitlets.Float().tag(sync=True)
    rate = traitlets.Int().tag(sync=True)
    overview = traitlets.Bytes().tag(sync=True)
    overview_level = traitlets.Int().tag(sync=True)
    shape = traitlets.Dict().tag(sync=True)
    position = traitlets.Float(0.0).tag(sync=True)

    def __init__(self, clip: Any, *, title: str = "") -> None:
        self.clip = Clip.of(clip)
        pyramid, level = first_picture(self.clip)
        self._pyramid = pyramid
        self._parts = SoundParts(self.clip)
        kind = f"{self.clip.rate / 1000:g} kHz · {peak_level(self.clip.peak_db)}"
        super().__init__(
            uid=uuid.uuid4().hex,
            title=title,
            words=f"{duration(self.clip.seconds)} · {kind}",
            seconds=self.clip.seconds,
            rate=self.clip.rate,
            overview=pyramid.level(level).tobytes(),
            overview_level=level,
            shape={"base": BASE, "factor": FACTOR, "tile": _TILE_ROWS, "part": PART_SECONDS},
        )
        self.on_msg(self._hear)
        pin(self)

    @traitlets.validate("position")
    def _within(self, proposal: Mapping[str, Any]) -> float:
        return min(as_number(proposal["value"], "position, in seconds,", 0), self.clip.seconds)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is not None:
            bundle[0]["text/html"] = self._static()
        return bundle

    def __repr__(self) -> str:
        return f"Waveform({self.clip!r})"

    def _static(self) -> str:
        """Return what stays in the saved notebook; Opus of a long clip would keep the cell waiting."""
        if self.clip.seconds <= _STATIC_SECONDS:
            return clip_html(self.clip)
        columns = self._pyramid.draw(_STATIC_COLUMNS, 0, len(self.clip))
        picture = data_uri(waveform_svg(columns.ravel(), self.clip.rate).encode(), "image/svg+xml")
        return (
            f'<div><div><img src="{picture}" alt="Waveform of {duration(self.clip.seconds)} of sound" '
            f'style="max-width:100%"></div><div><small>{self.words}</small></div></div>'
        )

    # -- what the page asks for ------------------------------------------------------------------------

    def _hear(self, widget: Any, message: Mapping[str, Any], buffers: Sequence[Any]) -> None:
        answer = {"rows": self._rows, "detail": self._detail, "sound": self._sound}.get(
            message.get("type", "")
        )
        if answer is not None:
            found = answer(message)
            if found is not None:
                self.send({**message, **found[0]}, buffers=[found[1]])

    def _rows(self, message: Mapping[str, Any]) -> tuple[dict[str, Any], bytes] | None:
        """Return one tile of a level: rows of (min, max), int8."""
        level, tile = int(message["level"]), int(message["tile"])
        if not 0 <= level < self._pyramid.levels or tile < 0:
            return None
        rows = self._pyramid.level(level, tile * _TILE_ROWS)[:_TILE_ROWS]
        return {}, rows.tobytes()

    def _detail(self, message: Mapping[str, Any]) -> tuple[dict[str, Any], bytes] | None:
        """Return (min, max) of ``count`` equal parts of samples ``start`` to ``stop``, finer than level 0."""
        size = len(self.clip)
        start = min(max(int(message["start"]), 0), size)
        stop = min(max(int(message["stop"]), start), size)
        count = min(max(int(message["count"]), 1), _MOST_COLUMNS)
        if stop - start > count * BASE or start == stop:
            return None
        found = np.clip(peaks(self.clip.samples[start:stop], count), -1.0, 1.0) * 127
        rows = np.stack([np.floor(found[:, 0]), np.ceil(found[:, 1])], axis=1).astype(np.int8)
        return {"start": start, "stop": stop, "count": count}, rows.tobytes()

    def _sound(self, message: Mapping[str, Any]) -> tuple[dict[str, Any], bytes] | None:
        """Return a part of the sound as WebM/Opus, and where in the clip, in seconds, its data begin."""
        found = self._parts.get(int(message["part"]))
        return None if found is None else ({"begin": found[0]}, found[1])
