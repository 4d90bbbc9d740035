"""Turns, folded from frames: which input, which responses, when.

A turn is one exchange: what the user said or wrote, and all responses to it, those after function calls too.
Each frame belongs to one turn or to none, told by its ids; where it has none, by the moment:

- a user item, or sound when nothing detects speech, opens a turn, unless one is open for input already;
- detected speech opens a turn; sound between speech belongs to none;
- ``response.create`` closes the input; after function call outputs it continues the turn of the calls;
- a response that nobody asked for belongs to the input that the server committed last.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..audio.codecs import decoded_length
from .conversation import Conversation, unheard
from .events import Direction, Event
from .items import Item, Part
from .log import NO_TURN
from .models import Model
from .timing import AudioClock
from .usage import Cost, Usage

__all__ = ["Response", "TurnState", "Turns"]


@dataclass(slots=True)
class Response:
    """One response of a turn, as the wire tells it."""

    id: str
    status: str = "in_progress"
    reason: str | None = None
    error: Event | None = None
    usage: Usage | None = None
    """Its tokens; None where the service has not told them."""
    max_output: int | None = None
    """The most output tokens that it may make, where the service told a number."""
    items: list[str] = field(default_factory=list)
    marks: dict[str, float] = field(default_factory=dict)
    """Its own ``created``, ``first_text``, ``first_audio``, ``last_audio`` and ``done``."""


@dataclass(slots=True)
class TurnState:
    """One exchange. ``marks`` are in seconds since the log began; their names are in ``timing.MARKS``."""

    number: int
    inputs: list[str] = field(default_factory=list)
    given: list[Item] = field(default_factory=list)
    """Input that was given to a response out of band alone, and is in no conversation."""
    responses: list[Response] = field(default_factory=list)
    marks: dict[str, float] = field(default_factory=dict)
    errors: list[Event] = field(default_factory=list)
    asked: int = 0
    """Responses that were asked for and not yet begun."""
    transcriptions: dict[tuple[str, Any], Usage] = field(default_factory=dict)
    """What the input's transcription used, by item and content index."""
    out_of_band: bool = False
    """Out of band: not part of the conversation."""

    @property
    def outputs(self) -> list[str]:
        """The ids of all items that the responses made, in order."""
        return [id for response in self.responses for id in response.items]

    @property
    def usage(self) -> Usage:
        """Tokens of all responses and of the input's transcription."""
        transcribed = sum(list(self.transcriptions.values()), Usage())  # it may grow on another thread
        return sum((r.usage for r in self.responses if r.usage is not None), transcribed)

    @property
    def unknown(self) -> int:
        """Of how many responses the service has not told the usage; one that runs is among them."""
        return sum(response.usage is None for response in self.responses)

    def cost(self, row: Model, *, billed: bool = True) -> Cost | None:
        """Return US dollars at a model's prices; None where a price, or all usage, is unknown."""
        if self.responses and self.unknown == len(self.responses):
            return None
        cost = self.usage.cost(row, billed=billed)
        return None if cost is None else cost.lacking(self.unknown)

    @property
    def active(self) -> bool:
        """Whether a response runs, or was asked for and has not begun."""
        return self.asked > 0 or any(r.status == "in_progress" for r in self.responses)

    def status(self, conversation: Conversation) -> str:
        """Return in_progress, completed, cancelled, interrupted, incomplete or failed."""
        if self.active:
            return "in_progress"
        if not self.responses:
            return "failed" if self.errors else "in_progress"
        last = self.responses[-1]
        if last.status == "cancelled":
            return "interrupted" if last.reason == "turn_detected" else "cancelled"
        if last.status == "completed" and any(
            conversation.items[id].played_ms is not None for id in last.items
        ):
            return "interrupted"
        return last.status

    def mark(self, name: str, t: float) -> None:
        """Note when something happened first."""
        self.marks.setdefault(name, t)


