"""Specs of engines: how they are read, written, and answered when they are wrong."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints

import pytest

from rtnb.engines import registry
from rtnb.errors import EngineError


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ENGINE", "LLM", "ASR", "TTS", "VAD"):
        monkeypatch.delenv(f"RTNB_{name}", raising=False)
    points = EntryPoints(
        EntryPoint(name, f"rtnb.engines.{module}", f"rtnb.{kind}")
        for kind, name, module in (
            ("engines", "local", "local:local"),
            ("engines", "fake", "fake:fake"),
            ("engines", "broken", "nowhere:engine"),
            ("llm", "llama", "llama_cpp:llama"),
            ("llm", "chat", "openai_chat:chat"),
            ("tts", "hibari", "hibari:hibari"),
        )
    )
    monkeypatch.setattr(registry, "entry_points", lambda group: points.select(group=group))


@pytest.mark.parametrize(
    ("spec", "normal"),
    [
        (None, "local"),
        (" ", "local"),
        ("fake", "fake"),
        ("llm=/a/b.gguf", "local,llm=llama:/a/b.gguf"),
        ("local, tts = hibari:heart ,asr=moonshine", "local,asr=moonshine,tts=hibari:heart"),
        ("local,llm=/a,b/c=d:e.gguf", "local,llm=llama:/a,b/c=d:e.gguf"),
        (r"local,llm=C:\models\x.gguf", r"local,llm=llama:C:\models\x.gguf"),
        ("local,llm=llama:models/x.gguf", "local,llm=llama:models/x.gguf"),
        ("local,llm=http://localhost:11434/v1#qwen3:4b", "local,llm=chat:http://localhost:11434/v1#qwen3:4b"),
        ("other,zeta=1,alpha=2,llm=x", None),
        ("other,zeta=1,alpha=2,llm=xx", "other,llm=xx,alpha=2,zeta=1"),
    ],
)
def test_equal_specs_are_written_equally(spec: str | None, normal: str | None) -> None:
    if normal is None:
        with pytest.raises(EngineError):
            registry.normalize(spec)
    else:
        assert registry.normalize(spec) == normal
        assert registry.normalize(normal) == normal


def test_the_environment_gives_defaults_to_the_local_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RTNB_ENGINE", "local,tts=hibari:heart")
    monkeypatch.setenv("RTNB_LLM", "model.gguf")
    monkeypatch.setenv("RTNB_TTS", "hibari:emma")
    assert registry.normalize() == "local,llm=llama:model.gguf,tts=hibari:heart"
    assert registry.normalize("local,llm=chat") == "local,llm=chat,tts=hibari:emma"
    assert registry.normalize("fake") == "fake"


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (
            "fakee",
            r"unknown engine 'fakee'; did you mean 'fake'\? Available: broken, fake, local",
        ),
        ("cloud", r"unknown engine 'cloud'\. Available: "),
        ("local,foo", "^invalid engine .*: expected a name and options"),
        ("local,llm=", "has no value"),
        ("local,llm=aa,llm=bb", "given twice"),
        ("local,llm=folder/thing", r"^invalid language model \(llm\) \'folder/thing\': expected a name"),
        ("local,asr=http://host/v1", "only valid for llm"),
        ("broken", "cannot be loaded"),
        ("fake,llm=chat", "takes no options"),
        ("local,lmm=chat", r"no option 'lmm'; did you mean 'llm'\?"),
    ],
)
def test_a_wrong_spec_is_one_sentence(spec: str, text: str) -> None:
    with pytest.raises(EngineError, match=text) as caught:
        registry.engine(spec)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "spec",
    [
        "local,llm=https://me:hush@host/v1#m",
        "local,llm=chat:https://hush@host/v1",
        "local,llm=https://host/v1?api-key=hush",
        "https://me:hush@host/v1",
    ],
)
def test_a_secret_in_a_spec_is_refused_and_not_repeated(spec: str) -> None:
    with pytest.raises(EngineError) as caught:
        registry.normalize(spec)
    assert "hush" not in str(caught.value)


def test_a_source_folder_without_entry_points_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "entry_points", lambda group: EntryPoints())
    with pytest.raises(EngineError, match=r"pip install -e \."):
        registry.engine("local")


def test_parts_and_engines_come_by_name() -> None:
    assert registry.available() == ["broken", "fake", "local"]
    assert registry.available("llm") == ["chat", "llama"]
    assert registry.engine("fake").name == "fake"
    with pytest.raises(EngineError, match=r"unknown language model \(llm\) 'lama'; did you mean 'llama'\?"):
        registry.part("llm", "lama")
