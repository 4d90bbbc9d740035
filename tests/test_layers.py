"""The shape of the package: who may import whom, what an import costs, and that each module is tested."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import rtnb

ROOT = Path(rtnb.__file__).parent
TESTS = Path(__file__).parent

LAYERS = {
    "errors": 0,
    "keys": 0,
    "tables": 0,
    "audio": 0,
    "wire": 1,
    "transports": 2,
    "engines": 2,
    "views": 2,
    "recordings": 3,
    "session": 3,
    "server": 3,
    "faces": 4,
    "cli": 5,
    "magics": 5,
}

HEAVY = (
    "numpy",
    "av",
    "soundfile",
    "soxr",
    "pydantic",
    "websockets",
    "onnxruntime",
    "IPython",
    "asyncio",
    "orjson",
)

# Modules, and packages with all of theirs, whose tests stand in a file of another name.
TESTED_IN = {
    "errors": "test_layers.py",
    "keys": "test_secrets.py",
    "tables": "test_wire_models.py",
    "__main__": "test_cli.py",
    "cli.diff": "test_cli_recordings.py",
    "cli.export": "test_cli_recordings.py",
    "cli.info": "test_cli_recordings.py",
    "cli.out": "test_cli_recordings.py",
    "cli.record": "test_cli_recordings.py",
    "cli.recover": "test_cli_recordings.py",
    "cli.replay": "test_cli_recordings.py",
    "cli.scrub": "test_cli_recordings.py",
    "cli.terminal": "test_cli_recordings.py",
    "cli.verify": "test_cli_recordings.py",
    "cli.engine": "test_engine_cli.py",
    "cli.serve": "test_cli.py",
    "engines.base": "test_engine_weightless.py",
    "engines.deltas": "test_engine_chat.py",
    "engines.hibari": "test_engine_local.py",
    "engines.llama": "test_engine_local.py",
    "engines.llamacpp": "test_engine_small.py",
    "engines.moonshine": "test_engine_local.py",
    "engines.onnx": "test_engine_local.py",
    "engines.pump": "test_engine_chat.py",
    "engines.silero": "test_engine_local.py",
    "engines.wheels": "test_weights.py",
    "faces.assets": "test_js.py",
    "faces.connect": "test_cli_demo.py",
    "faces.captions": "test_faces_live.py",
    "faces.display": "test_faces_live.py",
    "faces.opened": "test_recordings_format.py",
    "faces.microphone": "test_faces_talk.py",
    "faces.page": "test_faces_live.py",
    "recordings.jsonl": "test_views_log.py",
    "views.clean": "test_views_log.py",
    "views.session": "test_recordings_format.py",
    "faces.talk_card": "test_faces_talk.py",
    "faces.sounding": "test_faces_live.py",
    "faces.talk_widget": "test_faces_talk.py",
    "faces.session": "test_cli_demo.py",
    "recordings.diff": "test_recordings_tools.py",
    "recordings.export": "test_recordings_tools.py",
    "recordings.fields": "test_recordings_tools.py",
    "recordings.frames": "test_recordings_tools.py",
    "recordings.masks": "test_recordings_tools.py",
    "recordings.scrub": "test_recordings_tools.py",
    "recordings.vocabulary": "test_recordings_tools.py",
    "recordings.verify": "test_recordings_tools.py",
    "recordings.forms": "test_recordings_format.py",
    "recordings.header": "test_recordings_format.py",
    "recordings.reader": "test_recordings_format.py",
    "recordings.report": "test_views_report.py",
    "recordings.recording": "test_recordings_format.py",
    "recordings.sound": "test_recordings_format.py",
    "recordings.writer": "test_recordings_format.py",
    "session.answers": "test_session_core.py",
    "session.cuts": "test_session_core.py",
    "session.feed": "test_session_core.py",
    "session.guard": "test_session_budget.py",
    "session.rounds": "test_session_tools.py",
    "session.farewell": "test_session_core.py",
    "faces.doctor_widget": "test_faces_doctor.py",
    "wire.input_buffer": "test_wire_conversation.py",
    "wire.items": "test_wire_conversation.py",
    "session.line": "test_session_core.py",
    "session.messages": "test_session_core.py",
    "session.promises": "test_session_core.py",
    "session.toolbox": "test_session_core.py",
    "magics.audio": "test_magics.py",
    "magics.completion": "test_magics.py",
    "magics.say": "test_magics.py",
    "magics.usage": "test_magics.py",
    "faces.comms": "test_faces_recorder.py",
    "faces.recorder_still": "test_faces_recorder.py",
    "faces.take": "test_faces_recorder.py",
    "faces.samples": "test_faces_recorder.py",
    "faces.local_voice": "test_faces_recorder.py",
    "server.checks": "test_server_config.py",
    "server.faults": "test_server_connection.py",
    "server.items": "test_server_conversations.py",
    "server.limits": "test_server_responses.py",
    "server.outputs": "test_server_responses.py",
    "server.state": "test_server_connection.py",
    "server.transcription": "test_server_speech.py",
    "session.signal": "test_session_core.py",
    "session.turn": "test_session_core.py",
    "transports.base": "test_transports.py",
    "transports.memory": "test_transports.py",
    "transports.websocket": "test_transports.py",
    "views.log": "test_views_log.py",
    "views.report": "test_views_report.py",
    "views.overview": "test_recordings_format.py",
    "views.style": "test_views_card.py",
    "views.timing": "test_views_timing.py",
    "views.usage": "test_views_usage.py",
    "views.words": "test_views_card.py",
    "wire.columns": "test_wire_loaded.py",
    "wire.entries": "test_wire_log.py",
    "wire.turn": "test_wire_turns.py",
}


def name_of(path):
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(ROOT.rglob("*.py"))}


def imported(name, path):
    """Yield every module of rtnb that a module imports, wherever in it, and the line."""
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            found = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for one in found:
            if one.split(".")[0] == "rtnb":
                yield one, node.lineno


def package_of(name):
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else ""


@pytest.mark.parametrize("name", [name for name in MODULES if name not in ("rtnb", "rtnb.__main__")])
def test_imports_go_only_downwards(name):
    own = package_of(name)
    assert own in LAYERS, f"{name} is in no layer"
    for target, line in imported(name, MODULES[name]):
        if target == "rtnb.__version__":
            continue
        into = package_of(target)
        place = f"{MODULES[name].name}:{line} imports {target}"
        assert into in LAYERS, f"{place}: the package's own names are for users"
        allowed = into in (own, "errors") or LAYERS[into] < LAYERS[own]
        assert allowed, f"{place}: {own} is in layer {LAYERS[own]}, {into} in layer {LAYERS[into]}"


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("rtnb.wire.")])
def test_the_wire_does_nothing(name):
    """No I/O, no clock, no tasks: what is folded from a file is what was folded live."""
    doers = {
        "asyncio",
        "concurrent",
        "datetime",
        "http",
        "os",
        "random",
        "selectors",
        "socket",
        "subprocess",
        "time",
    }
    for node in ast.walk(ast.parse(MODULES[name].read_text("utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module]
        assert not doers & {one.split(".")[0] for one in names}, f"{name}:{node.lineno}"


def test_importing_rtnb_imports_nothing_heavy():
    code = f"import rtnb, sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""


def test_importing_everything_prints_nothing():
    """No module has work to do at import, and none warns."""
    names = [name for name in MODULES if not name.endswith("__main__")]
    code = f"import importlib\nfor name in {names!r}: importlib.import_module(name)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_public_name_resolves():
    for name in rtnb.__all__:
        assert getattr(rtnb, name) is not None
    assert sorted(rtnb.__all__) == rtnb.__all__
    assert len(set(rtnb.__all__)) == len(rtnb.__all__)
    assert set(rtnb.__all__) == {*rtnb._HOME, "__version__"}
    assert dir(rtnb) == rtnb.__all__
    with pytest.raises(AttributeError, match="module 'rtnb' has no attribute 'nonsense'"):
        _ = rtnb.nonsense
    assert rtnb.transports.memory is importlib.import_module("rtnb.transports.memory")
    assert rtnb.models.SEED == "gpt-4o-realtime-preview"


def test_type_checkers_see_the_same_names():
    tree = ast.parse(MODULES["rtnb"].read_text("utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name for node in block.body for alias in node.names}
    assert seen == set(rtnb._HOME)


@pytest.mark.parametrize("name", list(MODULES))
def test_every_module_says_what_is_public(name):
    """A package's ``__init__`` that holds a docstring alone has nothing to say."""
    tree = ast.parse(MODULES[name].read_text("utf-8"))
    assert ast.get_docstring(tree), f"{name} has no docstring"
    if len(tree.body) == 1 or name.endswith("__main__"):
        return
    names = [
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    ]
    assert "__all__" in names, f"{name} has no __all__"