_AUDIBLE = 10 ** (-50 / 20)
_ROUNDING_MS = 1.0
"""Servers tell whole milliseconds."""


class Turns:
    """The fold. ``apply`` takes each frame once, after the conversation took it, and names its turn."""

    def __init__(self, conversation: Conversation) -> None:
        self.all: list[TurnState] = []
        self._conversation = conversation
        self._open: TurnState | None = None  # takes input now
        self._speaking: TurnState | None = None  # detected speech goes on
        self._heard: TurnState | None = None  # committed last: a response nobody asked for is its
        self._continued: TurnState | None = None  # got function call outputs
        self._latest: TurnState | None = None  # had a response last
        self._asked: deque[tuple[TurnState, Any, str | None]] = deque()  # turn, metadata, event id
        self._coming: deque[tuple[TurnState, str, str | None]] = (
            deque()
        )  # turn, verb, event id: items to be named
        self._of_item: dict[str, TurnState] = {}
        self._of_response: dict[str, tuple[TurnState, Response]] = {}
        self._of_event: dict[str, TurnState] = {}
        self._sends = AudioClock()
        self._taken = 0.0  # ms of the input that no later turn can take along as its padding
        self._cut_in: float | None = None  # when speech was noticed last

    def apply(self, direction: Direction, event: Event, t: float) -> int:
        """Fold one event in and return the number of its turn, or ``NO_TURN``.

        Raises KeyError, TypeError or ValueError for an event that lacks what its type promises.
        """
        if direction == "client":
            handler = _CLIENT.get(event["type"])
            turn = handler(self, event, t) if handler else None
            if turn is not None and (id := event.get("event_id")):
                self._of_event[id] = turn
        else:
            turn = self._from_server(event, t)
        return NO_TURN if turn is None else turn.number

    def _new(self, *, out_of_band: bool = False) -> TurnState:
        turn = TurnState(len(self.all), out_of_band=out_of_band)
        self.all.append(turn)
        return turn

    def _taking_input(self) -> TurnState:
        if self._open is None:
            self._open = self._new()
        return self._open

    # What the client says.

    def _on_create(self, event: Event, t: float) -> TurnState | None:
        item = event["item"]
        if item.get("type") == "function_call_output":
            turn = self._turn_of_call(item.get("call_id"))
            self._continued = turn
        elif item.get("role") == "user":
            turn, self._continued = self._taking_input(), None
            turn.mark("input", t)
            turn.marks["input_end"] = t
        else:
            turn = self._open
        if turn is not None and (id := item.get("id")):
            self._of_item[id] = turn
        elif turn is not None and item.get("role") == "user":
            self._coming.append((turn, "create", event.get("event_id")))
        return turn

    def _turn_of_call(self, call_id: str | None) -> TurnState | None:
        for turn in reversed(self.all):
            for id in turn.outputs:
                if self._conversation.items[id].call_id == call_id:
                    return turn
        return self._latest

    def _on_append(self, event: Event, t: float) -> TurnState | None:
        codec = self._conversation.input_codec
        sent = decoded_length(event["audio"])
        self._sends.add(sent * 1000 / codec.bytes_per_second, t)
        if self._conversation.turn_detection:
            return self._speaking
        turn, self._continued = self._taking_input(), None
        turn.mark("input", t)
        turn.marks["input_end"] = t
        return turn

    def _on_commit(self, event: Event, t: float) -> TurnState | None:
        if self._open is not None:
            self._coming.append((self._open, "commit", event.get("event_id")))
        self._taken = self._sends.ms
        return self._open

    def _on_clear(self, event: Event, t: float) -> TurnState | None:
        self._taken = self._sends.ms
        return self._open

    def _on_ask(self, event: Event, t: float) -> TurnState:
        asked = event.get("response") or {}
        if asked.get("conversation") == "none":
            turn = self._new(out_of_band=True)
            turn.given = self._conversation.out_of_band(asked.get("input"))
        elif self._continued is not None:
            turn, self._continued = self._continued, None
        else:
            turn, self._open = self._taking_input(), None
        turn.asked += 1
        turn.mark("requested", t)
        self._asked.append((turn, asked.get("metadata"), event.get("event_id")))
        return turn

    def _on_cancel(self, event: Event, t: float) -> TurnState | None:
        known = self._of_response.get(event.get("response_id") or "")
        turn = known[0] if known else self._latest
        if turn is not None and turn.active:
            self._interrupted(turn, t)
        return turn

    def _on_item_verb(self, event: Event, t: float) -> TurnState | None:
        return self._of_item.get(event["item_id"])

    def _on_cut(self, event: Event, t: float) -> TurnState | None:
        """Take what tells how much of an answer was heard: a truncation, or the removal of what was not."""
        turn = self._of_item.get(event["item_id"])
        if turn is not None and (event["type"] == "conversation.item.truncate" or unheard(event)):
            self._interrupted(turn, t)
            turn.mark("cut", t)
        return turn

    def _interrupted(self, turn: TurnState, t: float) -> None:
        """Mark when the answer was told to stop: when speech cut in, where that was why."""
        if self._cut_in is not None and self._speaking is not turn and self._heard is not turn:
            began = turn.marks.get("created")
            t = self._cut_in if began is not None and began <= self._cut_in else t
        turn.mark("interrupted", t)

    # What the server says.

    def _from_server(self, event: Event, t: float) -> TurnState | None:
        handler = _SERVER.get(event["type"])
        if handler is not None:
            return handler(self, event, t)
        known = self._of_response.get(event.get("response_id") or "")
        if known is not None:
            return known[0]
        id = event.get("item_id") or (event.get("item") or {}).get("id")
        return self._of_item.get(id or "")

    def _on_speech_started(self, event: Event, t: float) -> TurnState:
        turn, self._open = self._taking_input(), None
        self._speaking = turn
        self._of_item[event["item_id"]] = turn
        turn.mark("speech_started", t)
        detection = self._conversation.turn_detection or {}
        if detection.get("interrupt_response") is not False:
            self._cut_in = t
        if event.get("audio_start_ms") is not None:
            start = float(event["audio_start_ms"])
            self._mark_sent(turn, "input", start)
            # What the server tells begins with the padding that it takes along (API reference). Where there
            # was less sound than that before the speech, nobody knows how much.
            padding = _set_ms(detection, "prefix_padding_ms")
            if padding is not None and start > self._taken + _ROUNDING_MS:
                self._mark_sent(turn, "speech_begin", start + padding)
        return turn

    def _mark_sent(self, turn: TurnState, name: str, ms: float) -> None:
        """Mark when the sound at ``ms`` of all input left, if that is known."""
        sent = self._sends.at(ms)
        if sent is not None:
            turn.mark(name, sent)

    def _on_speech_stopped(self, event: Event, t: float) -> TurnState | None:
        turn = self._of_item.get(event["item_id"])
        if turn is not None:
            turn.mark("speech_stopped", t)
            end = self._taken = float(event["audio_end_ms"])
            self._mark_sent(turn, "input_end", end)
            # The end that the server tells includes the silence by which it knew (API reference).
            silence = _set_ms(self._conversation.turn_detection or {}, "silence_duration_ms")
            if silence is not None:
                self._mark_sent(turn, "speech_end", end - silence)
        return turn

    def _on_committed(self, event: Event, t: float) -> TurnState:
        turn = self._of_item.get(event["item_id"])
        if turn is None:
            turn = self._of_item[event["item_id"]] = self._came("commit") or self._taking_input()
        self._add_input(turn, event["item_id"])
        turn.mark("committed", t)
        self._speaking = None
        self._heard = turn
        detection = self._conversation.turn_detection
        if detection and detection.get("create_response") is False:
            self._open = turn
        return turn

    def _came(self, verb: str) -> TurnState | None:
        """Return the turn that asked first for an item which only the server can name."""
        for coming in self._coming:
            if coming[1] == verb:
                self._coming.remove(coming)
                return coming[0]
        return None

    def _on_item(self, event: Event, t: float) -> TurnState | None:
        item = event["item"]
        turn = self._of_item.get(item["id"])
        if turn is None and item.get("role") == "user":
            turn = self._of_item[item["id"]] = self._came("create") or self._taking_input()
        if turn is not None and item.get("role") == "user":
            self._add_input(turn, item["id"])
        return turn

    def _add_input(self, turn: TurnState, id: str) -> None:
        if id in self._conversation.items and id not in turn.inputs:
            turn.inputs.append(id)

    def _on_response_created(self, event: Event, t: float) -> TurnState:
        wire = event["response"]
        if not isinstance(wire["id"], str):
            raise TypeError("the response has no proper id")
        turn = self._asker(wire.get("metadata")) or self._heard or self._taking_input()
        if turn is self._heard:
            self._heard = None
        if turn is self._open:
            self._open = None
        limit = wire.get("max_output_tokens")
        response = Response(wire["id"], max_output=limit if type(limit) is int else None)
        turn.responses.append(response)
        self._of_response[response.id] = (turn, response)
        turn.mark("created", t)
        response.marks["created"] = t
        self._latest = turn
        return turn

    def _asker(self, metadata: Any) -> TurnState | None:
        """Return the turn whose request this response answers: the first with the same metadata.

        Where nobody but the client asks, the first request will do: not every server echoes metadata.
        """
        detection = self._conversation.turn_detection
        unasked = detection is not None and detection.get("create_response") is not False
        fitting = [asked for asked in self._asked if (asked[1] or None) == (metadata or None)]
        if not (fitting or metadata or unasked):
            fitting = list(self._asked)
        if not fitting:
            return None
        self._asked.remove(fitting[0])
        turn = fitting[0][0]
        turn.asked -= 1
        return turn

    def _on_output_item(self, event: Event, t: float) -> TurnState | None:
        known = self._of_response.get(event["response_id"])
        if known is None:
            return None
        turn, response = known
        id = event["item"]["id"]
        if id not in self._conversation.items:
            raise ValueError("the item has no proper id")
        if id not in response.items:
            response.items.append(id)
        self._of_item[id] = turn
        return turn

    def _on_text(self, event: Event, t: float) -> TurnState | None:
        known = self._of_response.get(event["response_id"])
        if known is None:
            return None
        known[0].mark("first_text", t)
        known[1].marks.setdefault("first_text", t)
        return known[0]

    def _on_audio(self, event: Event, t: float) -> TurnState | None:
        known = self._of_response.get(event["response_id"])
        if known is None:
            return None
        turn, response = known
        for marks in (turn.marks, response.marks):
            marks.setdefault("first_audio", t)
            marks["last_audio"] = t
        if "first_sound" not in turn.marks:
            self._find_sound(turn, self._conversation.items[event["item_id"]], event["content_index"], t)
        return turn

    def _find_sound(self, turn: TurnState, item: Item, index: int, t: float) -> None:
        part: Part = item.parts[index]
        codec = part.codec
        if codec is None:
            return
        data, before = bytes(part.chunks[-1]), sum(map(len, part.chunks[:-1]))
        start = -before % codec.width  # a delta may end within a sample
        whole = data[start : len(data) - (before + len(data)) % codec.width]
        loud = abs(codec.decode(whole)) > _AUDIBLE
        if loud.any():
            at = (before + start) / codec.bytes_per_second + int(loud.argmax()) / codec.rate
            turn.mark("first_sound", max(t, turn.marks["first_audio"] + at))

    def _on_response_done(self, event: Event, t: float) -> TurnState | None:
        wire = event["response"]
        known = self._of_response.get(wire["id"])
        if known is None:
            return None
        turn, response = known
        turn.marks["done"] = response.marks["done"] = t
        status, details = wire.get("status"), wire.get("status_details")
        response.status = "completed"
        if details:
            reason, error = details.get("reason"), details.get("error")
            response.reason = reason if isinstance(reason, str) else None
            if error:
                response.error = error if isinstance(error, dict) else {"message": str(error)}
            response.status = "failed" if error else "incomplete"
        if isinstance(status, str) and status != "in_progress":
            response.status = status
        if response.reason == "turn_detected":
            self._interrupted(turn, t)
        if wire.get("usage"):
            response.usage = Usage.from_wire(wire["usage"])
        return turn

    def _on_playing(self, event: Event, t: float) -> TurnState | None:
        known = self._of_response.get(event["response_id"])
        if known is None:
            return None
        if event["type"] == "output_audio_buffer.started":
            known[0].mark("played", t)
        else:
            known[0].marks["played_end"] = t
        return known[0]

    def _on_transcribed(self, event: Event, t: float) -> TurnState | None:
        turn = self._of_item.get(event["item_id"])
        if turn is not None and event.get("usage"):
            asr = self._conversation.input_settings.get("transcription") or {}
            model = asr.get("model") or "the transcription model"
            used = Usage.from_transcription(event["usage"], model)
            turn.transcriptions[event["item_id"], event.get("content_index")] = used
        return turn

    def _on_limits(self, event: Event, t: float) -> TurnState | None:
        return self._latest

    def _on_error(self, event: Event, t: float) -> TurnState | None:
        culprit = event["error"].get("event_id")
        turn = self._of_event.get(culprit or "")
        if turn is None:
            return None
        turn.errors.append(event["error"])
        self._coming = deque(coming for coming in self._coming if coming[2] != culprit)
        for asked in self._asked:
            if asked[2] == culprit:
                self._asked.remove(asked)
                turn.asked -= 1
                turn.marks["done"] = t
                break
        return turn


