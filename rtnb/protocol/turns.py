"""Turns, folded from commands and changes: which input, which responses, when.

A turn is one exchange: what the user said or wrote, and all responses to it, those after function calls too.
Each frame belongs to one turn or to none, by the ids in it; where it has none, by the moment:

- a user item, or audio when nothing detects speech, opens a turn, unless one is open for input already;
- detected speech opens a turn; audio between speech belongs to none;
- a request for a response closes the input; after function call outputs it continues the turn of the calls.

A response that starts is matched to its turn in this order:

1. the turn of a response with the same id, where a server announces it twice;
2. the oldest open request whose metadata the response repeats (gateways may add some of their own);
3. the oldest open request, before all one without metadata if the response has none; one that the client
   has cancelled counts until it is answered, an error names it, or five seconds have passed;
4. where the server answers by itself, the input that it committed last, or else a turn of its own.

An error ends what it names with its ``event_id``. One that names nothing ends the only open request.
A response that ends is over, whatever else is odd in the frame that says so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from . import changes
from .changes import Change, Command
from .conversation import Conversation, not_played
from .events import Event
from .items import Item
from .log import NO_TURN
from .timing import AudioClock
from .turn_state import Request, Response, TurnState
from .usage import Usage

__all__ = ["GIVEN_UP_SECONDS", "Response", "TurnState", "Turns"]

GIVEN_UP_SECONDS = 5.0
"""How long a request that the client cancelled may still be answered."""

_AUDIBLE = 10 ** (-50 / 20)
_ROUNDING_MS = 1.0
"""Servers report whole milliseconds."""


class Turns:
    """The fold. ``apply`` takes each change and command once, after the conversation, and names its turn."""

    def __init__(self, conversation: Conversation) -> None:
        self.all: list[TurnState] = []
        self.last_error: changes.ErrorData | None = None
        """What the server reported last, whether or not it named a cause."""
        self._conversation = conversation
        self._open: TurnState | None = None  # takes input now
        self._speaking: TurnState | None = None  # detected speech goes on
        self._committed: TurnState | None = None  # committed last: gets a response that was not requested
        self._continued: TurnState | None = None  # got function call outputs
        self._latest: TurnState | None = None  # had a response last
        self._requests: deque[Request] = deque()
        # turn, "commit" or "item", event id: what the server has yet to give an id
        self._unnamed: deque[tuple[TurnState, str, str]] = deque()
        self._of_item: dict[str, TurnState] = {}
        self._of_call: dict[str, TurnState] = {}
        self._of_response: dict[str, tuple[TurnState, Response]] = {}
        self._of_event: dict[str, TurnState] = {}
        self._audio_clock = AudioClock()
        self._cancels: set[str] = set()  # event ids: that there was nothing to cancel is not a failure
        self._taken = 0.0  # ms of the input that no later turn can take along as its padding
        self._barge_in: float | None = None  # when speech was noticed last

    def apply(self, change: Change | Command, t: float) -> int:
        """Fold a change or a command in; return the number of its turn, or ``NO_TURN``."""
        handler = _HANDLERS.get(type(change))
        turn = handler(self, change, t) if handler is not None else self._named(change)
        if turn is None:
            return NO_TURN
        if isinstance(change, Command) and (id := getattr(change, "event_id", "")):
            self._of_event[id] = turn
        return turn.number

    def _named(self, change: Any) -> TurnState | None:
        """Return the turn that a change names by its response or its item."""
        known = self.of_response(getattr(change, "response_id", ""))
        if known is not None:
            return known[0]
        item = getattr(change, "item", None)
        return self._of_item.get(getattr(change, "item_id", "") or (item.id if item is not None else ""))

    @property
    def open_requests(self) -> list[Request]:
        """The requests that wait for a response and were not cancelled, oldest first."""
        return [request for request in self._requests if request.cancelled is None]

    @property
    def cancelled_requests(self) -> list[Request]:
        """The requests that were cancelled before a response started, and may still be answered."""
        return [request for request in self._requests if request.cancelled is not None]

    def _new(self, *, out_of_band: bool = False) -> TurnState:
        turn = TurnState(len(self.all), out_of_band=out_of_band)
        self.all.append(turn)
        return turn

    def _taking_input(self) -> TurnState:
        if self._open is None:
            self._open = self._new()
        return self._open

    # What the client sends.

    def _on_add(self, command: changes.AddItem, t: float) -> TurnState | None:
        item = command.item
        if item.type == "function_call_output":
            turn = self._of_call.get(item.call_id) or self._latest
            self._continued = turn
        elif item.role == "user":
            turn, self._continued = self._taking_input(), None
            turn.mark("input", t)
            turn.marks["input_end"] = t
        else:
            turn = self._open
        if turn is not None and item.id:
            self._of_item[item.id] = turn
        elif turn is not None and item.role == "user":
            self._unnamed.append((turn, "item", command.event_id))
        return turn

    def _on_append(self, command: changes.AppendAudio, t: float) -> TurnState | None:
        rate = self._conversation.input_codec.bytes_per_second
        self._audio_clock.add(len(command.audio) * 1000 / rate, t)
        if self._conversation.turn_detection:
            return self._speaking
        turn, self._continued = self._taking_input(), None
        turn.mark("input", t)
        turn.marks["input_end"] = t
        return turn

    def _on_commit(self, command: changes.Commit, t: float) -> TurnState | None:
        if self._open is not None:
            self._unnamed.append((self._open, "commit", command.event_id))
        self._taken = self._audio_clock.ms
        return self._open

    def _on_clear(self, command: changes.Clear, t: float) -> TurnState | None:
        self._taken = self._audio_clock.ms
        return self._open

    def _on_respond(self, command: changes.Respond, t: float) -> TurnState:
        if command.out_of_band:
            turn = self._calling(command) or self._new(out_of_band=True)
            turn.given = turn.given or self._conversation.out_of_band(command.input)
        elif self._continued is not None:
            turn, self._continued = self._continued, None
        elif self._open is None and (repeated := self._repeatable()) is not None:
            turn = repeated
        else:
            turn, self._open = self._taking_input(), None
        metadata = command.options.get("metadata")
        request = Request(turn, command.event_id, metadata if isinstance(metadata, dict) else None)
        turn.requests.append(request)
        self._requests.append(request)
        turn.mark("requested", t)
        return turn

    def _repeatable(self) -> TurnState | None:
        """Return the turn whose request another one without any input in between repeats."""
        waiting = [request for request in self.open_requests if not request.turn.out_of_band]
        if not waiting:
            return None
        self._close(waiting[-1])
        return waiting[-1].turn

    def _calling(self, command: changes.Respond) -> TurnState | None:
        """Return the turn whose function calls the input of an out-of-band response answers."""
        answered = (
            self._of_call.get(item.call_id) for item in command.input or () if item.output is not None
        )
        return next((turn for turn in answered if turn is not None), None)

    def _on_cancel(self, command: changes.Cancel, t: float) -> TurnState | None:
        self._cancels.add(command.event_id)
        known = self.of_response(command.response_id)
        turn = known[0] if known else self._latest
        if turn is not None and turn.active:
            self._interrupted(turn, t)
            return turn
        # Nothing runs: the oldest request in the conversation is given up before its response began.
        waiting = next((one for one in self.open_requests if not one.turn.out_of_band), None)
        if waiting is None:
            return turn
        for request in waiting.turn.requests:
            request.cancelled = t
        waiting.turn.marks.setdefault("done", t)
        return waiting.turn

    def _on_truncate(self, command: changes.Truncate | changes.DeleteItem, t: float) -> TurnState | None:
        """Take what says how much of an answer was played: a truncation, or the removal of the rest."""
        turn = self._of_item.get(command.item_id)
        if turn is not None and (isinstance(command, changes.Truncate) or not_played(command)):
            self._interrupted(turn, t)
            turn.mark("cut", t)
        return turn

    def _interrupted(self, turn: TurnState, t: float) -> None:
        """Mark when the answer had to stop: when speech cut in, where that was why."""
        if self._barge_in is not None and self._speaking is not turn and self._committed is not turn:
            created = turn.marks.get("created")
            t = self._barge_in if created is not None and created <= self._barge_in else t
        turn.mark("interrupted", t)

    # What the server sends: input.

    def _on_speech_started(self, change: changes.SpeechStarted, t: float) -> TurnState:
        turn, self._open = self._taking_input(), None
        self._speaking = turn
        self._of_item[change.item_id] = turn
        turn.mark("speech_started", t)
        detection = self._conversation.turn_detection or {}
        if detection.get("interrupt_response") is not False:
            self._barge_in = t
        if change.ms is not None:
            self._mark_sent(turn, "input", change.ms)
            # What the server reports begins with the padding that it takes along (API reference). Where
            # there was less audio than that before the speech, it is not known how much.
            padding = _set_ms(detection, "prefix_padding_ms")
            if padding is not None and change.ms > self._taken + _ROUNDING_MS:
                self._mark_sent(turn, "speech_begin", change.ms + padding)
        return turn

    def _mark_sent(self, turn: TurnState, name: str, ms: float) -> None:
        """Mark when the audio at ``ms`` of all input left, if that is known."""
        sent = self._audio_clock.at(ms)
        if sent is not None:
            turn.mark(name, sent)

    def _on_speech_stopped(self, change: changes.SpeechStopped, t: float) -> TurnState | None:
        turn = self._of_item.get(change.item_id)
        if turn is not None:
            turn.mark("speech_stopped", t)
            if change.ms is not None:
                self._taken = change.ms
                self._mark_sent(turn, "input_end", change.ms)
                # The end that the server reports includes the silence by which it knew (API reference).
                silence = _set_ms(self._conversation.turn_detection or {}, "silence_duration_ms")
                if silence is not None:
                    self._mark_sent(turn, "speech_end", change.ms - silence)
        return turn

    def _on_committed(self, change: changes.InputCommitted, t: float) -> TurnState:
        turn = self._of_item.get(change.item_id)
        if turn is None:
            turn = self._of_item[change.item_id] = self._pop_unnamed("commit") or self._taking_input()
        self._add_input(turn, change.item_id)
        turn.mark("committed", t)
        self._speaking = None
        self._committed = turn
        detection = self._conversation.turn_detection
        if detection and detection.get("create_response") is False:
            self._open = turn
        return turn

    def _pop_unnamed(self, verb: str) -> TurnState | None:
        """Return the turn that asked first for an item which only the server can name."""
        for unnamed in self._unnamed:
            if unnamed[1] == verb:
                self._unnamed.remove(unnamed)
                return unnamed[0]
        return None

    def _on_item(self, change: changes.ItemAdded | changes.ItemDone, t: float) -> TurnState | None:
        item = change.item
        turn = self._of_item.get(item.id)
        if turn is None and item.role == "user":
            turn = self._of_item[item.id] = self._pop_unnamed("item") or self._taking_input()
        if turn is not None and item.role == "user":
            self._add_input(turn, item.id)
        return turn

    def _add_input(self, turn: TurnState, id: str) -> None:
        if id in self._conversation.items and id not in turn.inputs:
            turn.inputs.append(id)

    def _on_transcript(self, change: changes.InputTranscript, t: float) -> TurnState | None:
        turn = self._of_item.get(change.item_id)
        if turn is not None and change.usage:
            asr = self._conversation.input_settings.get("transcription") or {}
            model = str(asr.get("model") or "the transcription model")
            used = Usage.from_transcription(change.usage, model)
            turn.transcriptions[change.item_id, change.content_index] = used
        return turn

    # What the server sends: responses.

    def _on_response_started(self, change: changes.ResponseStarted, t: float) -> TurnState:
        known = self._of_response.get(change.id) if change.id else None
        if known is not None:
            return known[0]
        request = self._answered(change, t)
        turn = request.turn if request is not None else self._committed or self._taking_input()
        if turn is self._committed:
            self._committed = None
        if turn is self._open:
            self._open = None
        return self._begin(turn, change.id, t, change.max_output_tokens)

    def _begin(self, turn: TurnState, id: str, t: float, most: int | None = None) -> TurnState:
        response = Response(id, max_output=most)
        turn.responses.append(response)
        turn.marks.pop("done", None)
        self._of_response[id] = (turn, response)
        turn.mark("created", t)
        response.marks["created"] = t
        self._latest = turn
        return turn

    def _answered(self, change: changes.ResponseStarted, t: float) -> Request | None:
        """Return the request that a response answers, in the order at the top of this module."""
        for request in list(self._requests):
            if request.cancelled is not None and t - request.cancelled > GIVEN_UP_SECONDS:
                self._close(request)
        metadata = change.metadata or {}
        for request in self._requests:
            if request.metadata and all(metadata.get(k) == v for k, v in request.metadata.items()):
                return self._close(request)
        if not metadata:
            for request in self._requests:
                if not request.metadata:
                    return self._close(request)
        # Where the server answers by itself too, a response without our metadata is not ours.
        automatic = self._conversation.responds_automatically
        fitting = [one for one in self._requests if not (automatic and one.metadata)]
        return self._close(fitting[0]) if fitting else None

    def _close(self, request: Request) -> Request:
        self._requests = deque(one for one in self._requests if one is not request)
        request.turn.requests = [one for one in request.turn.requests if one is not request]
        return request

    def of_response(self, response_id: str) -> tuple[TurnState, Response] | None:
        """Return the response with an id; without one, the response without an id that runs."""
        known = self._of_response.get(response_id)
        if known is None or response_id or known[1].status == "in_progress":
            return known
        return None

    def _running(self, response_id: str, t: float) -> tuple[TurnState, Response] | None:
        """Return the response that a change belongs to.

        One whose start was never announced begins here, if a request waits for it; a change that names no
        response belongs to the one that runs.
        """
        known = self.of_response(response_id)
        if known is not None:
            return known
        if not response_id and self._latest is not None:
            running = [r for r in self._latest.responses if r.status == "in_progress"]
            if running:
                return self._latest, running[-1]
        request = self._answered(changes.ResponseStarted(response_id), t)
        if request is None:
            return None
        self._begin(request.turn, response_id, t)
        return self._of_response[response_id]

    def _on_output_item(
        self, change: changes.OutputItemAdded | changes.OutputItemDone, t: float
    ) -> TurnState | None:
        known = self._running(change.response_id, t)
        if known is None:
            return None
        turn, response = known
        self._add_output(turn, response, self._conversation.output_id(change.response_id, change.item.id))
        if change.item.call_id:
            self._of_call[change.item.call_id] = turn
        return turn

    def _add_output(self, turn: TurnState, response: Response, id: str) -> Item | None:
        """Note an item of a response; None for one that the conversation does not have."""
        item = self._conversation.items.get(id)
        if item is not None and id not in response.items:
            response.items.append(id)
        self._of_item[id] = turn
        return item

    def _on_piece(self, change: Any, t: float) -> TurnState | None:
        """Take a part, text, audio or arguments; its item may never have been announced."""
        known = self._running(change.response_id, t)
        if known is None:
            return self._of_item.get(change.item_id)
        turn, response = known
        id = self._conversation.output_id(change.response_id, change.item_id)
        item = self._add_output(turn, response, id)
        if item is None:
            return turn
        if isinstance(change, changes.ToolCall) and item.call_id:
            self._of_call[item.call_id] = turn
        elif isinstance(change, changes.TextDelta):
            turn.mark("first_text", t)
            response.marks.setdefault("first_text", t)
        elif isinstance(change, changes.AudioDelta):
            self._mark_audio(turn, response, item, change, t)
        if item.phase and isinstance(change, (changes.TextDelta, changes.AudioDelta)):
            turn.mark("first_preamble" if item.phase == "commentary" else "first_answer", t)
        return turn

    def _mark_audio(
        self, turn: TurnState, response: Response, item: Item, change: changes.AudioDelta, t: float
    ) -> None:
        for marks in (turn.marks, response.marks):
            marks.setdefault("first_audio", t)
            marks["last_audio"] = t
        if "first_sound" not in turn.marks:
            self._mark_first_sound(turn, item, change.content_index, t)

    def _mark_first_sound(self, turn: TurnState, item: Item, index: int, t: float) -> None:
        part = item.parts[index]
        codec = part.codec
        if codec is None:
            return
        data, before = bytes(part.chunks[-1]), part.silent
        start = -before % codec.width  # a delta may end within a sample
        whole = data[start : len(data) - (before + len(data)) % codec.width]
        loud = abs(codec.decode(whole)) > _AUDIBLE
        if loud.any():
            at = (before + start) / codec.bytes_per_second + int(loud.argmax()) / codec.rate
            turn.mark("first_sound", max(t, turn.marks["first_audio"] + at))
        else:
            part.silent += len(data)

    def _on_response_ended(self, change: changes.ResponseEnded, t: float) -> TurnState | None:
        known = self._running(change.id, t) or self._only_running()
        if known is None:
            return None
        turn, response = known
        for data in change.items:
            if data.id in self._conversation.items:
                self._add_output(turn, response, data.id)
                if data.call_id:
                    self._of_call[data.call_id] = turn
        turn.marks["done"] = response.marks["done"] = t
        response.status, response.reason, response.error = change.status, change.reason, change.error
        response.usage, response.problems = change.usage, change.problems
        if response.reason == "turn_detected":
            self._interrupted(turn, t)
        return turn

    def _only_running(self) -> tuple[TurnState, Response] | None:
        """Return the only response that runs, where the server ends one under an id that is not known."""
        running = [(t, r) for t, r in self._of_response.values() if r.status == "in_progress"]
        return running[0] if len(running) == 1 else None

    def _on_playback(self, change: changes.Playback, t: float) -> TurnState | None:
        known = self.of_response(change.response_id)
        if known is None:
            return None
        if change.state == "started":
            known[0].mark("played", t)
        else:
            known[0].marks["played_end"] = t
        return known[0]

    def _on_limits(self, change: changes.Limits, t: float) -> TurnState | None:
        return self._latest

    def _on_failed(self, change: changes.Failed, t: float) -> TurnState | None:
        error = self.last_error = change.error
        if error.event_id is None:
            return self._fail_only_request(error, t)
        turn = self._of_event.get(error.event_id)
        if turn is None or error.event_id in self._cancels:
            return turn
        turn.errors.append(error)
        self._unnamed = deque(unnamed for unnamed in self._unnamed if unnamed[2] != error.event_id)
        for request in self._requests:
            if request.event_id == error.event_id:
                self._close(request)
                turn.marks["done"] = t
                break
        return turn

    def _fail_only_request(self, error: changes.ErrorData, t: float) -> TurnState | None:
        """Fail the only open request. Where several are open, nothing says which of them it was."""
        if (error.param or "").startswith("session"):
            return None
        waiting = self.open_requests
        turns = {id(request.turn): request.turn for request in waiting}
        if len(turns) != 1:
            return None
        turn = waiting[0].turn
        turn.errors.append(error)
        for request in waiting:
            self._close(request)
        turn.marks["done"] = t
        return turn


def _set_ms(detection: Event, name: str) -> float | None:
    """Return a setting of a server's turn detection; None where it reports none, as with ``semantic_vad``."""
    value = detection.get(name)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


