"""The kernel's side of a talk, with the real session and server and a page that the test simulates."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

import rtnb
from rtnb.audio import Clip
from rtnb.engines.fake import fake
from rtnb.notebook import display
from rtnb.server.session import serve
from rtnb.session.async_session import AsyncSession
from rtnb.transports import pair
from rtnb.widgets import live_turn
from rtnb.widgets.talk import Talk, live_talk

pytestmark = pytest.mark.usefixtures("server_home")

SPEECH = Clip.tone(300, 1.0) + Clip.silence(1.0)


class Page:
    """A page that talks: it records what the widget sends, and sends what the test wants."""

    def __init__(self, talk: Talk, name: str = "one") -> None:
        self.talk = talk
        self.name = name
        self.received: list[dict[str, Any]] = []
        self.items: set[str] = set()
        talk._widget.send = self.send

    def send(self, message: dict[str, Any], buffers: Any = None) -> None:
        self.received.append(message)
        if message["kind"] == "audio":
            self.items.add(message["item"])
        if message["kind"] == "flush" and message["page"] == self.name:
            self.played(120, kind="flushed", id=message["id"])

    def post(self, kind: str, **more: Any) -> None:
        self.talk._on_message({"kind": kind, "page": self.name, **more}, [])

    def speak(self, clip: Clip = SPEECH) -> None:
        data = clip.to_pcm16(24_000)
        for start in range(0, len(data), 1920):
            self.talk._on_message(
                {"kind": "audio", "page": self.name}, [memoryview(data[start : start + 1920])]
            )

    def played(self, ms: float, *, done: bool = False, kind: str = "played", **more: Any) -> None:
        items = {id: {"rendered_ms": ms, "played_ms": ms, "done": done} for id in self.items}
        self.post(kind, items=items, playing=False, blocked=False, underruns=0, **more)

    def kinds(self) -> list[str]:
        return [message["kind"] for message in self.received]

    def facts(self) -> dict[str, Any]:
        return [message for message in self.received if message["kind"] == "facts"][-1]

    def lines(self) -> dict[str, dict[str, Any]]:
        return {message["key"]: message for message in self.received if message["kind"] == "line"}


class OutputCell:
    """Stands in for an output of a cell."""

    def __init__(self, bundle: dict[str, Any]) -> None:
        self.bundles = [bundle]

    def replace(self, bundle: dict[str, Any]) -> None:
        self.bundles.append(bundle)


@pytest.fixture
async def core() -> AsyncIterator[AsyncSession]:
    client, server = pair()
    serving = asyncio.create_task(serve(server, fake({})))
    session = await AsyncSession(client, billed=False).open({"turn_detection": False, "transcription": True})
    yield session
    await session.close()
    await serving


@pytest.fixture
def panel(core: AsyncSession, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that shows a talk with these options and returns it with its page."""
    monkeypatch.setattr(display, "live_pages", lambda: True)
    monkeypatch.setattr(display, "OutputCell", OutputCell)

    def show(**options: Any) -> tuple[Talk, Page]:
        talk = Talk(core, capture={"echoCancellation": True}, **options)
        talk._ipython_display_()
        page = Page(talk)
        page.post("hello")
        return talk, page

    return show


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


def detection(core: AsyncSession) -> Any:
    return core.state.conversation.turn_detection


async def test_hands_free_from_start_to_cards(core: AsyncSession, panel: Any) -> None:
    talk, page = panel()
    assert page.facts()["state"] == "ready"
    assert page.facts()["capture"] == {"echoCancellation": True}
    assert detection(core) is None
    page.post("start", mic=True, problem="", info={"rate": 24000})
    await until(lambda: detection(core))
    assert live_talk(core) is talk
    page.speak()
    await until(
        lambda: talk.turns and talk.turns[0].done and page.lines().get("0-assistant", {}).get("final")
    )
    assert "speech" in page.lines()["0-user"]["text"]
    assert page.items
    await until(lambda: page.facts()["context"][0] > 0 and "would cost $" in page.facts()["used"])
    page.played(9000, done=True)
    page.post("finish")
    await until(lambda: len(talk._cells[0].bundles) == 2 and talk._widget.card)
    assert talk.state == "stopped"
    assert detection(core) is None
    assert live_talk(core) is None
    card = talk._cells[0].bundles[-1]["text/html"]
    assert "1 turn" in card
    assert card.count("data:audio/ogg;base64,") == 2
    assert talk.turns[0].status == "completed"
    assert repr(talk) == "<Talk stopped: 1 turn>"
    assert page.facts()["state"] == "stopped"
    assert talk._widget.card == card


