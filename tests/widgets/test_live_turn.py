"""The kernel's side of a live turn, with the real session and server and a page that the test simulates."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import textwrap
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

import rtnb
from rtnb.audio import Clip
from rtnb.audio.codecs import pcm16
from rtnb.engines.fake import fake
from rtnb.notebook import display
from rtnb.server.session import serve
from rtnb.session.async_session import AsyncSession
from rtnb.transports import pair
from rtnb.widgets import base, captions, live_turn
from rtnb.widgets.base import BaseWidget

LONG = " ".join(f"word{number}" for number in range(80))


class OutputCell:
    """Stands in for an output of a cell."""

    all: list[OutputCell]

    def __init__(self, bundle: dict[str, Any]) -> None:
        self.bundles = [bundle]
        OutputCell.all.append(self)

    def replace(self, bundle: dict[str, Any]) -> None:
        self.bundles.append(bundle)


class Page:
    """A page: it records what the widget sends, and sends what the test wants."""

    def __init__(self, shown: live_turn.LiveTurn, name: str = "one") -> None:
        self.name = name
        self.shown = shown
        self.received: list[dict[str, Any]] = []
        self.bytes: dict[str, int] = {}
        before = shown.widget.send

        def send(message: dict[str, Any], buffers: Any = None) -> None:
            self.received.append(message)
            if message["kind"] == "audio":
                self.bytes[message["item"]] = self.bytes.get(message["item"], 0) + len(buffers[0])
            if message["kind"] == "flush" and message["page"] == self.name:
                self.answer(message["id"])
            before(message, buffers)

        shown.widget.send = send

    def post(self, kind: str, **more: Any) -> None:
        self.shown._on_message({"kind": kind, "page": self.name, **more})

    def played(self, ms: float, *, done: bool = False, kind: str = "played", **more: Any) -> None:
        items = {id: {"rendered_ms": ms, "played_ms": ms, "done": done} for id in self.bytes}
        self.post(kind, items=items, playing=not done, blocked=False, underruns=0, **more)

    def answer(self, id: int) -> None:
        self.played(640, kind="flushed", id=id)

    def lines(self) -> dict[str, dict[str, Any]]:
        return {message["who"]: message for message in self.received if message["kind"] == "line"}

    def facts(self) -> dict[str, Any]:
        return [message for message in self.received if message["kind"] == "facts"][-1]


@pytest.fixture
async def session(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AsyncSession]:
    OutputCell.all = []
    monkeypatch.setattr(live_turn, "OutputCell", OutputCell)
    client, server = pair()
    serving = asyncio.create_task(serve(server, fake({})))
    session = await AsyncSession(client, billed=False).open({"turn_detection": False, "transcription": True})
    yield session
    await session.close()
    await serving


def show(turn: Any) -> tuple[live_turn.LiveTurn, Page]:
    shown = live_turn.LiveTurn(turn, turn.session)
    shown.display()
    page = Page(shown)
    shown.start()
    return shown, page


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_turn_is_played_and_then_replaced_by_its_card(session: AsyncSession) -> None:
    shown, page = show(session.send("hello there"))
    page.post("hello")
    await shown.turn
    await until(lambda: page.lines().get("assistant", {}).get("final"))
    assert page.lines()["assistant"]["text"] == "You said: hello there"
    assert page.lines()["user"]["text"] == "hello there"
    assert sum(page.bytes.values()) == len(shown.turn.audio) * 2
    assert not shown.replaced
    page.played(400, done=True)
    await until(lambda: shown.replaced)
    (cell,) = OutputCell.all
    first, last = cell.bundles
    assert "application/vnd.jupyter.widget-view+json" in first
    assert "text/html" in first
    assert set(last) == {"text/plain", "text/html"}
    assert "data:audio/ogg;base64," in last["text/html"]
    assert shown.turn.status == "completed"
    assert shown.turn.stop_playback is None
    # A page that was loaded again, or a second tab, gets the card from the widget.
    assert shown.widget.card == last["text/html"]
    assert shown.widget.comm is not None
    count = len(page.received)
    shown.widget._handle_custom_msg({"kind": "hello", "page": "later"}, [])
    shown.widget.post({"kind": "facts"})
    assert len(page.received) == count


async def test_a_call_is_approved_in_the_page(session: AsyncSession) -> None:
    paid: list[str] = []

    @rtnb.tool(approve=True)
    def pay(sum: str = "5") -> str:
        """Pay a sum."""
        paid.append(sum)
        return "paid"

    shown, page = show(session.send("please pay", tools=[pay]))
    page.post("hello")
    await until(lambda: page.received and page.facts()["phase"] == "approval")
    (call,) = page.facts()["calls"]
    assert call["text"].startswith("pay(")
    assert call["runs"]
    assert not shown.replaced
    page.post("approve", call=call["id"])
    page.post("approve", call=call["id"])  # another page was slower
    await shown.turn.finished()
    assert len(paid) == 1
    await until(lambda: page.facts()["calls"] == [])
    page.played(9000, done=True)
    await until(lambda: shown.replaced)


async def test_cards_are_held_for_pages_up_to_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "_finished", deque())
    monkeypatch.setattr(base, "_MAX_CARD_CHARACTERS", 250)
    widgets = [BaseWidget("live_turn/live_turn", lambda message, buffers: None) for _ in range(4)]
    for widget in widgets:
        widget.finish("x" * 100)
    assert [widget.comm is None for widget in widgets] == [True, True, False, False]
    last = BaseWidget("live_turn/live_turn", lambda message, buffers: None)
    last.finish("x" * 1000)
    assert last.comm is not None


async def test_the_card_comes_even_if_no_page_answers(
    session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_turn, "_PAGE_TIMEOUT", 0.05)
    shown, page = show(session.send("hello there"))
    await until(lambda: shown.replaced)
    assert page.received == []
    assert shown.turn.played is None
    assert "You said: hello there" in OutputCell.all[0].bundles[-1]["text/html"]


@pytest.mark.slow
async def test_a_slow_page_still_plays_a_short_answer(session: AsyncSession) -> None:
    shown, page = show(session.send("hello there"))
    await asyncio.sleep(4)
    assert shown.turn.done
    page.post("hello")
    assert sum(page.bytes.values()) == len(shown.turn.audio) * 2
    page.played(9000, done=True)
    await until(lambda: shown.replaced)


async def test_a_page_that_goes_away_does_not_delay_the_card(
    session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_turn, "_REPORT_TIMEOUT", 0.05)
    shown, page = show(session.send("hello there"))
    page.post("hello")
    await until(lambda: shown.replaced)


async def test_stopping_in_the_page_truncates_to_what_was_played(session: AsyncSession) -> None:
    shown, page = show(session.send(LONG))
    page.post("hello")
    await shown.turn
    page.post("stop")
    await until(lambda: shown.replaced)
    assert shown.turn.played == pytest.approx(0.64)
    assert shown.turn.status == "interrupted"
    assert "0.64 s of" in OutputCell.all[0].bundles[-1]["text/html"]
    assert "first 0.64 s was played" in OutputCell.all[0].bundles[-1]["text/html"]  # the picture says so too


async def test_a_page_that_stopped_by_itself_is_not_asked_to(session: AsyncSession) -> None:
    shown, page = show(session.send(LONG))
    page.post("hello")
    await shown.turn
    page.post("stop", stop_id="page-1")
    page.played(480, kind="flushed", id="page-1")
    await until(lambda: shown.replaced)
    assert shown.turn.played == pytest.approx(0.48)
    assert "flush" not in [message["kind"] for message in page.received]


async def test_turns_play_one_after_the_other(session: AsyncSession) -> None:
    first, one = show(session.send("hello there"))
    one.post("hello")
    second, two = show(session.send(LONG))
    two.post("hello")
    third, three = show(session.send("and the last"))
    three.post("hello")
    await third.turn
    assert two.received[0] == {"kind": "owner", "owner": "one"}  # it knows the owner, and shows the turn
    assert two.lines()["assistant"]["text"] == f"You said: {LONG}"
    assert one.bytes
    assert not two.bytes
    assert second._phase() == "held"
    one.played(400, done=True)
    await until(lambda: two.bytes)
    assert sum(two.bytes.values()) == len(second.turn.audio) * 2
    assert not three.bytes
    two.post("stop")
    await until(lambda: three.bytes)
    three.played(900, done=True)
    await until(lambda: first.replaced and second.replaced and third.replaced)
    assert [shown.turn.played for shown in (first, second, third)] == [None, pytest.approx(0.64), None]


async def test_a_turn_whose_page_is_gone_holds_up_no_other(
    session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_turn, "_PAGE_TIMEOUT", 0.05)
    first, _ = show(session.send("hello there"))
    second, two = show(session.send("and more"))
    two.post("hello")
    await until(lambda: first.replaced and two.bytes)
    two.played(400, done=True)
    await until(lambda: second.replaced)


async def test_speaking_ends_what_plays_and_what_waits_to(session: AsyncSession) -> None:
    await session.update(turn_detection="server_vad")
    first, one = show(session.send(LONG))
    one.post("hello")
    second, two = show(session.send("and more"))
    two.post("hello")
    await second.turn
    session.append(Clip.tone(300, 1.0))
    await until(lambda: first.replaced and second.replaced)
    assert [first.turn.played, second.turn.played] == [pytest.approx(0.64), 0.0]
    assert not two.bytes


async def test_stopping_what_a_talk_plays_is_left_to_the_talk(session: AsyncSession) -> None:
    turn = session.send(LONG)
    shown = live_turn.LiveTurn(turn, session, silent=True)
    page = Page(shown)
    shown.start()
    page.post("hello")
    asked: list[str] = []
    turn.stop_playback = lambda: asked.append("talk")
    page.post("stop")
    await turn
    assert (asked, turn.status) == (["talk"], "completed")
    await until(lambda: shown.replaced)


async def test_interrupting_from_python_stops_the_page(session: AsyncSession) -> None:
    shown, page = show(session.send(LONG))
    page.post("hello")
    await shown.turn
    shown.turn.interrupt()
    await until(lambda: shown.replaced)
    assert shown.turn.played == pytest.approx(0.64)
    assert "flush" in [message["kind"] for message in page.received]


async def test_interrupting_with_a_number_stops_the_page_too(session: AsyncSession) -> None:
    shown, page = show(session.send(LONG))
    page.post("hello")
    await shown.turn
    shown.turn.interrupt(1.5)
    await until(lambda: shown.replaced)
    assert shown.turn.played == pytest.approx(1.5)
    assert len([message for message in page.received if message["kind"] == "flush"]) == 1
    assert len(shown.turn.events.filter("conversation.item.truncate")) == 1


async def test_speaking_interrupts(session: AsyncSession) -> None:
    await session.update(turn_detection="server_vad")
    shown, page = show(session.send(LONG))
    page.post("hello")
    await shown.turn
    session.append(Clip.tone(300, 1.0))
    await until(lambda: shown.replaced)
    assert shown.turn.played == pytest.approx(0.64)


async def test_speaking_does_not_interrupt_where_detection_must_not(session: AsyncSession) -> None:
    await session.update(turn_detection={"interrupt_response": False})
    shown, page = show(session.send(LONG))
    page.post("hello")
    await shown.turn
    session.append(Clip.tone(300, 1.0))
    await until(lambda: session.state.log.filter("input_audio_buffer.speech_started"))
    assert "flush" not in [message["kind"] for message in page.received]
    page.played(9000, done=True)
    await until(lambda: shown.replaced)
    assert shown.turn.played is None


async def test_a_queued_turn_says_that_it_waits(session: AsyncSession) -> None:
    session.send(LONG)
    shown, page = show(session.send("second"))
    assert shown._phase() == "queued"
    page.post("hello")
    assert page.facts()["phase"] == "queued"
    assert page.lines()["user"]["text"] == "second"
    await shown.turn
    page.played(400, done=True)
    await until(lambda: shown.replaced)


async def test_a_turn_that_speaks_again_waits_for_one_that_came_between(session: AsyncSession) -> None:
    """As after a tool: the answer goes on, while another turn plays."""
    turns = [await session.send("hello there"), await session.send("and more")]
    first, one = show(turns[0])
    one.post("hello")
    one.played(400, done=True)
    second, two = show(turns[1])
    two.post("hello")
    assert two.bytes
    before = dict(one.bytes)
    first._feed("later", bytes(4800), pcm16)
    assert one.bytes == before
    two.played(400, done=True)
    await until(lambda: one.bytes.get("later"))
    one.played(400, done=True)
    await until(lambda: first.replaced and second.replaced)


async def test_a_second_tab_shows_the_turn_and_may_take_over(session: AsyncSession) -> None:
    shown, page = show(session.send(LONG))
    page.post("hello")
    await shown.turn
    page.played(640)
    shown._on_message({"kind": "hello", "load": "2", "page": "two"})
    assert shown.widget.owner == "one"
    assert not [message for message in page.received if message.get("page") == "two"]
    shown._on_message({"kind": "take_over", "page": "two"})
    assert shown.widget.owner == "two"
    begin = next(m for m in page.received if m["kind"] == "begin" and m["page"] == "two")
    assert begin["rendered_ms"] == 640
    page.name = "two"
    page.played(9000, done=True)
    await until(lambda: shown.replaced)


async def test_blocked_playback_waits_for_the_user(
    session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_turn, "_REPORT_TIMEOUT", 0.05)
    shown, page = show(session.send("hello there"))
    page.post("hello")
    page.post("played", items={}, playing=False, blocked=True, underruns=0)
    await shown.turn
    for _ in range(30):
        await asyncio.sleep(0.01)
    assert not shown.replaced
    page.played(400, done=True)
    await until(lambda: shown.replaced)
    assert shown.turn.played is None


async def test_a_page_that_cannot_play_says_why_and_is_not_waited_for(session: AsyncSession) -> None:
    shown, page = show(session.send("hello there"))
    page.post("hello")
    page.post("failed", message="no audio device")
    await until(lambda: shown.replaced)
    assert shown.widget.error == "no audio device"


async def test_a_page_that_could_not_play_is_waited_for_once_it_can(session: AsyncSession) -> None:
    shown, page = show(session.send(LONG))
    page.post("hello")
    await until(lambda: page.bytes)
    page.post("failed", message="no audio device", stop_id="page-1")
    page.bytes.clear()
    shown._feed("later", bytes(48_000), pcm16)
    assert page.bytes == {"later": 48_000}
    page.played(100)
    await shown.turn
    await asyncio.sleep(0.8)
    assert not shown.replaced
    page.played(1000, done=True)
    await until(lambda: shown.replaced)
    assert not shown.widget.error


async def test_a_broken_page_holds_up_no_other_turn(session: AsyncSession) -> None:
    first, one = show(await session.send("hello there"))
    one.post("hello")
    second, two = show(await session.send("and more"))
    two.post("hello")
    one.post("failed", message="no audio device", stop_id="page-1")
    await until(lambda: two.bytes and first.replaced)
    two.played(400, done=True)
    await until(lambda: second.replaced)


async def test_captions_never_touch_audio(session: AsyncSession) -> None:
    turn = await session.send("hello <b>there</b>")
    user, said = captions.lines(turn, session.state)
    assert (user["text"], user["final"]) == ("hello <b>there</b>", True)
    assert (said["text"], said["note"]) == ("You said: hello <b>there</b>", "")
    shown = captions.card(turn)
    assert shown["answer"] == [
        {"texts": [["You said: hello <b>there</b>", False]], "note": "", "failed": False}
    ]
    assert [before for before, _, _ in shown["foot"]][-1] == "would cost"
    assert "would cost $" in captions.usage(session.state, False)


def test_nothing_is_installed_without_a_kernel() -> None:
    display.install()
    code = "import rtnb, sys; rtnb.connect(engine='fake').close(); print('IPython' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("batch", [False, True])
def test_slow_work_shows_its_progress_in_the_cell(monkeypatch: pytest.MonkeyPatch, batch: bool) -> None:
    OutputCell.all = []
    clock = iter([0.0, 0.5, 1.5, 3.2])
    monkeypatch.setattr(display, "OutputCell", OutputCell)
    monkeypatch.setattr(display, "kernel_shell", object)
    monkeypatch.setattr(display, "unattended", lambda: batch)
    monkeypatch.setattr(display.time, "monotonic", lambda: next(clock))
    with display.progress_line("It <b>was</b> there") as progress:
        for text in ("so far", "far", "farther"):
            progress(text)
            if batch:
                break
    if batch:
        assert not OutputCell.all
        return
    (cell,) = OutputCell.all
    texts = [bundle["text/plain"] for bundle in cell.bundles]
    assert texts == ["far", "farther", "It <b>was</b> there in 3 s."]
    assert "It &lt;b&gt;was" in cell.bundles[-1]["text/html"]


def test_work_that_fails_is_not_shown_as_running(monkeypatch: pytest.MonkeyPatch) -> None:
    OutputCell.all = []
    clock = iter([0.0, 1.5, 3.2])
    monkeypatch.setattr(display, "OutputCell", OutputCell)
    monkeypatch.setattr(display, "kernel_shell", object)
    monkeypatch.setattr(display, "unattended", lambda: False)
    monkeypatch.setattr(display.time, "monotonic", lambda: next(clock))

    def fail() -> None:
        with display.progress_line("It was there") as progress:
            progress("so far")
            raise OSError("no")

    with pytest.raises(OSError, match="no"):
        fail()
    (cell,) = OutputCell.all
    assert [bundle["text/plain"] for bundle in cell.bundles] == ["so far", "Failed after 3 s."]


def test_outside_of_a_kernel_no_progress_is_shown() -> None:
    with display.progress_line("Done") as progress:
        assert progress is None


def run_notebook(cells: list[str], folder: Path) -> list[Any]:
    """Execute cells as nbclient does, in this Python, and return them."""
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import KernelManager
    from nbclient import NotebookClient

    class Manager(KernelManager):
        @property
        def kernel_spec(self) -> KernelSpec:
            return KernelSpec(
                argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
                display_name="here",
                language="python",
            )

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = NotebookClient(
        notebook, timeout=60, kernel_manager_class=Manager, resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    return notebook.cells


@pytest.mark.slow
@pytest.mark.usefixtures("server_home")
def test_an_unattended_notebook_keeps_complete_cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    cells = run_notebook(
        [
            "import rtnb\ns = rtnb.connect(engine='fake')",
            f"s.send({LONG!r})",
            "for text in ('one', 'two'):\n    display(s.send(text))",
            "s.talk()",
            "s.close()",
        ],
        tmp_path,
    )
    shown = [[output.data for output in cell.outputs if "data" in output] for cell in cells]
    assert [len(outputs) for outputs in shown] == [0, 1, 2, 1, 0]
    assert "data:audio/ogg;base64," in shown[1][0]["text/html"]
    assert "You said: one" in shown[2][0]["text/html"]
    assert "press Start" in textwrap.dedent(shown[3][0]["text/html"])
    assert "widget-view" not in json.dumps(shown)