def _set_ms(detection: Event, name: str) -> float | None:
    """Return a setting of a server's turn detection; None where it told none, as with ``semantic_vad``."""
    value = detection.get(name)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


_CLIENT: dict[str, Callable[[Turns, Event, float], TurnState | None]] = {
    "conversation.item.create": Turns._on_create,
    "conversation.item.delete": Turns._on_cut,
    "conversation.item.retrieve": Turns._on_item_verb,
    "conversation.item.truncate": Turns._on_cut,
    "input_audio_buffer.append": Turns._on_append,
    "input_audio_buffer.clear": Turns._on_clear,
    "input_audio_buffer.commit": Turns._on_commit,
    "response.cancel": Turns._on_cancel,
    "response.create": Turns._on_ask,
}

_SERVER: dict[str, Callable[[Turns, Event, float], TurnState | None]] = {
    "conversation.item.added": Turns._on_item,
    "conversation.item.created": Turns._on_item,
    "conversation.item.input_audio_transcription.completed": Turns._on_transcribed,
    "error": Turns._on_error,
    "input_audio_buffer.committed": Turns._on_committed,
    "input_audio_buffer.speech_started": Turns._on_speech_started,
    "input_audio_buffer.speech_stopped": Turns._on_speech_stopped,
    "output_audio_buffer.cleared": Turns._on_playing,
    "output_audio_buffer.started": Turns._on_playing,
    "output_audio_buffer.stopped": Turns._on_playing,
    "rate_limits.updated": Turns._on_limits,
    "response.created": Turns._on_response_created,
    "response.done": Turns._on_response_done,
    "response.output_audio.delta": Turns._on_audio,
    "response.output_audio_transcript.delta": Turns._on_text,
    "response.output_item.added": Turns._on_output_item,
    "response.output_text.delta": Turns._on_text,
}
