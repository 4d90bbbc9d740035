"""Turns, folded from frames: their input, their responses, and when things happened.

A turn is one exchange: the user's input, and all responses to it, including those after function calls. Each
frame belongs to one turn or to none, found by its ids or, if it has none, by its position:

- a user item, or audio without turn detection, opens a turn, unless one is open for input already;
- detected speech opens a turn; audio between speech belongs to none;
- ``response.create`` closes the input; after function call outputs it continues the turn of the calls;
- a response that was not requested belongs to the input that the server committed last.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..redaction import clean_name
from .conversation import Conversation, not_played
from .events import Direction, Event
from .items import Item, Part
from .log import NO_TURN
from .models import Model
from .timing import AudioClock
from .usage import Cost, Usage

__all__ = ["Response", "TurnState", "Turns"]


@dataclass(slots=True, repr=False)
class Response:
    """One response of a turn, as the server reported it."""

    id: str
    status: str = "in_progress"
    reason: str | None = None
    error: Event | None = None
    usage: Usage | None = None
    """Its tokens; None if the service has not reported them."""
    max_output: int | None = None
    """Its maximum of output tokens, if the service reported a number."""
    items: list[str] = field(default_factory=list)
    marks: dict[str, float] = field(default_factory=dict)
    """Its own ``created``, ``first_text``, ``first_audio``, ``last_audio`` and ``done``."""

    def __repr__(self) -> str:
        reason = f" ({clean_name(self.reason)})" if self.reason else ""
        count = f"{len(self.items)} item{'' if len(self.items) == 1 else 's'}"
        return f"<Response {clean_name(self.id)} {clean_name(self.status)}{reason}: {count}>"


@dataclass(slots=True, repr=False)
class TurnState:
    """One exchange. ``marks`` are in seconds since the log began; their names are in ``timing.MARKS``."""

    number: int
    inputs: list[str] = field(default_factory=list)
    given: list[Item] = field(default_factory=list)
    """The input of an out-of-band response, which is not in the conversation."""
    responses: list[Response] = field(default_factory=list)
    marks: dict[str, float] = field(default_factory=dict)
    errors: list[Event] = field(default_factory=list)
    requested: int = 0
    """Responses that were requested and not created yet."""
    transcriptions: dict[tuple[str, Any], Usage] = field(default_factory=dict)
    """The usage of the input's transcription, by item and content index."""
    out_of_band: bool = False
    """Whether the response is not part of the conversation."""

    @property
    def outputs(self) -> list[str]:
        """The ids of all items of the responses, in order."""
        return [id for response in self.responses for id in response.items]

    @property
    def usage(self) -> Usage:
        """Tokens of all responses and of the input's transcription."""
        transcribed = sum(
            list(self.transcriptions.values()), Usage()
        )  # a copy: it may grow on another thread
        return sum((r.usage for r in self.responses if r.usage is not None), transcribed)

    @property
    def unknown(self) -> int:
        """The number of responses without reported usage, including one in progress."""
        return sum(response.usage is None for response in self.responses)

    def cost(self, row: Model, *, billed: bool = True) -> Cost | None:
        """Return US dollars at a model's prices; None if a price, or all usage, is unknown."""
        if self.responses and self.unknown == len(self.responses):
            return None
        cost = self.usage.cost(row, billed=billed)
        return None if cost is None else cost.lacking(self.unknown)

    @property
    def active(self) -> bool:
        """Whether a response is in progress, or was requested and not created yet."""
        return self.requested > 0 or any(r.status == "in_progress" for r in self.responses)

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
        """Set a mark, unless it is set already."""
        self.marks.setdefault(name, t)

    def __repr__(self) -> str:
        counts = f"{len(self.inputs)} inputs, {len(self.responses)} responses"
        return f"<TurnState {self.number}: {counts}{', out of band' if self.out_of_band else ''}>"


_AUDIBLE = 10 ** (-50 / 20)
_ROUNDING_MS = 1.0
"""Servers report whole milliseconds."""


