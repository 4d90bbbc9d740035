"""The recognizer of the local engine: Moonshine tiny (MIT), English, on onnxruntime."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import EngineError
from ..paths import user_path
from . import weights
from .base import Samples
from .onnx import session

__all__ = ["moonshine"]

_LAYERS, _HEADS, _WIDTH = 6, 8, 36  # of the tiny model's decoder
_START, _END = 1, 2
_TOKENS_PER_SECOND = 6.5  # the model's own limit; more is a repetition loop, not speech
_SHORTEST = 1_600  # samples; the encoder needs about 900
_SILENCE = 1e-3  # root mean square below which there is no speech; the model would invent words
_PIECE, _SLACK = 24, 8  # seconds; longer speech is split at the quietest point of a piece's last eight


class _Moonshine:
    rate = 16_000
    languages: tuple[str, ...] = ("en",)

    def __init__(self, encoder: Path, decoder: Path, tokenizer: Path) -> None:
        self._encoder = session(encoder, "the recognizer")
        self._decoder = session(decoder, "the recognizer")
        self._words = _vocabulary(tokenizer.read_bytes())
        self._outputs = [o.name for o in self._decoder.get_outputs()]
        noise = np.random.default_rng(0).normal(0.0, 0.01, self.rate).astype(np.float32)
        self.transcribe(noise)  # the first run allocates memory

    def transcribe(self, samples: Samples) -> str:
        if samples.ndim != 1:
            raise EngineError(f"the recognizer expects samples of shape (n,), got {samples.shape}")
        texts = [self._piece(piece) for piece in _pieces(samples, self.rate)]
        return " ".join(t for t in texts if t)

    def _piece(self, samples: Samples) -> str:
        if not len(samples) or float(np.sqrt(np.mean(np.square(samples)))) < _SILENCE:
            return ""
        limit = max(8, int(_TOKENS_PER_SECOND * len(samples) / self.rate))
        padded = np.pad(samples, (0, max(0, _SHORTEST - len(samples))))[None].astype(np.float32, copy=False)
        mask = np.ones(padded.shape, np.int64)  # the decoder needs it at the length of the audio as well
        (hidden,) = self._encoder.run(None, {"input_values": padded, "attention_mask": mask})
        empty = np.zeros((1, _HEADS, 0, _WIDTH), np.float32)
        feed: dict[str, Any] = {"encoder_hidden_states": hidden, "encoder_attention_mask": mask}
        for layer in range(_LAYERS):
            for side in ("decoder", "encoder"):
                feed[f"past_key_values.{layer}.{side}.key"] = empty
                feed[f"past_key_values.{layer}.{side}.value"] = empty
        token, tokens = _START, list[int]()
        for step in range(limit):
            feed["input_ids"] = np.array([[token]], np.int64)
            feed["use_cache_branch"] = np.array([step > 0])
            result = dict(zip(self._outputs, self._decoder.run(None, feed), strict=True))
            token = int(result["logits"][0, -1].argmax())
            if token == _END:
                break
            tokens.append(token)
            for name, value in result.items():
                # The cached branch outputs no encoder keys: those of the first step are kept.
                if name != "logits" and (step == 0 or ".decoder." in name):
                    feed[name.replace("present", "past_key_values")] = value
        return self._text(tokens)

    def _text(self, tokens: list[int]) -> str:
        raw = b"".join(self._words[t] for t in tokens if t < len(self._words))
        return raw.decode("utf-8", "replace").strip()


def _pieces(samples: Samples, rate: int) -> list[Samples]:
    pieces: list[NDArray[np.float32]] = []
    frame = rate // 50
    while len(samples) > _PIECE * rate:
        tail = samples[(_PIECE - _SLACK) * rate : _PIECE * rate]
        loudness = np.square(tail[: len(tail) // frame * frame]).reshape(-1, frame).mean(axis=1)
        smooth = np.convolve(loudness, np.ones(9) / 9, mode="same")[4:-4]  # a pause, not a zero crossing
        cut = (_PIECE - _SLACK) * rate + (int(smooth.argmin()) + 4) * frame + frame // 2
        pieces.append(samples[:cut])
        samples = samples[cut:]
    return [*pieces, samples]


def _vocabulary(data: bytes) -> list[bytes]:
    """Return the bytes of each token; each is preceded by its length, one byte or two (from 128 on)."""
    words: list[bytes] = []
    at = 0
    while at < len(data):
        length = data[at]
        at += 1
        if length >= 128:
            length = data[at] * 128 + length - 128
            at += 1
        word = data[at : at + length]
        at += length
        if byte := re.fullmatch(rb"<0x([0-9A-Fa-f]{2})>", word):
            word = bytes.fromhex(byte[1].decode())
        elif re.fullmatch(rb"<[^<>]+>", word):
            word = b""  # a control token
        words.append(word.replace("▁".encode(), b" "))
    return words


def moonshine(setting: str = "") -> _Moonshine:
    """Return the recognizer; ``setting`` is a folder with the three files of another tiny model.

    Raises:
        WeightsError: The weights are not installed.
        MissingPackageError: onnxruntime is not installed.
        EngineError: A file is missing in the folder, or the model cannot be loaded.
    """
    if not setting:
        names = ("moonshine-encoder", "moonshine-decoder", "moonshine-tokenizer")
        return _Moonshine(*(weights.path(name) for name in names))
    folder = user_path(setting, "asr=moonshine", EngineError)
    files = [folder / n for n in ("encoder_model.ort", "decoder_model_merged.ort", "tokenizer.bin")]
    missing = [f.name for f in files if not os.path.isfile(f)]
    if missing:
        raise EngineError(f"the recognizer's folder {folder} has no {', '.join(missing)}")
    return _Moonshine(*files)
