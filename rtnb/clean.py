"""What must not leave: keys towards a page or a file, and control codes towards a terminal."""

from __future__ import annotations

from html import escape, unescape

from .keys import known_keys
from .redaction import MARK, redact, secrets

__all__ = ["clean", "clean_html", "clean_text", "plain"]

_CONTROLS = dict.fromkeys([*range(32), *range(127, 160)], "\ufffd") | {ord(sign): sign for sign in "\n\t"}
_LEAST = 8  # what is shorter is overwritten only where it stands beside what gives it away


def clean(frame: bytes) -> bytes:
    """Return a frame with its keys overwritten, as long as before."""
    return redact(frame, known_keys())[0]


def clean_text(text: str) -> str:
    """Return what somebody wrote or said with its keys overwritten."""
    return clean(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")


def plain(text: str) -> str:
    """Return a text with a sign in the place of each control code (C0, C1), but for newlines and tabs."""
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
