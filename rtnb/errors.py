"""Every exception that rtnb raises on purpose.

::

    RtnbError
    ├── AudioError (ValueError)           audio that cannot be read, written or converted
    │   └── MicrophoneError               the page has no microphone, or may not use it
    ├── ArgumentError (ValueError)        a request that cannot be met; nothing was sent
    ├── MissingPackageError (ImportError) an optional package is absent; the text has the install command
    ├── EngineError                       the embedded engine
    │   └── WeightsError                  its weights are absent, damaged or unreachable
    ├── AuthError                         no API key, or one that was refused
    ├── ProtocolError
    │   ├── LocalProtocolError            this side broke the protocol; nothing was sent
    │   └── RemoteProtocolError           the other side broke the protocol
    ├── ServiceError                      the service answered with an error (type, code, param)
    ├── ConnectionLost                    the connection ended (code, reason)
    │   └── ReplayError                   the client's frames differ from the recorded ones
    ├── RecordingError (ValueError)       a file that is not a recording, is damaged, cut, or newer than rtnb
    ├── SessionClosed                     the session was closed before the call
    ├── BudgetError                       the session's budget is used up; nothing was sent
    └── TurnTimeout (TimeoutError)        the wait ended before the turn did

``BudgetWarning`` (UserWarning) is issued before the budget is used up.

The type says who is at fault: the caller, the other side, or the network. The text says what was given, what
is expected and what to do next. It never contains a key or a control code. All errors can be pickled.

In a notebook an error shows the user's own lines and its text; ``RTNB_TRACEBACK=1`` in the environment shows
rtnb's frames too (see ``rtnb/tracebacks.py``). There, rtnb's warnings are notes in the cell.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

__all__ = [
    "ArgumentError",
    "AudioError",
    "AuthError",
    "BudgetError",
    "BudgetWarning",
    "ConnectionLost",
    "EngineError",
    "LocalProtocolError",
    "MicrophoneError",
    "MissingPackageError",
    "ProtocolError",
    "RecordingError",
    "RemoteProtocolError",
    "ReplayError",
    "RtnbError",
    "ServiceError",
    "SessionClosed",
    "TurnTimeout",
    "WeightsError",
]


class RtnbError(Exception):
    """The base class of all errors that rtnb raises on purpose.

    Its text may quote an argument or a service, so keys in it are overwritten and control codes replaced.
    """

    def __init__(self, *args: object) -> None:
        from .redaction import clean_text

        super().__init__(*(clean_text(arg) if isinstance(arg, str) else arg for arg in args))

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows: the user's frames and the text; with ``RTNB_TRACEBACK=1`` all frames."""
        from .tracebacks import render

        return render(self)


class AudioError(RtnbError, ValueError):
    """Audio cannot be read, written or converted."""


class MicrophoneError(AudioError):
    """The page has no microphone or may not use it, or there is no page to record in."""


class ArgumentError(RtnbError, ValueError):
    """An argument is invalid, or the request cannot be met. Nothing was sent."""


class MissingPackageError(RtnbError, ImportError):
    """An optional package is not installed.

    ``package`` is the module to import, ``extra`` the rtnb extra that installs it.
    """

    def __init__(self, package: str, what: str, extra: str) -> None:
        super().__init__(f"{what} needs the package {package!r}: run  pip install 'rtnb[{extra}]'")
        self.package = package
        self.extra = extra
        self._what = what

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.package, self._what, self.extra), vars(self)


class EngineError(RtnbError):
    """The embedded engine failed or does not support a request."""


class WeightsError(EngineError):
    """Weights of the embedded engine are absent, damaged or cannot be fetched."""


class AuthError(RtnbError):
    """No API key was given, or the service refused it. The text never contains the key."""


class ProtocolError(RtnbError):
    """One side broke the protocol."""


class LocalProtocolError(ProtocolError):
    """The client was about to break the protocol. Nothing was sent."""


class RemoteProtocolError(ProtocolError):
    """The server sent something that the protocol does not allow."""


class ServiceError(RtnbError):
    """The service answered with an error.

    ``type``, ``code`` and ``param`` are as the service sent them, or None where it sent none.
    """

    def __init__(
        self, message: str, *, type: str | None = None, code: str | None = None, param: str | None = None
    ) -> None:
        super().__init__(message)
        self.type = type
        self.code = code
        self.param = param


class ConnectionLost(RtnbError):
    """The connection ended. ``code`` and ``reason`` are those of the WebSocket close frame, if any."""

    def __init__(self, message: str, *, code: int | None = None, reason: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


class ReplayError(ConnectionLost):
    """A replay cannot continue: what was sent is not what was recorded, or the recording ends here."""


class RecordingError(RtnbError, ValueError):
    """A file is not a recording, is damaged or cut, comes from a newer rtnb, or cannot be written."""


class SessionClosed(RtnbError):
    """The session was closed before the call."""


class BudgetError(RtnbError):
    """The session's budget is used up: no response starts until ``s.budget`` is raised or set to None."""


class BudgetWarning(UserWarning):
    """A session's budget is nearly used up, or cannot be enforced exactly."""


class TurnTimeout(RtnbError, TimeoutError):
    """The wait for a turn ended before the turn did. The turn continues."""


def not_copyable(message: str) -> Callable[..., NoReturn]:
    """Return a ``__reduce_ex__`` that raises TypeError, for an object that holds a connection or a key.

    ``pickle``, ``copy.copy`` and ``copy.deepcopy`` all call it.
    """

    def __reduce_ex__(self: object, protocol: object) -> NoReturn:
        raise TypeError(message)

    return __reduce_ex__
