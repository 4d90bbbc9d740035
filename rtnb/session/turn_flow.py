"""How turns go: sent one after another, answered, cancelled, and always ended. See ``turn_phases``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from ..analysis.turn import service_error
from ..audio import Clip
from ..errors import BudgetError, RtnbError, TurnTimeout
from ..protocol import changes
from ..protocol.changes import AddItem, Change, Command, Commit, ItemData, Respond
from ..protocol.events import Event
from .answer_timeout import AnswerTimeout
from .budget import BudgetEnforcer
from .connection import Connection
from .content import Content, grouped, message
from .input_buffer import InputAudioBuffer
from .pending import PendingRequests
from .tool_runner import ToolRunner
from .turn import Turn, TurnOwner, truncations
from .turn_phases import Phase
from .turn_queue import TurnQueue

__all__ = ["TurnFlow"]

_TRANSCRIPT_SECONDS = 3.0
"""How long a turn waits for the transcript of its input after its response; some services send none."""

_CANCEL_SECONDS = 1.5
"""How long the server has to end a cancelled response; Ctrl-C waits a little longer than this."""


_CLOSE_SECONDS = 1.0
"""How soon a server that refuses a session closes the connection."""

_AGAIN_SECONDS = 1.0
"""How long a response may take to start after that of a cancelled request has ended."""


class TurnFlow:
    """Moves the turns of a session from phase to phase. Runs on the session's loop alone.

    ``owner`` is the session that the turns belong to.
    """

    def __init__(
        self,
        owner: TurnOwner,
        connection: Connection,
        pending: PendingRequests,
        budget: BudgetEnforcer,
        input_buffer: InputAudioBuffer,
        answer_timeout: float | None,
    ) -> None:
        self._owner = owner
        self._connection = connection
        self._state = connection.state
        self._pending = pending
        self._budget = budget
        self._input = input_buffer
        self._loop = asyncio.get_running_loop()
        self.queue = TurnQueue(self._create)
        self.tools = ToolRunner(self._on_outputs, self._on_waiting)
        self._cancels: set[str] = set()  # event ids
        self.timeout = AnswerTimeout(answer_timeout, self._on_silence)
        connection.on_piece = self.restart_timeout

    @property
    def _closed(self) -> bool:
        return self._connection.closed or self._connection.problem is not None

    # Sending.

    def send(self, content: list[Content], options: Event) -> Turn:
        """Return a turn: sent at once if it is out of band, else when the turns before it are done."""
        turn = Turn(self._owner, content)
        turn.options = options
        if options.get("conversation") == "none":
            given = options.pop("input", None)
            turn.request_input = [message(content, self._input.codec)] if given is None else given
            self.queue.all.append(turn)
            turn.advance("send")
            self._request(turn)
        else:
            self.queue.all.append(turn)
            self.queue.enqueue(turn, content, options)
            current = self.queue.current
            if current is not None and current.waiting:
                self.finish(current, "leave")  # the conversation goes on without the outputs of its calls
            self.send_next()
        return turn

    def commit(self, options: Event) -> Turn:
        """Commit what was appended and return the turn of its answer, which waits for the one in progress."""
        turn = Turn(self._owner)
        turn.options = options
        self.queue.all.append(turn)
        self.emit(Commit(), turn)
        self.queue.enqueue(turn, [], options)
        self.send_next()
        return turn

    def send_next(self) -> None:
        """Send the next turn if none is in progress."""
        while not self._closed and (queued := self.queue.next()) is not None:
            if (spent := self._budget.spent) is not None:
                queued.turn.finish("fail", spent)
                self._connection.signal.fire()
            else:
                self.queue.current = queued.turn
                queued.turn.advance("send")
                self.add(queued.content, queued.turn)
                self._request(queued.turn)

    def add(self, content: list[Content], turn: Turn | None = None) -> None:
        """Add input to the conversation."""
        for part in grouped(content):
            if not isinstance(part, Clip):
                self._add_message(part, turn)
            elif self._state.conversation.turn_detection is not None:
                self._add_message([part], turn)  # as an item, which bypasses the detector
            else:
                for command in self._input.utterance(part):
                    self.emit(command, turn)

    def _add_message(self, parts: Iterable[Content], turn: Turn | None) -> None:
        self.emit(AddItem(message(parts, self._input.codec, self._connection.ids("item"))), turn)

    def _request(self, turn: Turn) -> None:
        options = turn.options
        if self._state.turns.cancelled_requests:
            # The server may still answer one of those: its echo of this identifies the response.
            metadata = {**(options.get("metadata") or {}), "rtnb_request": self._connection.ids("request")}
            options = {**options, "metadata": metadata}
        self.emit(Respond(options, turn.request_input), turn)
        self.timeout.start(turn)

    def _request_again(self, turn: Turn) -> None:
        """Repeat a request whose response was taken for that of a cancelled one."""
        if turn.phase is Phase.REQUESTED and not self._closed:
            self._request(turn)

    def emit(self, command: Command, turn: Turn | None = None) -> Command:
        """Send a command, which belongs to a turn; return it as it was sent."""
        sent, number = self._connection.emit(command)
        self._input.on_sent(sent)
        if turn is not None:
            if turn.number < 0 <= number:
                turn.attach(self._state.turns.all[number])
                self.queue.assign(number, turn)
            if isinstance(sent, (Commit, AddItem)):
                self.queue.add_input_event(sent.event_id, turn)
        return sent

    # Receiving.

    def react(self, change: Change, number: int) -> None:
        """Act on what the server reports, after it was folded."""
        if (
            not self.restart_timeout(number)
            and isinstance(change, changes.Unknown)
            and "queue" in change.type
        ):
            self._on_server_queue()
        reaction = _REACTIONS.get(type(change))
        if reaction is not None:
            reaction(self, change, number)

    def restart_timeout(self, number: int) -> bool:
        """Restart the answer timeout of a turn, of which something arrived; return whether there is one."""
        turn = self.queue.get(number)
        if turn is None:
            return False
        self.timeout.restart(turn)
        return True

    def _on_server_queue(self) -> None:
        """Requests are queued at the server: until its next frame for a turn, silence is not a failure."""
        for turn in self.queue.all:
            self.timeout.pause(turn)

    def _on_speech_started(self, change: changes.SpeechStarted, number: int) -> None:
        if number >= 0:
            self.queue.get_or_create(number)
        self._budget.check_usage()

    def _on_committed(self, change: changes.InputCommitted, number: int) -> None:
        self._input.on_committed()
        if number >= 0 and self._budget.answers_suspended and (spent := self._budget.spent) is not None:
            self.finish(self.queue.get_or_create(number), "fail", spent)  # it will not be answered
        elif self._state.conversation.responds_automatically:
            turn = self.queue.get(number)
            if turn is not None and turn.phase is Phase.REQUESTED:
                self.timeout.start(turn)

    def _on_response_started(self, change: changes.ResponseStarted, number: int) -> None:
        if number < 0:
            return
        turn, fold = self.queue.get_or_create(number), self._state.turns.all[number]
        if not any(response.status == "in_progress" for response in fold.responses):
            return  # the start of a response that has ended already, late or repeated
        spent = self._budget.spent
        if spent is None and isinstance(turn.error, BudgetError):  # failed before, and answered after all
            turn = self.queue.create(number)
        elif spent is not None and "requested" not in fold.marks:
            turn.input_error = spent
        late = turn.abandoned
        if not turn.done:
            if turn.phase is Phase.TOOLS:  # the caller has answered its calls with raw events
                self.tools.cancel(turn)
                turn.waiting = False
            turn.advance("start")
            self.timeout.start(turn)
            if not fold.out_of_band:
                self.queue.current = turn
        if late or turn.input_error is not None:
            self._cancel_response(change.id)

    def _create(self, number: int) -> Turn:
        turn = Turn(self._owner)
        turn.attach(self._state.turns.all[number])
        turn.advance("send")  # the server has its input, and answers by itself
        return turn

    def _on_failed(self, change: changes.Failed, number: int) -> None:
        error, culprit = service_error(change.error), change.error.event_id or ""
        if culprit in self._cancels or self._pending.refuse(culprit, error):
            return  # nothing to cancel is not a failure: the response may be yet to start
        turn = self.queue.by_input_event(culprit)
        if turn is not None:  # without this input the answer would be to something else
            turn.input_error = error
            self.cancel(turn)
        turn = turn or self.queue.get(number)
        if turn is None:
            if not culprit:
                # Before the session is open, the close frame that follows explains the error better.
                wait = 0.0 if self._state.session else _CLOSE_SECONDS
                self._loop.call_later(wait, self._pending.refuse_only, error)
        elif turn.phase is not Phase.CANCELLING and not self._state.turns.all[turn.number].active:
            self.finish(turn, "fail", turn.input_error)

    def _on_response_ended(self, change: changes.ResponseEnded, number: int) -> None:
        if number < 0:
            return
        turn, fold = self.queue.get_or_create(number), self._state.turns.all[number]
        self._budget.check_usage()
        if turn.abandoned and (current := self.queue.current) is not None and current is not turn:
            self.timeout.pause(current)  # it is this side that waits
            self._loop.call_later(_AGAIN_SECONDS, self._request_again, current)
        if fold.active or turn.done:
            return
        if turn.phase is Phase.REQUESTED:  # the server has never announced the response
            turn.advance("start")
        completed = fold.responses[-1].status == "completed" and turn.phase is not Phase.CANCELLING
        called = any(call.output is None for call in turn.calls)
        if called and completed and turn.input_error is None and turn.advance("call"):
            self.timeout.stop(turn)
            self.tools.start(turn)
        elif turn.awaits_transcript and turn.advance("transcribe"):
            self.timeout.stop(turn)
            self._loop.call_later(_TRANSCRIPT_SECONDS, self.finish, turn, "end")
        else:
            self.finish(turn, "end")

    def _on_transcribed(self, change: Any, number: int) -> None:
        turn = self.queue.get(number)
        if turn is not None and turn.phase is Phase.TRANSCRIBING and not turn.awaits_transcript:
            self.finish(turn, "end")

    def finish(self, turn: Turn, event: str, failure: RtnbError | None = None) -> None:
        """End a turn, if the event ends it in its phase, and send the next."""
        if turn.finish(event, failure or turn.input_error):
            self._on_done(turn)

    def _on_done(self, turn: Turn) -> None:
        self.timeout.stop(turn)
        self.tools.forget(turn)
        self.queue.remove(turn)
        self._connection.signal.fire()
        self.send_next()

    def _on_silence(self, turn: Turn) -> None:
        last = self._state.turns.last_error
        reported = f" The last error that it reported: {service_error(last)}" if last is not None else ""
        waited = f"{self.timeout.seconds:g} s"
        self._stop_responses(turn)
        self.finish(
            turn,
            "expire",
            TurnTimeout(
                f"the server sent nothing for this turn for {waited}.{reported} "
                "Connect with a longer answer_timeout, or None, to wait longer"
            ),
        )

    # Tools.

    def _on_waiting(self, turn: Turn) -> None:
        """Calls wait for the caller: so do those who wait for the turn, unless other turns wait behind it."""
        if self.queue.has_queued:
            self.finish(turn, "leave")  # the conversation goes on without their outputs
        else:
            turn.on_waiting()
            self._connection.signal.fire()

    def _on_outputs(self, turn: Turn, outputs: list[ItemData]) -> None:
        """Send all outputs of a turn's calls, then request exactly one new response."""
        if self._closed or turn.done:
            return
        failure = self.tools.too_many(turn) or self._budget.spent
        if turn.request_input is not None:  # out of band: the follow-up carries all of it
            calls = [
                ItemData(type="function_call", call_id=call.id, name=call.name, arguments=call.arguments)
                for call in turn.calls
            ]
            answered = {item.call_id for item in turn.request_input}
            new = [call for call in calls if call.call_id not in answered]
            turn.request_input = [*turn.request_input, *new, *outputs]
        else:
            for output in outputs:
                output.id = self._connection.ids("item")
                self.emit(AddItem(output), turn)
        if failure is not None:
            self.finish(turn, "fail", failure)
            return
        turn.waiting = False
        turn.options = _follow_up(turn.options)
        turn.advance("send")
        self._request(turn)

    # Ending turns early.

    def cancel(self, turn: Turn) -> None:
        """End a turn early; the server has a moment to end a response that runs or was requested."""
        if turn.done or self._closed or turn.phase is Phase.CANCELLING:
            return
        self.tools.cancel(turn)
        if turn.finish("cancel", turn.input_error):
            self._on_done(turn)
            return
        self.timeout.stop(turn)
        self._stop_responses(turn)
        self._loop.call_later(_CANCEL_SECONDS, self.finish, turn, "expire")

    def _stop_responses(self, turn: Turn) -> None:
        """Ask the server to end the responses of a turn, also one that was requested and has no id yet."""
        fold = self._state.turns.all[turn.number]
        running = [response.id for response in fold.responses if response.status == "in_progress"]
        for response in running:
            self._cancel_response(response)
        if fold.active and not running and not fold.out_of_band:
            self._cancel_response("")  # the server may have started it by now

    def _cancel_response(self, response_id: str) -> None:
        sent = self.emit(changes.Cancel(response_id))
        self._cancels.add(getattr(sent, "event_id", ""))

    def truncate(self, turn: Turn, played: float) -> bool:
        """Truncate a turn's answer to the ``played`` seconds; return whether anything was sent."""
        if self._closed or turn.number < 0:
            return False
        commands = truncations(turn, played, self._connection.ids)
        for command in commands:
            self.emit(command)
        return bool(commands)

    def fail_all(self, why: RtnbError) -> None:
        """Fail all turns that are not done."""
        self.timeout.close()
        self.queue.fail_all(why)

    async def close(self) -> None:
        """Stop all tools and clocks."""
        self.timeout.close()
        await self.tools.close()


def _follow_up(options: Event) -> Event:
    """Return the options of the response after function calls: the same, but it need not call again."""
    forced = options.get("tool_choice") not in (None, "auto", "none")
    return {name: value for name, value in options.items() if not (forced and name == "tool_choice")}


_REACTIONS: dict[type, Callable[[TurnFlow, Any, int], None]] = {
    changes.Failed: TurnFlow._on_failed,
    changes.InputCommitted: TurnFlow._on_committed,
    changes.InputTranscript: TurnFlow._on_transcribed,
    changes.InputTranscriptFailed: TurnFlow._on_transcribed,
    changes.ResponseEnded: TurnFlow._on_response_ended,
    changes.ResponseStarted: TurnFlow._on_response_started,
    changes.SpeechStarted: TurnFlow._on_speech_started,
}
