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
from .base import anywidget, css, esm, pin, unheard
from .base import traitlets as t
from .microphone import CAPTURE_RATE, FLAGS, Capture, captured
from .static_recorder import StaticRecorder
from .waveform import PART_SECONDS, SoundParts, first_picture

__all__ = ["Recorder"]

_log = logging.getLogger("rtnb")

_GREETING = 15.0
"""Seconds within which a page that shows the recorder has said so, while a cell waits for it."""
_PATIENCE = 2.0
"""Seconds that a page which records may be silent after it was asked for a word."""
_LONGEST = 3600.0


class Recorder(anywidget.AnyWidget):
    """A recorder in the page: record, pause, listen, trim; or upload a file, or let a text be spoken.

    Show it in one cell and use ``clip`` in the next. ``await recorder`` and ``recorder.wait()`` return the
    clip when it is recorded, in front ends that hear the page while a cell runs (JupyterLab and Notebook 7
    with ipykernel 7.1 or newer).

    Parameters
    ----------
    prompt
        A sentence to show above it, such as what to say.
    device
        The microphone's id or a part of its name; "" is the browser's own choice.
    echo_cancellation, noise_suppression, auto_gain_control
        What the browser is asked to do to the sound. What it really did is in ``clip.info``.
    max_seconds
        The recording stops by itself then: above 0, at most 3600.
    autostart
        Begin as soon as a page shows it.
    confirm
        Whoever waits gets the clip only when Keep is pressed, after listening and trimming.
    on_chunk
        Called with each chunk as it arrives: PCM16 at 24 kHz, about 40 ms. On another thread.
    on_clip
        Called with each clip when it is whole. On another thread.
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
        self._signal = Notifier()
        self._whole: Clip | None = None
        self._still = StaticRecorder(lambda: self.clip)
        self._parts: SoundParts | None = None
        self._failure: RtnbError | None = None
        self._told = False
        self._kept = False
        self._recording: Capture | None = None
        self._heard = 0
        self._info: dict[str, Any] = {}
        self._asked_again = False
        self._upload: tuple[str, dict[int, bytes]] = ("", {})
        self._begin = autostart
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
            max_seconds=_length(max_seconds),
            confirm=confirm,
            samples=list(sample_names()),
        )
        pin(self)
        self.on_msg(self._hear)

    @t.validate("max_seconds")
    def _within(self, proposal: dict[str, Any]) -> float:
        return _length(proposal["value"])

    # What a user reads.

    @property
    def clip(self) -> Clip:
        """What was recorded, at 24 kHz, from ``trim_start`` to ``trim_end``; its ``info`` says how.

        Raises MicrophoneError where the page could not record, AudioError while nothing is recorded,
        ArgumentError where the ends of trim leave nothing.
        """
        whole = self.whole
        start = self.trim_start
        end = whole.seconds if self.trim_end is None else min(self.trim_end, whole.seconds)
        if not 0 <= start < end:
            raise ArgumentError(
                f"trim_start and trim_end are seconds from 0 to {whole.seconds:.2f}, the first below the "
                f"second, not {start!r} and {self.trim_end!r}: trim_start = 0 and trim_end = None keep all"
            )
        if start == 0 and end >= whole.seconds:
            return whole
        cut = whole[start:end].with_info(trim=(start, end))
        if clipped := whole.info.get("clipped_samples"):
            cut = cut.with_info(clipped_samples=min(clipped, cut.clipped))
        return cut

    @property
    def whole(self) -> Clip:
        """What was recorded, without regard to trim. Raises as ``clip``."""
        with self._lock:
            if self._recording is not None:
                so_far = f"{self._recording.seconds:.1f} s so far"
                raise AudioError(f"it is still recording ({so_far}): press Stop, then ask again")
            if self._whole is not None:
                return self._whole
            if self._failure is not None:
                raise self._failure
        raise AudioError("nothing is recorded yet: press Record in the cell above, then run this cell again")

    def stop(self) -> None:
        """End a recording that runs; the clip follows. Of a page that is gone it is what had arrived."""
        self.send({"type": "stop"})
        with self._lock:
            self._ask_for_a_word()

    def wait(self, timeout: float | None = None) -> Clip:
        """Block until something is recorded and return it. ``timeout`` in seconds.

        Raises MicrophoneError where the page could not record, no page is there, or the time is over. Ctrl-C
        and the notebook's stop button end a recording that runs.
        """
        began = time.monotonic()
        self._look_for_a_page()
        try:
            while True:
                seen = self._signal.count
                if (clip := self._settled(time.monotonic() - began, timeout)) is not None:
                    return clip
                self._signal.wait(seen, POLL)
        except KeyboardInterrupt:
            self.stop()
            raise

    def __await__(self) -> Generator[Any, None, Clip]:
        return self._wait_async().__await__()

    async def _wait_async(self) -> Clip:
        began = time.monotonic()
        self._look_for_a_page()
        while True:
            seen = self._signal.count
            if (clip := self._settled(time.monotonic() - began, None)) is not None:
                return clip
            try:
                async with asyncio.timeout(POLL):
                    await self._signal.changed(seen)
            except TimeoutError:
                continue

    def _look_for_a_page(self) -> None:
        """Raise at once where nothing is there yet and no page can say anything while the cell waits."""
        if not self._kept and threading.current_thread() is threading.main_thread() and (why := unheard()):
            raise MicrophoneError(f"{why}: show the recorder in one cell, and read its clip in the next")

    def _settled(self, waited: float, timeout: float | None) -> Clip | None:
        """Return the clip if there is one, None if it is worth waiting on; raise what stands against it."""
        with self._lock:
            if self._failure is not None and not self._told:
                self._told = True
                raise self._failure
            if self._kept and self._recording is None and self.state != "working":
                return self.clip
            if not self._pages and waited > _GREETING:
                raise MicrophoneError(
                    f"no page has shown the recorder within {_GREETING:g} s, and without a page there is no "
                    "microphone. Where the page is heard only between cells, show the recorder in one cell "
                    "and read its clip in the next"
                )
        if timeout is not None and waited >= timeout:
            raise MicrophoneError(f"nothing was recorded within {timeout:g} s")
        return None

    def __repr__(self) -> str:
        if self._whole is not None and self._recording is None:
            return f"<Recorder, {self.state}: {self._whole!r}>"
        return f"<Recorder, {self.state}{': ' + self.error if self.error else ''}>"

    def __clip__(self) -> Clip:
        """Be sound wherever a clip is asked for."""
        return self.clip

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle: Any = super()._repr_mimebundle_(**kwargs)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        # What is left where there is no kernel, or no widgets.
        data["text/html"] = line_html("A recorder: run the cell in JupyterLab or Notebook 7 to record.")
        data["text/plain"] = repr(self)
        return data, metadata

    def _ipython_display_(self) -> None:
        """Show it, and after it an output for the clip: all that a saved notebook has of a widget."""
        from ..notebook.display import OutputCell

        OutputCell(self._repr_mimebundle_()[0])
        self._still.show()

    @t.observe("trim_start", "trim_end")
    def _trimmed(self, _: Any) -> None:
        self._still.soon()

    # What the page says. Handlers run on a shell's thread, and what they raise would show up nowhere.

    def _hear(self, _: Any, message: dict[str, Any], buffers: list[Any]) -> None:
        with self._lock:
            self._attempt(lambda: self._handle(message, [bytes(buffer) for buffer in buffers or []]))

    def _attempt(self, work: Callable[[], None]) -> None:
        """Do what a page or a clock has asked for, neither of which can be told: what is raised is shown."""
        try:
            work()
        except RtnbError as error:
            self._fail(error)
        except Exception:
            _log.exception("the recorder did not understand its page")
            self._fail(AudioError("the recording was not understood: record again"))

    def _handle(self, message: dict[str, Any], buffers: list[bytes]) -> None:
        kind = message.get("type")
        if kind == "hello":
            self._greet(str(message["id"]), message["take"])
        elif kind == "end":
            self.stop()
        elif kind == "part":
            self._give_part(str(message["take"]), int(message["part"]))
        elif kind == "start":
            self._started(message["take"], dict(message["info"]))
        elif kind == "problem":
            self._fail(MicrophoneError(str(message["text"])))
        elif kind == "upload":
            self._uploaded(message, buffers[0])
        elif kind == "keep" and self._whole is not None:
            self.error = ""
            self._give()
        elif kind == "sample":
            self._make("Reading …", lambda: read_sample(str(message["name"])))
        elif kind == "say":
            self._make("Speaking …", lambda: _spoken(str(message["text"])))
        elif self._recording is not None and message.get("take") == self._recording.take:
            self._heard += 1
            if kind == "chunk":
                self._chunk(self._recording, int(message["seq"]), buffers[0])
            elif kind == "stop":
                self._stopped(self._recording, int(message["chunks"]))
            elif kind in ("pause", "resume"):
                self.state = "paused" if kind == "pause" else "recording"
        elif kind == "chunk":
            self.send({"type": "stop", "take": message.get("take")})  # that take is over: listen no longer

    def _greet(self, id: str, take: str) -> None:
        self.send({"type": "welcome"})
        if id in self._pages:  # it says so until it is answered
            return
        self._pages.add(id)
        self._ask_for_a_word()
        if self._begin:
            self._begin = False
            self.send({"type": "begin", "page": id})
        elif self._whole is not None and self._recording is None and take != self.take:
            self._show(self._whole)

    def _ask_for_a_word(self) -> None:
        """Ask the page that records to say something; one that says nothing was closed or loaded again."""
        if (recording := self._recording) is None:
            return
        heard = self._heard
        self.send({"type": "ask", "take": recording.take})

        def give_up() -> None:
            with self._lock:
                if self._recording is recording and self._heard == heard:
                    self._info["cut_off"] = True
                    self._attempt(lambda: self._finish(recording))

        timer = threading.Timer(_PATIENCE, give_up)
        timer.daemon = True
        timer.start()

    def _started(self, take: str, info: dict[str, Any]) -> None:
        self._recording = Capture(take, int(info["rate"]))
        self._asked_again = False
        self._failure, self._kept = None, False
        self._info = {
            "source": "microphone",
            **captured(info),
            "recorded": datetime.now(UTC).isoformat(timespec="seconds"),
            "asked": {name: getattr(self, name) for name in FLAGS},
        }
        self.take, self.error, self.state = take, "", "recording"
        self.trim_start, self.trim_end = 0.0, None

    def _chunk(self, recording: Capture, seq: int, data: bytes) -> None:
        fresh = recording.add(seq, data)
        if not fresh or self.on_chunk is None:
            return
        try:
            self.on_chunk(fresh)
        except Exception as error:
            if not self.error:  # it may well fail 25 times a second
                _log.exception("on_chunk failed")
                self.error = f"{_failed('on_chunk', error)}: the recording goes on"

    def _stopped(self, recording: Capture, count: int) -> None:
        missing = recording.missing(count)
        if missing and not self._asked_again:
            self._asked_again = True
            self.send({"type": "again", "take": recording.take, "seqs": missing})
            return
        if missing:
            self._info["lost_chunks"] = len(missing)
        self._finish(recording)

    def _finish(self, recording: Capture) -> None:
        """Make a clip of what has arrived of a take."""
        self._recording = None
        if not recording.seconds:
            self.state = "idle"
            if self._whole is not None:  # which nothing has replaced
                self.take, self._kept = uuid.uuid4().hex, not self.confirm
                self._show(self._whole)
            raise AudioError("the recording is empty: record again, a little longer")
        self._keep(recording.clip(self._info))

    def _uploaded(self, message: dict[str, Any], data: bytes) -> None:
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
                raise AudioError(f"there is no sound in {name!r}")
            return clip.with_info(source="file", file=Path(name).name)

        self._make("Reading …", read)

    def _make(self, note: str, work: Callable[[], Clip]) -> None:
        """Make a clip on a thread of its own: neither the page nor the kernel waits for it."""
        self.note, self.error, self.state = note, "", "working"
        self._failure = None

        def run() -> None:
            try:
                clip = work()
                with self._lock:
                    self.take = uuid.uuid4().hex
                    self.trim_start, self.trim_end = 0.0, None
                    self._keep(clip)
            except RtnbError as error:
                self._fail(error)
            except Exception as error:
                _log.exception("the recorder could not make its clip")
                self._fail(AudioError(f"it did not work: {error}"))

        threading.Thread(target=run, name="rtnb-recorder", daemon=True).start()

    def _keep(self, clip: Clip) -> None:
        self._whole, self._parts, self._failure = clip, SoundParts(clip), None
        clipped = clip.info.get("clipped_samples", 0)
        self.note = f"Too loud: {clipped:,} samples of it were cut off" if clipped else ""
        self.state = "done"
        self._show(clip)
        self._still.soon()
        self._kept = False
        if not self.confirm:
            self._give()

    def _give(self) -> None:
        """Hand the clip to whoever asked for it."""
        self._kept = True
        try:
            if self.on_clip is not None:
                self.on_clip(self.clip)
        except RtnbError as error:
            self._fail(error)
        except Exception as error:
            _log.exception("on_clip failed")
            self._fail(AudioError(f"{_failed('on_clip', error)}: the clip is kept, read it as clip"))
        self._signal.fire()

    def _show(self, clip: Clip) -> None:
        """Send the picture of a clip; pages that have the take itself have no need of it."""
        pyramid, level = first_picture(clip)
        row = BASE * FACTOR**level / clip.rate
        head = {"type": "sound", "take": self.take, "seconds": clip.seconds, "row": row, "part": PART_SECONDS}
        self.send(head, [pyramid.level(level).tobytes()])

    def _give_part(self, take: str, part: int) -> None:
        """Send a part of the sound to who wants to hear it."""
        if self._parts is not None and take == self.take and (found := self._parts.get(part)) is not None:
            self.send({"type": "part", "take": take, "part": part, "begin": found[0]}, [found[1]])

    def _fail(self, failure: RtnbError) -> None:
        with self._lock:
            self._failure, self._told = failure, False
            self.error, self.note = str(failure), ""
            if self._recording is None:
                self.state = "error" if self._whole is None else "done"
            self._signal.fire()


def _length(seconds: Any) -> float:
    if isinstance(seconds, SupportsFloat) and 0 < float(seconds) <= _LONGEST:
        return float(seconds)
    raise ArgumentError(f"max_seconds is a number above 0 and at most {_LONGEST:g}, not {seconds!r}")


def _failed(name: str, error: Exception) -> str:
    """Return how a function of the user's failed, as a clause."""
    return f"{name} failed ({type(error).__name__}: {error})"


def _spoken(text: str) -> Clip:
    from ..notebook.text_to_speech import speak

    return speak(text)
