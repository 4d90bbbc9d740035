"""The checks of `rtnb.doctor`: what each one found, and how to fix a problem."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

__all__ = ["Check", "front_end", "kernel_checks", "kernel_shell", "page_checks", "unattended"]

State = Literal["ok", "note", "problem", "unknown"]

_KERNEL_FLOOR = (7, 1)
_ROUTING = (7, 4)
_SLOW_MS = 80.0

# What front ends other than JupyterLab and Notebook 7 cannot do.
_LIMITS = {
    "Visual Studio Code": (
        "note",
        "Its notebooks have no microphone: record in JupyterLab (rtnb lab), or use a file, a sample or the "
        "local voice. Audio plays after a click.",
    ),
    "Google Colab": (
        "note",
        "Run  from google.colab import output; output.enable_custom_widget_manager()  for live widgets. "
        "Messages from the page arrive only between cells: record with %%audio, and talk in JupyterLab on "
        "your own machine.",
    ),
    "IPython in a terminal": ("note", "There is no page: no live widgets, no microphone. Try  rtnb lab"),
    "plain Python": ("note", "There is no page: no live widgets, no microphone. Try  rtnb lab"),
    "a notebook run unattended": (
        "note",
        "There is no page: audio cells use their stored clips, and turns show their static cards.",
    ),
    "a notebook": ("note", "If live widgets do not show, everything has a static form, with playback."),
}


@dataclass(frozen=True)
class Check:
    """One check: its name, what it found, its state, and advice ("" for none).

    ``state`` is "ok", "note" (works with a limitation), "problem" or "unknown" (the page has not answered).
    """

    name: str
    found: str
    state: State
    advice: str = ""


def _shell() -> Any:
    """Return IPython's shell; None outside of IPython. This never imports IPython."""
    get = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return get() if get is not None else None


def kernel_shell() -> Any:
    """Return the shell of the running kernel; None outside of one."""
    shell = _shell()
    return shell if getattr(shell, "kernel", None) is not None else None


def unattended(shell: Any = None) -> bool:
    """Return whether no user is at this notebook: a program runs it, or there is no kernel.

    A front end with a user allows the kernel to ask for input. ``shell`` defaults to the running one.
    """
    kernel = getattr(_shell() if shell is None else shell, "kernel", None)
    return kernel is None or not getattr(kernel, "_allow_stdin", True)


def front_end() -> str:
    """Return the front end that shows this process's results, as far as the kernel knows."""
    if _shell() is None:
        return "plain Python"
    if kernel_shell() is None:
        return "IPython in a terminal"
    if "google.colab" in sys.modules:
        return "Google Colab"
    if unattended():
        return "a notebook run unattended"
    if os.environ.get("VSCODE_PID") and "JPY_PARENT_PID" not in os.environ:
        return "Visual Studio Code"
    return "a notebook"


def _front_end_check(name: str) -> Check:
    state, advice = _LIMITS.get(name, ("ok", ""))
    return Check("Front end", name, state, advice)  # type: ignore[arg-type]


def kernel_checks(front_end: str) -> list[Check]:
    """Return the checks that need no page, for a front end as `front_end` names it."""
    return [
        Check("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}", "ok"),
        Check("rtnb", _version("rtnb") or "not installed (running from its folder)", "ok"),
        _front_end_check(front_end),
        *_package_checks(),
        *_routing_checks(front_end),
        _engine_check(),
    ]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _package_checks() -> Iterator[Check]:
    labs = {name: _version(name) for name in ("jupyterlab", "notebook")}
    found = ", ".join(f"{name} {number}" for name, number in labs.items() if number)
    # The server may run in another environment than the kernel.
    yield Check("Jupyter", found or "not in this environment", "ok")
    number = _version("ipykernel")
    if number is None:
        yield _missing("ipykernel", "notebooks")
    elif _numbers(number) < _KERNEL_FLOOR:
        yield Check(
            "ipykernel",
            number,
            "problem",
            "Before 7.1, messages from the page do not arrive while a cell runs: no talk, no interruption. "
            "Run  pip install -U 'ipykernel>=7.1'  and restart the kernel",
        )
    else:
        yield Check("ipykernel", number, "ok")
    for name, use in (("anywidget", "live widgets"), ("ipywidgets", "live widgets")):
        number = _version(name)
        yield Check(name, number, "ok") if number else _missing(name, use)
    number = _version("ipywebrtc")
    advice = "" if number else "Needed only for its own streams."
    yield Check("ipywebrtc", number or "not installed", "ok", advice)
    if "nest_asyncio" in sys.modules:
        yield Check(
            "nest_asyncio",
            "active",
            "note",
            "It can lose audio while a cell runs a nested event loop: use nest-asyncio2 instead.",
        )
    number = _version("websockets")
    yield Check("websockets", number, "ok") if number else _missing("websockets", "sessions")


def _missing(package: str, use: str) -> Check:
    return Check(package, "not installed", "problem", f"Required for {use}: run  pip install 'rtnb[lab]'")


def _numbers(text: str) -> tuple[int, ...]:
    parts = []
    for part in text.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        parts.append(int(digits))
    return tuple(parts)


