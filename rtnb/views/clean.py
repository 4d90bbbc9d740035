"""Frames without keys: what leaves towards a page or a file."""

from __future__ import annotations

import os

from ..wire.redact import redact

__all__ = ["clean", "known_keys"]

_KEYS = ("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "RTNB_LLM_API_KEY", "RTNB_SERVE_KEY")


def known_keys() -> list[str]:
    """Return the keys of this process's environment, so that they are found wherever they stand."""
    return [key for name in _KEYS if (key := os.environ.get(name, "").strip())]


def clean(frame: bytes) -> bytes:
    """Return a frame with its keys overwritten, as long as before."""
    return redact(frame, known_keys())[0]
