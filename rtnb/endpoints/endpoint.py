"""Where a session goes: from what a user names to an address, its headers and its model."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import get_close_matches
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit

from ..errors import ArgumentError, AuthError, ConnectionLost, RtnbError
from ..protocol import models
from ..redaction import remember

__all__ = ["Endpoint", "resolve"]

_OPENAI = "wss://api.openai.com/v1/realtime"
_OPENAI_HOST = "api.openai.com"
_KEYS = ("sk-", "ek_", "sess-")
_KEY_PARAMETERS = ("api-key", "api_key", "key", "token", "access_token")
_AZURE_HOSTS = (".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One place to connect to. ``name`` is for people; ``headers`` hold the key and are never shown.

    ``requested_model`` is the model that the caller named: a server may report only a deployment's name.
    ``explain`` may know better than a close frame why the connection ended.
    """

    name: str
    url: str = field(repr=False)
    model: str
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    billed: bool = True
    engine: str = ""
    requested_model: str = ""
    explain: Callable[[ConnectionLost], RtnbError | None] | None = field(default=None, repr=False)


def resolve(where: str, *, model: str | None = None, api_key: str | None = None) -> Endpoint:
    """Return the target of a model id, ``azure:DEPLOYMENT``, or a server's base address.

    Keys: from ``api_key``; else, for OpenAI's own service, ``OPENAI_API_KEY``; for ``azure:``,
    ``AZURE_OPENAI_API_KEY`` (and ``AZURE_OPENAI_ENDPOINT``). A key from the environment goes nowhere else.

    Raises ArgumentError for a name that is no address and no known model, AuthError without a key.
    """
    if where.startswith(_KEYS):
        raise ArgumentError("that looks like a key: give it as api_key=…, or set OPENAI_API_KEY")
    if where.startswith("azure:"):
        return _azure(where.removeprefix("azure:"), model, api_key)
    if "://" in where:
        return _address(where, model, api_key)
    known = models.find(where).known
    if not known and not where.startswith(("gpt-", "ft:")):
        raise ArgumentError(
            f"{where!r} is neither a model nor an address{_meant(where)}. Models: {', '.join(_realtime())}. "
            "Addresses begin with ws:// or http://. For the embedded engine leave it out: rtnb.connect(), "
            "or rtnb.connect(engine='fake')"
        )
    if models.find(where).kind != "realtime":
        raise ArgumentError(
            f"{where} is a {models.find(where).kind} model; it holds no realtime conversation"
        )
    if model not in (None, where):
        raise ArgumentError(f"{where} and model={model!r} are two models: name one")
    key = _key(api_key, "OPENAI_API_KEY")
    if not key:
        stranger = "" if known else f"{where!r} is no model that this version knows{_meant(where)}. "
        raise AuthError(
            f"{stranger}{where} needs an OpenAI key: make one at platform.openai.com/api-keys and set "
            "OPENAI_API_KEY, or give api_key=…. "
            "Without a key, rtnb.connect() talks to the embedded engine on this machine"
        )
    return Endpoint(
        f"{where} at OpenAI",
        f"{_OPENAI}?{urlencode({'model': where})}",
        where,
        {"Authorization": f"Bearer {key}"},
        requested_model=where,
    )


def _key(given: str | None, variable: str | None) -> str:
    """Return the key that was given, or that the environment has; "" for none. It is redacted from now on."""
    key = (given or (os.environ.get(variable) if variable else None) or "").strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise AuthError("the key holds signs that no key has: copy it again")
    remember(key)
    return key


def _realtime() -> list[str]:
    return [row.id for row in models.catalogue() if row.kind == "realtime"]


def _meant(name: str) -> str:
    close = get_close_matches(name, _realtime(), 1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _azure(deployment: str, model: str | None, api_key: str | None) -> Endpoint:
    endpoint = os.environ.get("AZURE_OPENAI_ENDPOINT", "")
    key = _key(api_key, "AZURE_OPENAI_API_KEY")
    if not deployment:
        raise ArgumentError("name the deployment: rtnb.connect('azure:my-deployment')")
    host = _split(endpoint).netloc
    if not endpoint.startswith("https://") or not host or "@" in host:
        raise ArgumentError(
            "set AZURE_OPENAI_ENDPOINT to the resource's address, such as https://my-resource.openai.azure.com"
        )
    if not key:
        raise AuthError(
            "Azure needs a key: set AZURE_OPENAI_API_KEY or give api_key=…. "
            "Without a key, rtnb.connect() talks to the embedded engine on this machine"
        )
    # The GA path takes no api-version: with one it answers 401.
    url = f"wss://{host}/openai/v1/realtime?{urlencode({'model': deployment})}"
    named = model or deployment
    return Endpoint(f"{deployment} at Azure", url, named, {"api-key": key}, requested_model=named)


def _address(where: str, model: str | None, api_key: str | None) -> Endpoint:
    parts = _split(where)
    scheme = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}.get(parts.scheme)
    if scheme is None or not parts.hostname:
        raise ArgumentError("an address begins with ws://, wss://, http:// or https:// and names a host")
    if parts.username or parts.password:
        raise ArgumentError("give the key as api_key=…, not inside the address")
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
    asked = query["model"] = requested or models.SEED
    headers = {}
    own = scheme == "wss" and parts.netloc.lower() in (_OPENAI_HOST, f"{_OPENAI_HOST}:443")
    key = _key(api_key, "OPENAI_API_KEY" if own else None)
    if key:
        headers = {"api-key": key} if azure else {"Authorization": f"Bearer {key}"}
    url = urlunsplit((scheme, parts.netloc, path, urlencode(query), ""))
    local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    return Endpoint(
        f"{asked} at {parts.netloc}", url, asked, headers, billed=not local, requested_model=requested
    )


def _split(address: str) -> SplitResult:
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError as error:
        raise ArgumentError(f"the address cannot be read: {error}") from None
    return parts
