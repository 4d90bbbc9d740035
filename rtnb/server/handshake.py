"""Who may connect, and to what: decided from the request alone.

There are two kinds of refusal. What a browser page of another site might send (a foreign ``Origin``, a
``Host`` that was rebound by DNS) is refused over HTTP, before there is a socket. What a client may have got
wrong (the key, the model, the dialect) is told as the hosted service tells it: the upgrade succeeds, then an
``error`` event, then a close with a code and a reason (public wire log of September 2026).
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qs, urlsplit

from ..protocol.models import SEED, catalogue, find
from .faults import Fault, quoted

__all__ = ["HEALTH", "Refusal", "chosen_subprotocol", "is_loopback", "model_of", "refused_over_http"]

HEALTH = "/health"
_PATHS = ("/v1/realtime", "/realtime")
_KEY_PROTOCOL = "openai-insecure-api-key."
_BETA_PROTOCOL = "openai-beta.realtime-v1"
_OWN_MODELS = ("rtnb-local", "rtnb-weightless")


class Refusal(Exception):
    """A connection that is told why and closed with ``close_code`` and ``reason``."""

    def __init__(self, fault: Fault, close_code: int) -> None:
        super().__init__(fault.message)
        self.fault = fault
        self.close_code = close_code
        # A missing key has no code of its own, and the reason of a wrong one.
        self.reason = f"{fault.type}.{fault.code or 'invalid_api_key'}"


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address means this machine."""
    name = host.strip().strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def refused_over_http(path: str, host: str | None, origins: Sequence[str]) -> tuple[int, str] | None:
    """Return the HTTP status and the sentence that a request is refused with, or None.

    ``host`` and ``origins`` are the request's headers of these names.
    """
    if host is None or not is_loopback(urlsplit(f"//{host}").hostname or ""):
        return 403, "This server is for this machine only: connect to localhost.\n"
    for origin in origins:
        if not is_loopback(urlsplit(origin).hostname or ""):
            return 403, "Pages of other sites may not connect to this server.\n"
    if urlsplit(path).path not in (HEALTH, *_PATHS):
        return 404, "There is nothing here: the protocol is at /v1/realtime.\n"
    return None


def chosen_subprotocol(offered: Sequence[str]) -> str | None:
    """Return the subprotocol to answer with; a key that came as one is never sent back."""
    return "realtime" if "realtime" in offered else None


def model_of(path: str, headers: Mapping[str, str], subprotocols: Sequence[str], key: str | None) -> str:
    """Return the model that an accepted connection asks for.

    ``headers`` has lower-case names; ``key`` is the server's own, None where it is open.

    Raises:
        Refusal: The key, the dialect or the model is refused.
    """
    if key is not None:
        _check_key(key, headers.get("authorization"), subprotocols)
    # The beta dialect would be chosen here, per connection.
    if "openai-beta" in headers or _BETA_PROTOCOL in subprotocols:
        raise _refusal(
            "beta_api_shape_disabled",
            "The Realtime Beta API is no longer supported. Please use /v1/realtime for the GA API.",
            4000,
        )
    model = next(iter(parse_qs(urlsplit(path).query).get("model", ())), SEED)
    if model in _OWN_MODELS or (find(model).known and find(model).kind == "realtime"):
        return model
    known = [row.id for row in catalogue() if row.kind == "realtime"]
    raise _refusal(
        "invalid_model",
        f"Model '{model:.80}' is not supported in realtime mode."
        f" Supported are: {quoted([*known, *_OWN_MODELS])}.",
        4000,
        param="model",
    )


def _check_key(key: str, authorization: str | None, subprotocols: Sequence[str]) -> None:
    given = next((p.removeprefix(_KEY_PROTOCOL) for p in subprotocols if p.startswith(_KEY_PROTOCOL)), None)
    if authorization is not None:
        scheme, _, rest = authorization.partition(" ")
        given = rest.strip() if scheme.lower() == "bearer" else ""
    if given is None:
        message = "Missing bearer authentication in header: send 'Authorization: Bearer KEY'."
        raise _refusal(None, message, 3000)
    if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), key.encode()):
        raise _refusal("invalid_api_key", "Incorrect API key provided.", 3000)


def _refusal(code: str | None, message: str, close_code: int, param: str | None = None) -> Refusal:
    return Refusal(Fault(code, message, param), close_code)
