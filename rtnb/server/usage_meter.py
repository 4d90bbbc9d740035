"""Count tokens as the hosted service does.

User audio is 1 token per 100 ms, the answer's audio 1 per 50 ms, rounded up (realtime costs guide); text is
counted by the engine's language model. Each response is billed for the whole conversation. The beginning that
a prompt shares with an earlier one of the session is cached, in steps of 64 tokens. The session's
instructions and tools are prefilled as soon as they are set, so they are cached for the first response.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..protocol.models import SEED, find

__all__ = [
    "Segment",
    "TokenWindow",
    "Tokens",
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
Tokens = dict[Kind, int]
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
    """The prompts of a session so far, as in a prefix cache.

    A prompt is compared with the latest first. It is nearly always a continuation of that one, so that only
    what is new is looked at one by one.
    """

    def __init__(self) -> None:
        self._prompts: list[tuple[list[Segment], Tokens]] = []

    def cached(self, prompt: Sequence[Segment]) -> Tokens:
        """Return how many tokens of ``prompt`` are cached, by kind; their sum is a multiple of 64."""
        length, cached = self._match(list(prompt))
        surplus = _total(cached) % _CACHE_STEP
        for segment in reversed(prompt[:length]):
            tokens = min(surplus, segment.tokens)
            cached[segment.kind] -= tokens
            surplus -= tokens
            if not surplus:
                break
        return cached

    def remember(self, prompt: Sequence[Segment]) -> Tokens:
        """Add a prompt that the model has processed; return its tokens by kind."""
        segments = list(prompt)
        length, tokens = self._match(segments)
        for kind, more in _by_kind(segments[length:]).items():
            tokens[kind] += more
        self._prompts.append((segments, dict(tokens)))
        del self._prompts[:-_KEPT_PROMPTS]
        return tokens

    def _match(self, prompt: list[Segment]) -> tuple[int, Tokens]:
        """Return the longest beginning shared with an earlier prompt: its segments and its tokens."""
        length, best = 0, _by_kind(())
        for old, tokens in reversed(self._prompts):
            if _total(tokens) <= _total(best):
                continue
            common = _common(old, prompt)
            found = dict(tokens) if common == len(old) else _by_kind(old[:common])
            if _total(found) > _total(best):
                length, best = common, found
        return length, best


def _common(old: list[Segment], new: list[Segment]) -> int:
    """Return how many segments two prompts share from the beginning."""
    low, high = 0, min(len(old), len(new))
    if old[:high] == new[:high]:
        return high
    while low + 1 < high:  # the first ``low`` are equal, the first ``high`` are not
        middle = (low + high) // 2
        if old[low:middle] == new[low:middle]:
            low = middle
        else:
            high = middle
    return low


def _by_kind(segments: Iterable[Segment]) -> Tokens:
    tokens: Tokens = {"text": 0, "audio": 0}
    for segment in segments:
        tokens[segment.kind] += segment.tokens
    return tokens


def _total(tokens: Mapping[Kind, int]) -> int:
    return tokens["text"] + tokens["audio"]


def usage(prompt: Tokens, cached: Tokens, text_out: int, audio_out: int) -> dict[str, Any]:
    """Return the ``usage`` of a response, with consistent sums."""
    text, audio = prompt["text"], prompt["audio"]
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
    return usage(_by_kind(()), _by_kind(()), 0, 0)


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
