"""Keys in frames: found, and made unreadable without moving a byte.

Frames hold no headers, so a key gets into one only by mistake: in a URL, in an error's text, in a tool's
output, or as the ephemeral secret of a session. What is redacted keeps its length, so that every place in the
frame stays where it was.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from functools import lru_cache
from html import escape, unescape
from urllib.parse import quote, quote_plus

__all__ = [
    "MARK",
    "clean",
    "clean_html",
    "clean_text",
    "known_keys",
    "plain",
    "redact",
    "remember",
    "secrets",
]

_VARIABLES = ("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "RTNB_LLM_API_KEY", "RTNB_SERVE_KEY")
_given: set[str] = set()


def remember(key: str) -> None:
    """Know a key from now on; "" is none."""
    if key:
        _given.add(key)


def known_keys() -> list[str]:
    """Return the keys of the environment, and those that were given to a connection."""
    variables = {os.environ.get(name, "").strip() for name in _VARIABLES}
    return [*_given.union(variables - {""})]


MARK = b"*"
"""What a key's bytes become."""

_LEAST_KNOWN = 8  # a shorter "key" would be found in any text

# Each shape with its hint: bytes that any match contains. Looking for the hints first is many times quicker
# than the expression, and nearly all frames hold none of them. Each begins with plain bytes, which the
# expression is searched by, and looks back from there at what must, or must not, stand before them.
_VALUE = rb"""([^\s"'\\&,;<>{}]{8,})"""
# With a digit, and that early: words of plain text have none, and nothing is looked through again and again.
_ODD = rb"""((?=[^\s"'\\&,;<>{}]{0,200}\d)[^\s"'\\&,;<>{}]{8,})"""
_IS = rb"""[\\"']*\s*[:=]\s*[\\"']*"""
_GAP = rb"(?:\s|%20|\+)+"
_OPENS = rb"""\\*"\s*:\s*\\*\""""
_WHOLE = rb"""((?:[^\s"\\]|\\+[^\s"\\]){8,})(?=\\*")"""  # one word until a JSON string's end
_FIELD_OR_TEXT = rb"(?:" + _OPENS + _WHOLE + rb"|" + _IS + _ODD + rb")"


def _after(word: bytes, *before: bytes) -> bytes:
    """Return the expression of a word that stands behind one of these, or behind one and a joint."""
    ways = (rb"(?<=%b%b%b)" % (one, joint, word) for one in before for joint in (rb"", rb"[-_ ]"))
    return word + rb"(?:" + rb"|".join(ways) + rb")"


# In lower case, whatever the case of the text is.
_NAMED: tuple[tuple[bytes, tuple[bytes, ...]], ...] = (
    (b"bearer", (rb"bearer(?<!\wbearer)" + _GAP + _ODD,)),
    (
        b"authorization",
        (
            rb"authorization" + _OPENS + rb"(?:[a-z]+" + _GAP + rb")?" + _WHOLE,
            rb"authorization" + _IS + rb"(?:(?:basic|bearer|token)" + _GAP + rb")?" + _ODD,
        ),
    ),
    (
        b"key",
        (
            _after(b"key", b"api", b"access", b"subscription", b"secret", b"private") + _FIELD_OR_TEXT,
            rb"key=(?:(?<=[?&]key=)|(?<=[?&]apikey=)|(?<=[?&]api[-_]key=))" + _VALUE,
            rb"""-----begin (?:[a-z]+ )?private key-----([^"]{8,}?)(?=-----end|\\*"|\Z)""",
        ),
    ),
    (
        b"secret",
        (
            rb"secret(?<![a-z]secret)" + _FIELD_OR_TEXT,
            rb"""secret(?<=client_secret)[\\"']+\s*:\s*\{[^{}]*?"value\\*"\s*:\s*\\*"([^"\\]{8,})""",
        ),
    ),
    (b"passw", (rb"passw(?:or)?d" + _FIELD_OR_TEXT,)),
    (
        b"token",
        (
            _after(b"token", b"access", b"refresh", b"auth", rb"(?<![a-z])id", b"session", b"bearer")
            + _OPENS
            + _WHOLE,
            rb"token=(?<![a-z]token=)" + _VALUE,
        ),
    ),
    (b"sig=", (rb"sig=(?<=[?&]sig=)" + _VALUE,)),
)
# As they are written.
_SHAPED: tuple[tuple[bytes, tuple[bytes, ...]], ...] = (
    (b"sk-", (rb"sk-(?<!\wsk-)[A-Za-z0-9_-]{12,}",)),
    (b"ek_", (rb"ek_(?<!\wek_)[A-Za-z0-9_-]{12,}",)),
    (b"sess-", (rb"sess-(?<!\wsess-)[A-Za-z0-9_-]{12,}",)),
    (b"://", (rb"""://[^\s/"'@:]*:([^\s/"'@]{3,})@""",)),
    (b"eyJ", (rb"eyJ(?<!\weyJ)[A-Za-z0-9_-]{8,600}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}",)),
    (b"AKIA", (rb"AKIA(?<!\wAKIA)[A-Z0-9]{16}\b",)),
    (b"gh", (rb"gh[pousr]_(?<!\wgh..)[A-Za-z0-9]{20,}",)),
    (b"hf_", (rb"hf_(?<!\whf_)[A-Za-z0-9]{20,}",)),
    (b"AIza", (rb"AIza(?<!\wAIza)[A-Za-z0-9_-]{30,}",)),
)
_Compiled = tuple[tuple[bytes, tuple[re.Pattern[bytes], ...]], ...]


