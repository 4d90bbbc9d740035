"""ipywebrtc as a source: what its recorders recorded, and the audio of any of its streams, as a clip.

ipywebrtc delivers one file when a recording stops (WebM or MP4, Opus at 48 kHz), so this is for clips. For
live audio use ``rtnb.Recorder`` or ``Session.talk``.
"""

from __future__ import annotations

import time
from typing import Any

from ..audio import Clip
from ..errors import ArgumentError, AudioError, MicrophoneError, MissingPackageError
from .base import pin_to_subshell

__all__ = ["StreamRecording", "clip_from", "record"]

_POLL_SECONDS = 0.05
_DELIVERY_TIMEOUT = 15.0
"""Seconds that the page may take to deliver a recording after it stopped."""


def clip_from(source: Any, *, seconds: float | None = None) -> Clip:
    """Return the audio of an ipywebrtc recorder or stream.

    ``source`` is an ``AudioRecorder`` or ``VideoRecorder`` that has recorded, an ``Audio`` or ``Video``
    widget that holds a file, or a ``MediaStream`` of any kind, of which the next ``seconds`` are recorded.
    That blocks, and needs a front end whose messages arrive while a cell runs (JupyterLab and Notebook 7);
    elsewhere use ``record`` in one cell and its ``stop`` in another.

    Raises ArgumentError for anything else, AudioError if nothing was recorded or the file cannot be read,
    MicrophoneError if the page does not answer.
    """
    data = _file_of(source)
    if data is not None:
        if not data:
            raise AudioError(
                "the recorder has recorded nothing yet: press its button, and again to stop, then run this "
                "cell. Its format must be 'webm' or 'mp4', since browsers deliver no audio for 'ogg'"
            )
        return Clip.read(data).with_info(source="ipywebrtc", widget=type(source).__name__)
    if not hasattr(source, "_model_module"):
        raise ArgumentError(f"clip_from() expects an ipywebrtc recorder or stream, got {_type_of(source)}")
    if seconds is None or seconds <= 0:
        raise ArgumentError("seconds= is required for a stream, and above 0: clip_from(stream, seconds=5)")
    recording = record(source)
    try:
        time.sleep(seconds)
    finally:
        clip = recording.stop()
    return clip


def record(stream: Any) -> StreamRecording:
    """Start to record a stream of ipywebrtc; ``stop()`` of the result ends this and returns the clip.

    Raises ArgumentError if ``stream`` is not a stream, MissingPackageError if ipywebrtc is not installed.
    """
    try:
        import ipywebrtc
    except ImportError:
        raise MissingPackageError("ipywebrtc", "recording its streams", "lab") from None
    if not isinstance(stream, ipywebrtc.MediaStream):
        raise ArgumentError(f"record() expects an ipywebrtc stream, got {_type_of(stream)}")
    return StreamRecording(ipywebrtc.AudioRecorder(stream=stream, format="webm"))


class StreamRecording:
    """A recording of a stream, which runs from its creation until ``stop``."""

    def __init__(self, recorder: Any) -> None:
        self._recorder = recorder
        pin_to_subshell(recorder)
        pin_to_subshell(recorder.audio)
        recorder.recording = True

    def stop(self, timeout: float = _DELIVERY_TIMEOUT) -> Clip:
        """End the recording and return it. Calling it again returns the same clip.

        Raises MicrophoneError if the page delivers nothing within ``timeout`` seconds.
        """
        self._recorder.recording = False
        end = time.monotonic() + timeout
        while not len(self._recorder.audio.value):
            if time.monotonic() > end:
                raise MicrophoneError(
                    f"the page delivered no recording within {timeout:g} s: check that it may use the "
                    "stream. If messages from the page arrive only between cells, call stop() again in the "
                    "next cell"
                )
            time.sleep(_POLL_SECONDS)
        return clip_from(self._recorder)


def _type_of(value: Any) -> str:
    return type(value).__name__


def _file_of(source: Any) -> bytes | None:
    """Return the file that a widget holds, b"" if it holds none yet, None if it cannot hold one."""
    for holder in (getattr(source, "audio", None), getattr(source, "video", None), source):
        value = getattr(holder, "value", None)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return bytes(value)
    return None
