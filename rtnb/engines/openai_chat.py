"""A language model behind any OpenAI-compatible ``/v1/chat/completions`` endpoint.

If the endpoint needs a key, it is read from the environment variable ``RTNB_LLM_API_KEY`` only.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urldefrag, urlsplit

import orjson

from ..errors import EngineError, MissingPackageError
from .base import Call, TextPiece
from .chat_stream import StreamThread, answer_pieces, estimate_tokens, tool_fields
from .prompting import fit

if TYPE_CHECKING:
    import httpx

__all__ = ["chat"]

_KEY = "RTNB_LLM_API_KEY"
_CONTEXT = 32_768  # tokens, if the endpoint does not report them
_READ_TIMEOUT = 120.0  # seconds; local servers read long prompts slowly
_CONNECT_TIMEOUT = 10.0  # seconds, and for the list of models
_MAX_QUOTE = 200  # characters of an endpoint's own error text


class _Chat:
    def __init__(self, url: str) -> None:
        try:
            import httpx
        except ImportError:
            raise MissingPackageError("httpx", "the chat endpoint", "local") from None
        address, model = urldefrag(url)
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.query:
            raise EngineError(
                "invalid address of a chat endpoint: expected one such as http://localhost:11434/v1#model,"
                " without a user name or a query"
            )
        self._base = address.rstrip("/").removesuffix("/chat/completions")
        self._thread = StreamThread("rtnb-chat", daemon=True)
        self._key = os.environ.get(_KEY, "").strip()
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        self._client = httpx.Client(
            headers=headers, timeout=httpx.Timeout(_READ_TIMEOUT, connect=_CONNECT_TIMEOUT)
        )
        self._failures: tuple[type[Exception], ...] = (httpx.HTTPError, httpx.InvalidURL)
        self.context = _CONTEXT
        self.name = self._choose(model)
        self.about = f"{self.name} at {parts.hostname}, outside the local engine; token counts are estimates"
        self.close = self._client.close

    def generate(
        self,
        messages: Sequence[dict[str, Any]],
        tools: Sequence[dict[str, Any]],
        tool_choice: str | dict[str, Any],
        max_tokens: int,
        stopped: Callable[[], bool],
    ) -> Iterator[TextPiece | Call]:
        answer = min(max_tokens, self.context // 2)
        body: dict[str, Any] = {
            "model": self.name,
            "messages": fit(messages, self.context - answer, self.count)
            or [{"role": "user", "content": "Hello."}],
            "max_tokens": answer,
            "stream": True,
            "stream_options": {"include_usage": True},
            **tool_fields(tools, tool_choice),
        }
        yield from answer_pieces(self._thread.run(lambda put: self._produce(body, put), stopped))

    def prefill(self, messages: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]]) -> None:
        """Do nothing: the endpoint has its own cache, and a request could cost money."""

    def count(self, text: str) -> int:
        """Return an estimate: the endpoint's tokenizer is unknown."""
        return estimate_tokens(text)

    def _choose(self, model: str) -> str:
        """Return the name of the model, and take its context from the endpoint if it is reported."""
        try:
            answer = self._client.get(f"{self._base}/models", timeout=_CONNECT_TIMEOUT)
            listed = answer.json()["data"] if answer.status_code == 200 else []
            known = {str(m["id"]): m for m in listed}
        except self._failures as error:
            raise self._unreachable(error) from None
        except (ValueError, KeyError, TypeError):
            known = {}
        if not model and len(known) != 1:
            raise EngineError(
                f"name the model of {self._base} after a #"
                + (f": {', '.join(sorted(known)[:12])}" if known else f", as in {self._base}#model")
            )
        name = model or next(iter(known))
        row = known.get(name, {})
        size = row.get("max_model_len") or row.get("context_length") or (row.get("meta") or {}).get("n_ctx")
        if isinstance(size, int) and size > 0:
            self.context = size
        return name

    def _produce(self, body: dict[str, Any], put: Callable[[Any], bool]) -> None:
        try:
            while True:
                with self._client.stream("POST", f"{self._base}/chat/completions", json=body) as answer:
                    if answer.status_code == 200:
                        self._read(answer, put)
                        return
                    answer.read()
                    changed = _without_refused(body, answer.text) if answer.status_code == 400 else None
                    if changed is None:
                        raise self._refused(answer)
                    body = changed
        except self._failures as error:
            raise self._unreachable(error) from None

    def _read(self, answer: httpx.Response, put: Callable[[Any], bool]) -> None:
        for line in answer.iter_lines():
            if not line.startswith("data:"):
                continue
            data = line[5:].strip()
            if data == "[DONE]":
                return
            try:
                chunk = orjson.loads(data)
            except orjson.JSONDecodeError:
                raise EngineError(f"the chat endpoint {self._base} sent a line that is not JSON") from None
            if isinstance(chunk, dict) and chunk.get("error"):
                raise EngineError(
                    f"the chat endpoint {self._base} failed: {self._quote(json.dumps(chunk['error']))}"
                )
            if isinstance(chunk, dict) and put(chunk):
                return

    def _refused(self, answer: httpx.Response) -> EngineError:
        if answer.status_code in (401, 403):
            what = "refused the key in" if self._key else "needs a key: set"
            return EngineError(f"the chat endpoint {self._base} {what} the environment variable {_KEY}")
        return EngineError(
            f"the chat endpoint {self._base} answered {answer.status_code} for the model {self.name!r}:"
            f" {self._quote(answer.text)}"
        )

    def _unreachable(self, error: Exception) -> EngineError:
        return EngineError(
            f"the chat endpoint {self._base} cannot be reached ({type(error).__name__}): is it running?"
        )

    def _quote(self, text: str) -> str:
        text = " ".join(text.split())[:_MAX_QUOTE]
        return text.replace(self._key, "…") if self._key else text


def _without_refused(body: dict[str, Any], complaint: str) -> dict[str, Any] | None:
    """Return ``body`` without the field that the endpoint does not support; None for another complaint."""
    if "stream_options" in body and "stream_options" in complaint:
        return {k: v for k, v in body.items() if k != "stream_options"}
    if "max_tokens" in body and "max_completion_tokens" in complaint:
        rest = {k: v for k, v in body.items() if k != "max_tokens"}
        return {**rest, "max_completion_tokens": body["max_tokens"]}
    return None


def chat(setting: str = "") -> _Chat:
    """Return the language model; ``setting`` is the address, with the model's name after a ``#``.

    Raises:
        EngineError: The address is invalid, the endpoint cannot be reached, or the model must be named.
        MissingPackageError: httpx is not installed.
    """
    return _Chat(setting)
