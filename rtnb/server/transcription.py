"""Transcripts of what the user said, for a session that asks for them."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterable, Mapping
from typing import Any

from .session_context import State
from .usage_meter import transcription_usage

__all__ = ["report"]

_log = logging.getLogger(__name__)
_DEFAULT_MODEL = "gpt-4o-mini-transcribe"
_EVENT = "conversation.item.input_audio_transcription"


async def report(
    state: State,
    settings: Mapping[str, Any],
    item_id: str,
    content_index: int,
    ms: float,
    words: asyncio.Future[str],
) -> None:
    """Send the transcript of one content part of ``ms`` milliseconds, once ``words`` is known.

    ``settings`` is the session's ``transcription`` as it was when the sound was committed.
    """
    at = {"item_id": item_id, "content_index": content_index}
    model = settings.get("model") or _DEFAULT_MODEL
    asked = [code for code in (settings.get("language"), *settings.get("languages", ())) if code]
    offered = state.engine.asr.languages
    try:
        transcript = await asyncio.shield(words)
    except Exception as error:
        _log.exception("the speech recogniser failed")
        _fail(state, at, "server_error", None, f"The speech recogniser failed: {error}")
        return
    if asked and not any(_primary(code) in offered for code in asked):
        _fail(
            state,
            at,
            "invalid_request_error",
            "unsupported_language",
            f"The engine's speech recogniser knows {_list(offered)}; the session asks for {_list(asked)}.",
        )
        return
    if not transcript:
        message = "The audio could not be transcribed: no words were understood in it."
        _fail(state, at, "transcription_error", "audio_unintelligible", message)
        return
    # whisper-1 sends its text in one piece (digest of wire logs); the others word by word.
    deltas = [transcript] if model == "whisper-1" else re.findall(r"\s*\S+", transcript)
    for delta in deltas:
        state.emit(f"{_EVENT}.delta", **at, delta=delta)
    usage = transcription_usage(model, ms, transcript, settings.get("prompt") or "")
    state.emit(f"{_EVENT}.completed", **at, transcript=transcript, usage=usage)


def _fail(state: State, at: Mapping[str, Any], type: str, code: str | None, message: str) -> None:
    error = {"type": type, "code": code, "message": message, "param": None}
    state.emit(f"{_EVENT}.failed", **at, error=error)


def _primary(code: str) -> str:
    return re.split(r"[-_]", code.lower(), maxsplit=1)[0]


def _list(codes: Iterable[str]) -> str:
    return ", ".join(f"'{code:.20}'" for code in codes)
