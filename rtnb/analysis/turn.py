"""A turn: everything that the log says of it. The same for a live turn and for one from a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING

from ..audio import Clip
from ..displayable import Displayable
from ..errors import RtnbError, ServiceError
from ..formatting import turn_number
from ..protocol.changes import ErrorData
from ..protocol.events import as_object
from ..protocol.items import Item
from ..protocol.state import SessionState
from ..protocol.turns import Response, TurnState
from ..protocol.usage import Cost, Usage
from ..redaction import clean_text
from .events import Events

if TYPE_CHECKING:
    from .conversation_clock import ConversationClock
    from .latency import LatencyView
    from .spans import TurnTimes
    from .timeline import Timeline

__all__ = ["TOOL_ERROR", "Call", "Input", "TurnView", "service_error"]


class Input(str):
    """What the user said, as text: the transcript of speech, or what was written. ``audio`` is the speech."""

    __slots__ = ("audio",)
    audio: Clip | None

    def __new__(cls, text: str, audio: Clip | None = None) -> Input:
        """Hold both."""
        self = super().__new__(cls, text)
        self.audio = audio
        return self

    @property
    def text(self) -> str:
        """The text as a plain str."""
        return str(self)


@dataclass(frozen=True, slots=True)
class Call:
    """One function call of a turn. ``output`` is None until the tool returns, ``error`` unless it raised."""

    id: str
    name: str
    arguments: str
    output: str | None
    error: str | None


class TurnView(Displayable):
    """One turn of a session, as it is known now. Nothing here waits."""

    renderer = "rtnb.render.turn_card:turn_html"

    def __init__(
        self,
        state: SessionState,
        fold: TurnState,
        *,
        billed: bool = True,
        engine: str = "",
        sha256: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._state = state
        self._fold = fold
        self._billed = billed
        self._engine = engine
        self._sha256 = sha256

    @property
    def number(self) -> int:
        """The turn's place in the session, from 0; its frames carry it in ``Entry.turn``."""
        return self._fold.number

    @property
    def model(self) -> str:
        """The model's id, as the server reported it."""
        return self._state.model

    @property
    def voice(self) -> str:
        """The voice that the session asked for, as the server reported it; an embedded engine has its own."""
        voice = as_object(as_object(self._state.session.get("audio")).get("output")).get("voice")
        return voice if isinstance(voice, str) else ""

    @property
    def engine(self) -> str:
        """The embedded engine that answered in the model's place, such as "local"; "" for other servers."""
        return self._engine

    @property
    def source(self) -> str:
        """Where the turn comes from, as a sentence, if it was replayed or read from a file; else ""."""
        return self._state.source

    @property
    def time_scaled(self) -> bool:
        """Whether the turn was replayed faster or slower than real time: its times are not the model's."""
        return self._state.time_scaled

    @property
    def billed(self) -> bool:
        """Whether the turn is billed."""
        return self._billed

    @property
    def responses(self) -> Sequence[Response]:
        """The turn's responses, in order: several where functions were called."""
        return tuple(self._fold.responses)

    @property
    def items(self) -> list[Item]:
        """All items of the answer: messages and function calls."""
        return [self._state.conversation.items[id] for id in self._fold.outputs]

    @property
    def item_ids(self) -> list[str]:
        """The ids of all items of the turn: its input, its answer, and the outputs of its function calls."""
        calls = {item.call_id for item in self.items if item.call_id}
        every = self._state.conversation.items.values()
        outputs = [item.id for item in every if item.type == "function_call_output" and item.call_id in calls]
        return [*self._fold.inputs, *self._fold.outputs, *outputs]

    @property
    def text_so_far(self) -> str:
        """The answer's text so far."""
        return _text(item for item in self.items if item.type == "message")

    @property
    def audio_so_far(self) -> Clip | None:
        """The answer's audio so far, played or not, with its origin in ``info``; None if there is none."""
        return self._with_origin(_clip(self.items), "assistant", self.text_so_far)

    @property
    def played(self) -> float | None:
        """Seconds of the answer that were played before it was truncated; None if it was not truncated."""
        spoken = [item for item in self.items if item.type == "message"]
        if not any(item.played_ms is not None for item in spoken):
            return None
        parts = (
            item.audio_ms if item.played_ms is None else min(item.played_ms, item.audio_ms) for item in spoken
        )
        return sum(parts) / 1000

    @property
    def input(self) -> Input:
        """What the user said: a str (text or transcript) with ``audio``."""
        known = (self._state.conversation.items[id] for id in self._fold.inputs)
        items = [*self._fold.given, *known]
        text = _text(items)
        return Input(text, self._with_origin(_clip(items), "user", text))

    def _with_origin(self, clip: Clip | None, source: str, text: str) -> Clip | None:
        """Return a clip with its origin in ``info``; a model or voice that did not sound is not named."""
        if clip is None:
            return None
        moments = [mark for mark in self._fold.marks.values() if mark >= 0]
        log = self._state.log
        info: dict[str, str | None] = {"source": source, "text": text, "recorded": None}
        if moments and len(log) and log[0].wall > 0:  # a log from elsewhere may have no date
            start = datetime.fromtimestamp(log[0].wall + min(moments), UTC)
            info["recorded"] = start.isoformat(timespec="seconds").replace("+00:00", "Z")
        if source == "assistant":
            known = [*self._fold.given, *(self._state.conversation.items[id] for id in self._fold.inputs)]
            info["prompt"] = _text(known)
            if self._engine:
                info["engine"] = self._engine.partition(",")[0]
            else:
                info |= {"model": self.model, "voice": self.voice}
        info["recording_sha256"] = self._sha256()
        return clip.with_info(**{name: value for name, value in info.items() if value})

    @property
    def awaits_transcript(self) -> bool:
        """Whether speech was committed whose requested transcript has not arrived."""
        conversation = self._state.conversation
        items = (conversation.items[id] for id in self._fold.inputs)
        return bool(conversation.input_settings.get("transcription")) and any(
            item.committed and not item.transcribed for item in items
        )

    @property
    def transcription_error(self) -> str | None:
        """Why the user's speech has no transcript; None if nothing went wrong."""
        items = (self._state.conversation.items[id] for id in self._fold.inputs)
        return next((item.transcription_error for item in items if item.transcription_error), None)

    @property
    def transcript_note(self) -> str:
        """Why the user's speech has no transcript (yet), as a sentence; "" with one, or without speech."""
        conversation = self._state.conversation
        items = [*self._fold.given, *(conversation.items[id] for id in self._fold.inputs)]
        if self.transcription_error:
            return f"Transcription failed: {self.transcription_error}"
        if any(item.text.strip() for item in items) or not any(item.audio_ms for item in items):
            return ""
        if self._fold.out_of_band:
            return "No transcript: only speech that joins the conversation is transcribed."
        settings = conversation.input_settings
        if settings and not settings.get("transcription"):
            return "No transcript: the session does not request one."
        return "No transcript yet." if self.status in ("in_progress", "waiting") else "No transcript."

    @property
    def calls(self) -> list[Call]:
        """The function calls of the turn, with their outputs."""
        outputs = self._state.conversation.outputs
        return [
            Call(item.call_id or item.id, item.name or "", item.arguments, output, _tool_error(output))
            for item in self.items
            if item.type == "function_call"
            for output in (outputs.get(item.call_id or item.id),)
        ]

    @property
    def status(self) -> str:
        """in_progress, completed, cancelled, interrupted, incomplete or failed."""
        return self._fold.status(self._state.conversation)

    @property
    def reason(self) -> str | None:
        """Why the last response ended early, in the service's words, such as max_output_tokens."""
        return self._fold.responses[-1].reason if self._fold.responses else None

    @property
    def error(self) -> RtnbError | None:
        """What went wrong, as the service reported it; None if nothing did."""
        last = self._fold.responses[-1] if self._fold.responses else None
        if last is not None and last.status == "failed":
            return service_error(last.error)
        if last is None and self._fold.errors:
            return service_error(self._fold.errors[-1])
        return None

    @property
    def usage(self) -> Usage:
        """Tokens of all the turn's responses, as the service counted them."""
        return self._fold.usage

    @property
    def cost(self) -> Cost | None:
        """US dollars at the model's published prices; None if they, or the usage, are unknown.

        What has no known price is listed in ``cost.excludes``.
        """
        return self._fold.cost(self._state.row, billed=self._billed)

    @property
    def latency(self) -> LatencyView:
        """How long the parts of the answer took, and which clock measured it."""
        from .latency import LatencyView

        return LatencyView.of(self._fold.marks)

    @property
    def marks(self) -> dict[str, float]:
        """When things happened, in seconds since the log began; the names are in ``timing.MARKS``."""
        return dict(self._fold.marks)

    @property
    def timeline(self) -> Timeline:
        """The turn as a picture on one clock: who spoke, who waited, what was played. As known now."""
        from .timeline import Timeline

        return Timeline([self.times])

    @property
    def times(self) -> TurnTimes:
        """When the turn's parts happened, as far as it is known now."""
        from .conversation_clock import ConversationClock

        return self.times_on(ConversationClock(self._state))

    def times_on(self, clock: ConversationClock) -> TurnTimes:
        """Return when the turn's parts happened; ``clock``, of its session, says where its audio is."""
        from .spans import Placement, TurnTimes

        seconds: dict[str, float] = {}
        for item in self.items:
            id = item.response_id or ""
            seconds[id] = seconds.get(id, 0.0) + item.audio_ms / 1000
        times = TurnTimes(
            number=self.number,
            status=self.status,
            marks=self.marks,
            responses=tuple((dict(one.marks), seconds.get(one.id, 0.0)) for one in self.responses),
            played=self.played,
            time_scaled=self.time_scaled,
            input_audio=lambda: self.input.audio,
            output_audio=lambda: self.audio_so_far,
        )
        output = clock.output(self.number)
        placement = Placement(
            tuple(clock.input(self.number)),
            tuple((one.start, one.seconds, one.received) for one in output),
            clock.sent_at_once(self.number),
        )
        responses = [({name: clock.at(t) for name, t in own.items()}, s) for own, s in times.responses]
        played = times.played
        if played is None and not all(one.complete for one in output):
            played = sum(one.seconds for one in output)
        conversation = replace(
            times,
            marks=clock.marks(self._fold),
            responses=tuple(responses),
            played=played,
            placement=placement,
        )
        return replace(times, conversation=conversation)

    @property
    def events(self) -> Events:
        """The turn's frames so far, both directions."""
        state = self._state
        about = {"engine": self.engine, "billed": self.billed, "model": self.model}
        rows = state.log.rows(turn=self.number)
        return Events(
            state.log, rows, state=lambda: state, about=about | {"requested_model": state.requested_model}
        )

    def _brief(self, note: str = "") -> str:
        """Return the turn in a line: how it ended, and what was said, or why nothing was."""
        text = clean_text(self.text_so_far)
        text = repr(text if len(text) <= 60 else text[:59] + "…")
        if text == "''" and self.error is not None:
            text = clean_text(str(self.error))
        audio = f", {self.audio_so_far.seconds:.1f} s of audio" if self.audio_so_far is not None else ""
        return f"<Turn {turn_number(self.number)} {self.status}{note}: {text}{audio}>"


def _text(items: Iterable[Item]) -> str:
    return " ".join(filter(None, (item.text.strip() for item in items)))


def _clip(items: list[Item]) -> Clip | None:
    parts = [part for item in items for part in item.parts if part.codec is not None and part.chunks]
    clips = [
        Clip.from_wire(b"".join(part.data for part in group), codec)
        for codec, group in groupby(parts, key=lambda part: part.codec)
        if codec is not None
    ]
    return clips[0] if len(clips) == 1 else Clip.join(clips) if clips else None


def service_error(error: ErrorData | None) -> ServiceError:
    """Return the exception for an error that a service reports; None is a failure without any reason."""
    error = error or ErrorData()
    return ServiceError(
        error.message or error.code or "the service reported no reason",
        type=error.type,
        code=error.code,
        param=error.param,
    )


TOOL_ERROR = "error: "
"""The prefix of a tool's failure in the text that goes to the model; it marks a failed call in a log."""


def _tool_error(output: str | None) -> str | None:
    return output.removeprefix(TOOL_ERROR) if output is not None and output.startswith(TOOL_ERROR) else None
