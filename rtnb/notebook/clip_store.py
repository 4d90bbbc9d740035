"""Clips stored next to a notebook: ``NOTEBOOK-audio/NAME.ogg``, with the metadata of each in ``NAME.json``.

A notebook that was recorded once therefore runs anywhere, without a microphone: its audio belongs to it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..audio import Clip
from ..displayable import Displayable
from ..errors import ArgumentError, AudioError
from ..formatting import duration, peak_level
from ..paths import user_path

__all__ = ["ClipStore", "StoredClip", "notebook_path"]

_SUFFIX = "-audio"
_FLAGS = {
    "echo_cancellation": "echo cancellation",
    "noise_suppression": "noise suppression",
    "auto_gain_control": "gain control",
}


def notebook_path(namespace: Mapping[str, Any]) -> Path | None:
    """Return the path of the running notebook, or None if the front end does not provide it.

    Jupyter's server sets ``JPY_SESSION_NAME`` in the environment, VS Code a variable in the notebook.
    """
    path = str(namespace.get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME", ""))
    return Path(path) if path.endswith(".ipynb") else None


@dataclass(frozen=True, slots=True)
class StoredClip(Displayable):
    """A clip stored next to the notebook. ``text`` is the cell's text when the clip was made."""

    renderer = "rtnb.render.audio_player:stored_clip_html"

    name: str
    path: Path
    link: str
    """The path relative to the notebook."""
    clip: Clip
    text: str
    changed_text: str = ""
    """The cell's present text, if it differs from ``text``."""

    def __repr__(self) -> str:
        return f"{self.name} = {self.clip!r}, stored in {self.link}"

    @property
    def note(self) -> str:
        """A sentence if the cell's text has changed since the clip was stored; else ""."""
        return "The cell's text has changed; --again makes a new clip." if self.changed_text else ""

    @property
    def facts(self) -> list[str]:
        """Length, rate, level and origin, in a few words each."""
        clip, info = self.clip, self.clip.info
        facts = [duration(clip.seconds), f"{clip.rate / 1000:g} kHz", peak_level(clip.peak_db)]
        if clipped := info.get("clipped_samples"):
            facts.append(f"too loud: {clipped:,} samples clipped")
        if info.get("source") == "microphone":
            facts.append(f"recorded {str(info.get('recorded', ''))[:10]}".strip())
            for key, name in _FLAGS.items():
                if info.get(key) is not None:
                    facts.append(f"{name} {'on' if info[key] else 'off'}")
        elif info.get("source") == "voice":
            facts.append(f"local voice, {info.get('voice', '')}".rstrip(", "))
        elif info.get("file"):
            facts.append(f"from {info['file']}")
        return [*facts, self.link]


class ClipStore:
    """The clips of one notebook.

    ``notebook`` is its path, if known; ``home`` is the folder it runs in; ``folder`` overrides where the
    clips are stored. If the notebook's name is not known, as without a front end, or if the notebook was
    renamed, the folders ``*-audio`` next to it are searched.
    """

    def __init__(self, notebook: Path | None, home: Path, folder: str | None = None) -> None:
        base = notebook.parent if notebook is not None and notebook.parent.is_dir() else home
        stem = notebook.stem if notebook is not None else "notebook"
        self._base = base
        self._known = notebook is not None
        self._fixed = folder is not None
        self.folder = (
            base / user_path(folder, "--folder") if folder is not None else base / f"{stem}{_SUFFIX}"
        )

    def find(self, name: str, *, rate: int) -> StoredClip | None:
        """Return the clip called ``name`` at ``rate`` Hz, or None.

        Raises ArgumentError if several folders have such a clip and none of them is the notebook's own,
        AudioError if the file is damaged.
        """
        path = self.path(name)
        if path is None:
            return None
        metadata = _read_metadata(path.with_suffix(".json"))
        info = metadata.get("info")
        clip = Clip.read(path, rate=rate, info=info if isinstance(info, dict) else {})
        return StoredClip(name, path, self.link(path), clip, str(metadata.get("text", "")))

    def link(self, path: Path) -> str:
        """Return a path relative to the notebook."""
        try:
            return Path(os.path.relpath(path, self._base)).as_posix()
        except ValueError:  # another drive
            return path.as_posix()

    def path(self, name: str) -> Path | None:
        """Return the path of the clip called ``name``, or None. Raises ArgumentError as `find`."""
        own = self.folder / f"{name}.ogg"
        if own.is_file() or self._fixed:
            return own if own.is_file() else None
        # A folder whose notebook still exists belongs to that notebook, unless this one's name is unknown.
        found = [
            path
            for path in sorted(self._base.glob(f"*{_SUFFIX}/{name}.ogg"))
            if not self._known
            or not (self._base / f"{path.parent.name.removesuffix(_SUFFIX)}.ipynb").exists()
        ]
        if len(found) > 1:
            folders = ", ".join(path.parent.name for path in found)
            raise ArgumentError(
                f"several folders have a clip {name!r} ({folders}): choose one, such as "
                f"--folder {found[0].parent.name}"
            )
        return found[0] if found else None

    def store(self, name: str, clip: Clip, text: str) -> StoredClip:
        """Store a clip and return it as it is read back, so that a later run has the same samples.

        Raises AudioError if it cannot be written.
        """
        path = self.folder / f"{name}.ogg"
        metadata = json.dumps({"text": text, "info": _as_json(clip.info)}, ensure_ascii=False, indent=1)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _replace(path, clip.to_bytes("opus"))
            _replace(path.with_suffix(".json"), f"{metadata}\n".encode())
        except OSError as error:
            raise AudioError(
                f"the clip cannot be stored as {str(path)!r} ({error.strerror or error}): choose another "
                "folder, such as --folder clips"
            ) from None
        stored = self.find(name, rate=clip.rate)
        if stored is None:
            raise AudioError(f"the clip was stored as {str(path)!r} but the file is missing")
        return stored


def _replace(path: Path, data: bytes) -> None:
    """Write a file completely or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(data)
    temporary.replace(path)


def _read_metadata(path: Path) -> dict[str, Any]:
    """Return a clip's metadata; none if the file is missing or damaged."""
    try:
        metadata = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return metadata if isinstance(metadata, dict) else {}


def _as_json(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``info`` with values that JSON cannot represent as text."""
    plain: dict[str, Any] = json.loads(json.dumps(dict(info), default=str))
    return plain
