import pytest

from rtnb.endpoints.endpoint import resolve
from rtnb.errors import ArgumentError, AuthError
from rtnb.protocol import models
from rtnb.redaction import known_keys

ENV_KEY = "sk-from-the-environment"
AZURE_KEY = "azure-from-the-environment"
SEED = models.SEED


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Keys and an Azure resource are set, as on a machine in use."""
    monkeypatch.setenv("OPENAI_API_KEY", ENV_KEY)
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", AZURE_KEY)
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://my-resource.openai.azure.com/")


@pytest.mark.parametrize(
    "model",
    ["gpt-realtime", "gpt-4o-realtime-preview-2024-12-17", "gpt-realtime-9-of-next-year", "ft:gpt-x:me"],
)
def test_a_model_is_at_openai(model):
    target = resolve(model)
    assert (
        target.url.startswith("wss://api.openai.com/v1/realtime?model=gpt-")
        or "ft%3Agpt-x%3Ame" in target.url
    )
    assert (target.model, target.billed, target.name) == (model, True, f"{model} at OpenAI")
    assert target.headers == {"Authorization": f"Bearer {ENV_KEY}"}


def test_a_key_that_is_given_goes_before_the_environments():
    assert resolve("gpt-realtime", api_key="sk-given\n").headers == {"Authorization": "Bearer sk-given"}


def test_no_key(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    for empty in (None, "", "  "):
        with pytest.raises(AuthError, match="gpt-realtime needs an OpenAI API key: create one at"):
            resolve("gpt-realtime", api_key=empty)


@pytest.mark.parametrize("key", ["sk-a b", "sk-a\nX-Header: b", "sk-„quoted“", "sk-a\x00"])
def test_a_key_that_is_none(key):
    for where in ("gpt-realtime", "azure:d", "ws://localhost"):
        with pytest.raises(AuthError, match="contains invalid characters") as raised:
            resolve(where, api_key=key)
        assert key not in str(raised.value)


@pytest.mark.parametrize("where", ["gpt4", "whisper", "", "localhost:8765", "llama-3"])
def test_what_is_neither_a_model_nor_an_address(where):
    with pytest.raises(ArgumentError, match="unknown endpoint"):
        resolve(where)


def test_a_mistyped_model(monkeypatch):
    with pytest.raises(ArgumentError, match=r"\(did you mean 'gpt-realtime'\?\)"):
        resolve("gtp-realtime")
    with pytest.raises(ArgumentError, match=r"rtnb\.connect\(engine='fake'\)"):
        resolve("fake")
    assert resolve("gpt-realtime-9").headers  # a newer one than this version knows
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(
        AuthError, match=r"^'gpt-realtme' is not a known model .*\(did you mean 'gpt-realtime'\?\)"
    ):
        resolve("gpt-realtme")


@pytest.mark.parametrize("where", ["sk-proj-abc", "ek_68af", "sess-123"])
def test_a_key_in_the_place_of_an_address_is_not_shown(where):
    with pytest.raises(ArgumentError, match="looks like an API key: pass it as api_key=") as raised:
        resolve(where)
    assert where not in str(raised.value)


@pytest.mark.parametrize("model", ["gpt-realtime-whisper", "gpt-realtime-translate", "gpt-live-1"])
def test_models_that_hold_no_conversation(model):
    with pytest.raises(ArgumentError, match="has no realtime conversation"):
        resolve(model)


def test_two_models():
    assert resolve("gpt-realtime", model="gpt-realtime").model == "gpt-realtime"
    with pytest.raises(ArgumentError, match="name two models: pass one"):
        resolve("gpt-realtime", model="gpt-realtime-2")


@pytest.mark.parametrize(
    ("where", "url"),
    [
        ("ws://localhost:8765", f"ws://localhost:8765/v1/realtime?model={SEED}"),
        ("ws://localhost:8765/", f"ws://localhost:8765/v1/realtime?model={SEED}"),
        ("http://localhost:8765/v1", f"ws://localhost:8765/v1/realtime?model={SEED}"),
        ("http://localhost:8765/v1/realtime/", f"ws://localhost:8765/v1/realtime?model={SEED}"),
        ("https://example.org/proxy/8765/", f"wss://example.org/proxy/8765/realtime?model={SEED}"),
        ("wss://example.org/v1/realtime?model=m&x=1", "wss://example.org/v1/realtime?model=m&x=1"),
        ("WS://Example.org/v1#part", f"ws://Example.org/v1/realtime?model={SEED}"),
        ("ws://[::1]:8765", f"ws://[::1]:8765/v1/realtime?model={SEED}"),
        (
            "https://r.openai.azure.com",
            f"wss://r.openai.azure.com/openai/v1/realtime?model={SEED}",
        ),
        (
            "https://r.openai.azure.com/openai/v1?model=deployment",
            "wss://r.openai.azure.com/openai/v1/realtime?model=deployment",
        ),
    ],
)
def test_addresses(where, url):
    target = resolve(where)
    assert target.url == url
    assert target.headers == {}


def test_the_model_of_an_address():
    target = resolve("ws://localhost:8765?model=a", model="b/c")
    assert target.model == "b/c"
    assert target.url == "ws://localhost:8765/v1/realtime?model=b%2Fc"
    assert target.name == "b/c at localhost:8765"


@pytest.mark.parametrize(
    ("where", "billed"),
    [
        ("ws://localhost:1", False),
        ("ws://127.0.0.1:1", False),
        ("ws://[::1]:1", False),
        ("wss://example.org", True),
        ("wss://localhost.example.org", True),
    ],
)
def test_what_is_on_this_machine_is_not_billed(where, billed):
    assert resolve(where).billed is billed


@pytest.mark.parametrize(
    "where",
    [
        "ws://localhost:8765",
        "https://example.org",
        "wss://api.openai.com.example.org/v1",
        "wss://example.org/api.openai.com",
        "wss://xapi.openai.com/v1",
        "ws://api.openai.com/v1",
        "http://api.openai.com/v1",
        "wss://api.openai.com:8443/v1",
        "https://r.openai.azure.com",
        "wss://example.org/v1?host=api.openai.com",
        "wss://example.org#@api.openai.com",
    ],
)
def test_a_key_of_the_environment_never_goes_to_another_host(where):
    target = resolve(where)
    assert target.headers == {}
    assert ENV_KEY not in target.url
    assert AZURE_KEY not in target.url


@pytest.mark.parametrize(
    "where",
    ["https://api.openai.com/v1", "wss://API.OpenAI.com/v1/realtime", "https://api.openai.com:443/v1"],
)
def test_openais_own_address_takes_the_key_of_the_environment(where):
    assert resolve(where).headers == {"Authorization": f"Bearer {ENV_KEY}"}


def test_a_key_that_is_given_goes_where_it_is_told():
    assert resolve("ws://localhost:1", api_key="k").headers == {"Authorization": "Bearer k"}
    for host in ("r.openai.azure.com", "r.cognitiveservices.azure.com", "r.services.ai.azure.com"):
        assert resolve(f"https://{host}", api_key="k").headers == {"api-key": "k"}
    assert resolve("https://evil-openai.azure.com.example.org", api_key="k").headers == {
        "Authorization": "Bearer k"
    }


@pytest.mark.parametrize(
    ("where", "sentence"),
    [
        ("ftp://example.org", "invalid URL: expected ws://, wss://, http:// or https://"),
        ("://example.org", "invalid URL: expected"),
        ("ws://", "and a host"),
        ("ws:///v1/realtime", "and a host"),
        ("ws://user:sk-1@example.org", "pass the key as api_key=…"),
        ("ws://sk-1@example.org", "pass the key as api_key=…"),
        ("ws://localhost:99999", "invalid URL"),
        ("ws://localhost:port", "invalid URL"),
        ("ws://[::1", "invalid URL"),
    ],
)
def test_addresses_that_are_none(where, sentence):
    with pytest.raises(ArgumentError) as raised:
        resolve(where)
    assert sentence in str(raised.value)
    assert "sk-1" not in str(raised.value)


def test_azure():
    target = resolve("azure:my-deployment")
    # The GA path takes no api-version.
    assert target.url == "wss://my-resource.openai.azure.com/openai/v1/realtime?model=my-deployment"
    assert target.headers == {"api-key": AZURE_KEY}
    assert (target.model, target.name, target.billed) == ("my-deployment", "my-deployment at Azure", True)
    assert resolve("azure:d", api_key="k").headers == {"api-key": "k"}


def test_azure_with_the_model_behind_the_deployment():
    target = resolve("azure:my-deployment", model="gpt-realtime")
    assert target.url.endswith("?model=my-deployment")
    assert target.model == "gpt-realtime"


@pytest.mark.parametrize(
    "endpoint",
    [None, "", "wss://r.openai.azure.com", "r.openai.azure.com", "https://", "https://k@r.openai.azure.com"],
)
def test_azure_without_an_endpoint(monkeypatch, endpoint):
    monkeypatch.delenv("AZURE_OPENAI_ENDPOINT")
    if endpoint is not None:
        monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", endpoint)
    with pytest.raises(ArgumentError, match="set AZURE_OPENAI_ENDPOINT to the resource's URL"):
        resolve("azure:d")


def test_azure_without_a_key_or_a_deployment(monkeypatch):
    with pytest.raises(ArgumentError, match="needs a deployment"):
        resolve("azure:")
    monkeypatch.delenv("AZURE_OPENAI_API_KEY")
    with pytest.raises(AuthError, match="Azure needs an API key"):
        resolve("azure:d")


def test_every_key_that_goes_somewhere_is_known_from_then_on():
    resolve("ws://localhost:1?api-key=of-the-address", api_key="of-the-argument")
    resolve("azure:d", api_key="of-the-deployment")
    assert {"of-the-address", "of-the-argument", "of-the-deployment"} <= {*known_keys()}


@pytest.mark.parametrize("where", ["gpt-realtime", "azure:d", "ws://localhost:1?api-key=sk-secret"])
def test_a_target_shows_no_key(where):
    target = resolve(where, api_key="sk-secret")
    assert "sk-secret" not in repr(target)
    assert "sk-secret" not in str(target)
    assert "sk-secret" not in target.name


def test_the_name_that_prices_a_deployment():
    """The model where it is stated, else the deployment's own name; for other servers nothing is assumed."""
    assert resolve("azure:mine", model="gpt-realtime-2.1", api_key="k").requested_model == "gpt-realtime-2.1"
    assert resolve("azure:mine", api_key="k").requested_model == "mine"
    assert resolve("gpt-realtime", api_key="k").requested_model == "gpt-realtime"
    assert resolve("ws://localhost:1", model="gpt-realtime").requested_model == "gpt-realtime"
    assert resolve("ws://localhost:1").requested_model == ""
