"""``%%audio NAME``: a clip that is recorded once and stored next to the notebook."""

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
from .arguments import MagicParser, UsageError, check_variable, one_line_errors

__all__ = ["AudioMagic"]

_display: Any = display_functions.display
_RATES = (8_000, 16_000, 24_000, 48_000)


class AudioMagic:
    """``%%audio`` in one shell."""

    description = """Record a clip, bind it to NAME, and store it next to the notebook.

        %%audio question
        Can you tell me something about the ocean?

    The cell's text is shown while you record: it is what to say. When the cell runs again it uses the stored
    clip, so the notebook runs without a microphone; --again makes a new clip."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.parser = parser = MagicParser("%%audio")
        add = parser.add_argument
        add("name", metavar="NAME", help="the variable that the clip is bound to, and the name of its file")
        add("--again", action="store_true", help="make a new clip even if one is stored")
        add("--from", dest="file", metavar="FILE", help="read this sound file instead of recording")
        add("--say", action="store_true", help="have the local voice speak the cell's text instead")
        add("--voice", help="the voice for --say, such as marin")
        add("--edit", action="store_true", help="listen and trim after recording, then press Keep")
        add("--start", action="store_true", help="start recording as soon as the recorder is shown")
        add("--max", type=float, default=600.0, metavar="SECONDS", help="the longest recording (600)")
        add("--device", default="", help="the microphone: a part of its name")
        add("--no-aec", action="store_true", help="turn the browser's echo cancellation off")
        add("--no-ns", action="store_true", help="turn the browser's noise suppression off")
        add("--no-agc", action="store_true", help="turn the browser's gain control off")
        add("--rate", type=int, choices=_RATES, default=24_000, help="the clip's sample rate in Hz (24000)")
        add("--folder", metavar="DIR", help="where to store the clip (NOTEBOOK-audio next to the notebook)")

    def __call__(self, line: str, cell: str) -> None:
        """Run the magic. Raises UsageError."""
        args = self.parser.parse_line(line)
        check_variable(args.name)
        if args.voice is not None and not args.say:
            raise UsageError("--voice needs --say, as in: %%audio question --say --voice marin")
        if args.file is not None and args.say:
            raise UsageError("--from and --say exclude each other: use one of them")
        with one_line_errors():
            self._run(args, cell.strip())

    def _run(self, args: Namespace, text: str) -> None:
        home = Path(getattr(self.shell, "starting_dir", "."))
        store = ClipStore(notebook_path(self.shell.user_ns), home, args.folder)
        stored = None if args.again else self._stored(store, args, text)
        if stored is None and (clip := _clip_without_microphone(args, text)) is not None:
            stored = store.store(args.name, clip.resample(args.rate), text)
        if stored is None:
            self._record(store, args, text)
            return
        changed_text = text if text and text != stored.text else ""
        self.shell.user_ns[args.name] = stored.clip
        _display(dataclasses.replace(stored, changed_text=changed_text))

    def _stored(self, store: ClipStore, args: Namespace, text: str) -> StoredClip | None:
        """Return the stored clip if it is what the cell requests."""
        try:
            stored = store.find(args.name, rate=args.rate)
        except AudioError as error:
            if args.say or args.file is not None:
                return None
            raise UsageError(f"{error}: add --again to make a new clip") from None
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

    def _record(self, store: ClipStore, args: Namespace, text: str) -> None:
        if unattended(self.shell):
            if (path := store.path(args.name)) is not None:
                raise UsageError(
                    "--again needs a page with a microphone, and this notebook runs without a page. Remove "
                    f"--again to use the clip that is stored as {store.link(path)}"
                )
            raise UsageError(
                f"no clip is stored as {store.link(store.folder)}/{args.name}.ogg, and there is no page to "
                "record in. Run the cell in JupyterLab or Notebook 7, or make the clip with --from FILE or "
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
        recording = _RecordingCell(self.shell.user_ns, store, args, text, recorder)
        recorder.on_clip = recording.finish
        recording.cell = OutputCell(recorder._repr_mimebundle_()[0])
        try:
            recorder.wait()
        except KeyboardInterrupt:
            recording.cancel()
            raise UsageError(f"the recording was interrupted; {args.name} stays as it was") from None
        except MicrophoneError as error:
            raise UsageError(
                f"{error} The recorder stays open: {args.name} is set once it has a clip from any source"
            ) from None


class _RecordingCell:
    """A cell whose recorder is open: its clip is stored, bound to the variable, and shown in its place."""

    def __init__(
        self, namespace: dict[str, Any], store: ClipStore, args: Namespace, text: str, recorder: Any
    ) -> None:
        self.cell: Any = None
        self._namespace = namespace
        self._store, self._args, self._text = store, args, text
        self._recorder = recorder

    def finish(self, clip: Clip) -> None:
        """Store the clip. Called on the page's thread, whether or not the cell still waits."""
        stored = self._store.store(self._args.name, clip.resample(self._args.rate), self._text)
        self._namespace[self._args.name] = stored.clip
        self.cell.replace(stored._repr_mimebundle_())
        self._recorder.close()

    def cancel(self) -> None:
        """Ignore any further clip, and release the microphone."""
        self._recorder.on_clip = None
        self._recorder.close()
        self.cell.replace({"text/plain": "Nothing was recorded."})


def _digest(file: str) -> str | None:
    """Return the SHA-256 of a file, None if it cannot be read."""
    try:
        with open(user_path(file), "rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError:
        return None


def _clip_without_microphone(args: Namespace, text: str) -> Clip | None:
    """Return the clip that --from or --say makes; None without these options."""
    if args.file is not None:
        clip = Clip.read(args.file, rate=args.rate, max_seconds=args.max)
        if not len(clip):
            raise UsageError(f"{args.file!r} contains no audio (0 s): choose another file")
        return clip.with_info(source="file", file=Path(args.file).name, sha256=_digest(args.file))
    if args.say:
        from ..notebook.text_to_speech import speak

        return speak(text, voice=args.voice or "")
    return None
