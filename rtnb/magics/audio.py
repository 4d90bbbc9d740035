"""``%%audio NAME``: a clip that is recorded once and lives beside the notebook from then on."""

from __future__ import annotations

import dataclasses
import hashlib
from argparse import Namespace
from pathlib import Path
from typing import Any

from IPython.core import display_functions

from ..audio import Clip
from ..errors import AudioError, MicrophoneError
from ..notebook.clip_store import ClipStore, StoredClip, notebook_path
from ..notebook.display import OutputCell
from ..notebook.environment import unattended
from ..paths import user_path
from .arguments import Options, UsageError, one_line, variable

__all__ = ["AudioMagic"]

_show: Any = display_functions.display
_RATES = (8_000, 16_000, 24_000, 48_000)


class AudioMagic:
    """The magic, in one shell."""

    about = """Record a clip, bind it to NAME, and store it beside the notebook.

        %%audio question
        Can you tell me something about the ocean?

    The cell's text is shown while you record: it is what to say. When the cell runs again it uses the stored
    clip, so that the notebook runs without a microphone; --again makes it anew."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.options = options = Options("%%audio")
        add = options.add_argument
        add("name", metavar="NAME", help="the variable that the clip is bound to, and its file")
        add("--again", action="store_true", help="make the clip anew, though there is one")
        add("--from", dest="file", metavar="FILE", help="read this sound file instead of recording")
        add("--say", action="store_true", help="let the local voice speak the cell's text instead")
        add("--voice", help="of --say: one of the engine's, or a hosted model's")
        add("--edit", action="store_true", help="listen and trim after recording, then press Keep")
        add("--start", action="store_true", help="begin to record as soon as the recorder shows")
        add("--max", type=float, default=600.0, metavar="SECONDS", help="stop by itself then (600)")
        add("--device", default="", help="the microphone, by a part of its name")
        add("--no-aec", action="store_true", help="without the browser's echo cancellation")
        add("--no-ns", action="store_true", help="without the browser's noise suppression")
        add("--no-agc", action="store_true", help="without the browser's gain control")
        add("--rate", type=int, choices=_RATES, default=24_000, help="of the clip, in Hz (24000)")
        add("--folder", metavar="DIR", help="where the clip is stored; else NOTEBOOK-audio beside it")

    def __call__(self, line: str, cell: str) -> None:
        """Run the magic. Raises UsageError."""
        args = self.options.parse_line(line)
        variable(args.name)
        if args.voice is not None and not args.say:
            raise UsageError("--voice is for --say: a recording has your own")
        if args.file is not None and args.say:
            raise UsageError("--from and --say are two ways to one clip: give one of them")
        with one_line():
            self._audio(args, cell.strip())

    def _audio(self, args: Namespace, text: str) -> None:
        shelf = ClipStore(
            notebook_path(self.shell.user_ns), Path(getattr(self.shell, "starting_dir", ".")), args.folder
        )
        stored = None if args.again else self._stored(shelf, args, text)
        if stored is None and (clip := _made(args, text)) is not None:
            stored = shelf.keep(args.name, clip.resample(args.rate), text)
        if stored is None:
            self._record(shelf, args, text)
            return
        now = text if text and text != stored.text else ""
        self.shell.user_ns[args.name] = stored.clip
        _show(dataclasses.replace(stored, now=now))

    def _stored(self, shelf: ClipStore, args: Namespace, text: str) -> StoredClip | None:
        """Return the stored clip if it is what the cell asks for."""
        try:
            stored = shelf.find(args.name, rate=args.rate)
        except AudioError as error:
            if args.say or args.file is not None:
                return None
            raise UsageError(f"{error}: --again makes the clip anew") from None
        if stored is None:
            return None
        info = stored.clip.info
        if args.say and (info.get("source") != "voice" or stored.text != text):
            return None
        if args.say and args.voice not in (None, info.get("voice")):
            return None
        if args.file is not None and info.get("file") != Path(args.file).name:
            return None
        if args.file is not None and _digest(args.file) not in (None, info.get("sha256")):
            return None
        return stored

    def _record(self, shelf: ClipStore, args: Namespace, text: str) -> None:
        if unattended(self.shell):
            if (path := shelf.path(args.name)) is not None:
                raise UsageError(
                    "--again needs a page with a microphone, and there is none: without --again the clip "
                    f"that is stored as {shelf.place(path)} is used"
                )
            raise UsageError(
                f"nothing is stored as {shelf.place(shelf.folder)}/{args.name}.ogg, and there is no page to "
                "record in: run the cell in JupyterLab or Notebook 7, or give it a sound with --from FILE or "
                "--say"
            )
        from ..widgets.recorder import Recorder

        recorder = Recorder(
            text,
            device=args.device,
            echo_cancellation=not args.no_aec,
            noise_suppression=not args.no_ns,
            auto_gain_control=not args.no_agc,
            max_seconds=args.max,
            autostart=args.start,
            confirm=args.edit,
        )
        cell = _Cell(self.shell.user_ns, shelf, args, text, recorder)
        recorder.on_clip = cell.take
        cell.place = OutputCell(recorder._repr_mimebundle_()[0])
        try:
            recorder.wait()
        except KeyboardInterrupt:
            cell.drop()
            raise UsageError(f"the recording was interrupted; {args.name} stays as it was") from None
        except MicrophoneError as error:
            raise UsageError(
                f"{error} The recorder stays: {args.name} is set as soon as it has a clip, from wherever"
            ) from None


class _Cell:
    """A cell whose recorder is at work: what comes of it is stored, bound and shown in its place."""

    def __init__(
        self, namespace: dict[str, Any], shelf: ClipStore, args: Namespace, text: str, recorder: Any
    ) -> None:
        self.place: Any = None
        self._namespace = namespace
        self._shelf, self._args, self._text = shelf, args, text
        self._recorder = recorder

    def take(self, clip: Clip) -> None:
        """Take the clip; called on the page's thread, whether the cell still waits or not."""
        stored = self._shelf.keep(self._args.name, clip.resample(self._args.rate), self._text)
        self._namespace[self._args.name] = stored.clip
        self.place.replace(stored._repr_mimebundle_())
        self._recorder.close()

    def drop(self) -> None:
        """Take nothing any more, and let go of the microphone."""
        self._recorder.on_clip = None
        self._recorder.close()
        self.place.replace({"text/plain": "Nothing was recorded."})


def _digest(file: str) -> str | None:
    """Return the SHA-256 of a file, None where it cannot be read."""
    try:
        with open(user_path(file), "rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError:
        return None


def _made(args: Namespace, text: str) -> Clip | None:
    """Return a clip that needs no microphone, if the options ask for one."""
    if args.file is not None:
        clip = Clip.read(args.file, rate=args.rate, max_seconds=args.max)
        if not len(clip):
            raise UsageError(f"there is no sound in {args.file!r}, it is 0 s long: give another file")
        return clip.with_info(source="file", file=Path(args.file).name, sha256=_digest(args.file))
    if args.say:
        from ..notebook.text_to_speech import speak

        return speak(text, voice=args.voice or "")
    return None
