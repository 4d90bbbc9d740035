"""Frames without keys: what leaves towards a page or a file."""

from __future__ import annotations

from html import escape, unescape

from ..keys import known_keys
from ..wire.redact import MARK, redact, secrets

__all__ = ["clean", "clean_html", "clean_text", "known_keys"]

_LEAST = 8  # what is shorter is overwritten only where it stands beside what gives it away


def clean(frame: bytes) -> bytes:
    """Return a frame with its keys overwritten, as long as before."""
    return redact(frame, known_keys())[0]


def clean_text(text: str) -> str:
    """Return what somebody wrote or said with its keys overwritten."""
    return clean(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")


def clean_html(page: str) -> str:
    """Return HTML with the keys overwritten that stand in its text, also where they came in many pieces.

    A key may be spread over deltas, none of which shows it, and stand behind quotes that are escaped here.
    """
    known = known_keys()
    plain = unescape(page).encode("utf-8", "replace")
    found = {plain[start:end].decode("utf-8", "replace") for start, end in secrets(plain, known)}
    for key in sorted(found, key=len, reverse=True):
        if len(key) >= _LEAST:
            for form in {key, escape(key)}:
                page = page.replace(form, MARK.decode() * len(form))
    return redact(page.encode("utf-8", "replace"), known)[0].decode()
