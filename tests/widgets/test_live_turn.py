"""The kernel's end of a live turn, with the real session and server and a page that the test plays."""

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

from rtnb.audio import Clip
from rtnb.audio.codecs import pcm16
from rtnb.engines.fake import fake
from rtnb.notebook import display
from rtnb.server.session import serve
from rtnb.session.async_session import AsyncSession
from rtnb.transports import pair
from rtnb.widgets import base as page_module
from rtnb.widgets import captions, live_turn

LONG = " ".join(f"word{number}" for number in range(80))


class OutputCell:
    """Stands in for an output of a cell."""

    made: list[OutputCell]

    def __init__(self, bundle: dict[str, Any]) -> None:
        self.bundles = [bundle]
        OutputCell.made.append(self)

    def replace(self, bundle: dict[str, Any]) -> None:
        self.bundles.append(bundle)


class Page:
    """A page: it keeps what the widget sends and says what the test wants."""

    def __init__(self, shown: live_turn.Live, name: str = "one") -> None:
        self.name = name
        self.shown = shown
        self.told: list[dict[str, Any]] = []
        self.bytes: dict[str, int] = {}
        before = shown.widget.send

        def send(message: dict[str, Any], buffers: Any = None) -> None:
            self.told.append(message)
            if message["kind"] == "sound":
                self.bytes[message["item"]] = self.bytes.get(message["item"], 0) + len(buffers[0])
            if message["kind"] == "flush" and message["page"] == self.name:
                self.answer(message["id"])
            before(message, buffers)

        shown.widget.send = send

    def say(self, kind: str, **more: Any) -> None:
        self.shown._hear({"kind": kind, "page": self.name, **more})

    def played(self, ms: float, *, over: bool = False, kind: str = "played", **more: Any) -> None:
        items = {id: {"played_ms": ms, "heard_ms": ms, "over": over} for id in self.bytes}
        self.say(kind, items=items, playing=not over, blocked=False, underruns=0, **more)

    def answer(self, id: int) -> None:
        self.played(640, kind="flushed", id=id)

    def lines(self) -> dict[str, dict[str, Any]]:
        return {message["who"]: message for message in self.told if message["kind"] == "line"}

    def facts(self) -> dict[str, Any]:
        return [message for message in self.told if message["kind"] == "facts"][-1]


@pytest.fixture
async def session(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AsyncSession]:
    OutputCell.made = []
    monkeypatch.setattr(live_turn, "OutputCell", OutputCell)
    client, server = pair()
    serving = asyncio.create_task(serve(server, fake({})))
    made = await AsyncSession(client, billed=False).open({"turn_detection": False, "transcription": True})
    yield made
    await made.close()
    await serving


def show(turn: Any) -> tuple[live_turn.Live, Page]:
    shown = live_turn.Live(turn, turn.session)
    shown.display()
    page = Page(shown)
    shown.begin()
    return shown, page


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_turn_is_played_and_then_replaced_by_its_card(session: AsyncSession) -> None:
    shown, page = show(session.send("hello there"))
    page.say("hello")
    await shown.turn
    await until(lambda: page.lines().get("assistant", {}).get("final"))
    assert page.lines()["assistant"]["text"] == "You said: hello there"
    assert page.lines()["user"]["text"] == "hello there"
    assert sum(page.bytes.values()) == len(shown.turn.audio) * 2
    assert not shown.replaced
    page.played(400, over=True)
    await until(lambda: shown.replaced)
    (place,) = OutputCell.made
    first, last = place.bundles
    assert "application/vnd.jupyter.widget-view+json" in first
    assert "text/html" in first
    assert set(last) == {"text/plain", "text/html"}
    assert "data:audio/ogg;base64," in last["text/html"]
    assert shown.turn.status == "completed"
    assert shown.turn.stop_playback is None
    # A page that was loaded again, or a second tab, gets the card from the widget.
    assert shown.widget.card == last["text/html"]
    assert shown.widget.comm is not None
    told = len(page.told)
    shown.widget._handle_custom_msg({"kind": "hello", "page": "later"}, [])
    shown.widget.tell({"kind": "facts"})
    assert len(page.told) == told


