"""Tokens and cost.

The whole conversation is billed again for each response; tokens from the service's prefix cache are cheaper.
User audio counts 1 token per 100 ms, the answer's audio 1 per 50 ms (realtime costs guide).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from ..formatting import dollars
from ..redaction import clean_name
from . import models

__all__ = ["Cost", "Usage"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts, as the service reported them. Cached tokens are part of the input.

    ``transcription`` maps an ASR model's name to what it used: ``{"seconds": …}``, or token counts under the
    names of the wire. ``input_unsorted`` and ``output_unsorted`` are tokens of unknown kind: those by which a
    reported sum is more than its details.
    """

    input_text: int = 0
    input_audio: int = 0
    input_image: int = 0
    cached_text: int = 0
    cached_audio: int = 0
    cached_image: int = 0
    output_text: int = 0
    output_audio: int = 0
    transcription: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    input_unsorted: int = 0
    output_unsorted: int = 0
    unknown: int = 0
    """How many responses have no usage that could be read; their tokens are in no count."""

    @classmethod
    def from_wire(cls, usage: Mapping[str, Any]) -> Usage:
        """Read the ``usage`` of a ``response.done``. Inconsistent sums are listed in ``problems``.

        Raises TypeError or ValueError for an invalid count, and if nothing is counted: that is unknown usage,
        not 0 tokens.
        """
        into = usage.get("input_token_details") or {}
        out = usage.get("output_token_details") or {}
        hit = into.get("cached_tokens_details") or {}
        counted = into or out or {"input_tokens", "output_tokens"} & usage.keys()
        if not counted and usage.get("total_tokens") != 0:
            raise ValueError("the usage has neither input nor output tokens")
        counts: dict[str, Any] = {}
        for kind in ("text", "audio", "image"):
            counts[f"input_{kind}"] = _count(into, f"{kind}_tokens")
            counts[f"cached_{kind}"] = _count(hit, f"{kind}_tokens")
        for kind in ("text", "audio"):
            counts[f"output_{kind}"] = _count(out, f"{kind}_tokens")
        problems = []
        for side, details in (("input", into), ("output", out)):
            known = sum(n for name, n in counts.items() if name.startswith(side))
            kinds = [key for key in details if key.endswith("_tokens") and key != "cached_tokens"]
            other = sum(
                _count(details, key) for key in kinds if f"{side}_{key.removesuffix('_tokens')}" not in counts
            )
            has_sum = usage.get(f"{side}_tokens") is not None
            reported = _count(usage, f"{side}_tokens") if has_sum else known + other
            counts[f"{side}_unsorted"] = max(reported - known, 0)
            if kinds and reported not in (known, known + other):  # an unknown kind may be part of another
                problems.append(f"{side}_tokens is {reported}, but its details sum to {known}")
        total = _count(usage, "total_tokens")
        summed = sum(n for name, n in counts.items() if not name.startswith("cached"))
        if usage.get("total_tokens") is not None and total != summed:
            problems.append(f"total_tokens is {total}, but its details sum to {summed}")
        side = "output" if into or usage.get("input_tokens") is not None else "input"
        # Tokens that only the total includes are of the side without a sum, or of the more expensive one.
        counts[f"{side}_unsorted"] += max(total - summed, 0)
        cached = _count(into, "cached_tokens")
        if not hit:  # no details: text comes first in a prompt's prefix
            for kind in ("text", "audio", "image"):
                counts[f"cached_{kind}"] = min(cached, counts[f"input_{kind}"])
                cached -= counts[f"cached_{kind}"]
        read = cls(**counts)
        hits = into.get("cached_tokens")
        if hits is not None and hits != read.cached_tokens and not read.input_unsorted:
            problems.append(f"cached_tokens is {hits}, but its details sum to {read.cached_tokens}")
        for kind in ("text", "audio", "image"):
            given, cached = counts[f"input_{kind}"], counts[f"cached_{kind}"]
            if cached > given:  # counted as 0, so that the cost is not too low
                problems.append(f"{cached} of {given} {kind} tokens were reported as cached; counted as 0")
                counts[f"cached_{kind}"] = 0
        return cls(**counts, problems=tuple(problems))

    @classmethod
    def from_transcription(cls, usage: Mapping[str, Any], model: str) -> Usage:
        """Read the ``usage`` of a completed input transcription by an ASR model."""
        reported = {**usage, **(usage.get("input_token_details") or {})}
        counts = {
            k: v for k, v in reported.items() if isinstance(v, (int, float)) and not isinstance(v, bool)
        }
        return cls(transcription={model: counts}) if counts else cls()

    @property
    def input_tokens(self) -> int:
        """All input tokens, including cached ones."""
        return self.input_text + self.input_audio + self.input_image + self.input_unsorted

    @property
    def cached_tokens(self) -> int:
        """Input tokens from the cache."""
        return self.cached_text + self.cached_audio + self.cached_image

    @property
    def output_tokens(self) -> int:
        """All output tokens."""
        return self.output_text + self.output_audio + self.output_unsorted

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens

    def __str__(self) -> str:
        """Return tokens by kind: ``132 tokens in (59 text, 73 audio; 64 cached), 147 out (147 audio)``."""
        into = _kinds(
            self.input_unsorted, text=self.input_text, audio=self.input_audio, image=self.input_image
        )
        hit = f"{self.cached_tokens:,} cached" if self.cached_tokens else ""
        into = "; ".join(filter(None, (into, hit)))
        out = _kinds(self.output_unsorted, text=self.output_text, audio=self.output_audio)
        sides = (f"{self.input_tokens:,} tokens in", into), (f"{self.output_tokens:,} out", out)
        known = ", ".join(f"{count} ({kinds})" if kinds else count for count, kinds in sides)
        if not self.unknown:
            return known
        count = "1 response" if self.unknown == 1 else f"{self.unknown:,} responses"
        unknown = f"tokens of {count} unknown"
        return f"{known}, {unknown}" if self.total_tokens else unknown

    def __repr__(self) -> str:
        return f"<Usage: {'; '.join([str(self), *self.problems])}>"

    def __add__(self, other: Usage) -> Usage:
        transcription = {name: dict(counts) for name, counts in self.transcription.items()}
        for name, counts in other.transcription.items():
            into = transcription.setdefault(name, {})
            for key, value in counts.items():
                into[key] = into.get(key, 0) + value
        summed = {
            f.name: getattr(self, f.name) + getattr(other, f.name)
            for f in fields(self)
            if f.name not in ("transcription", "problems")
        }
        return Usage(**summed, transcription=transcription, problems=self.problems + other.problems)

    def cost(self, model: str | models.Model, *, billed: bool = True) -> Cost | None:
        """Return the price at the model's published rates; None if a rate that is needed is unknown.

        Tokens of unknown kind are priced at the highest rate of their side: then the cost is ``at_most``.
        ``billed`` False marks a cost that is not charged, as for the embedded engine.
        """
        row = models.find(model) if isinstance(model, str) else model
        parts: dict[str, float] = {}
        at_most = bool(self.input_unsorted or self.output_unsorted)
        for kind, price in (("text", row.text), ("audio", row.audio), ("image", row.image)):
            given = getattr(self, f"input_{kind}")
            cached = getattr(self, f"cached_{kind}")
            output = getattr(self, f"output_{kind}", 0)
            if not given and not output:
                continue
            if price is None or (output and price.output is None):
                return None
            parts[f"{kind} in"] = (given - cached) * price.input / 1e6
            parts[f"{kind} cached"] = cached * price.cached / 1e6
            if output and price.output is not None:
                parts[f"{kind} out"] = output * price.output / 1e6
        for side, unsorted in (("in", self.input_unsorted), ("out", self.output_unsorted)):
            if unsorted:
                rate = _highest_rate(row, side)
                if rate is None:
                    return None
                parts[f"{side}, kind unknown"] = unsorted * rate / 1e6
        if not parts and (row.text is None or row.audio is None or self.problems):
            return None
        excludes = []
        for name, counts in self.transcription.items():
            dollars = _transcription_cost(counts, models.find(name))
            if dollars is not None:
                parts[f"transcription by {clean_name(name)}"] = dollars
            else:
                excludes.append(f"transcription by {clean_name(name)} (price unknown)")
        return Cost(
            parts,
            model=row.id,
            as_of=row.as_of,
            source=row.source,
            billed=billed,
            excludes=tuple(excludes),
            at_most=at_most,
        )


