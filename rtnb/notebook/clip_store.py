"""Clips that live beside a notebook: ``NOTEBOOK-audio/NAME.ogg``, and what is known of each in ``NAME.json``.

So a notebook that was recorded once runs anywhere, without a microphone: the sound is part of it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from ..audio import Clip
from ..errors import ArgumentError, AudioError
from ..formatting import duration, peak_level
from ..paths import user_path
from ..render.audio_player import player_html, waveform_html
from ..render.style import STYLE

__all__ = ["ClipStore", "StoredClip", "notebook_path"]

_SUFFIX = "-audio"
_FLAGS = {
    "echo_cancellation": "echo cancellation",
    "noise_suppression": "noise suppression",
    "auto_gain_control": "gain control",
}


def notebook_path(namespace: Mapping[str, Any]) -> Path | None:
    """Return where the running notebook lies, as the front end told it, or None.

    Jupyter's server tells in the environment (``JPY_SESSION_NAME``), VS Code in a variable of the notebook.
    """
    told = namespace.get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME", "")
    return Path(str(told)) if str(told).endswith(".ipynb") else None


@dataclass(frozen=True, slots=True)
class StoredClip:
    """A clip that lies beside the notebook. ``text`` is what the cell said when it was made."""

    name: str
    path: Path
    place: str
    """The path as seen from the notebook, as a link has it."""
    clip: Clip
    text: str
    now: str = ""
    """What the cell says now, where that is something else."""

    def __repr__(self) -> str:
        return f"{self.name} = {self.clip!r}, stored in {self.place}"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._html()}

    def _html(self) -> str:
        clip = self.clip
        said = f'<p class="rtnb-said" dir="auto">{escape(self.text)}</p>' if self.text else ""
        if self.now:
            said += '<p class="rtnb-none">The cell says something else now; --again makes the clip anew.</p>'
        picture = waveform_html(clip.samples, clip.rate, width=480, height=48)
        label = f"Play {self.name}, {duration(clip.seconds)}"
        player = player_html(clip.samples, clip.rate, label=label, file=self.place)
        foot = " · ".join(f"<span>{escape(word)}</span>" for word in self._words())
        return (
            f'{STYLE}<div class="rtnb-turn" role="group" aria-label="Clip {escape(self.name)}">'
            f'<div class="rtnb-sides"><div class="rtnb-side rtnb-user">'
            f'<p class="rtnb-who"><b>{escape(self.name)}</b></p>'
            f'<div class="rtnb-sound">{picture}{player}</div>{said}</div></div>'
            f'<p class="rtnb-foot"><small>{foot}</small></p></div>'
        )

    def _words(self) -> list[str]:
        clip, info = self.clip, self.clip.info
        words = [duration(clip.seconds), f"{clip.rate / 1000:g} kHz", peak_level(clip.peak_db)]
        if clipped := info.get("clipped_samples"):
            words.append(f"too loud: {clipped:,} samples cut off")
        if info.get("source") == "microphone":
            words.append(f"recorded {str(info.get('recorded', ''))[:10]}".strip())
            for key, name in _FLAGS.items():
                if info.get(key) is not None:
                    words.append(f"{name} {'on' if info[key] else 'off'}")
        elif info.get("source") == "voice":
            words.append(f"the local voice, {info.get('voice', '')}".rstrip(", "))
        elif info.get("file"):
            words.append(f"from {info['file']}")
        return [*words, self.place]


class ClipStore:
    """The clips of one notebook.

    ``notebook`` is its path where that is known; ``home`` the folder it runs in; ``folder`` overrides where
    the clips lie. Where the notebook's name is not known, as when it runs without a front end, and after the
    notebook was renamed, the folders ``*-audio`` in it are searched.
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

        Raises ArgumentError where several folders have one and none is the notebook's own, AudioError where
        the file is damaged.
        """
        path = self.path(name)
        if path is None:
            return None
        told = _told(path.with_suffix(".json"))
        info = told.get("info")
        clip = Clip.read(path, rate=rate, info=info if isinstance(info, dict) else {})
        return StoredClip(name, path, self.place(path), clip, str(told.get("text", "")))

    def place(self, path: Path) -> str:
        """Return a path as seen from the notebook."""
        try:
            return Path(os.path.relpath(path, self._base)).as_posix()
        except ValueError:  # another drive
            return path.as_posix()

    def path(self, name: str) -> Path | None:
        """Return where the clip called ``name`` lies, or None. Raises ArgumentError as `find`."""
        own = self.folder / f"{name}.ogg"
        if own.is_file() or self._fixed:
            return own if own.is_file() else None
        # A folder whose notebook is still there belongs to it, unless we do not know who we are.
        found = [
            path
            for path in sorted(self._base.glob(f"*{_SUFFIX}/{name}.ogg"))
            if not self._known
            or not (self._base / f"{path.parent.name.removesuffix(_SUFFIX)}.ipynb").exists()
        ]
        if len(found) > 1:
            folders = ", ".join(path.parent.name for path in found)
            raise ArgumentError(f"several folders have a clip {name!r} ({folders}): say --folder which one")
        return found[0] if found else None

    def keep(self, name: str, clip: Clip, text: str) -> StoredClip:
        """Store a clip and return it as it will be read again, so that a later run hears the same.

        Raises AudioError where it cannot be written.
        """
        path = self.folder / f"{name}.ogg"
        about = json.dumps({"text": text, "info": _plain(clip.info)}, ensure_ascii=False, indent=1)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _replace(path, clip.to_bytes("opus"))
            _replace(path.with_suffix(".json"), f"{about}\n".encode())
        except OSError as error:
            raise AudioError(
                f"the clip cannot be stored as {str(path)!r} ({error.strerror or error}): name another "
                "folder with --folder"
            ) from None
        stored = self.find(name, rate=clip.rate)
        if stored is None:
            raise AudioError(f"the clip was stored as {str(path)!r} and is not there")
        return stored


def _replace(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_bytes(data)
    fresh.replace(path)


def _told(path: Path) -> dict[str, Any]:
    """Return what a side file says; one that is missing or damaged says nothing."""
    try:
        told = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _plain(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of ``info`` JSON can hold; anything else as text."""
    plain: dict[str, Any] = json.loads(json.dumps(dict(info), default=str))
    return plain
