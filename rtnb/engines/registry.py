"""Load the engine of a spec such as ``"local,llm=/path/model.gguf,tts=hibari:heart"``.

Engines and their parts, the built-in ones included, are entry points of the groups ``rtnb.engines``,
``rtnb.vad``, ``rtnb.asr``, ``rtnb.llm`` and ``rtnb.tts``; :mod:`rtnb.engines.base` describes the factories.

A spec is the engine's name and ``key=value`` options, separated by commas. The value of ``vad``, ``asr``,
``llm`` and ``tts`` is a part's name or ``name:setting``. For ``llm``, a path that ends in ``.gguf`` is short
for ``llama:path``, and an address ``http(s)://host/v1#model`` for ``chat:address``.

The environment variable ``RTNB_ENGINE`` is the default spec; ``RTNB_VAD``, ``RTNB_ASR``, ``RTNB_LLM`` and
``RTNB_TTS`` are the default parts of the local engine.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, cast
from urllib.parse import urlsplit

from ..errors import EngineError, RtnbError
from .base import Engine

__all__ = ["available", "engine", "normalize", "parse_spec", "part"]

_DEFAULT = "local"
_NOUNS = {
    "engines": "engine",
    "vad": "voice detector (vad)",
    "asr": "recognizer (asr)",
    "llm": "language model (llm)",
    "tts": "voice (tts)",
}
_PARTS = ("vad", "asr", "llm", "tts")
_SEPARATOR = re.compile(r"\s*,\s*(?=[a-z_]+\s*=)")  # not a comma inside a path
_NAMED = re.compile(r"([A-Za-z_][\w-]+)(?::(.*))?\Z", re.S)  # at least two letters: C:\ is a path


def parse_spec(spec: str | None = None) -> tuple[str, dict[str, str]]:
    """Return the engine's name and its options, with the defaults of the environment.

    Raises:
        EngineError: The spec is not of the form ``name,key=value,…``, or an address in it contains a secret.
    """
    text = (spec or "").strip() or os.environ.get("RTNB_ENGINE", "").strip() or _DEFAULT
    first, *rest = _SEPARATOR.split(text)
    if re.match(r"[a-z_]+\s*=", first):
        first, rest = _DEFAULT, [first, *rest]
    if not re.fullmatch(r"[A-Za-z_][\w.-]*", first):
        raise EngineError(
            f"invalid engine {_safe(first)!r}: expected a name and options, such as 'local,llm=model.gguf'"
        )
    options: dict[str, str] = {}
    for option in rest:
        key, _, value = (s.strip() for s in option.partition("="))
        if not value:
            raise EngineError(f"the engine option {key!r} has no value: write {key}=…")
        if key in options:
            raise EngineError(f"the engine option {key!r} is given twice")
        options[key] = value
    if first == _DEFAULT:
        for kind in _PARTS:
            value = os.environ.get(f"RTNB_{kind.upper()}", "").strip()
            if value:
                options.setdefault(kind, value)
    for kind in _PARTS:
        if kind in options:
            options[kind] = _canonical(kind, options[kind])
    return first, options


def normalize(spec: str | None = None) -> str:
    """Return ``spec`` in its normal form, equal for equal engines. Raises as :func:`parse_spec`."""
    name, options = parse_spec(spec)
    known = [k for k in _PARTS if k in options]
    keys = known + sorted(k for k in options if k not in _PARTS)
    return ",".join([name, *(f"{k}={options[k]}" for k in keys)])


def engine(spec: str | None = None) -> Engine:
    """Return the engine that ``spec`` names.

    Raises:
        EngineError: The engine or a part is unknown, or does not accept the options.
        WeightsError: Its weights are not installed.
        MissingPackageError: A package that it needs is not installed.
    """
    name, options = parse_spec(spec)
    return cast(Engine, _factory("engines", name)(options))


def part(kind: str, spec: str) -> Any:
    """Return the part ``name`` or ``name:setting`` of a ``kind``: "vad", "asr", "llm" or "tts".

    Raises as :func:`engine`.
    """
    name, _, setting = _canonical(kind, spec).partition(":")
    return _factory(kind, name)(setting)


def available(kind: str = "engines") -> list[str]:
    """Return the names registered for "engines", "vad", "asr", "llm" or "tts"."""
    return sorted(_points(kind))


def _points(kind: str) -> Mapping[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=f"rtnb.{kind}"):
        found.setdefault(point.name, point)
    return found


def _factory(kind: str, name: str) -> Any:
    points = _points(kind)
    if not points:
        raise EngineError(
            "no engines are registered, because rtnb runs from a folder that is not installed:"
            " run  pip install -e .  there"
        )
    if name not in points:
        what = _NOUNS[kind]
        near = difflib.get_close_matches(name, points, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise EngineError(f"unknown {what} {name!r}{hint} Available: {', '.join(sorted(points))}")
    try:
        return points[name].load()
    except RtnbError:
        raise
    except Exception as error:
        value = points[name].value
        raise EngineError(f"the {_NOUNS[kind]} {name!r} ({value}) cannot be loaded: {error}") from error


def _canonical(kind: str, value: str) -> str:
    if re.match(r"https?://", value):
        if kind != "llm":
            raise EngineError(f"an address is only valid for llm, not for {kind}")
        return "chat:" + _without_secret(value)
    named = _NAMED.match(value)
    if named and "\\" not in named[1]:
        if named[2] and re.match(r"https?://", named[2]):
            _without_secret(named[2])
        return value
    if kind == "llm" and value.lower().endswith(".gguf"):
        return f"llama:{value}"
    raise EngineError(
        f"invalid {_NOUNS[kind]} {_safe(value)!r}: expected a name, name:setting"
        + (", a path that ends in .gguf or an http(s) address" if kind == "llm" else "")
    )


def _without_secret(url: str) -> str:
    """Return ``url`` if it has neither a user name nor a query, where people put keys.

    Raises:
        EngineError: It has one.
    """
    parts = urlsplit(url)
    if "@" in parts.netloc or parts.query:
        raise EngineError(
            f"the address of the chat endpoint on {parts.hostname} contains a user name or a query:"
            " leave them out and set the key in the environment variable RTNB_LLM_API_KEY"
        )
    return url


def _safe(text: str) -> str:
    """Return ``text`` shortened, and without what could be a key in an address."""
    return re.sub(r"//[^/@\s]*@|\?.*", "//…", text)[:80]
