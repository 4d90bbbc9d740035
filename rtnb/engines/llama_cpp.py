"""The language model of the local engine: SmolLM2 135M, or any GGUF file, on llama.cpp."""

from __future__ import annotations

import http.client
import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..errors import EngineError, MissingPackageError
from ..paths import user_path
from . import prompting, tool_calling, weights
from .base import Call, TextPiece
from .chat_stream import StreamThread, answer_pieces, arguments_text, tool_fields
from .json_schema import fill, fits
from .prompting import fit

__all__ = ["llama"]

_CACHE_MIB = 128  # for cached prefixes other than the current one


class Runtime:
    """A loaded GGUF model.

    Attributes:
        context: Tokens of prompt and answer together.
        parameters: The number of the model's parameters.
        supports_tools: Whether the model's chat template supports tools.

    Raises:
        MissingPackageError: xllamacpp is not installed.
        EngineError: llama.cpp cannot load the file.
    """

    def __init__(self, path: Path, context: int, threads: int) -> None:
        try:
            import xllamacpp
        except ImportError:
            raise MissingPackageError(
                "xllamacpp", "the language model of the local engine", "local"
            ) from None
        if not path.is_file():
            raise EngineError(f"the model file {path} does not exist")
        with path.open("rb") as file:
            if file.read(4) != b"GGUF":
                raise EngineError(f"{path} is not a GGUF model file")
        key = secrets.token_hex(16)
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx, params.n_parallel, params.cache_ram_mib = context, 1, _CACHE_MIB
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        # The library opens a port on the loopback interface; it answers only requests with this key.
        params.api_keys, params.ui, params.verbosity = [key], False, -1
        try:
            self._server: Any = xllamacpp.Server(params)
        except Exception as error:
            raise EngineError(f"llama.cpp cannot load {path}: {error}") from error
        self._address = urlsplit(self._server.listening_address).netloc
        self._thread = StreamThread("rtnb-llama", daemon=False)
        meta = self._ask("GET", "/v1/models")["data"][0]["meta"]
        self.context = min(int(meta["n_ctx"]), int(meta["n_ctx_train"]))
        self.parameters = int(meta["n_params"])
        caps = self._ask("GET", "/props").get("chat_template_caps") or {}
        self.supports_tools = bool(caps.get("supports_tools") and caps.get("supports_tool_calls", True))

    def stream(self, request: dict[str, Any], stopped: Callable[[], bool]) -> Iterator[dict[str, Any]]:
        """Yield the chunks of a chat completion; generation stops soon after ``stopped()`` is true.

        Raises:
            EngineError: llama.cpp refused the request.
        """
        body = {**request, "stream": True, "cache_prompt": True}

        def produce(put: Callable[[Any], bool]) -> None:
            def receive(answer: Any) -> bool:
                stop = False
                for chunk in answer if isinstance(answer, list) else [answer]:
                    stop = put(chunk)
                return stop  # True ends the generation

            self._server.handle_chat_completions(body, receive)

        try:
            for chunk in self._thread.run(produce, stopped):
                if "error" in chunk:
                    raise EngineError(
                        f"the language model refused the request: {chunk['error'].get('message')}"
                    )
                yield chunk
        except (ValueError, RuntimeError) as error:
            raise EngineError(f"the language model refused the request: {error}") from error

    def count(self, text: str) -> int:
        """Return the number of tokens of ``text``, counted with the model's tokenizer."""
        return len(self._ask("POST", "/tokenize", {"content": text})["tokens"]) if text else 0

    def close(self) -> None:
        """Wait for a generation that is stopping, and free the model."""
        self._thread.join()
        self._server = None

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        connection = http.client.HTTPConnection(self._address, timeout=60)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, self._headers)
            return json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise EngineError(f"llama.cpp does not answer on the loopback interface ({error})") from error
        finally:
            connection.close()


_SMALL = 600_000_000  # parameters below which a model gets the prompts of ``prompting``
_CONTEXT = 2_048  # tokens for SmolLM2: it was trained on 8,192, but reading 2,000 takes one core 6 seconds
_CONTEXT_OWN = 8_192  # tokens for a user's model, if it was trained on as many
_RESERVE = 256  # tokens for the template and the example turns of a small model
_MAX_SMALL_ANSWER = 640  # tokens reserved for a small model's answer
_MAX_CALL = 400  # tokens of the arguments of one call
_MAX_ANSWER = 1_024  # tokens reserved for a larger model's answer
_WARM_TOOLS = 4  # tools whose prompts are cached in advance


