"""ipywebrtc as a source: what its recorders recorded, and what any of its streams carries, as a clip.

ipywebrtc hands over one file when a recording stops (WebM or MP4, Opus at 48 kHz), so this is for clips; for
sound as it is spoken there are ``rtnb.Recorder`` and ``Session.talk``.
"""

from __future__ import annotations

import time
from typing import Any

from ..audio import Clip
from ..errors import ArgumentError, AudioError, MicrophoneError, MissingPackageError
from .base import pin

__all__ = ["StreamRecording", "clip_from", "record"]

_POLL = 0.05
_PATIENCE = 15.0
"""Seconds that the page may take to hand over a recording after its end."""


def clip_from(thing: Any, *, seconds: float | None = None) -> Clip:
    """Return the sound of an ipywebrtc recorder or stream.

    ``thing`` is an ``AudioRecorder`` or ``VideoRecorder`` that has recorded, an ``Audio`` or ``Video`` widget
    that holds a file, or a ``MediaStream`` of any kind, of which the next ``seconds`` are recorded. That
    blocks, and needs a front end that hears the page while a cell runs (JupyterLab and Notebook 7); elsewhere
    take ``record`` in one cell and its ``stop`` in another.

    Raises ArgumentError for anything else, AudioError where nothing is recorded or nothing can be read,
    MicrophoneError where the page does not answer.
    """
    data = _file_of(thing)
    if data is not None:
        if not data:
            raise AudioError(
                "the recorder has recorded nothing yet: press its button, and again to stop, then run this "
                "cell. Its format must be 'webm' or 'mp4', since browsers give no sound for 'ogg'"
            )
        return Clip.read(data).with_info(source="ipywebrtc", widget=type(thing).__name__)
    if not hasattr(thing, "_model_module"):
        raise ArgumentError(f"a recorder or a stream of ipywebrtc is needed, not {type(thing).__name__}")
    if seconds is None or seconds <= 0:
        raise ArgumentError("of a stream the seconds to record are needed: clip_from(stream, seconds=5)")
    recording = record(thing)
    try:
        time.sleep(seconds)
    finally:
        clip = recording.stop()
    return clip


def record(stream: Any) -> StreamRecording:
    """Begin to record a stream of ipywebrtc; ``stop`` of what is returned ends it and gives the clip.

    Raises ArgumentError where it is no stream, MissingPackageError where ipywebrtc is not installed.
    """
    try:
        import ipywebrtc
    except ImportError:
        raise MissingPackageError("ipywebrtc", "recording its streams", "lab") from None
    if not isinstance(stream, ipywebrtc.MediaStream):
        raise ArgumentError(f"a stream of ipywebrtc is needed, not {type(stream).__name__}")
    return StreamRecording(ipywebrtc.AudioRecorder(stream=stream, format="webm"))


class StreamRecording:
    """A stream that is being recorded, from when it was made until ``stop``."""

    def __init__(self, recorder: Any) -> None:
        self._recorder = recorder
        pin(recorder)
        pin(recorder.audio)
        recorder.recording = True

    def stop(self, timeout: float = _PATIENCE) -> Clip:
        """End the recording and return it; a second time, the same again.

        Raises MicrophoneError where the page hands nothing over within ``timeout`` seconds.
        """
        self._recorder.recording = False
        end = time.monotonic() + timeout
        while not len(self._recorder.audio.value):
            if time.monotonic() > end:
                raise MicrophoneError(
                    f"the page handed over no recording within {timeout:g} s: may it use the stream? Where "
                    "the page is heard only between cells, call stop again in the next one"
                )
            time.sleep(_POLL)
        return clip_from(self._recorder)


def _file_of(thing: Any) -> bytes | None:
    """Return the file that a widget holds, b"" where it holds none yet, None where it is no such widget."""
    for holder in (getattr(thing, "audio", None), getattr(thing, "video", None), thing):
        value = getattr(holder, "value", None)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return bytes(value)
    return None
