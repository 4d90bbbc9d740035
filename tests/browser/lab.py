"""A real JupyterLab or Notebook 7, a real Chromium, and one notebook open in it.

In one minute::

    import pytest

    pytestmark = pytest.mark.browser              # tests/browser/conftest.py does the rest


    async def test_something(lab):                # or notebook7, or jupyter: both, one after the other
        page = await lab.open(["import rtnb", "s = rtnb.connect(engine='fake')", "s.send('hello')"])
        await page.run_all()                      # each run waits for its end, 60 s at most
        assert "hello" in await page.text(2)      # what the reader sees of cell 2 (0 is the first)
        assert await page.value("s.closed") is False             # asked of the kernel, as JSON
        await page.cell(2).get_by_role("button", name="Play").click()   # any Playwright locator
        await page.portraits("turn", page.cell(2))               # turn-light.png, turn-dark.png

Tests are async functions (Playwright's async API); every wait has a limit. `Page.page` is Playwright's own
page. When the test ends, its pages are closed, their kernels shut down, and errors of the page's console that
are not Jupyter's own fail it (`page.errors` has them; a test that expects one calls ``page.errors.clear()``).

- ``lab.open(cells, microphone=False)`` opens with the microphone denied; ``wav=clip_or_path`` feeds the fake
  microphone with that sound, played in a loop from the moment the page opens it, else with real or packaged
  speech; ``autoplay=False`` is Chromium's usual rule: no sound before a gesture. ``viewport``,
  ``reduced_motion="reduce"`` and other options go to Playwright's ``new_context``.
- ``page.run(k)`` runs by command, which is no gesture; ``page.press_run(k)`` clicks and presses Ctrl+Enter,
  which is one; ``page.start(k)`` does not wait for the end (``page.finished(k)`` does). Beware: all that goes
  through Playwright's own page or locators counts as a gesture, even reading. What `Page` itself does (run,
  wait, js, text, outputs, value) does not.
- ``busy_until(flag)`` is code for a cell that runs until the test creates the file ``flag``.
- A cell is a string of code, ``md("…")``, or a notebook node that has outputs. ``lab.write(name, cells)``
  only writes the file; ``lab.open(path="name.ipynb")`` opens what is there, ``lab.trust(name)`` and
  ``lab.distrust(name)`` say whether its outputs are trusted. ``page.save()``, ``page.restart()``,
  ``page.reload()``, ``page.dark()``, ``page.light()`` do as named; ``page.also()`` opens the same notebook in
  a second tab.
- Screenshots go to the folder RTNB_SCREENSHOTS names, else to a temporary one.
- RTNB_CHROMIUM names another Chromium. Without one, or without Playwright, the tests are skipped.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat

ROOT = Path(__file__).parents[2]
SPEECH = ROOT.parent / "shared" / "speech" / "jfk_24k.wav"
QUESTION = ROOT / "rtnb" / "audio" / "spoken" / "question.ogg"
LIMIT = 60.0
"""Seconds that a wait takes at most, where nothing else is said."""

# What Jupyter and Chromium say of themselves in a healthy run, here as it was seen.
_NOISE = re.compile(
    "|".join(
        [
            r"Failed to load resource: the server responded with a status of 404.*(workspaces|/lsp/|favicon)",
            r"/api/me\b",
            r"reading 'schema'[\s\S]*static/notebook",
            r"Comm not found for comm id",  # two tabs on one kernel
            r"jupyter-webrtc.*version|Module jupyter-webrtc",
            r"net::ERR_(NAME_NOT_RESOLVED|INTERNET_DISCONNECTED|CONNECTION_REFUSED)",
            r"WebSocket connection to .*failed",
            r"Blocked attempt to show a 'beforeunload'",  # a page that was changed is loaded again
            r"Starting WebSocket|Kernel: \w+ \(|Connection lost, reconnecting",
        ]
    )
)

# Parts of JupyterLab that no test looks at, and that each page would wait for.
_OFF = [
    "@jupyterlab/apputils-extension:announcements",
    "@jupyterlab/extensionmanager-extension",
    "@jupyterlab/notebook-extension:export",
]


def chromium() -> str | None:
    """Return the Chromium to use, or None."""
    given = os.environ.get("RTNB_CHROMIUM")
    if given:
        return given
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((found for name in names if (found := shutil.which(name))), None)


def md(text: str) -> nbformat.NotebookNode:
    """Return a Markdown cell."""
    return nbformat.v4.new_markdown_cell(text)


def busy_until(flag: Path, *, seconds: float = 2 * LIMIT) -> str:
    """Return code that keeps the kernel's main thread busy until the file ``flag`` exists.

    A cell that ends by the clock ends too early on a loaded machine. ``seconds`` is only the upper limit,
    after which the cell fails.
    """
    return (
        "import pathlib, time\n"
        f"limit = time.monotonic() + {seconds:g}\n"
        f"while not pathlib.Path({str(flag)!r}).exists():\n"
        f"    assert time.monotonic() < limit, 'the test has not released this cell within {seconds:g} s'\n"
        "    time.sleep(0.02)"
    )


def speech(folder: Path) -> Path:
    """Return a WAV of one spoken sentence: real speech where it is at hand, else the packaged question."""
    if SPEECH.exists():
        return SPEECH
    from rtnb import Clip

    return Clip.read(QUESTION).write(folder / "speech.wav")


# -- Jupyter ------------------------------------------------------------------------------------------


class Chromiums:
    """Chromium processes, one for each autoplay rule, and their contexts, whose caches spare every next page.

    All hear the same fake microphone: a file, which Chromium reads whenever a page opens the microphone.
    """

    def __init__(self, playwright: Any, folder: Path) -> None:
        self.playwright = playwright
        self.folder = folder
        self._microphone = folder / "microphone.wav"
        self._running: dict[bool, Any] = {}
        self._contexts: dict[str, Any] = {}

    async def get(self, autoplay: bool = True) -> Any:
        """Return the browser with this rule, started when first asked for."""
        if autoplay not in self._running:
            arguments = [
                "--use-fake-device-for-media-stream",
                f"--use-file-for-fake-audio-capture={self._microphone}",
                "--autoplay-policy="
                + ("no-user-gesture-required" if autoplay else "document-user-activation-required"),
                "--disable-dev-shm-usage",
                "--disable-background-timer-throttling",
                "--disable-renderer-backgrounding",
                "--disable-backgrounding-occluded-windows",
            ]
            if hasattr(os, "geteuid") and os.geteuid() == 0:
                arguments.append("--no-sandbox")
            self._running[autoplay] = await self.playwright.chromium.launch(
                executable_path=chromium(), args=arguments, timeout=LIMIT * 1000
            )
        return self._running[autoplay]

    async def context(self, autoplay: bool, microphone: bool, options: dict[str, Any]) -> Any:
        """Return a browser's context with these options, made when first asked for."""
        key = repr((autoplay, microphone, sorted(options.items())))
        if key not in self._contexts:
            made = await (await self.get(autoplay)).new_context(**options)
            # Chromium headless asks nobody: what is not granted is denied, and a later grant takes back this.
            allowed = ["clipboard-read", "clipboard-write", *(["microphone"] if microphone else [])]
            await made.grant_permissions(allowed)
            made.set_default_timeout(LIMIT * 1000 / 2)
            self._contexts[key] = made
        return self._contexts[key]

    def hear(self, wav: Any = None) -> None:
        """Let the microphone hear this sound (a path or a clip), else speech, from the next time it opens."""
        if wav is None:
            wav = speech(self.folder)
        if isinstance(wav, (str, Path)):
            shutil.copyfile(wav, self._microphone)
        else:
            wav.write(self._microphone)

    async def close(self) -> None:
        """End them all."""
        for browser in self._running.values():
            await browser.close()
        self._running.clear()


