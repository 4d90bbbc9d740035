"""What every live widget needs of ipykernel: messages of the page that are heard while a cell runs."""

from __future__ import annotations

from typing import Any

__all__ = ["pin"]


def pin(widget: Any) -> None:
    """Keep the page's messages to ``widget`` on the subshell that the page opened for it.

    ipykernel 7.4 answers on the shell that last sent something, so one ``send`` from a cell would move the
    microphone to the main shell, where a busy cell starves it. Where there are no subshells, nothing happens.
    """
    comm = widget.comm
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = lambda data, default: default