class _Llama:
    eager = True

    def __init__(self, path: Path, context: int, threads: int, name: str, about: str) -> None:
        self._runtime = Runtime(path, context, threads)
        self._count = lru_cache(maxsize=4096)(self._runtime.count)
        self._small = self._runtime.parameters < _SMALL
        self.name = name
        self.about = about
        self.context = self._runtime.context
        self.close = self._runtime.close

    def generate(
        self,
        messages: Sequence[dict[str, Any]],
        tools: Sequence[dict[str, Any]],
        tool_choice: str | dict[str, Any],
        max_tokens: int,
        stopped: Callable[[], bool],
    ) -> Iterator[TextPiece | Call]:
        if isinstance(tool_choice, Mapping) and tool_choice.get("name") not in [t.get("name") for t in tools]:
            raise EngineError(f"tool_choice names {tool_choice.get('name')!r}, which is not among the tools")
        guided = self._small or not self._runtime.supports_tools
        tool = tool_calling.choose(messages, tools, tool_choice) if guided else None
        if tool is not None:
            yield from self._call(tool, tool_calling.user_text(messages), max_tokens, stopped)
        elif guided and messages and messages[-1].get("role") == "tool":
            yield from self._result(messages, max_tokens, stopped)
        elif self._small:
            yield from self._chat(messages, max_tokens, stopped)
        else:
            request = self._request(messages, () if guided else tools, tool_choice, max_tokens)
            yield from answer_pieces(self._runtime.stream(request, stopped))

    def prefill(self, messages: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]]) -> None:
        if self._small:
            started = any(m.get("role") != "system" for m in messages)  # then the tools' prompts are cached
            for tool in () if started else tools[:_WARM_TOOLS]:
                if tool.get("name"):
                    self._warm(prompting.call_prompt(tool, tool_calling.example(tool), ""))
            self._warm(self._small_prompt(messages))
        else:
            offered = tools if self._runtime.supports_tools else ()
            self._drain(self._request(messages, offered, "auto", 1))

    def count(self, text: str) -> int:
        return self._count(text)

    def _request(
        self,
        messages: Sequence[dict[str, Any]],
        tools: Sequence[dict[str, Any]],
        tool_choice: str | dict[str, Any],
        max_tokens: int,
    ) -> dict[str, Any]:
        if isinstance(tool_choice, Mapping):  # llama.cpp cannot be given a tool by name
            tools = [t for t in tools if t.get("name") == tool_choice.get("name")]
            tool_choice = "required"
        offer = tool_fields(tools, tool_choice)
        answer = min(max_tokens, _MAX_ANSWER, self.context // 2)
        room = self.context - answer - _RESERVE - self._count(json.dumps(offer))
        return {"messages": _answerable(fit(messages, room, self._count)), "max_tokens": answer, **offer}

    def _small_prompt(self, messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        room = self.context - _MAX_SMALL_ANSWER - _RESERVE
        return prompting.chat_prompt(fit(messages, room, self._count))

    def _chat(
        self, messages: Sequence[dict[str, Any]], max_tokens: int, stopped: Callable[[], bool]
    ) -> Iterator[TextPiece | Call]:
        limit = prompting.answer_limit(tool_calling.user_text(messages))
        prompt = _answerable(self._small_prompt(messages))
        yield from self._pieces(prompt, limit, max_tokens, stopped)

    def _pieces(
        self,
        prompt: list[dict[str, Any]],
        limit: prompting.AnswerLimit,
        max_tokens: int,
        stopped: Callable[[], bool],
    ) -> Iterator[TextPiece]:
        request = {
            "messages": prompt,
            "max_tokens": min(max_tokens, limit.tokens, _MAX_SMALL_ANSWER),
            **prompting.SAMPLING,
        }
        for piece in prompting.without_label(answer_pieces(self._runtime.stream(request, stopped))):
            if limit.reached(piece.text):
                return
            yield piece

    def _call(
        self, tool: Mapping[str, Any], text: str, max_tokens: int, stopped: Callable[[], bool]
    ) -> Iterator[TextPiece | Call]:
        schema = tool.get("parameters")
        limit = min(max_tokens, _MAX_CALL)
        request = {
            "messages": prompting.call_prompt(tool, tool_calling.example(tool), text[-2000:]),
            "max_tokens": limit,
            "temperature": 0,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"schema": tool_calling.narrowed_schema(tool, text)},
            },
        }
        pieces: list[str] = []
        try:
            pieces += [
                p.text
                for p in answer_pieces(self._runtime.stream(request, stopped))
                if isinstance(p, TextPiece)
            ]
            value = json.loads("".join(pieces))
        except (EngineError, ValueError, RecursionError):  # a schema llama.cpp rejects, or incomplete JSON
            value = None
        if stopped():
            return
        if len(pieces) >= max_tokens:
            yield TextPiece("", max_tokens)
            return
        if not fits(value, schema):
            try:
                value = fill(schema, text)
            except ValueError as error:
                raise EngineError(f"no arguments match the schema of {tool['name']!r}: {error}") from None
        yield Call(str(tool["name"]), arguments_text(value), len(pieces))

    def _result(
        self, messages: Sequence[dict[str, Any]], max_tokens: int, stopped: Callable[[], bool]
    ) -> Iterator[TextPiece]:
        outputs: list[str] = []
        for message in reversed(messages):
            if message.get("role") != "tool":
                break
            outputs.insert(0, str(message.get("content") or ""))
        output, text = "\n".join(outputs), tool_calling.user_text(messages)
        pieces: list[TextPiece] = []
        if not any(prompting.error_of(o) for o in outputs):
            prompt = prompting.result_prompt(text[-1000:], output)
            pieces = list(self._pieces(prompt, prompting.AnswerLimit(1, 80), max_tokens, stopped))
        answer = "".join(p.text for p in pieces)
        if not (answer and all(prompting.agrees(answer, o, text) for o in outputs)):
            answer = " ".join(prompting.spoken_result(o) for o in outputs)
            pieces = [TextPiece(w if i == 0 else f" {w}") for i, w in enumerate(answer.split())]
        for piece in pieces[:max_tokens]:
            if stopped():
                return
            yield piece

    def _warm(self, prompt: list[dict[str, Any]]) -> None:
        self._drain({"messages": _answerable(prompt), "max_tokens": 1, "temperature": 0})

    def _drain(self, request: dict[str, Any]) -> None:
        for _ in self._runtime.stream(request, lambda: False):
            pass


