"""What every live widget needs of ipykernel: messages of the page that are heard while a cell runs."""

from __future__ import annotations

import sys
from typing import Any

from ..notebook.environment import front_end

__all__ = ["pin", "unheard"]

_BETWEEN_CELLS = ("Google Colab", "Visual Studio Code")
"""Front ends that send a widget's messages to the main shell, where they wait for the running cell."""


def pin(widget: Any) -> None:
    """Keep the page's messages to ``widget`` on the subshell that the page opened for it.

    ipykernel 7.4 answers on the shell that last sent something, so one ``send`` from a cell would move the
    microphone to the main shell, where a busy cell starves it. Where there are no subshells, nothing happens.
    """
    comm = widget.comm
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = lambda data, default: default


def unheard() -> str:
    """Return why no page is heard here while a cell runs, as a clause; "" where one may be."""
    where = front_end()
    if where in _BETWEEN_CELLS:
        return f"in {where} the page is heard only between cells"
    get = getattr(sys.modules.get("IPython"), "get_ipython", None)
    kernel = getattr(get() if get is not None else None, "kernel", None)
    if kernel is not None and not getattr(kernel, "_supports_kernel_subshells", False):
        return "this kernel hears the page only between cells (ipykernel 7.1 or newer hears it at once)"
    return ""