async def test_a_hello_counts_once_and_need_not_come_first(
    core: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(display, "live_pages", lambda: True)
    monkeypatch.setattr(display, "OutputCell", OutputCell)
    talk = Talk(core, capture={})
    talk._ipython_display_()
    page = Page(talk)
    page.post("here", load="")
    assert talk._widget.owner == ""
    page.post("start", mic=True, load="a")
    assert talk._widget.owner == "one"
    await until(lambda: detection(core))
    await core.send("hello")
    sent = page.kinds().count("audio")
    for _ in range(2):
        page.post("hello", load="a")
    page.post("take_over", load="a")
    assert page.kinds().count("audio") == sent
    assert page.kinds().count("begin") == 0
    page.post("hello", load="b")  # loaded again
    assert page.kinds().count("begin") == 1


async def test_the_microphone_is_chosen_in_the_page(core: AsyncSession, panel: Any) -> None:
    talk, page = panel()
    assert talk.microphone is None
    page.post("capture", device="ignored", echoCancellation=False, evil=1)
    await until(lambda: page.facts()["capture"] == {"echoCancellation": False})
    page.post(
        "start", mic=True, problem="", info={"device": "Headset", "rate": 48_000, "echoCancellation": False}
    )
    assert talk.microphone == {
        "device": "Headset",
        "device_rate": 48_000,
        "echo_cancellation": False,
        "noise_suppression": None,
        "auto_gain_control": None,
    }
    await until(lambda: detection(core))
    page.post("start", mic=False, problem="It went away.")
    assert talk.microphone is None


async def test_a_page_that_takes_over_is_muted_as_the_one_before_it_was(
    core: AsyncSession, panel: Any
) -> None:
    _, page = panel(half_duplex=True)
    page.post("mute", muted=True)
    await until(lambda: page.facts()["muted"])
    assert page.facts()["half"]
    page.post("mute", half=False)
    await until(lambda: not page.facts()["half"])
    assert page.facts()["muted"]


async def test_speaking_interrupts_what_plays(core: AsyncSession, panel: Any) -> None:
    talk, page = panel()
    page.post("start", mic=True)
    await until(lambda: detection(core))
    page.speak()
    await until(lambda: talk.turns and talk.turns[0].done)
    page.speak()
    await until(lambda: talk.turns[0].played is not None)
    assert talk.turns[0].played == pytest.approx(0.12)
    assert talk.turns[0].status == "interrupted"
    await until(lambda: "0.12 s" in page.lines().get("0-assistant", {}).get("note", ""))


async def test_a_turn_is_truncated_once_when_the_page_stopped_by_itself(
    core: AsyncSession, panel: Any
) -> None:
    talk, page = panel(push_to_talk=True)
    page.post("start", mic=True)
    await until(lambda: page.facts()["state"] == "live")
    turn = await core.send("hello there")
    page.post("press", stop_id="page-1")
    page.played(230, kind="flushed", id="page-1")
    await until(lambda: turn.played is not None)
    assert turn.played == pytest.approx(0.23)
    page.post("finish", stop_id="page-2")
    page.played(230, kind="flushed", id="page-2")
    await until(lambda: talk._widget.card)
    assert len(core.state.log.filter("conversation.item.truncate")) == 1
    assert "flush" not in page.kinds()
    assert page.kinds().count("playback_stopped") == 2


async def test_a_page_that_stopped_by_itself_is_not_asked_to_while_the_answer_runs(
    core: AsyncSession, panel: Any
) -> None:
    _, page = panel(push_to_talk=True)
    page.post("start", mic=True)
    await until(lambda: page.facts()["state"] == "live")
    turn = core.send(" ".join(["word"] * 400))
    async with asyncio.timeout(20):
        while not page.items:
            await asyncio.sleep(0)
    assert not turn.done
    page.post("interrupt", stop_id="page-1")
    page.played(80, kind="flushed", id="page-1")
    await until(lambda: turn.played is not None)
    assert turn.played == pytest.approx(0.08)
    assert "flush" not in page.kinds()
    await turn
    assert len(core.state.log.filter("conversation.item.truncate")) == 1


async def test_interrupting_a_tool_starts_no_waiting_turn(core: AsyncSession, panel: Any) -> None:
    started = asyncio.Event()

    async def lookup(what: str) -> str:
        """Look it up."""
        started.set()
        return await asyncio.Future()

    _, page = panel(push_to_talk=True)
    page.post("start", mic=True)
    await until(lambda: page.facts()["state"] == "live")
    first = core.send("look it up", tools=[lookup], tool_choice="lookup")
    second = core.send("and then this")
    await started.wait()
    asked = len(core.state.log.filter("response.create"))
    page.post("interrupt")
    await asyncio.sleep(0.1)
    assert [first.done, second.done] == [True, True]
    assert len(core.state.log.filter("response.create")) == asked


async def test_a_turn_that_was_sent_before_plays_in_its_own_cell(
    core: AsyncSession, panel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_turn, "OutputCell", OutputCell)
    before = [core.send("hello there"), core.send("and more")]
    _, page = panel()
    page.post("start", mic=True)
    own = core.send("and this")
    assert [live_turn.show(turn)._silent for turn in (*before, own)] == [False, False, True]
    await own
    await until(lambda: page.lines().get(f"{own.number}-assistant", {}).get("final"))
    assert page.items == {item.id for item in own.items if item.role == "assistant"}
    assert {key.split("-")[0] for key in page.lines()} == {str(own.number)}


async def test_a_page_that_cannot_play_says_so_and_is_tried_again(core: AsyncSession, panel: Any) -> None:
    talk, page = panel()
    page.post("start", mic=True)
    await until(lambda: detection(core))
    turn = await core.send("hello there")
    page.post("failed", message="no audio device", stop_id="page-1")
    assert talk._widget.error == "no audio device"
    assert page.kinds()[-1] == "playback_stopped"
    assert not talk._player.pending
    page.items.clear()
    await core.send("and more")
    assert page.items
    assert turn.played is None  # it was read


async def test_pressing_the_button_stops_what_was_sent_before_too(
    core: AsyncSession, panel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_turn, "OutputCell", OutputCell)
    shown = live_turn.show(await core.send("hello there"))
    await asyncio.sleep(0)
    shown._on_message({"kind": "hello", "page": "one"})
    _, page = panel(push_to_talk=True)
    page.post("start", mic=True)
    await until(lambda: page.facts()["state"] == "live")
    assert shown._player.pending
    page.post("press")
    assert not shown._player.pending
    await until(lambda: shown.turn.played == 0.0)


async def test_it_ends_and_says_why_when_the_budget_is_used_up(core: AsyncSession, panel: Any) -> None:
    core.set_budget("5 tokens")
    talk, page = panel()
    page.post("start", mic=True)
    await until(lambda: detection(core))
    page.speak()
    with pytest.warns(rtnb.BudgetWarning, match="of 5 tokens"):
        await until(lambda: talk.turns and talk.turns[0].done)
    assert talk.turns[0].status == "completed"
    assert talk.state == "live"  # the answer is played to its end
    page.played(9000, done=True)
    await until(lambda: len(talk._cells[0].bundles) == 2)
    assert talk.state == "stopped"
    assert "The talk ended: the budget is used up: " in talk._cells[0].bundles[-1]["text/html"]
    assert detection(core) is None


async def test_push_to_talk(core: AsyncSession, panel: Any) -> None:
    talk, page = panel(push_to_talk=True)
    page.post("start", mic=True)
    await until(lambda: page.facts()["state"] == "live")
    page.post("press")
    page.speak(Clip.tone(300, 0.04))
    page.post("release")
    await until(lambda: "too short" in page.facts()["note"])
    assert talk.turns == []
    page.post("press")
    page.speak(Clip.tone(300, 1.0))
    page.post("release")
    await until(lambda: talk.turns and talk.turns[0].done)
    assert talk.turns[0].input.audio.seconds == pytest.approx(1.0)  # the short one was cleared
    page.post("press")  # while the answer plays: it is stopped and truncated
    await until(lambda: talk.turns[0].played is not None)
    page.speak(Clip.tone(300, 0.5))
    page.post("release")
    await until(lambda: len(talk.turns) == 2 and talk.turns[1].done)
    assert detection(core) is None


@pytest.mark.parametrize("gone", ["loaded again", "taken over"])
async def test_what_was_said_until_the_page_is_gone_is_answered(
    core: AsyncSession, panel: Any, gone: str
) -> None:
    talk, page = panel(push_to_talk=True)
    page.post("start", mic=True)
    await until(lambda: page.facts()["state"] == "live")
    page.post("press")
    page.speak(Clip.tone(300, 1.0))
    await until(lambda: page.facts()["phase"] == "user_speaking")
    if gone == "loaded again":
        page.post("hello", load="2")
    else:
        talk._on_message({"kind": "take_over", "load": "2", "page": "two"}, [])
        page.post("release")
    await until(lambda: talk.turns and talk.turns[0].done)
    assert talk.turns[0].input.audio.seconds == pytest.approx(1.0)
    await until(lambda: page.facts()["phase"] != "user_speaking")
    assert len(talk.turns) == 1


async def test_speech_while_the_button_is_held_counts_whatever_the_answer_before_does(
    core: AsyncSession, panel: Any
) -> None:
    talk, page = panel(push_to_talk=True)
    page.post("start", mic=True)
    await until(lambda: page.facts()["state"] == "live")
    turn = core.send(" ".join(["word"] * 80))
    await until(lambda: page.items)
    page.post("press")
    await turn
    await asyncio.sleep(0.1)
    assert page.facts()["phase"] == "user_speaking"
    page.speak(Clip.tone(300, 1.0))
    page.post("release")
    await until(lambda: len(talk.turns) == 2 and talk.turns[1].done)


@pytest.mark.parametrize("where", ["page", "python"])
async def test_stopping_while_the_button_is_held_asks_for_no_answer(
    core: AsyncSession, panel: Any, where: str
) -> None:
    talk, page = panel(push_to_talk=True)
    page.post("start", mic=True)
    await until(lambda: page.facts()["state"] == "live")
    page.post("press")
    page.speak(Clip.tone(300, 1.0))
    if where == "page":
        page.post("finish")
    else:
        talk.stop()
        await until(lambda: talk.state == "stopped")
    page.post("release")
    await until(lambda: talk._widget.card)
    assert talk.turns == []
    assert not core.state.log.filter("input_audio_buffer.commit")


async def test_what_is_said_soon_after_a_release_is_neither_lost_nor_mixed(
    core: AsyncSession, panel: Any
) -> None:
    talk, page = panel(push_to_talk=True)
    page.post("start", mic=True)
    await until(lambda: page.facts()["state"] == "live")
    core.send(" ".join(["word"] * 80))
    for seconds in (0.5, 1.5):  # all while the answer is being stopped
        page.post("press")
        page.speak(Clip.tone(300, seconds))
        page.post("release")
    await until(lambda: talk.turns[-1].done and talk.turns[-1].text_so_far)
    sounds = [item.audio_ms for item in core.state.conversation if item.role == "user" and item.audio_ms]
    assert sounds == [500, 1500]
    assert [turn.status for turn in talk.turns[1:]] == ["cancelled", "completed"]
    assert talk.turns[-1].input.audio.seconds == pytest.approx(2.0)  # both were answered together
    talk._on_message({"kind": "hello", "load": "2", "page": "two"}, [])
    assert page.lines()["0-user"]["text"].startswith("word")  # and the one that was dropped is no line


async def test_the_mode_changes_while_it_talks(core: AsyncSession, panel: Any) -> None:
    talk, page = panel(turn_detection={"silence_duration_ms": 300})
    page.post("start", mic=True)
    await until(lambda: detection(core) and detection(core)["silence_duration_ms"] == 300)
    page.post("mode", push=True)
    await until(lambda: detection(core) is None)
    page.post("mode", push=False)
    await until(lambda: detection(core))
    assert talk.state == "live"


async def test_the_sessions_own_detection_comes_back(core: AsyncSession, panel: Any) -> None:
    await core.update(turn_detection={"silence_duration_ms": 777})
    talk, page = panel(push_to_talk=True)
    page.post("start", mic=False, problem="No microphone was found.")
    await until(lambda: detection(core) is None)
    assert talk._widget.error == "No microphone was found."
    talk.stop()
    await until(lambda: len(talk._cells[0].bundles) == 2)
    assert detection(core)["silence_duration_ms"] == 777
    assert "Nothing was said." in talk._cells[0].bundles[-1]["text/html"]


async def test_what_was_said_and_not_sent_when_it_ended_is_in_no_turn(core: AsyncSession, panel: Any) -> None:
    talk, page = panel(push_to_talk=True)
    page.post("start", mic=True)
    await until(lambda: page.facts()["state"] == "live")
    page.post("press")
    page.speak(Clip.tone(300, 1.0))
    page.post("finish")
    await until(lambda: talk._widget.card)
    core.append(Clip.tone(300, 0.5))
    turn = await core.commit()
    assert turn.input.audio.seconds == pytest.approx(0.5)


async def test_stopping_in_the_middle_of_speech_leaves_no_turn_waiting(
    core: AsyncSession, panel: Any
) -> None:
    talk, page = panel()
    page.post("start", mic=True)
    await until(lambda: detection(core))
    page.speak(Clip.tone(300, 1.0))
    await until(lambda: talk.turns)
    page.post("finish")
    await until(lambda: len(talk._cells[0].bundles) == 2)
    assert talk.turns[0].done
    assert (await core.send("and now this")).status == "completed"


async def test_another_tab_takes_over(core: AsyncSession, panel: Any) -> None:
    talk, page = panel()
    page.post("start", mic=True)
    await until(lambda: detection(core))
    talk._on_message({"kind": "hello", "load": "2", "page": "two"}, [])
    assert talk._widget.owner == "one"
    talk._on_message({"kind": "audio", "page": "two"}, [memoryview(bytes(1920))])
    assert not core.state.log.filter("input_audio_buffer.append")
    talk._on_message({"kind": "take_over", "page": "two"}, [])
    assert [m["owner"] for m in page.received if m["kind"] == "owner"] == ["one", "one", "two"]


async def test_a_telephone_session_works_too(core: AsyncSession, panel: Any) -> None:
    await core.update(input_format="g711_ulaw")
    talk, page = panel()
    page.post("start", mic=True, info={"rate": 48000})
    await until(lambda: detection(core))
    data = SPEECH.to_pcm16(48_000)
    for start in range(0, len(data), 3840):
        talk._on_message({"kind": "audio", "page": "one"}, [memoryview(data[start : start + 3840])])
    await until(lambda: talk.turns and talk.turns[0].done)
    assert 0.8 < talk.turns[0].input.audio.seconds < 2.1


async def test_another_microphone_may_have_another_rate(core: AsyncSession, panel: Any) -> None:
    _, page = panel(push_to_talk=True)
    page.post("start", mic=True, info={"rate": 48_000})
    await until(lambda: page.facts()["state"] == "live")
    for rate in (48_000, 16_000):
        page.post("start", mic=True, info={"rate": rate})
        page.post("press")
        data = Clip.tone(300, 1.0).to_pcm16(rate)
        page.talk._on_message({"kind": "audio", "page": "one"}, [memoryview(data)])
        page.post("release")
        await until(lambda: core.turns and core.turns[-1].done)
        assert core.turns[-1].input.audio.seconds == pytest.approx(1.0, abs=0.05)


async def test_an_error_of_the_service_is_a_note(core: AsyncSession, panel: Any) -> None:
    talk, page = panel(turn_detection="semantic_vad")
    page.post("start", mic=True)
    await until(lambda: page.facts()["state"] == "live")
    core.send_event({"type": "nonsense"})
    await until(lambda: page.facts()["note"])
    await core.close()
    talk.stop()
    await until(lambda: len(talk._cells[0].bundles) == 2)


async def test_stopped_before_it_began_it_cannot_begin(core: AsyncSession, panel: Any) -> None:
    await core.send("hello")
    talk, page = panel()
    talk.stop()
    await until(lambda: talk._widget.card)
    assert (talk.state, talk.turns) == ("stopped", [])
    assert "Nothing was said." in talk._cells[0].bundles[-1]["text/html"]
    assert page.facts()["state"] == "stopped"
    page.post("start", mic=True)
    assert talk.state == "stopped"
    assert live_talk(core) is None


async def test_one_session_talks_in_one_panel(core: AsyncSession, panel: Any) -> None:
    first, one = panel()
    second, two = panel()
    one.post("start", mic=True)
    two.post("start", mic=True)
    assert [first.state, second.state] == ["live", "ready"]
    assert live_talk(core) is first
    assert {"kind": "refused", "page": "one"} in two.received
    await until(lambda: "in another panel" in two.facts()["note"])
    await until(lambda: detection(core))
    one.post("finish")
    await until(lambda: first._widget.card)
    two.post("start", mic=True)
    await until(lambda: two.facts()["state"] == "live" and not two.facts()["note"])
    assert live_talk(core) is second


async def test_an_end_that_fails_leaves_the_session_free_to_talk(
    core: AsyncSession, panel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, one = panel()
    one.post("start", mic=True)
    await until(lambda: detection(core))

    async def fail(**options: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(core, "update", fail)
    with pytest.raises(ZeroDivisionError):
        await first._stop()
    monkeypatch.delattr(core, "update")
    assert live_talk(core) is None
    second, two = panel()
    two.post("start", mic=True)
    await until(lambda: two.facts()["state"] == "live")
    await core.send("hello")
    assert second.turns
    assert not one.items


def test_talking_again_ends_the_talk_that_is_live(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display, "live_pages", lambda: True)
    monkeypatch.setattr(display, "OutputCell", OutputCell)
    with rtnb.connect(engine="fake") as session:
        before = session.state.conversation.turn_detection
        talk = session.talk(push_to_talk=True)
        talk._ipython_display_()
        talk._widget._on_message(None, {"kind": "start", "page": "one", "mic": True}, [])
        while talk.state != "live":
            time.sleep(0.01)
        again = session.talk()
        assert (talk.state, again.state) == ("stopped", "ready")
        assert session.state.conversation.turn_detection == before
        assert "Nothing was said." in talk._cells[0].bundles[-1]["text/html"]


def test_talk_of_a_blocking_session() -> None:
    with rtnb.connect(engine="fake") as session:
        talk = session.talk()
        assert repr(talk) == "<Talk ready: 0 turns>"
        bundle = talk._repr_mimebundle_()
        assert "press Start" in bundle["text/html"]
        talk.stop()
        assert repr(talk) == "<Talk stopped: 0 turns>"
        talk.stop()
    with pytest.raises(rtnb.SessionClosed, match="talk"):
        session.talk()