def _answerable(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return ``messages`` ending with a user message or a tool's output, as chat templates require."""
    if messages and messages[-1].get("role") in ("user", "tool"):
        return messages
    started = any(m.get("role") == "assistant" for m in messages)
    return [*messages, {"role": "user", "content": "Go on." if started else "Hello."}]


def _threads() -> int:
    chosen = os.environ.get("RTNB_LLM_THREADS", "").strip() or "1"
    if not (chosen.isdecimal() and int(chosen) >= 1):
        raise EngineError(f"RTNB_LLM_THREADS must be a whole number of at least 1, got {chosen!r}")
    return int(chosen)


def llama(setting: str = "") -> _Llama:
    """Return the language model; ``setting`` is the path of a GGUF file to load instead of the default.

    ``RTNB_LLM_THREADS`` sets the number of threads (default 1): more are faster while cores are idle, and
    slower by seconds otherwise.

    Raises:
        WeightsError: The default model is not installed.
        MissingPackageError: xllamacpp is not installed.
        EngineError: The file does not exist or is not a model, or RTNB_LLM_THREADS is invalid.
    """
    threads = _threads()
    if setting:
        path = user_path(setting, "llm=llama", EngineError)
        return _Llama(
            path, _CONTEXT_OWN, threads, path.stem, f"{path.name}, a model of your choice, on llama.cpp (MIT)"
        )
    about = "SmolLM2 135M Instruct (Apache-2.0) on llama.cpp (MIT): small, fluent but unreliable"
    return _Llama(weights.path("smollm2"), _CONTEXT, threads, "SmolLM2-135M-Instruct", about)
