"""The state of a session: a log and all that is folded from it, the same live, replayed or from a file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..audio.codecs import Codec
from ..redaction import clean_text
from .changes import PIECES, AppendAudio, AudioDelta, Change, Command, Limits, ResponseEnded
from .conversation import Conversation
from .dialects import GA, Dialect, ReadFrame
from .events import Direction, Event
from .frame_reader import FrameReader, written
from .log import NO_TURN, Log
from .log_storage import Sound
from .models import Model, resolve
from .read_only_log import ReadOnlyLog
from .runs import Run
from .tracks import Piece, Track
from .turns import Turns
from .usage import Usage

__all__ = ["TIME_SCALED", "SessionState"]

TIME_SCALED = "Its times are those of the replay, not of the model."
"""What is said of a session that is a replay at another speed than it was recorded."""

_REMEMBERED = 4096
"""At least so many event ids are remembered to recognize a repeated frame."""


class SessionState:
    """One session: its log, conversation, turns and limits.

    ``problems`` lists, as (index in the log, sentence), the frames that could not be understood.
    They are kept in the log like any other.
    """

    __reduce_ex__ = Log.__reduce_ex__

    def __init__(self, dialect: Dialect = GA) -> None:
        self.log = Log()
        self.conversation = Conversation()
        self.turns = Turns(self.conversation)
        self.limits: dict[str, Event] = {}
        self.limits_at: dict[str, float] = {}
        """When each limit was reported last, in seconds since the log began."""
        self.problems: list[tuple[int, str]] = []
        self.source = ""
        """Where the frames come from, as a sentence, if not from a server that answers now."""
        self.time_scaled = False
        """Whether it is a replay at another speed than recorded: its times say nothing of the model."""
        self.requested_model = ""
        """The model's name as the caller stated it; a server may report another, or only a deployment's."""
        self.tracks = {"input": Track("input"), "output": Track("output")}
        """The audio of both sides in time, including audio that is in no frame."""
        self._began = 0
        self._reader = FrameReader(dialect)
        self._run: Run | None = None  # if the last change was a piece of an answer
        self._repeated: set[int] = set()  # rows of frames that repeat others
        self._seen: dict[str, int] = {}  # a server's event id → its row; -1 where it names different frames
        self._seen_before: dict[str, int] = {}  # the same, of event ids before those

    @classmethod
    def of(cls, log: Log, media: Iterable[tuple[str, bytes, Codec, int]] = ()) -> SessionState:
        """Fold a log that is complete, such as one from a file.

        ``media`` is audio that came beside the frames: side, bytes, codec and time in ns since the log began.
        """
        self = cls()
        self.log = log
        waiting = iter(media)
        following = next(waiting, None)
        for entry in log:
            while following is not None and following[3] < entry.t * 1e9:
                self._fold_media(*following, row=entry.index - 1)
                following = next(waiting, None)
            read = self._reader.read(entry.frame, entry.direction)
            server = entry.direction == "server"
            if server and read.event_id and self._repeats(read.event_id, entry.frame, entry.index):
                continue
            _, wrong = self._fold(read.changes, entry.t)
            if read.cut is not None and isinstance(log, ReadOnlyLog):
                log.share(entry.index, read.cut.audio)
            self._note(entry.index, read.problem or wrong)
        while following is not None:
            self._fold_media(*following, row=len(log) - 1)
            following = next(waiting, None)
        return self

    def append(
        self,
        frame: bytes,
        direction: Direction,
        *,
        mono_ns: int,
        wall_ns: int,
        command: Command | None = None,
        kind: str = "",
    ) -> ReadFrame:
        """Keep one frame and fold it in; a server's frame that repeats another is kept and not folded.

        ``command`` and the event's type, ``kind``, spare reading the frame where the caller made it of them.
        """
        row = len(self.log)
        if not row:
            self._began = mono_ns
        read = self._reader.read(frame, direction) if command is None else written(frame, kind, command)
        read.row = row
        wrong = None
        if direction == "server" and read.event_id and self._repeats(read.event_id, frame, row):
            read.turn = self.log.entry(self._seen[read.event_id]).turn
            read.changes = []
        else:
            read.turn, wrong = self._fold(read.changes, (mono_ns - self._began) / 1e9)
        self.log.append(
            frame, direction, read.type, mono_ns=mono_ns, wall_ns=wall_ns, turn=read.turn, cut=read.cut
        )
        if read.problem is not None or wrong is not None:
            self._note(row, read.problem or wrong)
        return read

    def read_again(self, row: int) -> list[Change] | list[Command]:
        """Return what the frame of a row says, read from the log; [] for a repeated one."""
        if row in self._repeated:
            return []
        entry = self.log.entry(row)
        return self._reader.read(entry.frame, entry.direction).changes

    def _repeats(self, event_id: str, frame: bytes, row: int) -> bool:
        """Return whether a server has sent this frame before; an id on other bytes identifies nothing."""
        before = self._seen.setdefault(event_id, self._seen_before.get(event_id, row))
        if before == row:
            if len(self._seen) >= _REMEMBERED:
                self._seen, self._seen_before = {}, self._seen
            return False
        if before >= 0 and self.log.entry(before).frame == frame:
            self._repeated.add(row)
            return True
        self._seen[event_id] = -1
        return False

    def append_media(self, side: str, data: bytes, codec: Codec, *, mono_ns: int) -> ReadFrame:
        """Add audio that came in no frame, such as over WebRTC, and fold it in as if it had.

        ``side`` is input or output. Output belongs to the answer that the server speaks,
        input to the input buffer. Raises ValueError for another side.
        """
        if side not in self.tracks:
            raise ValueError(f"side: expected 'input' or 'output', got {side!r}")
        if not len(self.log):
            self._began = mono_ns
        return self._fold_media(side, data, codec, mono_ns - self._began, row=len(self.log) - 1)

    def _fold_media(self, side: str, data: bytes, codec: Codec, t_ns: int, *, row: int) -> ReadFrame:
        audio = Sound(data)
        change: AudioDelta | AppendAudio
        if side == "input":
            self.conversation.input_codec = codec
            change = AppendAudio(audio)
        else:
            response_id, item_id = self.conversation.media_target()
            self.conversation.set_codec(item_id, codec)
            change = AudioDelta(response_id, item_id, audio)
        self._run = None
        turn, problem = self._fold_one(change, t_ns / 1e9, framed=False)
        self._note(row, problem)
        return ReadFrame("", "", [change], problem, turn=turn)

    @property
    def dialect(self) -> Dialect:
        """What the other side speaks: as the endpoint has it, until the first frames show it."""
        return self._reader.dialect

    def _add_to_track(self, change: AudioDelta | AppendAudio, t: float, *, framed: bool) -> None:
        conversation = self.conversation
        if isinstance(change, AppendAudio):
            piece = Piece(t, "", change.audio, conversation.input_codec, framed)
            self.tracks["input"].append(piece)
            return
        id = conversation.output_id(change.response_id, change.item_id)
        item = conversation.items.get(id)
        codec = item.parts[change.content_index].codec if item is not None else None
        piece = Piece(t, id, change.audio, codec or conversation.output_codec, framed)
        self.tracks["output"].append(piece)

    def _fold(self, changes: list[Any], t: float) -> tuple[int, str | None]:
        """Fold changes in; return the number of their turn, and what is wrong with them."""
        turn, problem = NO_TURN, None
        for change in changes:
            run, piece = self._run, type(change) in PIECES
            if piece and run is not None and run.add(change, t):
                number = run.turn
            else:
                self._run = None
                number, wrong = self._fold_one(change, t)
                problem = wrong or problem
                if piece and wrong is None:
                    self._run = Run.after(change, self.conversation, self.turns, self.tracks["output"])
            turn = number if turn == NO_TURN else turn
        return turn, problem

    def _fold_one(self, change: Any, t: float, *, framed: bool = True) -> tuple[int, str | None]:
        turn, problem = NO_TURN, None
        try:
            self.conversation.apply(change)
        except (LookupError, TypeError, ValueError) as error:  # such as an unknown audio format
            problem = f"{type(change).__name__} cannot be used: {error}"
        # A response that has ended is over, however odd the items that it lists.
        try:
            turn = self.turns.apply(change, t)
        except (LookupError, TypeError, ValueError) as error:
            problem = f"{type(change).__name__} cannot be used: {error!r:.200}"
        if isinstance(change, (AudioDelta, AppendAudio)):
            self._add_to_track(change, t, framed=framed)
        elif isinstance(change, Limits):
            self.limits.update(change.limits)
            self.limits_at.update(dict.fromkeys(change.limits, t))
        elif isinstance(change, ResponseEnded) and change.problems:
            problem = "; ".join(change.problems)
        return turn, problem

    def _note(self, index: int, problem: str | None) -> None:
        if problem is not None:
            self.problems.append((index, clean_text(problem)))

    @property
    def session(self) -> Event:
        """The session's configuration as the server last reported it, in GA's shape; {} before that."""
        return self.conversation.session

    @property
    def model(self) -> str:
        """The model's id as the server reported it; "" where it did not."""
        return str(self.session.get("model") or "")

    @property
    def row(self) -> Model:
        """The model's row in the catalogue, by which tokens are priced: see ``models.resolve``."""
        return resolve(self.model, self.requested_model)

    @property
    def usage(self) -> Usage:
        """Tokens of all turns."""
        return sum((turn.usage for turn in self.turns.all), Usage())
