"""From a spec such as ``"local,llm=/path/model.gguf,tts=hibari:heart"`` to an engine.

Engines and their parts are entry points, the built-in ones like anybody's: groups ``rtnb.engines``,
``rtnb.vad``, ``rtnb.asr``, ``rtnb.llm`` and ``rtnb.tts`` (see :mod:`rtnb.engines.base` for the factories).

A spec is the engine's name and ``key=value`` options, separated by commas. The value of ``vad``, ``asr``,
``llm`` and ``tts`` is a part's name, or ``name:setting``. For ``llm`` a bare path that ends in ``.gguf``
means ``llama:path``, and a bare ``http(s)://host/v1#model`` means ``chat:`` that address.

``RTNB_ENGINE`` is the spec where none is given; ``RTNB_VAD``, ``RTNB_ASR``, ``RTNB_LLM`` and ``RTNB_TTS``
are the parts of the local engine where the spec names none.
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

__all__ = ["available", "engine", "normalise", "parse_spec", "part"]

_DEFAULT = "local"
_PARTS = ("vad", "asr", "llm", "tts")
_SEPARATOR = re.compile(r"\s*,\s*(?=[a-z_]+\s*=)")  # a comma inside a path is no separator
_NAMED = re.compile(r"([A-Za-z_][\w-]+)(?::(.*))?\Z", re.S)  # two letters at least: C:\ is a path


def parse_spec(spec: str | None = None) -> tuple[str, dict[str, str]]:
    """Return the engine's name and its options, with the environment's defaults filled in.

    Raises:
        EngineError: The spec is not of the form ``name,key=value,…``, or an address in it holds a secret.
    """
    text = (spec or "").strip() or os.environ.get("RTNB_ENGINE", "").strip() or _DEFAULT
    first, *rest = _SEPARATOR.split(text)
    if re.match(r"[a-z_]+\s*=", first):
        first, rest = _DEFAULT, [first, *rest]
    if not re.fullmatch(r"[A-Za-z_][\w.-]*", first):
        raise EngineError(
            f"{_safe(first)!r} is no engine: a spec is a name and options, such as 'local,llm=model.gguf'"
        )
    options: dict[str, str] = {}
    for option in rest:
        key, _, value = (s.strip() for s in option.partition("="))
        if not value:
            raise EngineError(f"the option {key!r} of the engine has no value: write {key}=…")
        if key in options:
            raise EngineError(f"the option {key!r} of the engine is given twice")
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


def normalise(spec: str | None = None) -> str:
    """Return the one way to write ``spec``: equal engines have equal texts. Raises as :func:`parse_spec`."""
    name, options = parse_spec(spec)
    known = [k for k in _PARTS if k in options]
    keys = known + sorted(k for k in options if k not in _PARTS)
    return ",".join([name, *(f"{k}={options[k]}" for k in keys)])


def engine(spec: str | None = None) -> Engine:
    """Return the engine that ``spec`` names.

    Raises:
        EngineError: There is no such engine or part, or it does not take these options.
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
    """Return the names that are registered for "engines", "vad", "asr", "llm" or "tts"."""
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
            " run  pip install -e .  in it"
        )
    if name not in points:
        what = "engine" if kind == "engines" else f"{kind} of the engine"
        near = difflib.get_close_matches(name, points, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise EngineError(f"there is no {what} {name!r}{hint} There are: {', '.join(sorted(points))}")
    try:
        return points[name].load()
    except RtnbError:
        raise
    except Exception as error:
        value = points[name].value
        raise EngineError(f"the {kind} {name!r} ({value}) cannot be loaded: {error}") from error


def _canonical(kind: str, value: str) -> str:
    if re.match(r"https?://", value):
        if kind != "llm":
            raise EngineError(f"an address is for llm only, not for {kind}")
        return "chat:" + _without_secret(value)
    named = _NAMED.match(value)
    if named and "\\" not in named[1]:
        if named[2] and re.match(r"https?://", named[2]):
            _without_secret(named[2])
        return value
    if kind == "llm" and value.lower().endswith(".gguf"):
        return f"llama:{value}"
    raise EngineError(
        f"{_safe(value)!r} is no {kind} of the engine: give a name, name:setting"
        + (", a path that ends in .gguf or an http(s) address" if kind == "llm" else "")
    )


def _without_secret(url: str) -> str:
    """Return ``url`` if it holds neither a user nor a query, where people put keys."""
    parts = urlsplit(url)
    if "@" in parts.netloc or parts.query:
        raise EngineError(
            f"the address of the chat endpoint on {parts.hostname} holds a user or a query:"
            " leave them out and put the key into the environment variable RTNB_LLM_API_KEY"
        )
    return url


def _safe(text: str) -> str:
    """Return ``text`` shortened, and without what may be a key in an address."""
    return re.sub(r"//[^/@\s]*@|\?.*", "//…", text)[:80]
