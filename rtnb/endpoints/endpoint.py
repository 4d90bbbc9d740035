"""Endpoints: from a model id, a deployment or a URL to the URL, headers and model to connect with."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import get_close_matches
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit

from ..errors import ArgumentError, AuthError, ConnectionLost, RtnbError, not_copyable
from ..protocol import models
from ..redaction import clean_name, remember

__all__ = ["Endpoint", "resolve"]

_OPENAI = "wss://api.openai.com/v1/realtime"
_OPENAI_HOST = "api.openai.com"
_KEYS = ("sk-", "ek_", "sess-")
_KEY_PARAMETERS = ("api-key", "api_key", "key", "token", "access_token")
_AZURE_HOSTS = (".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server to connect to. ``name`` is for display; ``headers`` contain the key and are never shown.

    ``requested_model`` is the model that the caller named: a server may report only a deployment's name.
    ``explain`` is an optional hook that maps a ConnectionLost to a more specific error.
    """

    __reduce_ex__ = not_copyable(
        "an endpoint contains a key and cannot be pickled or copied: call resolve() again where it is needed"
    )

    name: str
    url: str = field(repr=False)
    model: str
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    billed: bool = True
    engine: str = ""
    requested_model: str = ""
    explain: Callable[[ConnectionLost], RtnbError | None] | None = field(default=None, repr=False)


def resolve(endpoint: str, *, model: str | None = None, api_key: str | None = None) -> Endpoint:
    """Return the endpoint for a model id, ``azure:DEPLOYMENT``, or a server's base URL.

    The key is ``api_key`` or, for OpenAI's own service, ``OPENAI_API_KEY``; for ``azure:``,
    ``AZURE_OPENAI_API_KEY`` (with ``AZURE_OPENAI_ENDPOINT``). A key from the environment is sent to its own
    service only.

    Raises ArgumentError for anything else than a known model or a URL, AuthError without a key.
    """
    if endpoint.startswith(_KEYS):
        raise ArgumentError("endpoint looks like an API key: pass it as api_key=…, or set OPENAI_API_KEY")
    if endpoint.startswith("azure:"):
        return _azure(endpoint.removeprefix("azure:"), model, api_key)
    if "://" in endpoint:
        return _url(endpoint, model, api_key)
    known = models.find(endpoint).known
    if not known and not endpoint.startswith(("gpt-", "ft:")):
        raise ArgumentError(
            f"unknown endpoint {endpoint!r:.80}{_suggestion(endpoint)}: "
            f"expected a model ({', '.join(_realtime())}), "
            "azure:DEPLOYMENT, or a URL that starts with ws://, wss://, http:// or https://. "
            "For the embedded engine, pass no endpoint: rtnb.connect() or rtnb.connect(engine='fake')"
        )
    if models.find(endpoint).kind != "realtime":
        raise ArgumentError(
            f"{endpoint} is a {models.find(endpoint).kind} model and has no realtime conversation: "
            f"expected one of {', '.join(_realtime())}"
        )
    if model not in (None, endpoint):
        raise ArgumentError(
            f"endpoint {endpoint!r} and model={model!r:.80} name two models: pass one of them"
        )
    key = _key(api_key, "OPENAI_API_KEY")
    if not key:
        unknown = "" if known else f"{endpoint!r} is not a known model{_suggestion(endpoint)}. "
        raise AuthError(
            f"{unknown}{endpoint} needs an OpenAI API key: create one at platform.openai.com/api-keys "
            "and set OPENAI_API_KEY, or pass api_key=…. "
            "Without a key, rtnb.connect() uses the embedded engine on this machine"
        )
    return Endpoint(
        clean_name(f"{endpoint} at OpenAI"),
        f"{_OPENAI}?{urlencode({'model': endpoint})}",
        endpoint,
        {"Authorization": f"Bearer {key}"},
        requested_model=endpoint,
    )


def _key(given: str | None, variable: str | None) -> str:
    """Return ``given`` or the key in an environment variable, "" if there is none; it will be redacted."""
    key = (given or (os.environ.get(variable) if variable else None) or "").strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise AuthError("the API key contains invalid characters; copy it again")
    remember(key)
    return key


def _realtime() -> list[str]:
    return [row.id for row in models.catalogue() if row.kind == "realtime"]


def _suggestion(name: str) -> str:
    close = get_close_matches(name, _realtime(), 1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _azure(deployment: str, model: str | None, api_key: str | None) -> Endpoint:
    base = os.environ.get("AZURE_OPENAI_ENDPOINT", "")
    key = _key(api_key, "AZURE_OPENAI_API_KEY")
    if not deployment:
        raise ArgumentError("azure: needs a deployment, such as rtnb.connect('azure:my-deployment')")
    host = _split(base).netloc
    if not base.startswith("https://") or not host or "@" in host:
        raise ArgumentError(
            "set AZURE_OPENAI_ENDPOINT to the resource's URL, such as https://my-resource.openai.azure.com"
        )
    if not key:
        raise AuthError(
            "Azure needs an API key: set AZURE_OPENAI_API_KEY or pass api_key=…. "
            "Without a key, rtnb.connect() uses the embedded engine on this machine"
        )
    # The GA path takes no api-version: with one it answers 401.
    url = f"wss://{host}/openai/v1/realtime?{urlencode({'model': deployment})}"
    named = model or deployment
    return Endpoint(clean_name(f"{deployment} at Azure"), url, named, {"api-key": key}, requested_model=named)


def _url(endpoint: str, model: str | None, api_key: str | None) -> Endpoint:
    parts = _split(endpoint)
    scheme = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}.get(parts.scheme)
    if scheme is None or not parts.hostname:
        raise ArgumentError("invalid URL: expected ws://, wss://, http:// or https://, and a host")
    if parts.username or parts.password:
        raise ArgumentError("the URL contains a user or a password: pass the key as api_key=…")
    azure = parts.hostname.endswith(_AZURE_HOSTS)
    path = parts.path.rstrip("/")
    if not path:
        path = "/openai/v1/realtime" if azure else "/v1/realtime"
    elif not path.endswith("/realtime"):
        path += "/realtime"
    query = dict(parse_qsl(parts.query))
    requested = model or query.get("model") or ""
    for name in _KEY_PARAMETERS:
        remember(query.get(name, ""))
    named = query["model"] = requested or models.SEED
    headers = {}
    own = scheme == "wss" and parts.netloc.lower() in (_OPENAI_HOST, f"{_OPENAI_HOST}:443")
    key = _key(api_key, "OPENAI_API_KEY" if own else None)
    if key:
        headers = {"api-key": key} if azure else {"Authorization": f"Bearer {key}"}
    url = urlunsplit((scheme, parts.netloc, path, urlencode(query), ""))
    local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    return Endpoint(
        clean_name(f"{named} at {parts.netloc}"),
        url,
        named,
        headers,
        billed=not local,
        requested_model=requested,
    )


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise ArgumentError(f"invalid URL: {error}") from None
    return parts