class Turns:
    """The fold. ``apply`` is called with each event once, after the conversation, and returns its turn."""

    def __init__(self, conversation: Conversation) -> None:
        self.all: list[TurnState] = []
        self._conversation = conversation
        self._open: TurnState | None = None  # takes input
        self._speaking: TurnState | None = None  # its speech was detected and has not ended
        self._committed: TurnState | None = None  # committed last: gets a response that was not requested
        self._continued: TurnState | None = None  # got function call outputs
        self._latest: TurnState | None = None  # had a response last
        self._requests: deque[tuple[TurnState, Any, str | None]] = deque()  # turn, metadata, event id
        # Inputs whose item id only the server will know: turn, verb, event id.
        self._unnamed: deque[tuple[TurnState, str, str | None]] = deque()
        self._of_item: dict[str, TurnState] = {}
        self._of_response: dict[str, tuple[TurnState, Response]] = {}
        self._of_event: dict[str, TurnState] = {}
        self._audio_clock = AudioClock()
        self._taken = 0.0  # ms of the input that cannot be padding of a later turn
        self._barge_in: float | None = None  # when speech was detected last

    def apply(self, direction: Direction, event: Event, t: float) -> int:
        """Fold one event and return the number of its turn, or ``NO_TURN``.

        Raises KeyError, TypeError or ValueError for a malformed event.
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

    # Client events.

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
            self._unnamed.append((turn, "create", event.get("event_id")))
        return turn

    def _turn_of_call(self, call_id: str | None) -> TurnState | None:
        for turn in reversed(self.all):
            for id in turn.outputs:
                if self._conversation.items[id].call_id == call_id:
                    return turn
        return self._latest

    def _on_append(self, event: Event, t: float) -> TurnState | None:
        codec = self._conversation.input_codec
        sent = len(event["audio"]) * 3 // 4 - event["audio"][-2:].count("=")
        self._audio_clock.add(sent * 1000 / codec.bytes_per_second, t)
        if self._conversation.turn_detection:
            return self._speaking
        turn, self._continued = self._taking_input(), None
        turn.mark("input", t)
        turn.marks["input_end"] = t
        return turn

    def _on_commit(self, event: Event, t: float) -> TurnState | None:
        if self._open is not None:
            self._unnamed.append((self._open, "commit", event.get("event_id")))
        self._taken = self._audio_clock.ms
        return self._open

    def _on_clear(self, event: Event, t: float) -> TurnState | None:
        self._taken = self._audio_clock.ms
        return self._open

    def _on_request(self, event: Event, t: float) -> TurnState:
        response = event.get("response") or {}
        if response.get("conversation") == "none":
            turn = self._new(out_of_band=True)
            turn.given = self._conversation.out_of_band(response.get("input"))
        elif self._continued is not None:
            turn, self._continued = self._continued, None
        else:
            turn, self._open = self._taking_input(), None
        turn.requested += 1
        turn.mark("requested", t)
        self._requests.append((turn, response.get("metadata"), event.get("event_id")))
        return turn

    def _on_cancel(self, event: Event, t: float) -> TurnState | None:
        known = self._of_response.get(event.get("response_id") or "")
        turn = known[0] if known else self._latest
        if turn is not None and turn.active:
            self._interrupted(turn, t)
        return turn

    def _on_item_verb(self, event: Event, t: float) -> TurnState | None:
        return self._of_item.get(event["item_id"])

    def _on_truncate(self, event: Event, t: float) -> TurnState | None:
        """Handle a truncation of an answer, or its deletion if nothing of it was played."""
        turn = self._of_item.get(event["item_id"])
        if turn is not None and (event["type"] == "conversation.item.truncate" or not_played(event)):
            self._interrupted(turn, t)
            turn.mark("cut", t)
        return turn

    def _interrupted(self, turn: TurnState, t: float) -> None:
        """Mark when the answer was interrupted: when speech was detected, if that was the reason."""
        if self._barge_in is not None and self._speaking is not turn and self._committed is not turn:
            created = turn.marks.get("created")
            t = self._barge_in if created is not None and created <= self._barge_in else t
        turn.mark("interrupted", t)

    # Server events.

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
            self._barge_in = t
        if event.get("audio_start_ms") is not None:
            start = float(event["audio_start_ms"])
            self._mark_sent(turn, "input", start)
            # The reported start includes the prefix padding (API reference). If there was less audio
            # than that before the speech, the length of the padding is unknown.
            padding = _set_ms(detection, "prefix_padding_ms")
            if padding is not None and start > self._taken + _ROUNDING_MS:
                self._mark_sent(turn, "speech_begin", start + padding)
        return turn

    def _mark_sent(self, turn: TurnState, name: str, ms: float) -> None:
        """Mark when the audio at ``ms`` of all input was sent, if that is known."""
        sent = self._audio_clock.at(ms)
        if sent is not None:
            turn.mark(name, sent)

    def _on_speech_stopped(self, event: Event, t: float) -> TurnState | None:
        turn = self._of_item.get(event["item_id"])
        if turn is not None:
            turn.mark("speech_stopped", t)
            end = self._taken = float(event["audio_end_ms"])
            self._mark_sent(turn, "input_end", end)
            # The reported end includes the end-of-turn silence (API reference).
            silence = _set_ms(self._conversation.turn_detection or {}, "silence_duration_ms")
            if silence is not None:
                self._mark_sent(turn, "speech_end", end - silence)
        return turn

    def _on_committed(self, event: Event, t: float) -> TurnState:
        turn = self._of_item.get(event["item_id"])
        if turn is None:
            turn = self._of_item[event["item_id"]] = self._pop_unnamed("commit") or self._taking_input()
        self._add_input(turn, event["item_id"])
        turn.mark("committed", t)
        self._speaking = None
        self._committed = turn
        detection = self._conversation.turn_detection
        if detection and detection.get("create_response") is False:
            self._open = turn
        return turn

    def _pop_unnamed(self, verb: str) -> TurnState | None:
        """Remove the oldest input without an item id and return its turn."""
        for unnamed in self._unnamed:
            if unnamed[1] == verb:
                self._unnamed.remove(unnamed)
                return unnamed[0]
        return None

    def _on_item(self, event: Event, t: float) -> TurnState | None:
        item = event["item"]
        turn = self._of_item.get(item["id"])
        if turn is None and item.get("role") == "user":
            turn = self._of_item[item["id"]] = self._pop_unnamed("create") or self._taking_input()
        if turn is not None and item.get("role") == "user":
            self._add_input(turn, item["id"])
        return turn

    def _add_input(self, turn: TurnState, id: str) -> None:
        if id in self._conversation.items and id not in turn.inputs:
            turn.inputs.append(id)

    def _on_response_created(self, event: Event, t: float) -> TurnState:
        wire = event["response"]
        if not isinstance(wire["id"], str):
            raise TypeError("the response id is not a string")
        turn = self._requester(wire.get("metadata")) or self._committed or self._taking_input()
        if turn is self._committed:
            self._committed = None
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

    def _requester(self, metadata: Any) -> TurnState | None:
        """Return the turn of the first request with the same metadata, which this response answers.

        If the server does not respond automatically, the first request is used: not every server echoes
        metadata.
        """
        detection = self._conversation.turn_detection
        automatic = detection is not None and detection.get("create_response") is not False
        matching = [request for request in self._requests if (request[1] or None) == (metadata or None)]
        if not (matching or metadata or automatic):
            matching = list(self._requests)
        if not matching:
            return None
        self._requests.remove(matching[0])
        turn = matching[0][0]
        turn.requested -= 1
        return turn

    def _on_output_item(self, event: Event, t: float) -> TurnState | None:
        known = self._of_response.get(event["response_id"])
        if known is None:
            return None
        turn, response = known
        id = event["item"]["id"]
        if id not in self._conversation.items:
            raise ValueError("the item id is unknown")
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
            self._mark_first_sound(
                turn, self._conversation.items[event["item_id"]], event["content_index"], t
            )
        return turn

    def _mark_first_sound(self, turn: TurnState, item: Item, index: int, t: float) -> None:
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

    def _on_playback(self, event: Event, t: float) -> TurnState | None:
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
        self._unnamed = deque(unnamed for unnamed in self._unnamed if unnamed[2] != culprit)
        for request in self._requests:
            if request[2] == culprit:
                self._requests.remove(request)
                turn.requested -= 1
                turn.marks["done"] = t
                break
        return turn


def _set_ms(detection: Event, name: str) -> float | None:
    """Return a setting of the turn detection; None if it has none, as with ``semantic_vad``."""
    value = detection.get(name)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


_CLIENT: dict[str, Callable[[Turns, Event, float], TurnState | None]] = {
    "conversation.item.create": Turns._on_create,
    "conversation.item.delete": Turns._on_truncate,
    "conversation.item.retrieve": Turns._on_item_verb,
    "conversation.item.truncate": Turns._on_truncate,
    "input_audio_buffer.append": Turns._on_append,
    "input_audio_buffer.clear": Turns._on_clear,
    "input_audio_buffer.commit": Turns._on_commit,
    "response.cancel": Turns._on_cancel,
    "response.create": Turns._on_request,
}

_SERVER: dict[str, Callable[[Turns, Event, float], TurnState | None]] = {
    "conversation.item.added": Turns._on_item,
    "conversation.item.created": Turns._on_item,
    "conversation.item.input_audio_transcription.completed": Turns._on_transcribed,
    "error": Turns._on_error,
    "input_audio_buffer.committed": Turns._on_committed,
    "input_audio_buffer.speech_started": Turns._on_speech_started,
    "input_audio_buffer.speech_stopped": Turns._on_speech_stopped,
    "output_audio_buffer.cleared": Turns._on_playback,
    "output_audio_buffer.started": Turns._on_playback,
    "output_audio_buffer.stopped": Turns._on_playback,
    "rate_limits.updated": Turns._on_limits,
    "response.created": Turns._on_response_created,
    "response.done": Turns._on_response_done,
    "response.output_audio.delta": Turns._on_audio,
    "response.output_audio_transcript.delta": Turns._on_text,
    "response.output_item.added": Turns._on_output_item,
    "response.output_text.delta": Turns._on_text,
}
