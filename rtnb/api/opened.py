"""``rtnb.open``: a recording, shown in a notebook as a session is."""

from __future__ import annotations

import os
import sys

from .. import recordings
from ..recordings.recording import Recording

__all__ = ["open"]


def open(path: str | os.PathLike[str], *, repair: bool = False) -> Recording:
    """Open a recording. It needs no key, no engine and no network, and reads nothing that is not looked at.

    A file that was cut, or a spool that was never ended, opens with what is whole of it and says so in
    ``problem``. ``repair`` opens a damaged one too, without what is damaged. JSON Lines (``.jsonl``, as
    ``s.log.to_jsonl`` writes them) open too, read as a whole.

    Raises RecordingError: no such file, no recording, damaged, or made by a newer rtnb.
    """
    recording = recordings.open(path, repair=repair)
    if "IPython" in sys.modules:
        from ..notebook.display import install

        install()
    return recording
