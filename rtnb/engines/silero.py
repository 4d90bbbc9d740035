"""The voice detector of the local engine: Silero VAD (MIT), on onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..errors import EngineError
from ..paths import user_path
from . import weights
from .base import Samples
from .onnx import session

__all__ = ["silero"]

_RATE = np.array(16_000, np.int64)
_WINDOW, _CONTEXT = 512, 64  # at 16 kHz the model takes the last 64 samples and 512 new ones


class _Stream:
    def __init__(self, model: Any) -> None:
        self._model = model
        self._state = np.zeros((2, 1, 128), np.float32)
        self._input = np.zeros((1, _CONTEXT + _WINDOW), np.float32)

    def __call__(self, window: Samples) -> float:
        if window.shape != (_WINDOW,):
            raise EngineError(f"the voice detector expects windows of shape ({_WINDOW},), got {window.shape}")
        self._input[0, :_CONTEXT] = self._input[0, -_CONTEXT:]
        self._input[0, _CONTEXT:] = window
        feed = {"input": self._input, "state": self._state, "sr": _RATE}
        probability, self._state = self._model.run(None, feed)
        return float(probability[0, 0])


class _VAD:
    rate = int(_RATE)
    window = _WINDOW

    def __init__(self, path: Path) -> None:
        self._model = session(path, "the voice detector")
        self.stream()(np.zeros(_WINDOW, np.float32))  # the first run allocates memory

    def stream(self) -> _Stream:
        return _Stream(self._model)


def silero(setting: str = "") -> _VAD:
    """Return the voice detector; ``setting`` is the path of another Silero model, v5 or later.

    Raises:
        WeightsError: The weights are not installed.
        MissingPackageError: onnxruntime is not installed.
        EngineError: The model cannot be loaded.
    """
    return _VAD(user_path(setting, "vad=silero", EngineError) if setting else weights.path("silero-vad"))