_HANDLERS: dict[type, Callable[[Turns, Any, float], TurnState | None]] = {
    changes.AddItem: Turns._on_add,
    changes.AppendAudio: Turns._on_append,
    changes.ArgumentsDelta: Turns._on_piece,
    changes.AudioDelta: Turns._on_piece,
    changes.Cancel: Turns._on_cancel,
    changes.Clear: Turns._on_clear,
    changes.Commit: Turns._on_commit,
    changes.DeleteItem: Turns._on_truncate,
    changes.Failed: Turns._on_failed,
    changes.InputCommitted: Turns._on_committed,
    changes.InputTranscript: Turns._on_transcript,
    changes.ItemAdded: Turns._on_item,
    changes.ItemDone: Turns._on_item,
    changes.Limits: Turns._on_limits,
    changes.OutputItemAdded: Turns._on_output_item,
    changes.OutputItemDone: Turns._on_output_item,
    changes.PartAdded: Turns._on_piece,
    changes.PartDone: Turns._on_piece,
    changes.Playback: Turns._on_playback,
    changes.Respond: Turns._on_respond,
    changes.ResponseEnded: Turns._on_response_ended,
    changes.ResponseStarted: Turns._on_response_started,
    changes.SpeechStarted: Turns._on_speech_started,
    changes.SpeechStopped: Turns._on_speech_stopped,
    changes.TextDelta: Turns._on_piece,
    changes.TextDone: Turns._on_piece,
    changes.ToolCall: Turns._on_piece,
    changes.Truncate: Turns._on_truncate,
}
