"""Redaction: overwrite API keys in frames and text, and neutralize control codes in text.

Frames hold no headers, so a key gets into one only by mistake: in a URL, in an error's text, in a tool's
output, or as the ephemeral secret of a session. A redacted key keeps its length, so that all offsets in the
frame stay valid.

Text from a user, a model or a service passes through ``clean_text`` (or ``clean_name``, for one line) before
it is put into a repr, an error, a log message or a terminal.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from functools import lru_cache
from html import escape, unescape
from urllib.parse import quote, quote_plus

from markupsafe import escape as markup

__all__ = [
    "MARK",
    "clean",
    "clean_html",
    "clean_name",
    "clean_text",
    "known_keys",
    "plain",
    "redact",
    "remember",
    "secrets",
]

_VARIABLES = ("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "RTNB_LLM_API_KEY", "RTNB_SERVE_KEY")
_remembered: set[str] = set()


def remember(key: str) -> None:
    """Redact a key from now on; "" is ignored."""
    if key:
        _remembered.add(key)


def known_keys() -> list[str]:
    """Return the keys in the environment and those passed to ``remember``."""
    variables = {os.environ.get(name, "").strip() for name in _VARIABLES}
    return [*_remembered.union(variables - {""})]


MARK = b"*"
"""Replaces each byte of a key."""

_MIN_KNOWN = 8  # a shorter "key" would be found in any text

# Each shape with its hint: bytes that any match contains. Looking for the hints first is many times faster
# than the expression, and nearly all frames contain none of them. Each expression starts with literal bytes,
# by which it is searched, and looks back from there at what must, or must not, precede them.
_VALUE = rb"""([^\s"'\\&,;<>{}]{8,})"""
# With a digit within 200 bytes: plain words have none, and the limit keeps the search linear.
_ODD = rb"""((?=[^\s"'\\&,;<>{}]{0,200}\d)[^\s"'\\&,;<>{}]{8,})"""
_IS = rb"""[\\"']*\s*[:=]\s*[\\"']*"""
_GAP = rb"(?:\s|%20|\+)+"
_OPENS = rb"""\\*"\s*:\s*\\*\""""
_WHOLE = rb"""((?:[^\s"\\]|\\+[^\s"\\]){8,})(?=\\*")"""  # one word until a JSON string's end
_FIELD_OR_TEXT = rb"(?:" + _OPENS + _WHOLE + rb"|" + _IS + _ODD + rb")"


def _after(word: bytes, *before: bytes) -> bytes:
    """Return an expression for ``word`` after one of ``before``, joined directly or by "-", "_" or " "."""
    ways = (rb"(?<=%b%b%b)" % (one, joint, word) for one in before for joint in (rb"", rb"[-_ ]"))
    return word + rb"(?:" + rb"|".join(ways) + rb")"


# Searched in the text in lower case.
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
# Searched in the text as it is.
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
    """Return the positions of keys in ``data`` as (start, end), in order and without overlap.

    ``known`` are literal keys to find anywhere; those shorter than 8 characters are ignored.
    """
    found: list[tuple[int, int]] = []
    for value in known:
        for key in _spellings(value.strip()) if len(value.strip()) >= _MIN_KNOWN else ():
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
    """Return a key as it is written in text, JSON and URLs."""
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
    """Return ``data`` with each byte of its keys replaced by ``MARK``, and the positions of the keys."""
    spans = secrets(data, known)
    if not spans:
        return data, spans
    marked = bytearray(data)
    for start, end in spans:
        marked[start:end] = MARK * (end - start)
    return bytes(marked), spans


_BIDI = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
_CONTROLS = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff{''.join(map(chr, _BIDI))}]")
"""What changes how the text around it is shown: C0 and C1 codes (but for newlines and tabs), bidirectional
embeddings, overrides and isolates, and lone surrogates, which cannot be encoded. Directional marks stay: they
order only what they stand beside, and Arabic and Hebrew texts need them."""
_MIN_LENGTH = 8  # a shorter key is overwritten only where the name of a field shows that it is one


def plain(text: str) -> str:
    """Return a text with U+FFFD in place of each control code, bidirectional control and lone surrogate.

    Newlines and tabs stay.
    """
    return _CONTROLS.sub("\ufffd", text.replace("\r\n", "\n"))


def clean(frame: bytes) -> bytes:
    """Return a frame with its keys overwritten, as long as before."""
    return redact(frame, known_keys())[0]


def clean_text(text: str) -> str:
    """Return a text from a user, a model or a service as it may be shown: ``plain``, its keys overwritten."""
    return clean(plain(text).encode()).decode()


def clean_name(name: str) -> str:
    """Return a name, such as a model's or an event type, as ``clean_text`` on one line."""
    return " ".join(clean_text(name).split())


_QUOTES = (escape('"'), str(markup('"')))
"""A quotation mark as the standard library escapes it, and as markupsafe does."""


def clean_html(page: str) -> str:
    """Return HTML with the keys in its text overwritten, including keys that arrived in several deltas.

    A key may follow quotes that are escaped in HTML, so keys are searched in the unescaped text. A key
    without a digit may also be an ordinary word: it is overwritten only after an escaped quote.
    """
    known = known_keys()
    text = unescape(page).encode("utf-8", "replace")
    found = {text[start:end].decode("utf-8", "replace") for start, end in secrets(text, known)}
    for key in sorted(found, key=len, reverse=True):
        if len(key) >= _MIN_LENGTH:
            sure = key in known or any(map(str.isdigit, key))
            for before in ("",) if sure else _QUOTES:
                for form in {key, escape(key), str(markup(key))}:
                    page = page.replace(before + form, before + MARK.decode() * len(form))
    return redact(page.encode("utf-8", "replace"), known)[0].decode()
