"""No key gets out: keys are planted wherever one may come by mistake, and looked for in all that leaves.

Two tables: what is planted (``PLANTS``), and every artefact that a session, a recording or the command line
makes (``LIVE``, ``RECORDED``, ``COMMANDS``). A new artefact is one more line. ``s.turns[0].text`` and the
frames of ``s.log`` are values for the caller alone, the very bytes of the wire, and no artefacts.

What is not promised: a user's own words that look like no key ("my password is swordfish") stay, as do the
pieces of a key that came in several deltas, none of which shows it.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import traceback
from contextlib import redirect_stderr, redirect_stdout
from html import unescape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from support.process import serving

import rtnb
from rtnb.cli import main
from rtnb.recordings.autosave import autosaves
from rtnb.redaction import clean_html
from rtnb.server import launcher

PLANTS = {
    "header": "token-of-a-gateway-in-plain-words",
    "environment": "key-of-the-environment-in-words",
    "instructions": "AbCd0123456789Instructions",
    "url": "AbCd0123456789InAddress",
    "query": "AbCd0123456789InQuery",
    "userinfo": "hunter2hunter2hunter2",
    "said": "sk-proj-abcdEFGH1234567890abcdEFGH1234",
    "tool": "0123456789abcdefTool",
    "tool description": "ghp_0123456789abcdefghijABCDEFGHIJ",
    "ephemeral": "zz_0123456789abcdefEphemeral",
    "ephemeral shaped": "ek_68af296e8e408191a1120ab6383263c2",
    "error": "sk-errorEFGH1234567890abcdEFGH1234",
    "type": "sk-type-abcdEFGH1234567890abcdEFGH",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.SflKxwRJSMeKKF2QT4",
}
PLAIN = "my password is swordfish"
"""User content: no shape of a key, and nothing that may be taken out."""


def lookup(city: str) -> str:
    """Look it up.

    Args:
        city: Where; not with ghp_0123456789abcdefghijABCDEFGHIJ.
    """
    return f"Authorization: Bearer {PLANTS['tool']} is what {city} needs"


def talk(session: rtnb.Session) -> None:
    """Plant everything that a session can hold."""
    session.send(f"{PLAIN}. Mine is {PLANTS['said']}, and {PLANTS['environment']}.").wait()
    session.send(f"Call lookup for {PLANTS['jwt']}", tools=[lookup], tool_choice="lookup").wait()
    secret = {"value": PLANTS["ephemeral"], "expires_at": 1}
    session.send_event({"type": "x.client_secrets", "client_secret": secret})
    session.send_event({"type": "x.other", "value": PLANTS["ephemeral shaped"], "word": PLANTS["header"]})
    session.send_event({"type": "response.cancel", "response_id": f"x {PLANTS['header']}"})  # comes back, too
    session.send_event({"type": "x.url", "url": f"wss://h/v1?model=m&api-key={PLANTS['url']}"})
    session.send_event({"type": "x.url", "url": f"wss://h/v1?token={PLANTS['query']}"})
    session.send_event({"type": "x.url", "url": f"https://user:{PLANTS['userinfo']}@h/"})
    session.send_event({"type": PLANTS["type"], "event_id": PLANTS["error"]})  # comes back in the error
    session.send("Goodbye.").wait()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("secrets")


@pytest.fixture(autouse=True)
def planted(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Plant what the environment holds. The header's key is not included: it was given as ``api_key``."""
    monkeypatch.setenv("OPENAI_API_KEY", PLANTS["environment"])
    monkeypatch.setenv("RTNB_HOME", str(folder / "home"))
    monkeypatch.chdir(folder)


@pytest.fixture(scope="module")
def session(folder: Path) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", PLANTS["environment"])
        patch.setenv("RTNB_HOME", str(folder / "home"))
        with (
            serving(key=PLANTS["header"]) as netloc,
            rtnb.connect(
                f"ws://{netloc}/v1/realtime",
                api_key=PLANTS["header"],
                instructions=f"The api_key={PLANTS['instructions']} is for you alone.",
                autosave=True,
            ) as made,
        ):
            talk(made)
            made.save(folder / "s.rtnb")
            made.save(folder / "opus.rtnb", lossy=True)
            yield made


@pytest.fixture
def recording(session: rtnb.Session, folder: Path) -> Any:
    return rtnb.open(folder / "s.rtnb")


def leaked(text: str | bytes) -> list[str]:
    """Return the names of the plants that stand in a text, as they are or escaped."""
    data = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return [name for name, key in PLANTS.items() if key in data or key in unescape(data)]


def shown(value: Any) -> str:
    """Return all forms of an object that a notebook may show."""
    bundle = value._repr_mimebundle_() if hasattr(value, "_repr_mimebundle_") else {}
    bundle = bundle[0] if isinstance(bundle, tuple) else bundle or {}
    html = value._repr_html_() if hasattr(value, "_repr_html_") else ""
    return "\n".join([repr(value), str(value), str(html), *map(str, bundle.values())])


