"""The chat part against a real HTTP server that speaks the chat completions format."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from rtnb.engines.base import Call, TextPiece
from rtnb.engines.chat_stream import answer_pieces
from rtnb.engines.openai_chat import chat
from rtnb.errors import EngineError

KEY = "sk-hush"
TOOL = {
    "type": "function",
    "name": "clock",
    "description": "Tell the time.",
    "parameters": {"type": "object"},
}


class Endpoint:
    """A server whose answers a test sets: ``status``, ``chunks``, ``models``."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.models: list[dict[str, Any]] = [{"id": "tiny", "max_model_len": 4096}]
        self.chunks: list[Any] = []
        self.refuse: Callable[[dict[str, Any]], tuple[int, str] | None] = lambda body: None
        self.open_ended = threading.Event()
        self.closed = threading.Event()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                endpoint.keys.append(self.headers["Authorization"])
                self.reply(200, json.dumps({"data": endpoint.models}))

            def do_POST(self) -> None:
                endpoint.keys.append(self.headers["Authorization"])
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                endpoint.requests.append(body)
                if refusal := endpoint.refuse(body):
                    self.reply(*refusal)
                    return
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.end_headers()
                for chunk in endpoint.chunks:
                    self.wfile.write(
                        f"data: {chunk if isinstance(chunk, str) else json.dumps(chunk)}\n\n".encode()
                    )
                try:
                    while endpoint.open_ended.is_set():
                        self.wfile.write(f"data: {json.dumps(text(' more'))}\n\n".encode())
                except OSError:
                    endpoint.closed.set()

            def reply(self, status: int, content: str) -> None:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(content.encode())

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def text(content: str, reason: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": content}, "finish_reason": reason}]}


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    for name in ("RTNB_LLM_API_KEY", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    made = Endpoint()
    yield made
    made.open_ended.clear()
    made.server.shutdown()
    made.server.server_close()


def ask(model: Any, *, tools: Any = (), choice: Any = "auto", most: int = 100) -> list[TextPiece | Call]:
    return list(model.generate([{"role": "user", "content": "Hello"}], tools, choice, most, lambda: False))


@pytest.fixture
def model(endpoint: Endpoint) -> Iterator[Any]:
    made = chat(f"{endpoint.url}#tiny")
    yield made
    made.close()


def test_text_streams_with_tools_and_limit(endpoint: Endpoint, model: Any) -> None:
    endpoint.chunks = [text("Hel"), {"choices": []}, text("lo."), text("", "stop"), "[DONE]"]
    said = ask(model, tools=[TOOL], choice={"type": "function", "name": "clock"})
    assert "".join(p.text for p in said if isinstance(p, TextPiece)) == "Hello."
    (body,) = endpoint.requests
    assert (body["model"], body["max_tokens"], body["stream"]) == ("tiny", 100, True)
    assert body["tools"] == [{"type": "function", "function": {k: v for k, v in TOOL.items() if k != "type"}}]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "clock"}}
    assert endpoint.keys == [None, None]
    assert model.context == 4096
    assert "estimates" in model.about


def test_calls_are_put_together(endpoint: Endpoint, model: Any) -> None:
    def part(index: int, **function: str) -> dict[str, Any]:
        return {"choices": [{"delta": {"tool_calls": [{"index": index, "function": function}]}}]}

    endpoint.chunks = [
        part(0, name="clock", arguments=""),
        part(0, arguments='{"zone": '),
        part(1, name="clock", arguments="{}"),
        part(0, arguments='"UTC"}'),
        {"choices": [{"delta": {}, "finish_reason": "tool_calls"}]},
        {"choices": [], "usage": {"completion_tokens": 50}},
    ]
    pieces = ask(model, tools=[TOOL])
    assert [(p.name, p.arguments) for p in pieces if isinstance(p, Call)] == [
        ("clock", '{"zone": "UTC"}'),
        ("clock", "{}"),
    ]
    assert sum(p.tokens for p in pieces) == 50
    assert len(pieces) == 2


def test_a_call_cut_by_the_limit_is_dropped(endpoint: Endpoint, model: Any) -> None:
    cut = {"index": 0, "function": {"name": "clock", "arguments": '{"zo'}}
    endpoint.chunks = [{"choices": [{"delta": {"tool_calls": [cut]}, "finish_reason": "length"}]}]
    endpoint.chunks.append({"choices": [], "usage": {"completion_tokens": 100}})
    assert ask(model) == [TextPiece("", 100)]
    endpoint.chunks = [{"choices": [{"delta": {"tool_calls": [cut]}, "finish_reason": "stop"}]}]
    with pytest.raises(EngineError, match="'clock' with arguments that are not a JSON object"):
        ask(model)