class Jupyter:
    """One Jupyter server on loopback with folders of its own, and the pages that are open on it."""

    def __init__(self, kind: str, folder: Path, chromiums: Chromiums) -> None:
        self.kind = kind
        self.folder = folder
        self.root = folder / "notebooks"
        self.rtnb_home = folder / "rtnb"
        self.chromiums = chromiums
        self.pages: list[Page] = []
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self._ending: threading.Thread | None = None

    # -- life --------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the server and wait until it answers."""
        for name in ("config", "data", "runtime", "settings", "workspaces", "ipython", "rtnb", "notebooks"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self._settings()
        app, module = ("LabApp", "jupyterlab")
        if self.kind == "notebook":
            app, module = ("JupyterNotebookApp", "notebook")
        command = [sys.executable, "-m", module, "--no-browser", "--ip=127.0.0.1", f"--port={self.port}"]
        command += ["--ServerApp.port_retries=0", "--IdentityProvider.token=", "--allow-root"]
        command += ["--ServerApp.password=", "--ServerApp.disable_check_xsrf=True"]
        command += [f"--{app}.expose_app_in_browser=True", f"--ServerApp.root_dir={self.root}"]
        command += ["--ServerApp.log_level=WARN", "--KernelManager.autorestart=False"]
        # Looking whether JupyterLab should be built anew keeps the server from its pages for half a second.
        page = {"buildAvailable": False, "buildCheck": False}
        command += [f"--ServerApp.tornado_settings={{'page_config_data': {page}}}"]
        with (self.folder / "server.log").open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=self.root,
                env=self.environment(),
                start_new_session=hasattr(os, "setsid"),
            )
        until = time.monotonic() + LIMIT
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                log_text = (self.folder / "server.log").read_text("utf-8", "replace")
                self.stop()
                raise RuntimeError(f"{self.kind} did not start:\n{log_text[-2000:]}")
            time.sleep(0.1)

    def stop(self) -> None:
        """End the server and the engines that its kernels started."""
        self._join()
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(15)
        self._process = None
        from rtnb.server import launcher as engines

        before = os.environ.get("RTNB_HOME")
        os.environ["RTNB_HOME"] = str(self.rtnb_home)
        try:
            for running in engines.status():
                engines.stop(running.spec)
        finally:
            if before is None:
                del os.environ["RTNB_HOME"]
            else:
                os.environ["RTNB_HOME"] = before

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/api/status", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def environment(self) -> dict[str, str]:
        """Return the environment of a process that shares this server's folders."""
        hidden = ("RTNB_ENGINE", "RTNB_LLM", "RTNB_ASR", "RTNB_TTS", "RTNB_VAD", "RTNB_SERVE_KEY")
        keys = ("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT")
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in hidden and name not in keys and not name.startswith("JUPYTER")
        }
        paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        return environment | {
            "JUPYTER_CONFIG_DIR": str(self.folder / "config"),
            "JUPYTER_DATA_DIR": str(self.folder / "data"),
            "JUPYTER_RUNTIME_DIR": str(self.folder / "runtime"),
            "JUPYTERLAB_SETTINGS_DIR": str(self.folder / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(self.folder / "workspaces"),
            "JUPYTER_PREFER_ENV_PATH": "0",
            "IPYTHONDIR": str(self.folder / "ipython"),
            "RTNB_HOME": str(self.rtnb_home),
            "RTNB_IDLE": "120",
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        }

    def _settings(self) -> None:
        config = self.folder / "config" / "labconfig"
        config.mkdir()
        off = {"disabledExtensions": dict.fromkeys(_OFF, True)}
        (config / "page_config.json").write_text(json.dumps(off), "utf-8")
        kernel = self.folder / "data" / "kernels" / "python3"
        kernel.mkdir(parents=True)
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        spec = {"argv": argv, "display_name": "Python 3", "language": "python"}
        (kernel / "kernel.json").write_text(json.dumps(spec), "utf-8")
        settings: dict[str, dict[str, Any]] = {
            "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
            # Every cell is in the page, so that all can be found, and nothing is saved behind a test's back.
            "notebook-extension/tracker": {"windowingMode": "none"},
            "docmanager-extension/plugin": {"autosave": False},
        }
        for name, values in settings.items():
            path = self.folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(values), "utf-8")

    # -- notebooks ---------------------------------------------------------------------------------

    def write(self, name: str, cells: Sequence[str | nbformat.NotebookNode]) -> Path:
        """Write a notebook of these cells and return its path."""
        made = [nbformat.v4.new_code_cell(cell) if isinstance(cell, str) else cell for cell in cells]
        notebook = nbformat.v4.new_notebook(cells=made)
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        path = self.root / name
        nbformat.write(notebook, path)
        return path

    def read(self, name: str) -> nbformat.NotebookNode:
        """Return a notebook as it is on disk."""
        return nbformat.read(self.root / name, as_version=4)

    def trust(self, name: str) -> None:
        """Trust the outputs of a notebook on disk."""
        self._notary().sign(self.read(name))

    def distrust(self, name: str) -> None:
        """Forget that the outputs of a notebook on disk were trusted."""
        self._notary().unsign(self.read(name))

    def _notary(self) -> Any:
        from nbformat.sign import NotebookNotary

        return NotebookNotary(data_dir=str(self.folder / "data"))

    async def open(
        self,
        cells: Sequence[str | nbformat.NotebookNode] = (),
        *,
        path: str | None = None,
        microphone: bool = True,
        wav: Any = None,
        autoplay: bool = True,
        kernel: bool = True,
        **context: Any,
    ) -> Page:
        """Open a new notebook of these cells, or the one at ``path``, and wait until its kernel is idle.

        With ``kernel=False`` it is not waited for a kernel.
        """
        if path is None:
            path = f"n{uuid.uuid4().hex[:8]}.ipynb"
            self.write(path, cells)
        self.chromiums.hear(wav)
        options: dict[str, Any] = {"viewport": {"width": 1200, "height": 900}} | context
        made = await self.chromiums.context(autoplay, microphone, options)
        page = Page(self, made, await made.new_page(), path)
        self.pages.append(page)
        # The kernel comes while the page does.
        starting = [asyncio.to_thread(self._start_kernel, path)] if kernel else []
        await asyncio.gather(page.goto(kernel=kernel), *starting)
        return page

    def _start_kernel(self, path: str) -> None:
        about = {"path": path, "name": path, "type": "notebook", "kernel": {"name": "python3"}}
        self._ask("POST", "/api/sessions", about)

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        head = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data, head, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.loads(answer.read() or "null")

    async def close_pages(self) -> list[str]:
        """Close all pages, shut their kernels down, and return the errors that they had."""
        errors = [f"{page.path}: {error}" for page in self.pages for error in page.errors]
        for page in self.pages:
            try:
                await asyncio.wait_for(page.close(), 15)
            except Exception as error:
                errors.append(f"{page.path}: it could not be closed: {error!r}")
        self.pages.clear()
        self._join()
        sessions = await asyncio.to_thread(self._ask, "GET", "/api/sessions")
        # The next test need not wait until they have ended.
        self._ending = threading.Thread(target=self._shut_down, args=(sessions,))
        self._ending.start()
        return errors

    def _shut_down(self, sessions: list[dict[str, Any]]) -> None:
        for session in sessions:
            self._ask("DELETE", f"/api/sessions/{session['id']}")

    def _join(self) -> None:
        if self._ending is not None:
            self._ending.join()
            self._ending = None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# -- the page -----------------------------------------------------------------------------------------