def files(place: Path) -> str:
    """Return all files of a folder, with their names."""
    return "\n".join(
        f"{path.name} {path.read_bytes().decode('utf-8', 'replace')}"
        for path in sorted(place.rglob("*"))
        if path.is_file()
    )


def unpacked(path: Path) -> str:
    """Return what a recording holds: its bytes, its head, the types, and all frames."""
    opened = rtnb.open(path)
    frames = "\n".join(f"{entry.type} {entry.raw}" for entry in opened.state.log)
    with TemporaryDirectory() as folder:
        if path.is_file() and path.suffix == ".rtnb":
            shutil.unpack_archive(path, folder, "zip")
        held = [one for one in [*Path(folder).rglob("*"), *path.rglob("*")] if one.is_file()]
        texts = [one.read_bytes().decode("utf-8", "replace") for one in held]
    return "\n".join([files(path), str(dict(opened.manifest)), frames, *texts])


def autosave_of(session: rtnb.Session) -> str:
    [(path, _)] = autosaves()
    return unpacked(path)


def jsonl_of(log: Any, folder: Path) -> str:
    return Path(log.to_jsonl(folder / "log.jsonl")).read_text("utf-8")


def exported(recording: Any, name: str, folder: Path) -> str:
    return "\n".join(path.read_bytes().decode("utf-8", "replace") for path in recording.export(folder / name))


VIEWS = {
    "itself": lambda s, _: shown(s),
    "turns": lambda s, _: "\n".join(map(shown, s.turns)),
    "table of turns": lambda s, _: shown(rtnb.table({"a": s})) + s.turns.to_frame().to_csv(),
    "comparison": lambda s, _: shown(rtnb.compare(s, s.turns[:1])),
    "log": lambda s, _: shown(s.log),
    "a row of the log": lambda s, _: "\n".join(map(shown, s.log)),
    "log as pandas": lambda s, _: s.log.to_frame().to_csv(),
    "log as JSON Lines": lambda s, folder: jsonl_of(s.log, folder),
    "usage": lambda s, _: shown(s.usage) + s.usage.to_frame().to_csv(),
    "timeline": lambda s, _: shown(s.timeline),
    "latency": lambda s, _: "\n".join(shown(turn.latency) for turn in s.turns),
}
LIVE = VIEWS | {
    "recording": lambda s, folder: unpacked(folder / "s.rtnb"),
    "recording, Opus": lambda s, folder: unpacked(folder / "opus.rtnb"),
    "autosave": lambda s, _: autosave_of(s),
    "where": lambda s, _: s.endpoint,
}
RECORDED = VIEWS | {
    "transcript": lambda r, folder: exported(r, "x.txt", folder),
    "lines": lambda r, folder: exported(r, "x.jsonl", folder),
    "sound": lambda r, folder: exported(r, "x.wav", folder),
    "folder": lambda r, folder: exported(r, "x", folder),
    "difference": lambda r, folder: "\n".join(r.diff(rtnb.open(folder / "opus.rtnb"))),
    "verdict": lambda r, _: shown(r.verify()),
}
COMMANDS = (
    ("info", "s.rtnb"),
    ("info", "s.rtnb", "--json"),
    ("verify", "s.rtnb"),
    ("diff", "s.rtnb", "opus.rtnb"),
    ("replay", "s.rtnb", "--speed", "max"),
    ("export", "s.rtnb", "out.txt"),
    ("scrub", "s.rtnb", "scrubbed.rtnb", "--text", "assistant"),
    ("report", "s.rtnb", "report.html"),
    ("recover", "s.rtnb", "recovered.rtnb"),
)


@pytest.mark.parametrize("what", LIVE)
def test_live(session, folder, what):
    made = LIVE[what](session, folder)
    assert made
    assert leaked(made) == []


@pytest.mark.parametrize("what", RECORDED)
def test_recorded(recording, folder, what):
    assert leaked(RECORDED[what](recording, folder)) == []


def test_all_of_it_was_planted_and_plain_words_stay(session, recording):
    """The search looks for what is there: each plant crossed the wire, if only as a word."""
    wire = "".join(entry.raw for entry in session.state.log)
    assert leaked(wire) == list(PLANTS)
    assert PLAIN in shown(session.turns[0])
    assert PLAIN in shown(recording.turns[0])


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_commands(session, folder, command):
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(out):
        main(list(command))
    assert out.getvalue()
    assert "Traceback" not in out.getvalue()
    assert leaked(out.getvalue()) == []
    assert leaked(files_made(folder)) == []