async def test_cards_are_held_for_pages_up_to_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "_over", deque())
    monkeypatch.setattr(page_module, "_KEPT_LETTERS", 250)
    widgets = [live_turn.LiveWidget(lambda message, buffers: None) for _ in range(4)]
    for widget in widgets:
        widget.finish("x" * 100)
    assert [widget.comm is None for widget in widgets] == [True, True, False, False]
    last = live_turn.LiveWidget(lambda message, buffers: None)
    last.finish("x" * 1000)
    assert last.comm is not None


async def test_where_no_page_answers_the_card_comes_all_the_same(
    session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_turn, "_PAGE_SECONDS", 0.05)
    shown, page = show(session.send("hello there"))
    await until(lambda: shown.replaced)
    assert page.told == []
    assert shown.turn.played is None
    assert "You said: hello there" in OutputCell.made[0].bundles[-1]["text/html"]


@pytest.mark.slow
async def test_a_slow_page_still_plays_a_short_answer(session: AsyncSession) -> None:
    shown, page = show(session.send("hello there"))
    await asyncio.sleep(4)
    assert shown.turn.done
    page.say("hello")
    assert sum(page.bytes.values()) == len(shown.turn.audio) * 2
    page.played(9000, over=True)
    await until(lambda: shown.replaced)


async def test_a_page_that_goes_away_does_not_keep_the_card(
    session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_turn, "_SILENT_SECONDS", 0.05)
    shown, page = show(session.send("hello there"))
    page.say("hello")
    await until(lambda: shown.replaced)


async def test_stopping_in_the_page_cuts_to_what_was_heard(session: AsyncSession) -> None:
    shown, page = show(session.send(LONG))
    page.say("hello")
    await shown.turn
    page.say("stop")
    await until(lambda: shown.replaced)
    assert shown.turn.played == pytest.approx(0.64)
    assert shown.turn.status == "interrupted"
    assert "0.64 s of" in OutputCell.made[0].bundles[-1]["text/html"]
    assert "first 0.64 s was played" in OutputCell.made[0].bundles[-1]["text/html"]  # the picture says so too


async def test_a_page_that_fell_silent_by_itself_is_cut_to_its_counts(session: AsyncSession) -> None:
    shown, page = show(session.send(LONG))
    page.say("hello")
    await shown.turn
    page.say("stop", hush="page-1")
    page.played(480, kind="flushed", id="page-1")
    await until(lambda: shown.replaced)
    assert shown.turn.played == pytest.approx(0.48)
    assert "flush" not in [message["kind"] for message in page.told]


async def test_turns_sound_one_after_the_other(session: AsyncSession) -> None:
    first, one = show(session.send("hello there"))
    one.say("hello")
    second, two = show(session.send(LONG))
    two.say("hello")
    third, three = show(session.send("and the last"))
    three.say("hello")
    await third.turn
    assert two.told[0] == {"kind": "owner", "owner": "one"}  # it knows who plays, and shows what comes
    assert two.lines()["assistant"]["text"] == f"You said: {LONG}"
    assert one.bytes
    assert not two.bytes
    assert second._phase() == "held"
    one.played(400, over=True)
    await until(lambda: two.bytes)
    assert sum(two.bytes.values()) == len(second.turn.audio) * 2
    assert not three.bytes
    two.say("stop")
    await until(lambda: three.bytes)
    three.played(900, over=True)
    await until(lambda: first.replaced and second.replaced and third.replaced)
    assert [shown.turn.played for shown in (first, second, third)] == [None, pytest.approx(0.64), None]


async def test_a_turn_whose_page_is_gone_holds_up_no_other(
    session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_turn, "_PAGE_SECONDS", 0.05)
    first, _ = show(session.send("hello there"))
    second, two = show(session.send("and more"))
    two.say("hello")
    await until(lambda: first.replaced and two.bytes)
    two.played(400, over=True)
    await until(lambda: second.replaced)


async def test_speaking_ends_what_sounds_and_what_waits_to(session: AsyncSession) -> None:
    await session.update(turn_detection="server_vad")
    first, one = show(session.send(LONG))
    one.say("hello")
    second, two = show(session.send("and more"))
    two.say("hello")
    await second.turn
    session.append(Clip.tone(300, 1.0))
    await until(lambda: first.replaced and second.replaced)
    assert [first.turn.played, second.turn.played] == [pytest.approx(0.64), 0.0]
    assert not two.bytes


