"""`Recorder`: the microphone of the page as a clip in the kernel."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import uuid
from collections.abc import Callable, Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, SupportsFloat

from ..audio import Clip
from ..audio.peaks import BASE, FACTOR
from ..audio.sample_clips import names as sample_names
from ..audio.sample_clips import read as read_sample
from ..errors import ArgumentError, AudioError, MicrophoneError, RtnbError
from ..render.html import line_html
from ..session.event_loop import POLL, Notifier
from .base import anywidget, css, esm, pin_to_subshell, why_delayed
from .base import traitlets as t
from .microphone import CAPTURE_RATE, FLAGS, Capture, capture_info
from .static_recorder import StaticRecorder
from .waveform import SEGMENT_SECONDS, AudioSegments, clip_overview

__all__ = ["Recorder"]

_log = logging.getLogger("rtnb")

_PAGE_TIMEOUT = 15.0
"""Seconds within which a page must report that it shows the recorder, while a cell waits for a clip."""
_REPLY_TIMEOUT = 2.0
"""Seconds within which a page that records must answer a ping."""
_MAX_SECONDS = 3600.0


class Recorder(anywidget.AnyWidget):
    """A recorder in the page: record, pause, play, trim; or upload a file, or have a text spoken.

    Show it in one cell and use ``clip`` in the next. ``await recorder`` and ``recorder.wait()`` return the
    clip when it is recorded, in front ends whose messages arrive while a cell runs (JupyterLab and Notebook 7
    with ipykernel 7.1 or newer).

    Parameters
    ----------
    prompt
        A sentence to show above it, such as what to say.
    device
        The microphone's id or a part of its name; "" is the browser's default.
    echo_cancellation, noise_suppression, auto_gain_control
        The processing that the browser is asked for. What it really does is in ``clip.info``.
    max_seconds
        The recording stops by itself after this time: above 0, at most 3600.
    autostart
        Start recording as soon as a page shows it.
    confirm
        Deliver the clip only when Keep is pressed, after listening and trimming.
    on_chunk
        Called with each chunk as it arrives: PCM16 at 24 kHz, about 40 ms. On another thread.
    on_clip
        Called with each finished clip. On another thread.
    """

    _esm = esm("recorder/recorder")
    _css = css()

    uid = t.Unicode().tag(sync=True)
    state = t.Unicode("idle").tag(sync=True)
    note = t.Unicode("").tag(sync=True)
    error = t.Unicode("").tag(sync=True)
    prompt = t.Unicode("").tag(sync=True)
    take = t.Unicode("").tag(sync=True)
    device = t.Unicode("").tag(sync=True)
    echo_cancellation = t.Bool(True).tag(sync=True)
    noise_suppression = t.Bool(True).tag(sync=True)
    auto_gain_control = t.Bool(True).tag(sync=True)
    max_seconds = t.Float(600.0).tag(sync=True)
    trim_start = t.Float(0.0).tag(sync=True)
    trim_end = t.Float(None, allow_none=True).tag(sync=True)
    samples = t.List(t.Unicode()).tag(sync=True)
    confirm = t.Bool(False).tag(sync=True)

    def __init__(
        self,
        prompt: str = "",
        *,
        device: str = "",
        echo_cancellation: bool = True,
        noise_suppression: bool = True,
        auto_gain_control: bool = True,
        max_seconds: float = 600.0,
        autostart: bool = False,
        confirm: bool = False,
        on_chunk: Callable[[bytes], None] | None = None,
        on_clip: Callable[[Clip], None] | None = None,
    ) -> None:
        self._lock = threading.RLock()
        self._changes = Notifier()
        self._whole: Clip | None = None
        self._static = StaticRecorder(lambda: self.clip)
        self._segments: AudioSegments | None = None
        self._failure: RtnbError | None = None
        self._failure_raised = False
        self._delivered = False
        self._recording: Capture | None = None
        self._messages = 0
        """How many messages about the recording have arrived."""
        self._info: dict[str, Any] = {}
        self._resend_requested = False
        self._upload: tuple[str, dict[int, bytes]] = ("", {})
        self._autostart = autostart
        self._pages: set[str] = set()
        self.on_chunk = on_chunk
        self.on_clip = on_clip
        super().__init__(
            uid=uuid.uuid4().hex,
            prompt=prompt,
            device=device,
            echo_cancellation=echo_cancellation,
            noise_suppression=noise_suppression,
            auto_gain_control=auto_gain_control,
            max_seconds=_check_length(max_seconds),
            confirm=confirm,
            samples=list(sample_names()),
        )
        pin_to_subshell(self)
        self.on_msg(self._on_message)

    @t.validate("max_seconds")
    def _validate_length(self, proposal: dict[str, Any]) -> float:
        return _check_length(proposal["value"])

    # What a user reads and does.

    @property
    def clip(self) -> Clip:
        """The recording at 24 kHz, from ``trim_start`` to ``trim_end``; its ``info`` says how it was made.

        Raises MicrophoneError if the page could not record, AudioError if nothing is recorded yet,
        ArgumentError if the trim leaves nothing.
        """
        whole = self.whole
        start = self.trim_start
        end = whole.seconds if self.trim_end is None else min(self.trim_end, whole.seconds)
        if not 0 <= start < end:
            raise ArgumentError(
                f"expected trim_start < trim_end, in seconds from 0 to {whole.seconds:.2f}, got {start!r} "
                f"and {self.trim_end!r}; to keep all, set trim_start = 0 and trim_end = None"
            )
        if start == 0 and end >= whole.seconds:
            return whole
        trimmed = whole[start:end].with_info(trim=(start, end))
        if clipped := whole.info.get("clipped_samples"):
            trimmed = trimmed.with_info(clipped_samples=min(clipped, trimmed.clipped))
        return trimmed

    @property
    def whole(self) -> Clip:
        """The recording without regard to the trim. Raises as ``clip``."""
        with self._lock:
            if self._recording is not None:
                seconds = self._recording.seconds
                raise AudioError(f"still recording ({seconds:.1f} s so far): press Stop, then read the clip")
            if self._whole is not None:
                return self._whole
            if self._failure is not None:
                raise self._failure
        raise AudioError("nothing is recorded yet: press Record in the cell above, then run this cell again")

    def stop(self) -> None:
        """End a running recording; the clip follows. If its page is gone, the clip is what had arrived."""
        self.send({"type": "stop"})
        with self._lock:
            self._ping_recording_page()

    def wait(self, timeout: float | None = None) -> Clip:
        """Block until something is recorded and return it. ``timeout`` is in seconds.

        Raises MicrophoneError if the page could not record, there is no page, or the timeout has passed.
        Ctrl-C and the notebook's stop button end a running recording.
        """
        started = time.monotonic()
        self._check_delivery()
        try:
            while True:
                seen = self._changes.count
                if (clip := self._result(time.monotonic() - started, timeout)) is not None:
                    return clip
                self._changes.wait(seen, POLL)
        except KeyboardInterrupt:
            self.stop()
            raise

    def __await__(self) -> Generator[Any, None, Clip]:
        return self._wait_async().__await__()

    async def _wait_async(self) -> Clip:
        started = time.monotonic()
        self._check_delivery()
        while True:
            seen = self._changes.count
            if (clip := self._result(time.monotonic() - started, None)) is not None:
                return clip
            try:
                async with asyncio.timeout(POLL):
                    await self._changes.changed(seen)
            except TimeoutError:
                continue

    def _check_delivery(self) -> None:
        """Raise at once if there is no clip yet and no message of a page can arrive while the cell waits."""
        on_main = threading.current_thread() is threading.main_thread()
        if not self._delivered and on_main and (reason := why_delayed()):
            raise MicrophoneError(f"{reason}: show the recorder in one cell, and read its clip in the next")

    def _result(self, waited: float, timeout: float | None) -> Clip | None:
        """Return the clip if there is one, None if waiting makes sense; else raise why not."""
        with self._lock:
            if self._failure is not None and not self._failure_raised:
                self._failure_raised = True
                raise self._failure
            if self._delivered and self._recording is None and self.state != "working":
                return self.clip
            if not self._pages and waited > _PAGE_TIMEOUT:
                raise MicrophoneError(
                    f"no page has shown the recorder within {_PAGE_TIMEOUT:g} s, and only a page has a "
                    "microphone. If messages from the page arrive only between cells, show the recorder in "
                    "one cell and read its clip in the next"
                )
        if timeout is not None and waited >= timeout:
            raise MicrophoneError(f"nothing was recorded within {timeout:g} s")
        return None

    def __repr__(self) -> str:
        if self._whole is not None and self._recording is None:
            return f"<Recorder, {self.state}: {self._whole!r}>"
        return f"<Recorder, {self.state}{': ' + self.error if self.error else ''}>"

    def __clip__(self) -> Clip:
        """Return the clip, for functions that accept any audio."""
        return self.clip

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle: Any = super()._repr_mimebundle_(**kwargs)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        # Shown without a kernel, or without support for widgets.
        data["text/html"] = line_html("A recorder: run the cell in JupyterLab or Notebook 7 to record.")
        data["text/plain"] = repr(self)
        return data, metadata

    def _ipython_display_(self) -> None:
        """Show it, and after it an output for the clip, which is all that a saved notebook keeps."""
        from ..notebook.display import OutputCell

        OutputCell(self._repr_mimebundle_()[0])
        self._static.show()

    @t.observe("trim_start", "trim_end")
    def _on_trim(self, _: Any) -> None:
        self._static.schedule()

    # Messages of the page. Handlers run on a shell's thread, where an exception would show up nowhere.

    def _on_message(self, _: Any, message: dict[str, Any], buffers: list[Any]) -> None:
        with self._lock:
            self._guard(lambda: self._handle(message, [bytes(buffer) for buffer in buffers or []]))

    def _guard(self, work: Callable[[], None]) -> None:
        """Do what a page or a timer requires, and show an exception in the page instead of raising it."""
        try:
            work()
        except RtnbError as error:
            self._fail(error)
        except Exception:
            _log.exception("the recorder failed to handle a message of its page")
            self._fail(AudioError("the page sent something unexpected: record again"))

    def _handle(self, message: dict[str, Any], buffers: list[bytes]) -> None:
        kind = message.get("type")
        if kind == "hello":
            self._welcome(str(message["id"]), message["take"])
        elif kind == "stop_elsewhere":
            self.stop()
        elif kind == "segment":
            self._send_segment(str(message["take"]), int(message["segment"]))
        elif kind == "start":
            self._started(message["take"], dict(message["info"]))
        elif kind == "problem":
            self._fail(MicrophoneError(str(message["text"])))
        elif kind == "upload":
            self._receive_upload(message, buffers[0])
        elif kind == "keep" and self._whole is not None:
            self.error = ""
            self._deliver()
        elif kind == "sample":
            self._make_clip("Reading …", lambda: read_sample(str(message["name"])))
        elif kind == "speak":
            self._make_clip("Speaking …", lambda: _speak(str(message["text"])))
        elif self._recording is not None and message.get("take") == self._recording.take:
            self._messages += 1
            if kind == "chunk":
                self._add_chunk(self._recording, int(message["seq"]), buffers[0])
            elif kind == "stop":
                self._stopped(self._recording, int(message["chunks"]))
            elif kind in ("pause", "resume"):
                self.state = "paused" if kind == "pause" else "recording"
        elif kind == "chunk":  # of a recording that was given up
            self.send({"type": "stop", "take": message.get("take")})

    def _welcome(self, id: str, take: str) -> None:
        self.send({"type": "welcome"})
        if id in self._pages:  # a page repeats its hello until it is answered
            return
        self._pages.add(id)
        self._ping_recording_page()
        if self._autostart:
            self._autostart = False
            self.send({"type": "record", "page": id})
        elif self._whole is not None and self._recording is None and take != self.take:
            self._send_overview(self._whole)

    def _ping_recording_page(self) -> None:
        """Ping the page that records. If it sends nothing, it is gone: finish the recording."""
        if (recording := self._recording) is None:
            return
        messages = self._messages
        self.send({"type": "ping", "take": recording.take})

        def check() -> None:
            with self._lock:
                if self._recording is recording and self._messages == messages:
                    self._info["cut_off"] = True
                    self._guard(lambda: self._finish(recording))

        timer = threading.Timer(_REPLY_TIMEOUT, check)
        timer.daemon = True
        timer.start()

    def _started(self, take: str, info: dict[str, Any]) -> None:
        self._recording = Capture(take, int(info["rate"]))
        self._resend_requested = False
        self._failure, self._delivered = None, False
        self._info = {
            "source": "microphone",
            **capture_info(info),
            "recorded": datetime.now(UTC).isoformat(timespec="seconds"),
            "requested": {name: getattr(self, name) for name in FLAGS},
        }
        self.take, self.error, self.state = take, "", "recording"
        self.trim_start, self.trim_end = 0.0, None

    def _add_chunk(self, recording: Capture, seq: int, data: bytes) -> None:
        pcm = recording.add(seq, data)
        if not pcm or self.on_chunk is None:
            return
        try:
            self.on_chunk(pcm)
        except Exception as error:
            if not self.error:  # it may fail 25 times a second
                _log.exception("on_chunk failed")
                self.error = f"{_describe('on_chunk', error)}; the recording continues"

    def _stopped(self, recording: Capture, count: int) -> None:
        missing = recording.missing(count)
        if missing and not self._resend_requested:
            self._resend_requested = True
            self.send({"type": "resend", "take": recording.take, "seqs": missing})
            return
        if missing:
            self._info["lost_chunks"] = len(missing)
        self._finish(recording)

    def _finish(self, recording: Capture) -> None:
        """Make a clip of what has arrived of a recording."""
        self._recording = None
        if not recording.seconds:
            self.state = "idle"
            if self._whole is not None:  # the earlier recording stays
                self.take, self._delivered = uuid.uuid4().hex, not self.confirm
                self._send_overview(self._whole)
            raise AudioError("the recording is empty: record again, a little longer")
        self._set_clip(recording.clip(self._info))

    def _receive_upload(self, message: dict[str, Any], data: bytes) -> None:
        if self._upload[0] != message["id"]:
            self._upload = (message["id"], {})
        parts = self._upload[1]
        parts[int(message["part"])] = data
        if len(parts) < int(message["parts"]):
            return
        self._upload = ("", {})
        file = b"".join(parts[part] for part in sorted(parts))
        name, limit = str(message["name"]), self.max_seconds

        def read() -> Clip:
            clip = Clip.read(file, rate=CAPTURE_RATE, max_seconds=limit)
            if not len(clip):
                raise AudioError(f"{name!r} contains no audio: choose another file")
            return clip.with_info(source="file", file=Path(name).name)

        self._make_clip("Reading …", read)

    def _make_clip(self, note: str, work: Callable[[], Clip]) -> None:
        """Make a clip on a thread of its own, so that neither the page nor the kernel waits for it."""
        self.note, self.error, self.state = note, "", "working"
        self._failure = None

        def run() -> None:
            try:
                clip = work()
                with self._lock:
                    self.take = uuid.uuid4().hex
                    self.trim_start, self.trim_end = 0.0, None
                    self._set_clip(clip)
            except RtnbError as error:
                self._fail(error)
            except Exception as error:
                _log.exception("the recorder could not make its clip")
                self._fail(AudioError(f"the clip could not be made ({type(error).__name__}: {error})"))

        threading.Thread(target=run, name="rtnb-recorder", daemon=True).start()

    # The clip.

    def _set_clip(self, clip: Clip) -> None:
        self._whole, self._segments, self._failure = clip, AudioSegments(clip), None
        clipped = clip.info.get("clipped_samples", 0)
        self.note = f"Too loud: {clipped:,} samples were clipped" if clipped else ""
        self.state = "done"
        self._send_overview(clip)
        self._static.schedule()
        self._delivered = False
        if not self.confirm:
            self._deliver()

    def _deliver(self) -> None:
        """Hand the clip to ``on_clip`` and to what waits for it."""
        self._delivered = True
        try:
            if self.on_clip is not None:
                self.on_clip(self.clip)
        except RtnbError as error:
            self._fail(error)
        except Exception as error:
            _log.exception("on_clip failed")
            self._fail(AudioError(f"{_describe('on_clip', error)}; the clip is not lost: read recorder.clip"))
        self._changes.fire()

    def _send_overview(self, clip: Clip) -> None:
        """Send the waveform of a clip; pages that recorded it have it already."""
        pyramid, level = clip_overview(clip)
        row = BASE * FACTOR**level / clip.rate
        message = {
            "type": "clip",
            "take": self.take,
            "seconds": clip.seconds,
            "row": row,
            "segment_seconds": SEGMENT_SECONDS,
        }
        self.send(message, [pyramid.level(level).tobytes()])

    def _send_segment(self, take: str, segment: int) -> None:
        """Send a segment of the audio to a page that plays it."""
        if self._segments is None or take != self.take:
            return
        if (found := self._segments.get(segment)) is not None:
            begin, data = found
            self.send({"type": "segment", "take": take, "segment": segment, "begin": begin}, [data])

    def _fail(self, failure: RtnbError) -> None:
        with self._lock:
            self._failure, self._failure_raised = failure, False
            self.error, self.note = str(failure), ""
            if self._recording is None:
                self.state = "error" if self._whole is None else "done"
            self._changes.fire()


def _check_length(seconds: Any) -> float:
    if isinstance(seconds, SupportsFloat) and 0 < float(seconds) <= _MAX_SECONDS:
        return float(seconds)
    raise ArgumentError(f"max_seconds must be a number above 0 and at most {_MAX_SECONDS:g}, got {seconds!r}")


def _describe(name: str, error: Exception) -> str:
    """Return how a user's function failed, as a clause."""
    return f"{name} failed ({type(error).__name__}: {error})"


def _speak(text: str) -> Clip:
    from ..notebook.text_to_speech import speak

    return speak(text)
