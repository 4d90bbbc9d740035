"""Every exception that rtnb raises on purpose.

::

    RtnbError
    ├── AudioError (ValueError)           a sound that cannot be read, written or converted
    │   └── MicrophoneError               the page has no microphone, or may not use it
    ├── ArgumentError (ValueError)        a request that cannot be met; nothing was sent
    ├── MissingPackageError (ImportError) an optional package is absent; the text has the install command
    ├── EngineError                       the embedded engine
    │   └── WeightsError                  its weights are absent, damaged or unreachable
    ├── AuthError                         no key, or a key that was refused
    ├── ProtocolError
    │   ├── LocalProtocolError            this side broke the protocol; nothing was sent
    │   └── RemoteProtocolError           the other side broke the protocol
    ├── ServiceError                      the service answered with an error (type, code, param)
    ├── ConnectionLost                    the network or the other side went away (code, reason)
    │   └── ReplayError                   what was sent, or not sent, is not what was recorded
    ├── RecordingError (ValueError)       a file that is no recording, is damaged, cut, or newer than rtnb
    ├── SessionClosed                     the session was closed before the call
    ├── BudgetError                       what the session may use is used up; nothing was sent
    └── TurnTimeout (TimeoutError)        the wait ended before the turn did

``BudgetWarning`` (UserWarning) is what is said before ``BudgetError``.

Blame is in the type: you, they, or the network. A text says what came, what is allowed and what to do next,
and never holds a key.
"""

from __future__ import annotations

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
    """The root of all errors that rtnb raises on purpose.

    Keys in its text are overwritten, since a message may quote an argument, and a key may be given in any.
    """

    def __init__(self, *args: object) -> None:
        from .redaction import clean_text

        super().__init__(*(clean_text(arg) if isinstance(arg, str) else arg for arg in args))


class AudioError(RtnbError, ValueError):
    """A sound cannot be read, written or converted."""


class MicrophoneError(AudioError):
    """The page has no microphone or may not use it, or no page is there to record."""


class ArgumentError(RtnbError, ValueError):
    """A request cannot be met as it was made. Nothing was sent."""


class MissingPackageError(RtnbError, ImportError):
    """An optional package is not installed.

    ``package`` is what to import, ``extra`` the rtnb extra that brings it.
    """

    def __init__(self, package: str, what: str, extra: str) -> None:
        super().__init__(f"{what} needs the package {package!r}: run  pip install 'rtnb[{extra}]'")
        self.package = package
        self.extra = extra


class EngineError(RtnbError):
    """The embedded engine cannot do what was asked."""


class WeightsError(EngineError):
    """Weights of the embedded engine are absent, damaged or cannot be fetched."""


class AuthError(RtnbError):
    """No key was given, or the service refused it. The key itself is never in the text."""


class ProtocolError(RtnbError):
    """One side broke the protocol."""


class LocalProtocolError(ProtocolError):
    """This side was about to break the protocol. Nothing was sent."""


class RemoteProtocolError(ProtocolError):
    """The other side sent something that the protocol does not allow."""


class ServiceError(RtnbError):
    """The service answered with an error.

    ``type``, ``code`` and ``param`` are the service's own words, or None where it gave none.
    """

    def __init__(
        self, message: str, *, type: str | None = None, code: str | None = None, param: str | None = None
    ) -> None:
        super().__init__(message)
        self.type = type
        self.code = code
        self.param = param


class ConnectionLost(RtnbError):
    """The connection ended. ``code`` and ``reason`` are those of the WebSocket close, if there was one."""

    def __init__(self, message: str, *, code: int | None = None, reason: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


class ReplayError(ConnectionLost):
    """A replay cannot go on: what was sent is not what was recorded, or the recording ends here."""


class RecordingError(RtnbError, ValueError):
    """A file is no recording, is damaged or cut, comes from a newer rtnb, or cannot be written."""


class SessionClosed(RtnbError):
    """The session was closed before the call."""


class BudgetError(RtnbError):
    """What the session may use is used up: no response begins until ``s.budget`` is raised or lifted."""


class BudgetWarning(UserWarning):
    """A session's budget is near its end, or cannot be held."""


class TurnTimeout(RtnbError, TimeoutError):
    """The wait for a turn ended before the turn did. The turn goes on."""
