"""The phases of a live turn, and what moves it from one to the next.

::

    queued ──send──► requested ──start──► responding ──end──► done
       │                 ▲                    │
       │                 └──send── tools ◄──call
       │                             │
       └─────────────────────────────┴──cancel──► done

A turn always ends. Whatever its phase: the connection may be lost (``lose``), the server may refuse the turn
(``fail``), and the limit on silence may pass (``expire``). Cancelling ends a turn at once where no response
runs for it; else the server has two seconds to end the response, and then the turn ends without it.

An event that is not listed for a phase changes nothing: a server may repeat itself, be late, or end what
never started.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["TRANSITIONS", "Phase"]


class Phase(StrEnum):
    """What a turn waits for."""

    QUEUED = "queued"
    """The turn before it."""
    REQUESTED = "requested"
    """The server: input and request are sent, no response has started."""
    RESPONDING = "responding"
    """The rest of a response."""
    TOOLS = "tools"
    """Functions of this side, or a caller who answers or approves a call; ``leave`` goes on without."""
    TRANSCRIBING = "transcribing"
    """The transcript of the user's speech, which some services send late or never."""
    CANCELLING = "cancelling"
    """The server, which was asked to end the response."""
    DONE = "done"
    """Nothing."""


TRANSITIONS: dict[tuple[Phase, str], Phase] = {
    (Phase.QUEUED, "send"): Phase.REQUESTED,
    (Phase.QUEUED, "start"): Phase.RESPONDING,
    (Phase.QUEUED, "cancel"): Phase.DONE,
    (Phase.REQUESTED, "start"): Phase.RESPONDING,
    (Phase.REQUESTED, "cancel"): Phase.CANCELLING,
    (Phase.REQUESTED, "end"): Phase.DONE,
    (Phase.RESPONDING, "end"): Phase.DONE,
    (Phase.RESPONDING, "call"): Phase.TOOLS,
    (Phase.RESPONDING, "transcribe"): Phase.TRANSCRIBING,
    (Phase.RESPONDING, "cancel"): Phase.CANCELLING,
    (Phase.TOOLS, "send"): Phase.REQUESTED,
    (Phase.TOOLS, "start"): Phase.RESPONDING,
    (Phase.TOOLS, "cancel"): Phase.DONE,
    (Phase.TOOLS, "leave"): Phase.DONE,
    (Phase.TRANSCRIBING, "end"): Phase.DONE,
    (Phase.TRANSCRIBING, "start"): Phase.RESPONDING,
    (Phase.TRANSCRIBING, "cancel"): Phase.DONE,
    (Phase.CANCELLING, "end"): Phase.DONE,
    **{
        (phase, event): Phase.DONE
        for phase in Phase
        if phase is not Phase.DONE
        for event in ("fail", "expire", "lose")
    },
}
