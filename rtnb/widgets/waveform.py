"""`Waveform`: a recording of any length to view, zoom and play, without raw samples in the page."""

from __future__ import annotations

import io
import threading
import uuid
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from htpy import div, img, small

from ..audio import Clip
from ..audio.peaks import BASE, FACTOR, Peaks, peaks
from ..audio.samples import as_number
from ..formatting import duration, peak_level
from ..render.audio_player import clip_html, waveform_svg
from ..render.html import data_uri, markup
from .base import anywidget, css, esm, pin_to_subshell, traitlets

__all__ = ["SEGMENT_SECONDS", "AudioSegments", "Waveform", "clip_overview"]

SEGMENT_SECONDS = 5.0
_OVERVIEW_ROWS = 1024
# Extra audio before and after a segment, since Opus needs a moment to settle; the page cuts it off.
_MARGIN_SECONDS = 0.08
_ENCODED_RATE = 24_000
_CACHE_SIZE = 16


class AudioSegments:
    """A clip as WebM/Opus in segments of 5 s; the most recently requested ones are cached."""

    def __init__(self, clip: Clip) -> None:
        self._clip = clip
        self._encoded: OrderedDict[int, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, segment: int) -> tuple[float, bytes] | None:
        """Return where a segment's data begin, in seconds of the clip, and the data; None past the end."""
        start = segment * SEGMENT_SECONDS
        if not 0 <= start < self._clip.seconds:
            return None
        begin = max(0.0, start - _MARGIN_SECONDS)
        with self._lock:
            data = self._encoded.pop(segment, None)
            if data is None:
                data = _webm(self._clip[begin : start + SEGMENT_SECONDS + _MARGIN_SECONDS])
            self._encoded[segment] = data
            while len(self._encoded) > _CACHE_SIZE:
                self._encoded.popitem(last=False)
        return begin, data


def _webm(piece: Clip) -> bytes:
    """Return Opus in its low-delay mode, which carries little state: so segments join without a click."""
    import av

    samples = np.clip(piece.resample(_ENCODED_RATE).samples, -1.0, 1.0).reshape(1, -1)
    buffer = io.BytesIO()
    with av.open(buffer, mode="w", format="webm") as out:
        stream = out.add_stream("libopus", rate=_ENCODED_RATE, options={"application": "lowdelay"})
        stream.codec_context.layout = "mono"
        stream.codec_context.bit_rate = 48_000
        frame = av.AudioFrame.from_ndarray(samples, format="flt", layout="mono")
        frame.sample_rate = _ENCODED_RATE
        frame.pts = 0
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return buffer.getvalue()


def clip_overview(clip: Clip) -> tuple[Peaks, int]:
    """Return a clip's peak pyramid, complete to its last row, and the level of its overview, a few kB."""
    level = 0
    while len(clip) // (BASE * FACTOR ** (level + 1)) >= _OVERVIEW_ROWS:
        level += 1
    pyramid = Peaks(clip.samples)
    span = BASE * FACTOR**level
    # Only full rows can be read, so the last one is filled up with silence.
    pyramid.append(np.zeros(-len(clip) % span, np.float32))
    return pyramid, level


_TILE_ROWS = 2048
_MAX_COLUMNS = 8192
_STATIC_SECONDS = 60.0
_STATIC_COLUMNS = 240