# The notebook's panel: the same in JupyterLab and Notebook 7. `name` is the notebook's path.
_PRELUDE = """
window.rtnbTest ??= {
  runs: {},
  panel(path) {
    for (const widget of window.jupyterapp.shell.widgets("main")) {
      if (widget.context?.path === path && widget.content?.widgets) return widget;
    }
    return null;
  },
  async select(path, k) {
    const panel = this.panel(path);
    window.jupyterapp.shell.activateById(panel.id);
    panel.content.deselectAll();
    panel.content.activeCellIndex = k;
    return panel;
  },
  async start(path, k, command) {
    const panel = await this.select(path, k);
    const mark = { state: "running" };
    this.runs[k] = mark;
    window.jupyterapp.commands.execute(command).then(
      () => { mark.state = "done"; },
      (error) => { mark.state = "failed: " + error; },
    );
  },
  async ask(path, code, expression) {
    const kernel = this.panel(path).sessionContext.session.kernel;
    const future = kernel.requestExecute({
      code, silent: true, store_history: false,
      user_expressions: expression ? { value: expression } : {},
    });
    const reply = (await future.done).content;
    if (reply.status !== "ok") return { error: `${reply.ename}: ${reply.evalue}` };
    const value = reply.user_expressions?.value;
    if (!value) return { text: null };
    if (value.status !== "ok") return { error: `${value.ename}: ${value.evalue}` };
    return { text: value.data["text/plain"] };
  },
};
"""