@pytest.mark.parametrize("arguments", ["[" * 100_000, "[]", '"text"', "{"])
def test_arguments_that_are_not_an_object_are_refused(arguments: str) -> None:
    delta = {"tool_calls": [{"function": {"name": "clock", "arguments": arguments}}]}
    with pytest.raises(EngineError, match="'clock' with arguments that are not a JSON object"):
        list(answer_pieces([{"choices": [{"delta": delta}]}]))


def test_arguments_can_be_encoded() -> None:
    delta = {"tool_calls": [{"function": {"name": "clock", "arguments": '{"zone": "\\ud83d"}'}}]}
    assert list(answer_pieces([{"choices": [{"delta": delta}]}])) == [Call("clock", '{"zone": "?"}', 4)]


def test_the_key_comes_from_the_environment_and_is_never_shown(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RTNB_LLM_API_KEY", KEY)
    model = chat(f"{endpoint.url}#tiny")
    endpoint.refuse = lambda body: (500, f"you sent {KEY} and I broke")
    with pytest.raises(EngineError) as broke:
        ask(model)
    endpoint.refuse = lambda body: (401, "no")
    with pytest.raises(EngineError, match="refused the key in the environment variable") as refused:
        ask(model)
    model.close()
    assert endpoint.keys == [f"Bearer {KEY}"] * 3
    for told in (str(broke.value), str(refused.value), repr(model), model.about, model.name):
        assert KEY not in told


def test_a_missing_key_says_where_to_put_it(endpoint: Endpoint, model: Any) -> None:
    endpoint.refuse = lambda body: (401, "no")
    with pytest.raises(EngineError, match="needs a key: set the environment variable RTNB_LLM_API_KEY"):
        ask(model)


def test_fields_that_an_endpoint_refuses_are_left_out(endpoint: Endpoint, model: Any) -> None:
    def refuse(body: dict[str, Any]) -> tuple[int, str] | None:
        if "stream_options" in body:
            return 400, "unknown field stream_options"
        if "max_tokens" in body:
            return 400, "use max_completion_tokens"
        return None

    endpoint.refuse, endpoint.chunks = refuse, [text("Yes.")]
    assert [p.text for p in ask(model) if isinstance(p, TextPiece)] == ["Yes."]
    assert endpoint.requests[-1]["max_completion_tokens"] == 100


@pytest.mark.parametrize(
    ("chunk", "message"),
    [
        ("{broken", "not JSON"),
        (r'{"choices":[{"delta":{"content":"\ud83d"}}]}', "not JSON"),
        ({"error": {"message": "out of memory"}}, "out of memory"),
    ],
)
def test_an_error_in_the_stream_is_raised(endpoint: Endpoint, model: Any, chunk: Any, message: str) -> None:
    endpoint.chunks = [text("Hel"), chunk]
    with pytest.raises(EngineError, match=message):
        ask(model)


def test_it_stops_an_endless_answer(endpoint: Endpoint, model: Any) -> None:
    endpoint.open_ended.set()
    heard: list[Any] = []
    for piece in model.generate([{"role": "user", "content": "Hi"}], [], "auto", 9, lambda: len(heard) >= 3):
        heard.append(piece)
    assert len(heard) == 3
    assert endpoint.closed.wait(30)


def test_the_model_is_found_or_asked_for(endpoint: Endpoint) -> None:
    alone = chat(endpoint.url)
    assert alone.name == "tiny"
    alone.close()
    endpoint.models = [{"id": "a"}, {"id": "b"}]
    with pytest.raises(EngineError, match=r"name the model .* after a #: a, b"):
        chat(endpoint.url)


@pytest.mark.parametrize(
    "url", ["", "localhost:8080", "ftp://host/v1", "http://me:hush@host/v1", "http://h/v1?k=hush"]
)
def test_an_invalid_address_is_refused(url: str) -> None:
    with pytest.raises(EngineError, match="invalid address of a chat endpoint") as caught:
        chat(url)
    assert "hush" not in str(caught.value)


def test_an_unreachable_endpoint_is_one_sentence() -> None:
    with pytest.raises(EngineError, match="cannot be reached"):
        chat("http://127.0.0.1:1/v1#x")