def _highest_rate(row: models.Model, side: str) -> float | None:
    """Return the highest price per million tokens of one side; None if a price is missing."""
    if row.text is None or row.audio is None:
        return None
    if side == "in":
        return max(price.input for price in (row.text, row.audio, row.image) if price is not None)
    if row.text.output is None or row.audio.output is None:
        return None
    return max(row.text.output, row.audio.output)


def _transcription_cost(counts: Mapping[str, float], row: models.Model) -> float | None:
    """Return the cost of a transcription in dollars, by the minute or by tokens of known kinds."""
    if "seconds" in counts:
        return None if row.per_minute is None else counts["seconds"] / 60 * row.per_minute
    audio, text, output = (counts.get(f"{name}_tokens", 0) for name in ("audio", "text", "output"))
    if row.text is None or row.audio is None or row.text.output is None or not audio + text:
        return None
    return (audio * row.audio.input + text * row.text.input + output * row.text.output) / 1e6


def _count(details: Mapping[str, Any], name: str) -> int:
    value = details.get(name) or 0
    if not isinstance(value, int):
        raise TypeError(f"{name}: expected an integer, got {type(value).__name__}")
    if value < 0:
        raise ValueError(f"{name}: expected 0 or more, got {value}")
    return value


def _kinds(unsorted: int, **counts: int) -> str:
    counts["of unknown kind"] = unsorted
    return ", ".join(f"{count:,} {kind}" for kind, count in counts.items() if count)


