"""Keys in frames: found, and made unreadable without moving a byte.

Frames hold no headers, so a key gets into one only by mistake: in a URL, in an error's text, in a tool's
output, or as the ephemeral secret of a session. What is redacted keeps its length, so that every place in the
frame stays where it was.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["MARK", "redact", "secrets"]

MARK = b"*"
"""What a key's bytes become."""

_LEAST_KNOWN = 8  # a shorter "key" would be found in any text

# Each with its hint: a literal of lower-case bytes that any match contains. Looking for the hints first is
# many times quicker than the expression, and nearly all frames hold none of them.
_VALUE = rb"""([^\s"'\\&,;<>{}]{8,})"""
_ODD = rb"""((?=[^\s"'\\&,;<>{}]*\d)[^\s"'\\&,;<>{}]{8,})"""  # with a digit: words of plain text have none
_IS = rb"""[\\"']*\s*[:=]\s*[\\"']*"""

_SHAPES: tuple[tuple[bytes, bytes], ...] = (
    (b"sk-", rb"\bsk-[A-Za-z0-9_-]{12,}"),
    (b"ek_", rb"\bek_[A-Za-z0-9_-]{12,}"),
    (b"sess-", rb"\bsess-[A-Za-z0-9_-]{12,}"),
    (b"bearer", rb"(?i:\bbearer(?:\s|%20|\+)+)" + _ODD),
    (b"key", rb"(?i:\b(?:x-)?(?:api|access|subscription)[-_ ]?key)" + _IS + _ODD),
    (b"secret", rb"(?i:\b(?:client_|app_)?secret)" + _IS + _ODD),
    (b"secret", rb"""(?i:\bclient_secret)[\\"']+\s*:\s*\{[^{}]*?"value\\*"\s*:\s*\\*"([^"\\]{8,})"""),
    (b"passw", rb"(?i:\bpassword)" + _IS + _ODD),
    (b"key=", rb"(?i:[?&](?:api[-_]?)?key=)" + _VALUE),
    (b"token=", rb"(?i:\b(?:access_)?token=)" + _VALUE),
    (b"sig=", rb"(?i:[?&]sig=)" + _VALUE),
    (b"://", rb"""://[^\s/"'@:]*:([^\s/"'@]{3,})@"""),
    (b"eyj", rb"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
    (b"akia", rb"\bAKIA[A-Z0-9]{16}\b"),
    (b"gh", rb"\bgh[pousr]_[A-Za-z0-9]{20,}"),
    (b"hf_", rb"\bhf_[A-Za-z0-9]{20,}"),
    (b"aiza", rb"\bAIza[A-Za-z0-9_-]{30,}"),
)
_COMPILED = tuple((hint, re.compile(shape)) for hint, shape in _SHAPES)


def secrets(data: bytes, known: Iterable[str] = ()) -> list[tuple[int, int]]:
    """Return where keys stand in ``data``: (start, end), in order, none overlapping.

    ``known`` are keys by their value, found wherever they stand; shorter ones than 8 signs are passed over.
    """
    found: list[tuple[int, int]] = []
    for value in known:
        key = value.strip().encode()
        at = data.find(key) if len(key) >= _LEAST_KNOWN else -1
        while at >= 0:
            found.append((at, at + len(key)))
            at = data.find(key, at + len(key))
    folded = data.lower()
    for hint, shape in _COMPILED:
        if hint in folded:
            found += [match.span(shape.groups) for match in shape.finditer(data)]
    found = [(start, end) for start, end in found if data[start:end].strip(MARK)]
    return _merged(found)


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def redact(data: bytes, known: Iterable[str] = ()) -> tuple[bytes, list[tuple[int, int]]]:
    """Return ``data`` with its keys overwritten by ``MARK``, byte for byte as long, and where they stood."""
    spans = secrets(data, known)
    if not spans:
        return data, spans
    marked = bytearray(data)
    for start, end in spans:
        marked[start:end] = MARK * (end - start)
    return bytes(marked), spans
