from __future__ import annotations

import pytest

from rtnb.protocol.dialects import BETA, GA
from rtnb.server.app import (
    Refusal,
    chosen_subprotocol,
    dialect_of,
    is_loopback,
    model_of,
    refused_over_http,
)

PATH = "/v1/realtime?model=gpt-realtime"


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST.", "app.localhost", "127.0.0.1", "127.9.9.9", "::1", "[::1]"]
)
def test_this_machine(host):
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "0.0.0.0", "192.168.1.1", "example.com", "localhost.example.com", "::", "127.0.0.1.nip.io"]
)
def test_other_machines(host):
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("path", "host", "origins", "status"),
    [
        (PATH, "localhost:8765", [], None),
        (PATH, "127.0.0.1", ["http://localhost:8888"], None),
        (PATH, "[::1]:8765", ["http://[::1]:8888"], None),
        ("/realtime", "localhost", [], None),
        ("/health", "localhost", [], None),
        ("/health?x=1", "localhost", [], None),
        (PATH, None, [], 403),
        (PATH, "evil.example:8765", [], 403),
        (PATH, "localhost", ["https://evil.example"], 403),
        (PATH, "localhost", ["null"], 403),
        (PATH, "localhost", ["http://localhost", "https://evil.example"], 403),
        ("/health", "localhost", ["https://evil.example"], 403),
        ("/", "localhost", [], 404),
        ("/v1/realtime/calls", "localhost", [], 404),
    ],
)
def test_what_is_refused_over_http(path, host, origins, status):
    refused = refused_over_http(path, host, origins)
    assert (refused[0] if refused else None) == status


def test_a_key_is_never_sent_back():
    assert chosen_subprotocol(["openai-insecure-api-key.sk-1", "realtime"]) == "realtime"
    assert chosen_subprotocol(["openai-insecure-api-key.sk-1"]) is None
    assert chosen_subprotocol([]) is None
    beta = ["openai-insecure-api-key.sk-1", "openai-beta.realtime-v1"]
    assert chosen_subprotocol(beta) == "openai-beta.realtime-v1"
    assert chosen_subprotocol([*beta, "realtime"]) == "realtime"


@pytest.mark.parametrize(
    ("headers", "subprotocols"),
    [
        ({"authorization": "Bearer sk-1"}, []),
        ({"authorization": "bearer  sk-1 "}, []),
        ({}, ["realtime", "openai-insecure-api-key.sk-1"]),
    ],
)
def test_the_key_is_taken_from_either_place(headers, subprotocols):
    assert model_of(PATH, headers, subprotocols, "sk-1") == "gpt-realtime"


@pytest.mark.parametrize(
    ("headers", "subprotocols", "code"),
    [
        ({}, [], None),
        ({}, ["realtime"], None),
        ({"authorization": "Bearer sk-2"}, [], "invalid_api_key"),
        ({"authorization": "Bearer sk-ü"}, [], "invalid_api_key"),
        ({"authorization": "Basic sk-1"}, [], "invalid_api_key"),
        ({}, ["openai-insecure-api-key."], "invalid_api_key"),
    ],
)
def test_keys_that_are_refused(headers, subprotocols, code):
    with pytest.raises(Refusal) as refused:
        model_of(PATH, headers, subprotocols, "sk-1")
    refusal = refused.value
    assert (refusal.error.code, refusal.close_code) == (code, 3000)
    assert refusal.reason == "invalid_request_error.invalid_api_key"
    assert "sk-" not in refusal.error.message


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/v1/realtime", "gpt-4o-realtime-preview"),
        ("/v1/realtime?model=gpt-4o-realtime-preview-2025-06-03", "gpt-4o-realtime-preview-2025-06-03"),
        ("/realtime?model=rtnb-local", "rtnb-local"),
        ("/realtime?x=1&model=rtnb-fake", "rtnb-fake"),
    ],
)
def test_models(path, model):
    assert model_of(path, {"authorization": "whatever"}, [], None) == model


@pytest.mark.parametrize(
    ("path", "headers", "subprotocols", "code"),
    [
        ("/v1/realtime?model=gpt-9", {}, [], "invalid_model"),
        ("/v1/realtime?model=gpt-realtime-translate", {}, [], "invalid_model"),
    ],
)
def test_what_is_closed_with_4000(path, headers, subprotocols, code):
    with pytest.raises(Refusal) as refused:
        model_of(path, headers, subprotocols, None)
    assert (refused.value.close_code, refused.value.reason) == (4000, f"invalid_request_error.{code}")


@pytest.mark.parametrize(
    ("headers", "subprotocols", "dialect"),
    [
        ({}, [], GA),
        ({}, ["realtime"], GA),
        ({"openai-beta": "assistants=v2"}, ["realtime"], GA),
        ({"openai-beta": "realtime=v1"}, [], BETA),
        ({"openai-beta": "assistants=v2, realtime=v1"}, [], BETA),
        ({}, ["realtime", "openai-beta.realtime-v1"], BETA),
    ],
)
def test_the_dialect_is_the_one_that_the_client_asks_for(headers, subprotocols, dialect):
    assert dialect_of(headers, subprotocols) is dialect