class Cost(float):
    """An amount in US dollars, with its parts.

    ``parts`` maps a kind of token to dollars; ``excludes`` names what was used and has no known price;
    ``billed`` is False for a cost that is not charged, ``at_most`` True for an upper bound, if the service
    did not report the kind of all tokens. ``as_of`` is the date of the prices, ``source`` where they were
    published.
    """

    parts: Mapping[str, float]
    model: str
    as_of: str
    source: str
    billed: bool
    excludes: tuple[str, ...]
    at_most: bool

    def __new__(
        cls,
        parts: Mapping[str, float],
        *,
        model: str,
        as_of: str,
        source: str = "",
        billed: bool = True,
        excludes: tuple[str, ...] = (),
        at_most: bool = False,
    ) -> Cost:
        """Sum ``parts``."""
        self = super().__new__(cls, sum(parts.values()))
        self.parts = parts
        self.model = model
        self.as_of = as_of
        self.source = source
        self.billed = billed
        self.excludes = excludes
        self.at_most = at_most
        return self

    def lacking(self, unknown: int) -> Cost:
        """Return the cost with a note on how many responses of unknown usage it does not include."""
        if not unknown:
            return self
        missing = f"{unknown} response{'' if unknown == 1 else 's'} of unknown usage"
        args, kwargs = self.__getnewargs_ex__()
        return Cost(*args, **{**kwargs, "excludes": (*self.excludes, missing)})

    def __getnewargs_ex__(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        names = ("model", "as_of", "source", "billed", "excludes", "at_most")
        return (self.parts,), {name: getattr(self, name) for name in names}

    def __str__(self) -> str:
        amount = dollars(self)
        return f"at most {amount}" if self.at_most and not amount.startswith("under") else amount

    def __repr__(self) -> str:
        bill = "" if self.billed else ", not billed"
        gaps = f", without {', '.join(self.excludes)}" if self.excludes else ""
        return f"{self} ({clean_name(self.model)}, prices of {self.as_of}{bill}{gaps})"