def _routing_checks(front_end: str) -> Iterator[Check]:
    """Check how the page's messages are kept off the main shell, which a running cell blocks."""
    number = _version("ipykernel")
    if number is None or front_end in ("plain Python", "IPython in a terminal"):
        return
    if _numbers(number) < _KERNEL_FLOOR:
        yield Check("Comm routing", "no subshells before ipykernel 7.1", "problem", "See ipykernel.")
    elif _numbers(number) < _ROUTING:
        yield Check("Comm routing", "set by the page", "ok")
    elif _pinnable():
        yield Check("Comm routing", "pinned to the page's subshell", "ok")
    else:
        yield Check(
            "Comm routing",
            f"cannot be pinned in ipykernel {number}",
            "problem",
            "A busy cell may starve the microphone: run  pip install 'ipykernel<7.5'  and restart the kernel",
        )


def _pinnable() -> bool:
    from ipykernel.comm import Comm

    return hasattr(Comm, "_reply_subshell_for")


def _engine_check() -> Check:
    from ..engines import weights

    missing = [name for name in ("hibari-tts", "onnxruntime", "xllamacpp") if _version(name) is None]
    if missing:
        return Check(
            "Local engine",
            f"not installed: {', '.join(missing)}",
            "note",
            "Run  pip install 'rtnb[local]'  then  rtnb engine install  (or use engine=\"fake\")",
        )
    if absent := weights.missing():
        found = f"missing weights: {', '.join(absent)}"
        return Check("Local engine", found, "note", "Run  rtnb engine install  (145 MB, once)")
    return Check("Local engine", "packages and weights are installed", "ok")


# The page.


def page_checks(facts: Mapping[str, Any] | None) -> list[Check]:
    """Return the checks of the page; "unknown" ones while ``facts`` is None.

    ``facts`` is what ``doctor/doctor.js`` sends: plain JSON. An entry is absent if the page cannot determine
    it.
    """
    if facts is None:
        names = ("Page", "Secure page", "Microphone", "Audio output", "Binary messages", "While a cell runs")
        return [Check(name, "the page has not answered yet", "unknown") for name in names]
    return [
        _page(facts),
        _secure(facts),
        _microphone(facts),
        _audio_output(facts),
        _binary_messages(facts),
        _while_busy(facts),
    ]


def _page(facts: Mapping[str, Any]) -> Check:
    name = str(facts.get("frontend") or "an unknown front end")
    found = " ".join(filter(None, [name, str(facts.get("frontend_version") or "")]))
    state, advice = _LIMITS.get(name, ("ok", ""))
    browser = facts.get("browser")
    return Check("Page", f"{found} in {browser}" if browser else found, state, advice)  # type: ignore[arg-type]


def _secure(facts: Mapping[str, Any]) -> Check:
    host = str(facts.get("host") or "this host")
    if facts.get("secure"):
        return Check("Secure page", f"yes ({host})", "ok")
    return Check(
        "Secure page",
        f"no ({host})",
        "problem",
        "Browsers allow the microphone only on https:// and localhost. Use https, or a tunnel: "
        "ssh -L 8888:localhost:8888 HOST  and open http://localhost:8888",
    )


_OTHER_WAYS = "Without a microphone: upload a file, choose a sample, or have the local voice speak."


def _microphone(facts: Mapping[str, Any]) -> Check:
    if not facts.get("media"):
        return Check("Microphone", "not available to this page", "problem", f"See Secure page. {_OTHER_WAYS}")
    permission, devices = facts.get("permission"), facts.get("microphones")
    count = f"{devices} found" if isinstance(devices, int) else "number unknown"
    if permission == "denied":
        return Check(
            "Microphone",
            "denied",
            "problem",
            "Allow it for this page (the icon left of the address, Microphone, Allow), then reload. "
            + _OTHER_WAYS,
        )
    if devices == 0:
        return Check("Microphone", "none found", "problem", f"Plug one in and check again. {_OTHER_WAYS}")
    if permission == "granted":
        return Check("Microphone", f"granted, {count}", "ok")
    return Check(
        "Microphone", f"not yet requested, {count}", "note", "The browser asks at the first recording."
    )


def _audio_output(facts: Mapping[str, Any]) -> Check:
    if not facts.get("worklet"):
        return Check(
            "Audio output",
            "no AudioWorklet",
            "problem",
            "Live audio needs a secure page and a browser of 2021 or later.",
        )
    latency = facts.get("latency_ms")
    output = f", {latency:.0f} ms to the loudspeaker" if isinstance(latency, (int, float)) else ""
    if facts.get("autoplay") == "running":
        return Check("Audio output", f"plays at once{output}", "ok")
    return Check(
        "Audio output",
        f"waits for a click or key{output}",
        "note",
        "The browser plays nothing before a click or a key in the page; Shift+Enter counts.",
    )


def _binary_messages(facts: Mapping[str, Any]) -> Check:
    trips = sorted(trip for trip in facts.get("round_trips_ms") or [] if isinstance(trip, (int, float)))
    if not trips:
        return Check(
            "Binary messages",
            "the kernel did not answer the page",
            "problem",
            "Binary messages do not arrive: check proxies, and reload the page.",
        )
    middle = trips[len(trips) // 2]
    found = f"{middle:.0f} ms round trip (at most {trips[-1]:.0f} ms)"
    if middle <= _SLOW_MS:
        return Check("Binary messages", found, "ok")
    advice = "The connection is slow: answers start later, and interrupting takes longer."
    return Check("Binary messages", found, "note", advice)


def _while_busy(facts: Mapping[str, Any]) -> Check:
    if facts.get("off_main_thread"):
        return Check("While a cell runs", "messages from the page arrive", "ok")
    return Check(
        "While a cell runs",
        "messages from the page do not arrive",
        "note",
        "Talk and record while no cell runs, or use ipykernel 7.1 and JupyterLab 4.4 or later with its "
        "setting Kernel, Comms over subshells.",
    )