@pytest.mark.parametrize("name", [name for name in MODULES if name != "rtnb"])
def test_every_name_in_all_exists(name):
    if not name.endswith("__main__"):
        module = importlib.import_module(name)
        for public in getattr(module, "__all__", ()):
            assert hasattr(module, public), f"{name}.{public}"


def passes_on(path):
    """Tell whether a module holds nothing but a docstring, imports and names."""
    tree = ast.parse(path.read_text("utf-8"))
    return all(isinstance(node, (ast.Expr, ast.Import, ast.ImportFrom, ast.Assign)) for node in tree.body)


def test_every_module_has_a_test_file():
    missing = []
    for name, path in MODULES.items():
        short = name.removeprefix("rtnb").lstrip(".")
        if not short or passes_on(path):
            continue
        package, _, module = short.rpartition(".")
        names = [f"{package}_{module}", f"{package.rstrip('s')}_{module}", module]
        known = TESTED_IN.get(short, TESTED_IN.get(package))
        files = [known] if known else [f"test_{one.strip('_')}.py" for one in names]
        if not any((TESTS / file).exists() for file in files):
            missing.append(f"{short}: none of {', '.join(files)}")
    assert not missing, "\n".join(missing)
    assert {f"rtnb.{short}" for short in TESTED_IN} <= set(MODULES)


def test_the_tree_of_errors():
    from rtnb import errors

    for name in errors.__all__:
        kind = UserWarning if name == "BudgetWarning" else errors.RtnbError
        assert issubclass(getattr(errors, name), kind)
        assert name in errors.__doc__
        assert getattr(rtnb, name) is getattr(errors, name)
    assert issubclass(errors.ArgumentError, ValueError)
    assert issubclass(errors.AudioError, ValueError)
    assert issubclass(errors.TurnTimeout, TimeoutError)
    assert issubclass(errors.MissingPackageError, ImportError)
    missing = errors.MissingPackageError("jupyterlab", "the lab", "lab")
    assert (missing.package, missing.extra) == ("jupyterlab", "lab")
    assert str(missing) == "the lab needs the package 'jupyterlab': run  pip install 'rtnb[lab]'"
    lost = errors.ConnectionLost("gone", code=1001, reason="bye")
    assert (lost.code, lost.reason) == (1001, "bye")
    refused = errors.ServiceError("no", type="t", code="c", param="p")
    assert (refused.type, refused.code, refused.param) == ("t", "c", "p")