class Waveform(anywidget.AnyWidget):
    """A live waveform of a clip: zoom, scroll, click to seek, play at 0.5 to 2 times its speed.

    The page requests what it shows: rows of the peak pyramid (the overview of an hour is 3 kB), and 5 s
    segments of Opus around the playhead. A saved notebook keeps the clip's static form, which includes the
    audio of clips up to 60 s.

    Parameters
    ----------
    clip
        A `Clip`, or anything that `Clip.of` accepts: a path, the bytes of a sound file, an ``(array, rate)``
        pair.
    title
        Text before the length, such as a name.

    Attributes
    ----------
    position
        The playhead's position in seconds, 0 to `seconds`. The page sets it when the reader seeks or pauses;
        setting it moves the page's playhead.

    Raises
    ------
    AudioError
        The audio cannot be read.
    MissingPackageError
        anywidget is not installed.
    """

    _esm = esm("waveform/waveform")
    _css = css()
    uid = traitlets.Unicode().tag(sync=True)
    title = traitlets.Unicode().tag(sync=True)
    description = traitlets.Unicode().tag(sync=True)
    seconds = traitlets.Float().tag(sync=True)
    rate = traitlets.Int().tag(sync=True)
    overview = traitlets.Bytes().tag(sync=True)
    overview_level = traitlets.Int().tag(sync=True)
    shape = traitlets.Dict().tag(sync=True)
    position = traitlets.Float(0.0).tag(sync=True)

    def __init__(self, clip: Any, *, title: str = "") -> None:
        self.clip = Clip.of(clip)
        pyramid, level = clip_overview(self.clip)
        self._pyramid = pyramid
        self._segments = AudioSegments(self.clip)
        kind = f"{self.clip.rate / 1000:g} kHz · {peak_level(self.clip.peak_db)}"
        super().__init__(
            uid=uuid.uuid4().hex,
            title=title,
            description=f"{duration(self.clip.seconds)} · {kind}",
            seconds=self.clip.seconds,
            rate=self.clip.rate,
            overview=pyramid.level(level).tobytes(),
            overview_level=level,
            shape={"base": BASE, "factor": FACTOR, "tile": _TILE_ROWS, "segment": SEGMENT_SECONDS},
        )
        self.on_msg(self._on_message)
        pin_to_subshell(self)

    @traitlets.validate("position")
    def _validate_position(self, proposal: Mapping[str, Any]) -> float:
        return min(as_number(proposal["value"], "position, in seconds,", 0), self.clip.seconds)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is not None:
            bundle[0]["text/html"] = self._static()
        return bundle

    def __repr__(self) -> str:
        return f"Waveform({self.clip!r})"

    def _static(self) -> str:
        """Return the HTML that a saved notebook keeps; compressing a long clip would delay the cell."""
        if self.clip.seconds <= _STATIC_SECONDS:
            return clip_html(self.clip)
        columns = self._pyramid.draw(_STATIC_COLUMNS, 0, len(self.clip))
        picture = data_uri(waveform_svg(columns.ravel(), self.clip.rate).encode(), "image/svg+xml")
        alt = f"Waveform of {duration(self.clip.seconds)} of audio"
        image = div[img(src=picture, alt=alt, style="max-width:100%")]
        return markup(div[image, div[small[self.description]]])

    # Requests of the page.

    def _on_message(self, widget: Any, message: Mapping[str, Any], buffers: Sequence[Any]) -> None:
        handlers = {"rows": self._rows, "detail": self._detail, "segment": self._segment}
        handler = handlers.get(message.get("type", ""))
        answer = None if handler is None else handler(message)
        if answer is not None:
            self.send({**message, **answer[0]}, buffers=[answer[1]])

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
        count = min(max(int(message["count"]), 1), _MAX_COLUMNS)
        if stop - start > count * BASE or start == stop:
            return None
        found = np.clip(peaks(self.clip.samples[start:stop], count), -1.0, 1.0) * 127
        rows = np.stack([np.floor(found[:, 0]), np.ceil(found[:, 1])], axis=1).astype(np.int8)
        return {"start": start, "stop": stop, "count": count}, rows.tobytes()

    def _segment(self, message: Mapping[str, Any]) -> tuple[dict[str, Any], bytes] | None:
        """Return a segment of the audio as WebM/Opus, and where its data begin, in seconds of the clip."""
        found = self._segments.get(int(message["segment"]))
        return None if found is None else ({"begin": found[0]}, found[1])