def files_made(folder: Path) -> str:
    """Return what commands have written, unpacked where it is a recording."""
    parts = [unpacked(path) for path in folder.glob("*.rtnb")]
    texts = [
        path.read_text("utf-8") for suffix in ("txt", "html", "jsonl") for path in folder.glob(f"*.{suffix}")
    ]
    return "\n".join(parts + texts)


def test_a_key_that_may_be_a_word_leaves_the_words_of_a_page():
    page = '<p class="timeline">{&quot;password&quot;:&quot;timeline&quot;} is the timeline</p>'
    assert clean_html(page) == page.replace(";timeline&", ";********&")
    page = page.replace("timeline&", "time1ine&").replace("is the timeline", "is time1ine")
    assert "time1ine" not in clean_html(page)


REFUSED = (
    lambda: rtnb.connect(f"ws://127.0.0.1:9/v1?api-key={PLANTS['url']}&token={PLANTS['query']}", timeout=5),
    lambda: rtnb.connect(f"ws://user:{PLANTS['userinfo']}@127.0.0.1:9/v1/realtime", timeout=5),
    lambda: rtnb.connect("ws://127.0.0.1:9/v1/realtime", api_key=PLANTS["header"], timeout=5),
    lambda: rtnb.connect(f"azure:{PLANTS['said']}"),
)


@pytest.mark.parametrize("call", REFUSED)
def test_errors(call):
    with pytest.raises(rtnb.RtnbError) as caught:
        call()
    error: BaseException | None = caught.value
    while error is not None:
        assert leaked(f"{error} {error!r}") == []
        error = error.__cause__


def test_a_key_that_is_refused():
    """The server tells no key, nor does the error."""
    with serving(key=PLANTS["header"]) as netloc, pytest.raises(rtnb.AuthError) as caught:
        rtnb.connect(f"ws://{netloc}/v1/realtime", api_key=PLANTS["said"])
    assert leaked(f"{caught.value} {caught.value!r}") == []


@pytest.mark.slow
def test_the_embedded_server_and_the_notebook(folder, tmp_path):
    """Its log, its state beside its own key, and a notebook that was run and saved."""
    cells = [
        "import os, rtnb",
        f"os.environ['OPENAI_API_KEY'] = {PLANTS['environment']!r}".replace("-", "' '-' '"),
        "s = rtnb.connect(engine='fake'); s",
        "t = s.send(open('said.txt').read()).wait(); t",
        "s.log",
        "s.usage",
        "s.timeline",
        "s.save('n.rtnb'); rtnb.open('n.rtnb')",
        "s.send_event({'type': open('type.txt').read()}); s.send('And?').wait()",
    ]
    (tmp_path / "said.txt").write_text(f"Mine is {PLANTS['said']} and {PLANTS['environment']}.")
    (tmp_path / "type.txt").write_text(PLANTS["type"])
    kernel = tmp_path / "share" / "kernels" / "suite"
    kernel.mkdir(parents=True)
    words = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    told = {"argv": words, "display_name": "suite", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(told))
    root = str(Path(__file__).parents[1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(tmp_path / "share"))
        patch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
        patch.setenv("RTNB_HOME", str(tmp_path / "home"))
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")])))
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        resources = {"metadata": {"path": str(tmp_path)}}
        NotebookClient(notebook, timeout=120, kernel_name="suite", resources=resources).execute()
        launcher.stop("fake")
    outputs = json.dumps([cell.outputs for cell in notebook.cells])
    assert PLANTS["said"] not in outputs
    assert "Mine is ****" in outputs
    assert leaked(outputs) == []
    assert leaked(files(tmp_path / "home")) == []
    assert leaked(unpacked(tmp_path / "n.rtnb")) == []


KEY = "sk-proj-Ab1Cd2Ef3Gh4Ij5Kl6Mn7Op8Qr9St0"


@pytest.mark.parametrize(
    "options",
    [
        {"endpoint": KEY},
        {"endpoint": f"Bearer {KEY}"},
        {"endpoint": f"azure:{KEY}"},
        {"endpoint": "gpt-realtime", "model": KEY},
        {"endpoint": f"ws://127.0.0.1:9/?api-key={KEY}"},
        {"engine": KEY},
        {"timeout": KEY},
        {"budget": KEY},
        {"autosave": KEY},
        *({"endpoint": "ws://127.0.0.1:9", name: KEY} for name in ("voice", "tools", "modalities", "speed")),
        *(
            {"endpoint": "ws://127.0.0.1:9", name: KEY}
            for name in ("turn_detection", "session", "tool_choice")
        ),
    ],
    ids=lambda options: " ".join(options) if "session" not in options else "session",
)
def test_a_key_in_a_wrong_argument_is_never_printed(options):
    with pytest.raises(rtnb.RtnbError) as refused:
        rtnb.connect(**options)
    shown = "".join(traceback.format_exception_only(refused.value)) + repr(refused.value)
    assert KEY not in shown
    assert KEY[8:] not in shown
