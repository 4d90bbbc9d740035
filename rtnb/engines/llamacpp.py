"""llama.cpp inside this process, through xllamacpp: one model, one request at a time."""

from __future__ import annotations

import http.client
import json
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..errors import EngineError, MissingPackageError
from .threads import Pump

__all__ = ["Runtime"]

_STATES = 128  # MiB for the prefixes that are kept warm beside the current one


class Runtime:
    """A loaded GGUF model.

    Attributes:
        context: Tokens that prompt and answer have together.
        parameters: The model's size, in parameters.
        knows_tools: Whether the model's chat template has a place for tools.

    Raises:
        MissingPackageError: xllamacpp is not installed.
        EngineError: The file is no model that llama.cpp can load.
    """

    def __init__(self, path: Path, context: int, threads: int) -> None:
        try:
            import xllamacpp
        except ImportError:
            raise MissingPackageError("xllamacpp", "the chat model of the local engine", "local") from None
        if not path.is_file():
            raise EngineError(f"there is no model file {path}")
        with path.open("rb") as file:
            if file.read(4) != b"GGUF":
                raise EngineError(f"{path} is no GGUF model file")
        key = secrets.token_hex(16)
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx, params.n_parallel, params.cache_ram_mib = context, 1, _STATES
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        # The library opens a port on the loopback for itself; nobody without the key gets an answer there.
        params.api_keys, params.ui, params.verbosity = [key], False, -1
        try:
            self._server: Any = xllamacpp.Server(params)
        except Exception as error:
            raise EngineError(f"llama.cpp cannot load {path}: {error}") from error
        self._address = urlsplit(self._server.listening_address).netloc
        self._pump = Pump("rtnb-llama", daemon=False)
        meta = self._ask("GET", "/v1/models")["data"][0]["meta"]
        self.context = min(int(meta["n_ctx"]), int(meta["n_ctx_train"]))
        self.parameters = int(meta["n_params"])
        caps = self._ask("GET", "/props").get("chat_template_caps") or {}
        self.knows_tools = bool(caps.get("supports_tools") and caps.get("supports_tool_calls", True))

    def stream(self, request: dict[str, Any], stopped: Callable[[], bool]) -> Iterator[dict[str, Any]]:
        """Yield the chunks of a chat completion; the generation ends soon after ``stopped()`` is true.

        Raises:
            EngineError: llama.cpp refused the request.
        """
        body = {**request, "stream": True, "cache_prompt": True}

        def produce(put: Callable[[Any], bool]) -> None:
            def receive(answer: Any) -> bool:
                over = False
                for chunk in answer if isinstance(answer, list) else [answer]:
                    over = put(chunk)
                return over  # True ends the generation

            self._server.handle_chat_completions(body, receive)

        try:
            for chunk in self._pump.run(produce, stopped):
                if "error" in chunk:
                    raise EngineError(f"the chat model refused the request: {chunk['error'].get('message')}")
                yield chunk
        except (ValueError, RuntimeError) as error:
            raise EngineError(f"the chat model refused the request: {error}") from error

    def count(self, text: str) -> int:
        """Return the number of tokens of ``text``, by the model's own tokenizer."""
        return len(self._ask("POST", "/tokenize", {"content": text})["tokens"]) if text else 0

    def close(self) -> None:
        """Wait for a running generation, which has been told to stop, and free the model."""
        self._pump.join()
        self._server = None

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        connection = http.client.HTTPConnection(self._address, timeout=60)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, self._headers)
            return json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise EngineError(f"the chat model does not answer on the loopback ({error})") from error
        finally:
            connection.close()
