"""The session's configuration in its two shapes: GA's nested one, which rtnb uses, and the beta's flat one.

Servers mix them: some send GA's events with the voice at the top of the session. Reading therefore takes
either shape, field by field; writing produces exactly one. Unknown fields stay where they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..events import Event, as_object
from ..session_config import FORMATS

__all__ = ["flat_path", "flat_response", "flat_session", "is_flat", "nested_response", "nested_session"]

_INPUT = {
    "input_audio_format": "format",
    "input_audio_transcription": "transcription",
    "input_audio_noise_reduction": "noise_reduction",
    "turn_detection": "turn_detection",
}
_OUTPUT = {"output_audio_format": "format", "voice": "voice", "speed": "speed"}
_LIMIT = "max_response_output_tokens"
_RATES = {"input_audio_sampling_rate": "input", "output_audio_sampling_rate": "output"}
"""As Azure Voice Live calls them."""

_FLAT = frozenset({"modalities", *_INPUT, *_OUTPUT, _LIMIT, *_RATES})
_SHORT = {
    "audio/pcm": "pcm16",
    "audio/pcmu": "g711_ulaw",
    "audio/pcma": "g711_alaw",
}


def is_flat(session: Mapping[str, Any]) -> bool:
    """Return whether a session has the beta's shape.

    >>> is_flat({"modalities": ["text"], "input_audio_format": "pcm16"}), is_flat({"audio": {}})
    (True, False)
    """
    nested = "audio" in session or "output_modalities" in session
    return not nested and any(name in session for name in ("input_audio_format", "modalities", _LIMIT))


def nested_session(session: Mapping[str, Any]) -> Event:
    """Return a session of either shape in GA's.

    >>> nested_session({"voice": "sage", "input_audio_format": "g711_ulaw"})
    {'audio': {'input': {'format': {'type': 'audio/pcmu'}}, 'output': {'voice': 'sage'}}}
    """
    if not _FLAT & session.keys():
        return dict(session)
    nested = {name: value for name, value in session.items() if name not in _FLAT}
    audio = dict(as_object(nested.get("audio")))
    sides = {"input": dict(as_object(audio.get("input"))), "output": dict(as_object(audio.get("output")))}
    for side, names in (("input", _INPUT), ("output", _OUTPUT)):
        for flat, name in names.items():
            if flat in session and name not in sides[side]:
                sides[side][name] = _long(session[flat]) if name == "format" else session[flat]
    for flat, side in _RATES.items():
        form = sides[side].get("format")
        if session.get(flat) and isinstance(form, dict) and form.get("type") == "audio/pcm":
            sides[side]["format"] = {**form, "rate": session[flat]}
    audio.update({side: fields for side, fields in sides.items() if fields})
    if audio:
        nested["audio"] = audio
    if "modalities" in session and "output_modalities" not in session:
        nested["output_modalities"] = _one_modality(session["modalities"])
    if _LIMIT in session and "max_output_tokens" not in session:
        nested["max_output_tokens"] = session[_LIMIT]
    return nested


def flat_session(session: Mapping[str, Any]) -> Event:
    """Return a session of GA's shape in the beta's; what the beta does not know stays at the top.

    >>> flat_session({"type": "realtime", "audio": {"output": {"voice": "sage"}}})
    {'voice': 'sage'}
    """
    flat = {
        name: value
        for name, value in session.items()
        if name not in ("type", "audio", "output_modalities", "max_output_tokens")
    }
    audio = as_object(session.get("audio"))
    for side, names in (("input", _INPUT), ("output", _OUTPUT)):
        fields = as_object(audio.get(side))
        for name_flat, name in names.items():
            if name in fields:
                flat[name_flat] = _short(fields[name]) if name == "format" else fields[name]
    if "output_modalities" in session:
        flat["modalities"] = _both_modalities(session["output_modalities"])
    if "max_output_tokens" in session:
        flat[_LIMIT] = session["max_output_tokens"]
    return flat


def nested_response(response: Mapping[str, Any]) -> Event:
    """Return a response, or the options of one, of either shape in GA's."""
    flat = {"modalities", "voice", "output_audio_format", _LIMIT} & response.keys()
    if not flat:
        return dict(response)
    return nested_session(response)


def flat_response(response: Mapping[str, Any]) -> Event:
    """Return a response, or the options of one, of GA's shape in the beta's."""
    flat = flat_session(response)
    if _LIMIT in flat:  # of a response the beta calls it as GA does
        flat["max_output_tokens"] = flat.pop(_LIMIT)
    return flat


def flat_path(path: str) -> str:
    """Return where a field of GA's session or response is in the flat shape.

    >>> flat_path("session.audio.input.turn_detection.threshold"), flat_path("response.output_modalities")
    ('session.turn_detection.threshold', 'response.modalities')
    """
    root, _, field = path.partition(".")
    for nested, flat in _FLAT_PATHS.get(root, {}).items():
        if field == nested or field.startswith((f"{nested}.", f"{nested}[")):
            return f"{root}.{flat}{field.removeprefix(nested)}"
    return path


_AUDIO_PATHS = {
    **{f"audio.input.{name}": flat for flat, name in _INPUT.items()},
    **{f"audio.output.{name}": flat for flat, name in _OUTPUT.items()},
    "output_modalities": "modalities",
}
_FLAT_PATHS = {
    "session": {**_AUDIO_PATHS, "max_output_tokens": _LIMIT},
    "response": _AUDIO_PATHS,
}


def _long(form: Any) -> Any:
    return dict(FORMATS[form]) if isinstance(form, str) and form in FORMATS else form


def _short(form: Any) -> Any:
    if not isinstance(form, Mapping) or form.get("rate") not in (None, 24_000, 8_000):
        return form
    return _SHORT.get(str(form.get("type")), form)


def _one_modality(modalities: Any) -> Any:
    """GA knows either audio, which brings its transcript, or text."""
    if not isinstance(modalities, list):
        return modalities
    return ["audio"] if "audio" in modalities else modalities


def _both_modalities(modalities: Any) -> Any:
    return ["text", "audio"] if modalities == ["audio"] else modalities
