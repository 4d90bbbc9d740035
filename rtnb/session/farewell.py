"""Why a session ended: one sentence made of the close frame and of the error that came before it."""

from __future__ import annotations

from ..errors import AuthError, ConnectionLost, RtnbError, ServiceError
from ..protocol.log import Log

__all__ = ["explained"]


def explained(lost: ConnectionLost, log: Log) -> RtnbError:
    """Return what to tell the user. An ``error`` event alone is never fatal; the close after it is.

    Close codes as the hosted service uses them: 3000 for keys, 4000 for requests (the reason is
    ``type.code``), 1001 for the session's maximum duration.
    """
    errors = log.filter("error", direction="server")
    last = (errors[-1].data.get("error") or {}) if len(errors) else {}
    code = lost.reason.rpartition(".")[2] or last.get("code")
    said = f": {last['message']}" if last.get("message") and lost.code in (3000, 4000) else ""
    if lost.code == 3000:
        return AuthError(f"the service refused the key ({code or 'invalid_api_key'}){said}")
    if code == "beta_api_shape_disabled":
        return ServiceError(
            "this service no longer speaks the beta protocol: connect without the OpenAI-Beta header",
            code=code,
        )
    if lost.code == 4000:
        return ServiceError(f"the service ended the session ({code}){said}", code=code)
    if lost.code == 1001 and "maximum duration" in lost.reason:
        return ConnectionLost(f"{lost.reason} Connect again to go on", code=1001, reason=lost.reason)
    return lost
