"""rtnb, a Jupyter toolkit for realtime speech models.

::

    import rtnb

    s = rtnb.connect()  # the embedded engine: no key, no network
    turn = s.send("Describe the sea in one sentence.")
    turn.text, turn.audio, turn.usage, turn.cost, turn.latency

Importing rtnb is fast: each name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from . import transports
    from .api.connect import connect, connect_async, open
    from .api.replay import replay
    from .api.session import AsyncSession, Session
    from .api.tables import compare, table
    from .audio import Clip
    from .errors import (
        ArgumentError,
        AudioError,
        AuthError,
        BudgetError,
        BudgetWarning,
        ConnectionLost,
        EngineError,
        LocalProtocolError,
        MicrophoneError,
        MissingPackageError,
        ProtocolError,
        RecordingError,
        RemoteProtocolError,
        ReplayError,
        RtnbError,
        ServiceError,
        SessionClosed,
        TurnTimeout,
        WeightsError,
    )
    from .protocol import models
    from .recordings.recording import Recording
    from .session.simulated_listener import SimulatedListener
    from .session.tools import Tool, tool
    from .session.turn import Turn
    from .widgets.doctor import doctor
    from .widgets.recorder import Recorder
    from .widgets.waveform import Waveform

_HOME = {
    "ArgumentError": ".errors",
    "AsyncSession": ".api.session",
    "AudioError": ".errors",
    "AuthError": ".errors",
    "BudgetError": ".errors",
    "BudgetWarning": ".errors",
    "Clip": ".audio",
    "ConnectionLost": ".errors",
    "EngineError": ".errors",
    "LocalProtocolError": ".errors",
    "MicrophoneError": ".errors",
    "MissingPackageError": ".errors",
    "ProtocolError": ".errors",
    "Recorder": ".widgets.recorder",
    "Recording": ".recordings.recording",
    "RecordingError": ".errors",
    "RemoteProtocolError": ".errors",
    "ReplayError": ".errors",
    "RtnbError": ".errors",
    "ServiceError": ".errors",
    "Session": ".api.session",
    "SessionClosed": ".errors",
    "SimulatedListener": ".session.simulated_listener",
    "Tool": ".session.tools",
    "Turn": ".session.turn",
    "TurnTimeout": ".errors",
    "Waveform": ".widgets.waveform",
    "WeightsError": ".errors",
    "compare": ".api.tables",
    "connect": ".api.connect",
    "connect_async": ".api.connect",
    "doctor": ".widgets.doctor",
    "models": ".protocol",
    "open": ".api.connect",
    "replay": ".api.replay",
    "table": ".api.tables",
    "tool": ".session.tools",
    "transports": ".",
}

__all__ = [
    "ArgumentError",
    "AsyncSession",
    "AudioError",
    "AuthError",
    "BudgetError",
    "BudgetWarning",
    "Clip",
    "ConnectionLost",
    "EngineError",
    "LocalProtocolError",
    "MicrophoneError",
    "MissingPackageError",
    "ProtocolError",
    "Recorder",
    "Recording",
    "RecordingError",
    "RemoteProtocolError",
    "ReplayError",
    "RtnbError",
    "ServiceError",
    "Session",
    "SessionClosed",
    "SimulatedListener",
    "Tool",
    "Turn",
    "TurnTimeout",
    "Waveform",
    "WeightsError",
    "__version__",
    "compare",
    "connect",
    "connect_async",
    "doctor",
    "models",
    "open",
    "replay",
    "table",
    "tool",
    "transports",
]


def load_ipython_extension(ipython: Any) -> None:
    """Load the magics ``%%audio`` and ``%%say``, on ``%load_ext rtnb``."""
    import_module(".magics", __name__).load(ipython)


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'rtnb' has no attribute {name!r}")
    if name in ("models", "transports"):
        value: Any = import_module(f".{name}" if home == "." else f"{home}.{name}", __name__)
    else:
        value = getattr(import_module(home, __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
