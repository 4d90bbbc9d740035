"""Count tokens as the hosted service does.

User audio is 1 token per 100 ms, the answer's audio 1 per 50 ms, rounded up (realtime costs guide); text is
counted by the engine's language model. Each response is billed for the whole conversation. The beginning that
a prompt shares with an earlier one of the session is cached, in steps of 64 tokens. The session's
instructions and tools are prefilled as soon as they are set, so they are cached for the first response.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..protocol.models import SEED, find

__all__ = [
    "Segment",
    "TokenWindow",
    "UsageMeter",
    "assistant_audio",
    "tokens_per_minute",
    "transcription_usage",
    "usage",
    "user_audio",
    "zero",
]

_MINUTE = 60.0


def tokens_per_minute(model: str) -> int:
    """Return the model's limit at tier 1; the seed model's (40,000) where none is published."""
    for id in (model, SEED):
        for tier in find(id).tiers:
            if tier.tier == 1 and tier.tpm is not None:
                return tier.tpm
    return 40_000


class TokenWindow:
    """Counts the tokens used within the last minute. Times are in seconds of one monotonic clock."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._spent: deque[tuple[float, int]] = deque()
        self._sum = 0

    def spend(self, tokens: int, now: float) -> None:
        """Count ``tokens`` as used at ``now``."""
        self._spent.append((now, tokens))
        self._sum += tokens

    def report(self, now: float) -> list[dict[str, Any]]:
        """Return the ``rate_limits`` of the event: tokens only, as the hosted service sends them.

        ``reset_seconds`` is the time until the window is empty again.
        """
        while self._spent and self._spent[0][0] <= now - _MINUTE:
            self._sum -= self._spent.popleft()[1]
        resets = self._spent[-1][0] + _MINUTE - now if self._spent else 0.0
        return [
            {
                "name": "tokens",
                "limit": self.limit,
                "remaining": max(0, self.limit - self._sum),
                "reset_seconds": round(resets, 3),
            }
        ]


Kind = Literal["text", "audio"]
_CACHE_STEP = 64
_KEPT_PROMPTS = 32


def user_audio(ms: float) -> int:
    """Return the tokens of ``ms`` milliseconds of the user's audio."""
    return math.ceil(round(ms, 3) / 100)


def assistant_audio(ms: float) -> int:
    """Return the tokens of ``ms`` milliseconds of an answer's audio."""
    return math.ceil(round(ms, 3) / 50)


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a prompt: equal keys mean equal tokens."""

    kind: Kind
    key: Hashable
    tokens: int


class UsageMeter:
    """The prompts of a session so far, as in a prefix cache."""

    def __init__(self) -> None:
        self._prompts: list[list[Segment]] = []

    def cached(self, prompt: Sequence[Segment]) -> dict[Kind, int]:
        """Return how many tokens of ``prompt`` are cached, by kind; their sum is a multiple of 64."""
        common = max((self._common(old, prompt) for old in self._prompts), default=0)
        left = common // _CACHE_STEP * _CACHE_STEP
        cached: dict[Kind, int] = {"text": 0, "audio": 0}
        for segment in prompt:
            tokens = min(left, segment.tokens)
            cached[segment.kind] += tokens
            left -= tokens
        return cached

    @staticmethod
    def _common(old: Sequence[Segment], new: Sequence[Segment]) -> int:
        tokens = 0
        for ours, theirs in zip(old, new, strict=False):
            if ours != theirs:
                break
            tokens += ours.tokens
        return tokens

    def remember(self, prompt: Sequence[Segment]) -> None:
        """Add a prompt that the model has processed."""
        self._prompts.append(list(prompt))
        del self._prompts[:-_KEPT_PROMPTS]


def usage(
    prompt: Sequence[Segment], cached: dict[Kind, int], text_out: int, audio_out: int
) -> dict[str, Any]:
    """Return the ``usage`` of a response, with consistent sums."""
    text = sum(segment.tokens for segment in prompt if segment.kind == "text")
    audio = sum(segment.tokens for segment in prompt if segment.kind == "audio")
    return {
        "total_tokens": text + audio + text_out + audio_out,
        "input_tokens": text + audio,
        "output_tokens": text_out + audio_out,
        "input_token_details": {
            "text_tokens": text,
            "audio_tokens": audio,
            "image_tokens": 0,
            "cached_tokens": cached["text"] + cached["audio"],
            "cached_tokens_details": {
                "text_tokens": cached["text"],
                "audio_tokens": cached["audio"],
                "image_tokens": 0,
            },
        },
        "output_token_details": {"text_tokens": text_out, "audio_tokens": audio_out},
    }


def zero() -> dict[str, Any]:
    """Return the usage of a response that failed."""
    return usage([], {"text": 0, "audio": 0}, 0, 0)


def transcription_usage(model: str, ms: float, transcript: str, prompt: str) -> dict[str, Any]:
    """Return the ``usage`` of a transcription, in the unit that ``model`` is billed in.

    Models that are priced by the minute are billed by duration, the others by tokens. Text is estimated at
    four characters a token, since the engine does not have the tokenizer of ``model``.
    """
    if "whisper" in model:
        return {"type": "duration", "seconds": round(ms / 1000, 2)}
    text_in, audio_in, out = math.ceil(len(prompt) / 4), user_audio(ms), math.ceil(len(transcript) / 4)
    return {
        "type": "tokens",
        "total_tokens": text_in + audio_in + out,
        "input_tokens": text_in + audio_in,
        "input_token_details": {"text_tokens": text_in, "audio_tokens": audio_in},
        "output_tokens": out,
    }
