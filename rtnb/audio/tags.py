"""Where a clip comes from, as the tags of a sound file.

>>> tags({"source": "assistant", "text": "Good day.", "recorded": "2026-05-04T10:20:30Z"})
{'title': 'Good day.', 'date': '2026-05-04', 'comment': '{"source": …}', 'software': 'rtnb 0.1.0'}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from textwrap import shorten
from typing import Any

from rtnb._version import __version__
from rtnb.redaction import clean_text

__all__ = ["PROVENANCE", "tags"]

PROVENANCE = ("source", "model", "engine", "voice", "prompt", "text", "recorded", "recording_sha256")
"""The entries of a clip's ``info`` that go into a file; what else a user put there stays in Python."""

_TITLE = 80
_VALUE = 240  # players and libsndfile cut long comments


def tags(info: Mapping[str, Any]) -> dict[str, str]:
    """Return title, date, comment and software for a clip's ``info``; none if its origin is unknown.

    The comment is a JSON object of the entries `PROVENANCE`. Keys in texts are overwritten.
    """
    known = {name: clean_text(str(info[name])) for name in PROVENANCE if info.get(name)}
    if not known:
        return {}
    comment = {name: shorten(value, _VALUE, placeholder=" …") for name, value in known.items()}
    title = known.get("text") or known.get("prompt") or known.get("source", "")
    found = {
        "title": shorten(title, _TITLE, placeholder=" …"),
        "date": known.get("recorded", "")[:10],
        "comment": json.dumps(comment, ensure_ascii=False),
        "software": f"rtnb {__version__}",
    }
    return {name: value for name, value in found.items() if value}