async def test_stopping_what_a_talk_plays_is_left_to_the_talk(session: AsyncSession) -> None:
    turn = session.send(LONG)
    shown = live_turn.Live(turn, session, silent=True)
    page = Page(shown)
    shown.begin()
    page.say("hello")
    asked: list[str] = []
    turn.stop_playback = lambda: asked.append("talk")
    page.say("stop")
    await turn
    assert (asked, turn.status) == (["talk"], "completed")
    await until(lambda: shown.replaced)


async def test_interrupting_from_python_silences_the_page(session: AsyncSession) -> None:
    shown, page = show(session.send(LONG))
    page.say("hello")
    await shown.turn
    shown.turn.interrupt()
    await until(lambda: shown.replaced)
    assert shown.turn.played == pytest.approx(0.64)
    assert "flush" in [message["kind"] for message in page.told]


async def test_interrupting_with_a_number_silences_the_page_too(session: AsyncSession) -> None:
    shown, page = show(session.send(LONG))
    page.say("hello")
    await shown.turn
    shown.turn.interrupt(1.5)
    await until(lambda: shown.replaced)
    assert shown.turn.played == pytest.approx(1.5)
    assert len([message for message in page.told if message["kind"] == "flush"]) == 1
    assert len(shown.turn.events.filter("conversation.item.truncate")) == 1


async def test_speaking_interrupts(session: AsyncSession) -> None:
    await session.update(turn_detection="server_vad")
    shown, page = show(session.send(LONG))
    page.say("hello")
    await shown.turn
    session.append(Clip.tone(300, 1.0))
    await until(lambda: shown.replaced)
    assert shown.turn.played == pytest.approx(0.64)


async def test_speaking_that_shall_not_interrupt_does_not(session: AsyncSession) -> None:
    await session.update(turn_detection={"interrupt_response": False})
    shown, page = show(session.send(LONG))
    page.say("hello")
    await shown.turn
    session.append(Clip.tone(300, 1.0))
    await until(lambda: session.state.log.filter("input_audio_buffer.speech_started"))
    assert "flush" not in [message["kind"] for message in page.told]
    page.played(9000, over=True)
    await until(lambda: shown.replaced)
    assert shown.turn.played is None


async def test_a_queued_turn_waits_in_words(session: AsyncSession) -> None:
    session.send(LONG)
    shown, page = show(session.send("second"))
    assert shown._phase() == "queued"
    page.say("hello")
    assert page.facts()["phase"] == "queued"
    assert page.lines()["user"]["text"] == "second"
    await shown.turn
    page.played(400, over=True)
    await until(lambda: shown.replaced)


async def test_a_turn_that_speaks_again_waits_for_one_that_came_between(session: AsyncSession) -> None:
    """As after a tool: the answer goes on, while another turn has the session's sound."""
    turns = [await session.send("hello there"), await session.send("and more")]
    first, one = show(turns[0])
    one.say("hello")
    one.played(400, over=True)
    second, two = show(turns[1])
    two.say("hello")
    assert two.bytes
    before = dict(one.bytes)
    first._sound("later", bytes(4800), pcm16)
    assert one.bytes == before
    two.played(400, over=True)
    await until(lambda: one.bytes.get("later"))
    one.played(400, over=True)
    await until(lambda: first.replaced and second.replaced)


async def test_a_second_tab_looks_on_and_may_take_over(session: AsyncSession) -> None:
    shown, page = show(session.send(LONG))
    page.say("hello")
    await shown.turn
    page.played(640)
    shown._hear({"kind": "hello", "load": "2", "page": "two"})
    assert shown.widget.owner == "one"
    assert not [message for message in page.told if message.get("page") == "two"]
    shown._hear({"kind": "take", "page": "two"})
    assert shown.widget.owner == "two"
    begin = next(m for m in page.told if m["kind"] == "begin" and m["page"] == "two")
    assert begin["played_ms"] == 640
    page.name = "two"
    page.played(9000, over=True)
    await until(lambda: shown.replaced)