def _compiled(shapes: tuple[tuple[bytes, tuple[bytes, ...]], ...]) -> _Compiled:
    return tuple((hint, tuple(map(re.compile, of_hint))) for hint, of_hint in shapes)


_NAMES, _SHAPES = _compiled(_NAMED), _compiled(_SHAPED)


def secrets(data: bytes, known: Iterable[str] = ()) -> list[tuple[int, int]]:
    """Return where keys stand in ``data``: (start, end), in order, none overlapping.

    ``known`` are keys by their value, found wherever they stand; shorter ones than 8 signs are passed over.
    """
    found: list[tuple[int, int]] = []
    for value in known:
        for key in _spellings(value.strip()) if len(value.strip()) >= _LEAST_KNOWN else ():
            at = data.find(key)
            while at >= 0:
                found.append((at, at + len(key)))
                at = data.find(key, at + len(key))
    _look(_NAMES, data.lower(), found)
    _look(_SHAPES, data, found)
    found = [(start, end) for start, end in found if data[start:end].strip(MARK)]
    return _merged(found)


@lru_cache(64)
def _spellings(key: str) -> tuple[bytes, ...]:
    """Return a key as text, JSON and addresses may have it."""
    texts = {key, key.replace("/", r"\/"), quote(key), quote(key, safe=""), quote_plus(key)}
    return tuple(text.encode() for text in texts)


def _look(shapes: _Compiled, text: bytes, found: list[tuple[int, int]]) -> None:
    for hint, of_hint in shapes:
        if hint in text:
            for shape in of_hint:
                found += [match.span(match.lastindex or 0) for match in shape.finditer(text)]


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


_BIDI = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))  # embeddings, overrides and isolates
_CONTROLS = dict.fromkeys([*range(32), *range(127, 160), *_BIDI], "\ufffd") | {ord(c): c for c in "\n\t"}
_LEAST = 8  # what is shorter is overwritten only where it stands beside what gives it away


def clean(frame: bytes) -> bytes:
    """Return a frame with its keys overwritten, as long as before."""
    return redact(frame, known_keys())[0]


def clean_text(text: str) -> str:
    """Return what somebody wrote or said with its keys overwritten."""
    return clean(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")


def plain(text: str) -> str:
    """Return a text with U+FFFD for each control code (C0, C1) and each override of the text's direction.

    Newlines and tabs stay. An override could show a text in another order than it has.
    """
    return text.replace("\r\n", "\n").translate(_CONTROLS)


def clean_html(page: str) -> str:
    """Return HTML with the keys overwritten that stand in its text, also where they came in many pieces.

    A key may be spread over deltas, none of which shows it, and stand behind quotes that are escaped here.
    One that may be a word as well is overwritten behind such a quote, and elsewhere taken for that word.
    """
    known = known_keys()
    plain = unescape(page).encode("utf-8", "replace")
    found = {plain[start:end].decode("utf-8", "replace") for start, end in secrets(plain, known)}
    for key in sorted(found, key=len, reverse=True):
        if len(key) >= _LEAST:
            before = "" if key in known or any(map(str.isdigit, key)) else escape('"')
            for form in {key, escape(key)}:
                page = page.replace(before + form, before + MARK.decode() * len(form))
    return redact(page.encode("utf-8", "replace"), known)[0].decode()