class Page:
    """One notebook in one tab. Cells are counted from 0."""

    def __init__(self, jupyter: Jupyter, context: Any, page: Any, path: str) -> None:
        self.jupyter = jupyter
        self.context = context
        self.page = page
        self.path = path
        self.errors: list[str] = []
        self.console: list[str] = []
        """All that the console said, as ``type: text``."""
        self._cdp: Any = None
        self._closed = False
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self._note(f"pageerror: {error}\n{error.stack or ''}"))

    def _heard(self, message: Any) -> None:
        place = (message.location or {}).get("url", "")
        self.console.append(f"{message.type}: {message.text}")
        if message.type == "error":
            self._note(f"{message.text} ({place})")

    def _note(self, text: str) -> None:
        if not _NOISE.search(text):
            self.errors.append(text)

    # -- opening and closing -----------------------------------------------------------------------

    async def goto(self, *, kernel: bool = True) -> None:
        """Open the notebook and wait for its kernel to be idle."""
        if self.jupyter.kind == "notebook":
            url = f"{self.jupyter.url}/notebooks/{self.path}"
        else:
            url = f"{self.jupyter.url}/lab/workspaces/{uuid.uuid4().hex[:8]}"
        await self.page.goto(url, wait_until="domcontentloaded", timeout=LIMIT * 1000)
        if self.jupyter.kind == "lab":
            # By command, which is a second quicker than by address.
            await self.wait("() => window.jupyterapp?.commands?.hasCommand('docmanager:open')")
            await self.js(
                "(path) => { window.jupyterapp.commands.execute('docmanager:open', { path }); }", self.path
            )
        await self._ready(kernel)

    async def reload(self, *, kernel: bool = True) -> None:
        """Load the page again; the kernel goes on, what was not saved is gone."""
        await self.page.reload(wait_until="domcontentloaded", timeout=LIMIT * 1000)
        await self._ready(kernel)

    async def _ready(self, kernel: bool) -> None:
        await self.wait("() => Boolean(window.jupyterapp?.shell?.widgets)")
        await self.js("() => {" + _PRELUDE + "}")
        await self.wait(
            """(path) => { const panel = rtnbTest.panel(path);
                return panel?.context.isReady && panel.content.widgets.length > 0; }""",
            self.path,
        )
        if self.jupyter.kind == "lab":
            # The file browser takes the room that widgets are looked at in.
            await self.js("() => window.jupyterapp.shell.collapseLeft()")
        if kernel:
            await self.idle()

    async def also(self) -> Page:
        """Open the same notebook in a second tab of the same browser, on the same kernel."""
        second = Page(self.jupyter, self.context, await self.context.new_page(), self.path)
        self.jupyter.pages.insert(0, second)
        await second.goto()
        return second

    async def close(self) -> None:
        """Close the tab, without asking whether to save. The kernel goes on until the test ends."""
        if not self._closed:
            self._closed = True
            await self.page.close(run_before_unload=False)

    # -- the kernel --------------------------------------------------------------------------------

    async def js(self, function: str, argument: Any = None, *, seconds: float = LIMIT) -> Any:
        """Call a JavaScript function with one argument (JSON) and return what it gives. It is no gesture."""
        if self._cdp is None:
            self._cdp = await self.context.new_cdp_session(self.page)
        sent = self._cdp.send(
            "Runtime.evaluate",
            {
                "expression": f"({function})({json.dumps(argument)})",
                "awaitPromise": True,
                "returnByValue": True,
            },
        )
        reply = await asyncio.wait_for(sent, seconds)
        if "exceptionDetails" in reply:
            details = reply["exceptionDetails"]
            raise AssertionError(details.get("exception", {}).get("description", details["text"]))
        return reply["result"].get("value")

    async def wait(self, function: str, argument: Any = None, *, seconds: float = LIMIT) -> Any:
        """Wait until a JavaScript function of one argument gives something true, and return that."""
        end = time.monotonic() + seconds
        while not (found := await self.js(function, argument, seconds=seconds)):
            if time.monotonic() > end:
                raise AssertionError(
                    f"this did not come true within {seconds:g} s: {function} of {argument!r}"
                )
            await asyncio.sleep(0.03)
        return found

    async def idle(self, seconds: float = LIMIT) -> None:
        """Wait until the kernel is idle."""
        await self.wait(
            """(path) => { const context = rtnbTest.panel(path)?.sessionContext;
                return context?.isReady && context.session?.kernel?.status === "idle"
                    && context.session.kernel.connectionStatus === "connected"; }""",
            self.path,
            seconds=seconds,
        )

    async def restart(self) -> None:
        """Restart the kernel, without asking; outputs stay."""
        await self.js("(path) => rtnbTest.panel(path).sessionContext.session.kernel.restart()", self.path)
        await self.idle()

    async def execute(self, code: str, *, seconds: float = LIMIT) -> None:
        """Run code in the kernel, outside of any cell. An exception there is an AssertionError here."""
        await self._ask(code, None, seconds)

    async def value(self, expression: str, *, seconds: float = LIMIT) -> Any:
        """Return the value of a Python expression in the kernel, by way of JSON."""
        text = await self._ask("", f"__import__('json').dumps({expression})", seconds)
        import ast

        return json.loads(ast.literal_eval(text))

    async def _ask(self, code: str, expression: str | None, seconds: float) -> Any:
        reply = await self.js(
            "([path, code, expression]) => rtnbTest.ask(path, code, expression)",
            [self.path, code, expression],
            seconds=seconds,
        )
        assert "error" not in reply, reply["error"]
        return reply["text"]

    async def until(self, expression: str, *, seconds: float = LIMIT) -> Any:
        """Wait until a Python expression in the kernel is true, and return it. Not while a cell runs."""
        end = time.monotonic() + seconds
        while not (found := await self.value(expression, seconds=seconds)):
            assert time.monotonic() < end, f"{expression} was not true within {seconds:g} s: {found!r}"
            await asyncio.sleep(0.05)
        return found

    # -- cells -------------------------------------------------------------------------------------

    async def start(self, k: int) -> None:
        """Start a cell by command, which is no gesture, and do not wait for its end."""
        await self.js("([path, k]) => rtnbTest.start(path, k, 'notebook:run-cell')", [self.path, k])

    async def finished(self, k: int, *, seconds: float = LIMIT) -> None:
        """Wait for the end of a cell that was started by `start`."""
        state = await self.wait(
            "(k) => rtnbTest.runs[k].state !== 'running' && rtnbTest.runs[k].state", k, seconds=seconds
        )
        assert state == "done", f"cell {k}: {state}"

    async def run(self, k: int, *, seconds: float = LIMIT, error: bool = False) -> list[dict[str, Any]]:
        """Run a cell by command, wait for its end, and return its outputs.

        An error in it fails the test, unless ``error`` is true.
        """
        await self.start(k)
        await self.finished(k, seconds=seconds)
        return await self._checked(k, error)

    async def press_run(
        self, k: int, *, seconds: float = LIMIT, error: bool = False, wait: bool = True
    ) -> list[dict[str, Any]]:
        """Run a cell as a person does, with Ctrl+Enter in it, which is a gesture."""
        before = await self._count(k)
        await self.cell(k).locator(".cm-content").first.click()
        await self.page.keyboard.press("Control+Enter")
        if not wait:
            return []
        await self.wait(
            """([path, k, before]) => { const cell = rtnbTest.panel(path).content.widgets[k];
                const count = cell.model.executionCount;
                return count !== null && count !== before && cell.model.executionState !== "running"; }""",
            [self.path, k, before],
            seconds=seconds,
        )
        await self.idle(seconds)
        return await self._checked(k, error)

    async def run_all(self, *, seconds: float = LIMIT) -> None:
        """Run all code cells, one after the other."""
        kinds = await self.js(
            "(path) => rtnbTest.panel(path).content.widgets.map((cell) => cell.model.type)", self.path
        )
        for k, kind in enumerate(kinds):
            if kind == "code":
                await self.run(k, seconds=seconds)

    async def append(self, source: str) -> int:
        """Add a code cell at the end and return its number."""
        return int(
            await self.js(
                """([path, source]) => { const model = rtnbTest.panel(path).content.model;
                    model.sharedModel.insertCell(model.cells.length, { cell_type: "code", source });
                    return model.cells.length - 1; }""",
                [self.path, source],
            )
        )

    async def outputs(self, k: int) -> list[dict[str, Any]]:
        """Return a cell's outputs as the notebook's model has them, in nbformat's shape."""
        return list(
            await self.js(
                "([path, k]) => rtnbTest.panel(path).content.model.cells.get(k).outputs.toJSON()",
                [self.path, k],
            )
        )

    def cell(self, k: int) -> Any:
        """Return the locator of a cell."""
        return self.page.locator(".jp-NotebookPanel:visible .jp-Notebook .jp-Cell").nth(k)

    def output(self, k: int) -> Any:
        """Return the locator of a cell's output area."""
        return self.cell(k).locator(".jp-Cell-outputArea")

    async def text(self, k: int) -> str:
        """Return what a reader sees of a cell's output."""
        return str(
            await self.js(
                """([path, k]) => Array.from(rtnbTest.panel(path).content.widgets[k].node
                    .querySelectorAll(".jp-OutputArea-output"), (node) => node.innerText).join("\\n")""",
                [self.path, k],
            )
        )

    async def _count(self, k: int) -> Any:
        return await self.js(
            "([path, k]) => rtnbTest.panel(path).content.widgets[k].model.executionCount", [self.path, k]
        )

    async def _checked(self, k: int, error: bool) -> list[dict[str, Any]]:
        outputs = await self.outputs(k)
        failed = [output for output in outputs if output["output_type"] == "error"]
        if failed and not error:
            raise AssertionError(f"cell {k} failed: {failed[0]['ename']}: {failed[0]['evalue']}")
        return outputs

    # -- the document ------------------------------------------------------------------------------

    async def save(self) -> nbformat.NotebookNode:
        """Save the notebook and return it as it is on disk."""
        await self.js("(path) => rtnbTest.panel(path).context.save()", self.path)
        return self.jupyter.read(self.path)

    async def dark(self) -> None:
        """Change to JupyterLab's dark theme."""
        await self._theme("JupyterLab Dark", "false")

    async def light(self) -> None:
        """Change to JupyterLab's light theme."""
        await self._theme("JupyterLab Light", "true")

    async def _theme(self, name: str, light: str) -> None:
        if await self.js("() => document.body.dataset.jpThemeLight") == light:
            return
        await self.js(
            "(theme) => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", name
        )
        await self.wait("(light) => document.body.dataset.jpThemeLight === light", light)
        await asyncio.sleep(0.15)  # style sheets and canvases follow

    # -- pictures ----------------------------------------------------------------------------------

    async def screenshot(self, name: str, locator: Any = None) -> Path:
        """Write NAME.png of a locator, else of the whole tab, and return its path."""
        folder = Path(os.environ.get("RTNB_SCREENSHOTS") or self.jupyter.folder / "screenshots")
        folder.mkdir(parents=True, exist_ok=True)
        target = self.page if locator is None else locator
        if locator is not None:
            await locator.scroll_into_view_if_needed()
        path = folder / f"{name}.png"
        await target.screenshot(path=path)
        return path

    async def portraits(self, name: str, locator: Any = None) -> list[Path]:
        """Write NAME-light.png and NAME-dark.png; the theme is light afterwards."""
        await self.light()
        made = [await self.screenshot(f"{name}-light", locator)]
        await self.dark()
        made.append(await self.screenshot(f"{name}-dark", locator))
        await self.light()
        return made