async def test_blocked_sound_waits_for_its_user(
    session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_turn, "_SILENT_SECONDS", 0.05)
    shown, page = show(session.send("hello there"))
    page.say("hello")
    page.say("played", items={}, playing=False, blocked=True, underruns=0)
    await shown.turn
    for _ in range(30):
        await asyncio.sleep(0.01)
    assert not shown.replaced
    page.played(400, over=True)
    await until(lambda: shown.replaced)
    assert shown.turn.played is None


async def test_a_broken_page_is_a_sentence_and_no_wait(session: AsyncSession) -> None:
    shown, page = show(session.send("hello there"))
    page.say("hello")
    page.say("failed", message="no audio device")
    await until(lambda: shown.replaced)
    assert shown.widget.error == "no audio device"


async def test_a_page_that_could_not_play_is_waited_for_once_it_can(session: AsyncSession) -> None:
    shown, page = show(session.send(LONG))
    page.say("hello")
    await until(lambda: page.bytes)
    page.say("failed", message="no audio device", hush="page-1")
    page.bytes.clear()
    shown._sound("later", bytes(48_000), pcm16)
    assert page.bytes == {"later": 48_000}
    page.played(100)
    await shown.turn
    await asyncio.sleep(0.8)
    assert not shown.replaced
    page.played(1000, over=True)
    await until(lambda: shown.replaced)
    assert not shown.widget.error


async def test_a_broken_page_holds_up_no_other_turn(session: AsyncSession) -> None:
    first, one = show(await session.send("hello there"))
    one.say("hello")
    second, two = show(await session.send("and more"))
    two.say("hello")
    one.say("failed", message="no audio device", hush="page-1")
    await until(lambda: two.bytes and first.replaced)
    two.played(400, over=True)
    await until(lambda: second.replaced)


async def test_captions_never_touch_sound(session: AsyncSession) -> None:
    turn = await session.send("hello <b>there</b>")
    user, said = captions.lines(turn, session.state)
    assert (user["text"], user["final"]) == ("hello <b>there</b>", True)
    assert (said["text"], said["note"]) == ("You said: hello <b>there</b>", "")
    assert "would cost $" in captions.facts(turn)
    assert "would cost $" in captions.money(session.state, False)


def test_nothing_is_installed_without_a_kernel() -> None:
    display.install()
    code = "import rtnb, sys; rtnb.connect(engine='fake').close(); print('IPython' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("batch", [False, True])
def test_what_takes_its_time_is_told_in_the_cell(monkeypatch: pytest.MonkeyPatch, batch: bool) -> None:
    OutputCell.made = []
    clock = iter([0.0, 0.5, 1.5, 3.2])
    monkeypatch.setattr(display, "OutputCell", OutputCell)
    monkeypatch.setattr(display, "kernel_shell", object)
    monkeypatch.setattr(display, "unattended", lambda: batch)
    monkeypatch.setattr(display.time, "monotonic", lambda: next(clock))
    with display.progress_line("It <b>was</b> there") as tell:
        for text in ("so far", "far", "farther"):
            tell(text)
            if batch:
                break
    if batch:
        assert not OutputCell.made
        return
    (place,) = OutputCell.made
    told = [bundle["text/plain"] for bundle in place.bundles]
    assert told == ["far", "farther", "It <b>was</b> there in 3 s."]
    assert "It &lt;b&gt;was" in place.bundles[-1]["text/html"]


def test_what_fails_is_not_told_as_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    OutputCell.made = []
    clock = iter([0.0, 1.5, 3.2])
    monkeypatch.setattr(display, "OutputCell", OutputCell)
    monkeypatch.setattr(display, "kernel_shell", object)
    monkeypatch.setattr(display, "unattended", lambda: False)
    monkeypatch.setattr(display.time, "monotonic", lambda: next(clock))

    def fail() -> None:
        with display.progress_line("It was there") as tell:
            tell("so far")
            raise OSError("no")

    with pytest.raises(OSError, match="no"):
        fail()
    (place,) = OutputCell.made
    assert [bundle["text/plain"] for bundle in place.bundles] == ["so far", "Failed after 3 s."]


def test_outside_of_a_kernel_nothing_is_told() -> None:
    with display.progress_line("over") as tell:
        assert tell is None


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
def test_a_notebook_without_a_reader_keeps_whole_cards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
