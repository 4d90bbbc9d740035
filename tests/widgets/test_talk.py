"""The kernel's end of a talk, with the real session and server and a page that the test plays."""

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
from rtnb.widgets.playback import talking
from rtnb.widgets.talk import Talk

pytestmark = pytest.mark.usefixtures("server_home")

SPEECH = Clip.tone(300, 1.0) + Clip.silence(1.0)


class Page:
    """A page that talks: it keeps what the widget sends, and says what the test wants."""

    def __init__(self, talk: Talk, name: str = "one") -> None:
        self.talk = talk
        self.name = name
        self.told: list[dict[str, Any]] = []
        self.items: set[str] = set()
        talk._widget.send = self.send

    def send(self, message: dict[str, Any], buffers: Any = None) -> None:
        self.told.append(message)
        if message["kind"] == "sound":
            self.items.add(message["item"])
        if message["kind"] == "flush" and message["page"] == self.name:
            self.played(120, kind="flushed", id=message["id"])

    def say(self, kind: str, **more: Any) -> None:
        self.talk._hear({"kind": kind, "page": self.name, **more}, [])

    def speak(self, clip: Clip = SPEECH) -> None:
        data = clip.to_pcm16(24_000)
        for start in range(0, len(data), 1920):
            self.talk._hear({"kind": "sound", "page": self.name}, [memoryview(data[start : start + 1920])])

    def played(self, ms: float, *, over: bool = False, kind: str = "played", **more: Any) -> None:
        items = {id: {"played_ms": ms, "heard_ms": ms, "over": over} for id in self.items}
        self.say(kind, items=items, playing=False, blocked=False, underruns=0, **more)

    def kinds(self) -> list[str]:
        return [message["kind"] for message in self.told]

    def facts(self) -> dict[str, Any]:
        return [message for message in self.told if message["kind"] == "facts"][-1]

    def lines(self) -> dict[str, dict[str, Any]]:
        return {message["key"]: message for message in self.told if message["kind"] == "line"}


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
    made = await AsyncSession(client, billed=False).open({"turn_detection": False, "transcription": True})
    yield made
    await made.close()
    await serving


@pytest.fixture
def panel(core: AsyncSession, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what shows a talk of these options and gives it and its page."""
    monkeypatch.setattr(display, "live_pages", lambda: True)
    monkeypatch.setattr(display, "OutputCell", OutputCell)

    def show(**options: Any) -> tuple[Talk, Page]:
        talk = Talk(core, capture={"echoCancellation": True}, **options)
        talk._ipython_display_()
        page = Page(talk)
        page.say("hello")
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
    page.say("start", mic=True, problem="", info={"rate": 24000})
    await until(lambda: detection(core))
    assert core in talking
    page.speak()
    await until(
        lambda: talk.turns and talk.turns[0].done and page.lines().get("0-assistant", {}).get("final")
    )
    assert "speech" in page.lines()["0-user"]["text"]
    assert page.items
    await until(lambda: page.facts()["context"][0] > 0 and "would cost $" in page.facts()["used"])
    page.played(9000, over=True)
    page.say("finish")
    await until(lambda: len(talk._places[0].bundles) == 2 and talk._widget.card)
    assert talk.state == "stopped"
    assert detection(core) is None
    assert core not in talking
    card = talk._places[0].bundles[-1]["text/html"]
    assert "1 turn" in card
    assert card.count("data:audio/ogg;base64,") == 2
    assert talk.turns[0].status == "completed"
    assert repr(talk) == "<Talk stopped: 1 turn>"
    assert page.facts()["state"] == "stopped"
    assert talk._widget.card == card


async def test_a_hello_is_heard_once_and_need_not_come_first(
    core: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(display, "live_pages", lambda: True)
    monkeypatch.setattr(display, "OutputCell", OutputCell)
    talk = Talk(core, capture={})
    talk._ipython_display_()
    page = Page(talk)
    page.say("here", load="")
    assert talk._widget.owner == ""
    page.say("start", mic=True, load="a")
    assert talk._widget.owner == "one"
    await until(lambda: detection(core))
    await core.send("hello")
    sent = page.kinds().count("sound")
    for _ in range(2):
        page.say("hello", load="a")
    page.say("take", load="a")
    assert page.kinds().count("sound") == sent
    assert page.kinds().count("begin") == 0
    page.say("hello", load="b")  # loaded again
    assert page.kinds().count("begin") == 1


async def test_the_microphone_is_chosen_in_the_page(core: AsyncSession, panel: Any) -> None:
    talk, page = panel()
    assert talk.microphone is None
    page.say("capture", device="ignored", echoCancellation=False, evil=1)
    await until(lambda: page.facts()["capture"] == {"echoCancellation": False})
    page.say(
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
    page.say("start", mic=False, problem="It went away.")
    assert talk.microphone is None


async def test_a_page_that_takes_over_is_mute_where_the_one_before_it_was(
    core: AsyncSession, panel: Any
) -> None:
    _, page = panel(half_duplex=True)
    page.say("wish", muted=True)
    await until(lambda: page.facts()["muted"])
    assert page.facts()["half"]
    page.say("wish", half=False)
    await until(lambda: not page.facts()["half"])
    assert page.facts()["muted"]


async def test_speaking_interrupts_what_sounds(core: AsyncSession, panel: Any) -> None:
    talk, page = panel()
    page.say("start", mic=True)
    await until(lambda: detection(core))
    page.speak()
    await until(lambda: talk.turns and talk.turns[0].done)
    page.speak()
    await until(lambda: talk.turns[0].played is not None)
    assert talk.turns[0].played == pytest.approx(0.12)
    assert talk.turns[0].status == "interrupted"
    await until(lambda: "0.12 s" in page.lines().get("0-assistant", {}).get("note", ""))


async def test_a_page_that_fell_silent_by_itself_is_cut_to_its_counts_once(
    core: AsyncSession, panel: Any
) -> None:
    talk, page = panel(push_to_talk=True)
    page.say("start", mic=True)
    await until(lambda: page.facts()["state"] == "live")
    turn = await core.send("hello there")
    page.say("press", hush="page-1")
    page.played(230, kind="flushed", id="page-1")
    await until(lambda: turn.played is not None)
    assert turn.played == pytest.approx(0.23)
    page.say("finish", hush="page-2")
    page.played(230, kind="flushed", id="page-2")
    await until(lambda: talk._widget.card)
    assert len(core.state.log.filter("conversation.item.truncate")) == 1
    assert "flush" not in page.kinds()
    assert page.kinds().count("hushed") == 2


async def test_a_page_that_fell_silent_by_itself_is_not_asked_to_while_the_answer_runs(
    core: AsyncSession, panel: Any
) -> None:
    _, page = panel(push_to_talk=True)
    page.say("start", mic=True)
    await until(lambda: page.facts()["state"] == "live")
    turn = core.send(" ".join(["word"] * 400))
    async with asyncio.timeout(20):
        while not page.items:
            await asyncio.sleep(0)
    assert not turn.done
    page.say("interrupt", hush="page-1")
    page.played(80, kind="flushed", id="page-1")
    await until(lambda: turn.played is not None)
    assert turn.played == pytest.approx(0.08)
    assert "flush" not in page.kinds()
    await turn
    assert len(core.state.log.filter("conversation.item.truncate")) == 1


async def test_interrupting_a_tool_lets_none_begin_of_those_that_wait(core: AsyncSession, panel: Any) -> None:
    begun = asyncio.Event()

    async def lookup(what: str) -> str:
        """Look it up."""
        begun.set()
        return await asyncio.Future()

    _, page = panel(push_to_talk=True)
    page.say("start", mic=True)
    await until(lambda: page.facts()["state"] == "live")
    first = core.send("look it up", tools=[lookup], tool_choice="lookup")
    second = core.send("and then this")
    await begun.wait()
    asked = len(core.state.log.filter("response.create"))
    page.say("interrupt")
    await asyncio.sleep(0.1)
    assert [first.done, second.done] == [True, True]
    assert len(core.state.log.filter("response.create")) == asked


async def test_a_turn_that_was_sent_before_sounds_in_its_own_cell(
    core: AsyncSession, panel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_turn, "OutputCell", OutputCell)
    before = [core.send("hello there"), core.send("and more")]
    _, page = panel()
    page.say("start", mic=True)
    own = core.send("and this")
    assert [live_turn.show(turn)._silent for turn in (*before, own)] == [False, False, True]
    await own
    await until(lambda: page.lines().get(f"{own.number}-assistant", {}).get("final"))
    assert page.items == {item.id for item in own.items if item.role == "assistant"}
    assert {key.split("-")[0] for key in page.lines()} == {str(own.number)}


async def test_a_page_that_cannot_play_says_so_and_is_tried_again(core: AsyncSession, panel: Any) -> None:
    talk, page = panel()
    page.say("start", mic=True)
    await until(lambda: detection(core))
    turn = await core.send("hello there")
    page.say("failed", message="no audio device", hush="page-1")
    assert talk._widget.error == "no audio device"
    assert page.kinds()[-1] == "hushed"
    assert not talk._player.pending
    page.items.clear()
    await core.send("and more")
    assert page.items
    assert turn.played is None  # it was read


async def test_pressing_the_button_silences_what_was_sent_before_too(
    core: AsyncSession, panel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_turn, "OutputCell", OutputCell)
    shown = live_turn.show(await core.send("hello there"))
    await asyncio.sleep(0)
    shown._hear({"kind": "hello", "page": "one"})
    _, page = panel(push_to_talk=True)
    page.say("start", mic=True)
    await until(lambda: page.facts()["state"] == "live")
    assert shown._player.pending
    page.say("press")
    assert not shown._player.pending
    await until(lambda: shown.turn.played == 0.0)


async def test_it_ends_with_a_sentence_when_the_budget_is_used_up(core: AsyncSession, panel: Any) -> None:
    core.set_budget("5 tokens")
    talk, page = panel()
    page.say("start", mic=True)
    await until(lambda: detection(core))
    page.speak()
    with pytest.warns(rtnb.BudgetWarning, match="of 5 tokens"):
        await until(lambda: talk.turns and talk.turns[0].done)
    assert talk.turns[0].status == "completed"
    assert talk.state == "live"  # what was answered is heard to its end
    page.played(9000, over=True)
    await until(lambda: len(talk._places[0].bundles) == 2)
    assert talk.state == "stopped"
    assert "The talk ended: the budget is used up: " in talk._places[0].bundles[-1]["text/html"]
    assert detection(core) is None


async def test_push_to_talk(core: AsyncSession, panel: Any) -> None:
    talk, page = panel(push_to_talk=True)
    page.say("start", mic=True)
    await until(lambda: page.facts()["state"] == "live")
    page.say("press")
    page.speak(Clip.tone(300, 0.04))
    page.say("release")
    await until(lambda: "too short" in page.facts()["note"])
    assert talk.turns == []
    page.say("press")
    page.speak(Clip.tone(300, 1.0))
    page.say("release")
    await until(lambda: talk.turns and talk.turns[0].done)
    assert talk.turns[0].input.audio.seconds == pytest.approx(1.0)  # the short one was cleared
    page.say("press")  # while the answer sounds: it is silenced and cut
    await until(lambda: talk.turns[0].played is not None)
    page.speak(Clip.tone(300, 0.5))
    page.say("release")
    await until(lambda: len(talk.turns) == 2 and talk.turns[1].done)
    assert detection(core) is None


@pytest.mark.parametrize("gone", ["loaded again", "taken over"])
async def test_what_was_said_until_the_page_is_gone_is_answered(
    core: AsyncSession, panel: Any, gone: str
) -> None:
    talk, page = panel(push_to_talk=True)
    page.say("start", mic=True)
    await until(lambda: page.facts()["state"] == "live")
    page.say("press")
    page.speak(Clip.tone(300, 1.0))
    await until(lambda: page.facts()["phase"] == "hearing")
    if gone == "loaded again":
        page.say("hello", load="2")
    else:
        talk._hear({"kind": "take", "load": "2", "page": "two"}, [])
        page.say("release")
    await until(lambda: talk.turns and talk.turns[0].done)
    assert talk.turns[0].input.audio.seconds == pytest.approx(1.0)
    await until(lambda: page.facts()["phase"] != "hearing")
    assert len(talk.turns) == 1


async def test_one_who_holds_the_button_is_heard_whatever_the_answer_before_does(
    core: AsyncSession, panel: Any
) -> None:
    talk, page = panel(push_to_talk=True)
    page.say("start", mic=True)
    await until(lambda: page.facts()["state"] == "live")
    turn = core.send(" ".join(["word"] * 80))
    await until(lambda: page.items)
    page.say("press")
    await turn
    await asyncio.sleep(0.1)
    assert page.facts()["phase"] == "hearing"
    page.speak(Clip.tone(300, 1.0))
    page.say("release")
    await until(lambda: len(talk.turns) == 2 and talk.turns[1].done)


@pytest.mark.parametrize("where", ["page", "python"])
async def test_stopping_while_the_button_is_held_asks_for_no_answer(
    core: AsyncSession, panel: Any, where: str
) -> None:
    talk, page = panel(push_to_talk=True)
    page.say("start", mic=True)
    await until(lambda: page.facts()["state"] == "live")
    page.say("press")
    page.speak(Clip.tone(300, 1.0))
    if where == "page":
        page.say("finish")
    else:
        talk.stop()
        await until(lambda: talk.state == "stopped")
    page.say("release")
    await until(lambda: talk._widget.card)
    assert talk.turns == []
    assert not core.state.log.filter("input_audio_buffer.commit")


async def test_what_is_said_soon_after_a_release_is_neither_lost_nor_mixed(
    core: AsyncSession, panel: Any
) -> None:
    talk, page = panel(push_to_talk=True)
    page.say("start", mic=True)
    await until(lambda: page.facts()["state"] == "live")
    core.send(" ".join(["word"] * 80))
    for seconds in (0.5, 1.5):  # all while the answer is being stopped
        page.say("press")
        page.speak(Clip.tone(300, seconds))
        page.say("release")
    await until(lambda: talk.turns[-1].done and talk.turns[-1].text_so_far)
    sounds = [item.audio_ms for item in core.state.conversation if item.role == "user" and item.audio_ms]
    assert sounds == [500, 1500]
    assert [turn.status for turn in talk.turns[1:]] == ["cancelled", "completed"]
    assert talk.turns[-1].input.audio.seconds == pytest.approx(2.0)  # both were answered together
    talk._hear({"kind": "hello", "load": "2", "page": "two"}, [])
    assert page.lines()["0-user"]["text"].startswith("word")  # and the one that was dropped is no line


async def test_the_mode_changes_while_it_talks(core: AsyncSession, panel: Any) -> None:
    talk, page = panel(turn_detection={"silence_duration_ms": 300})
    page.say("start", mic=True)
    await until(lambda: detection(core) and detection(core)["silence_duration_ms"] == 300)
    page.say("mode", push=True)
    await until(lambda: detection(core) is None)
    page.say("mode", push=False)
    await until(lambda: detection(core))
    assert talk.state == "live"


async def test_the_sessions_own_detection_comes_back(core: AsyncSession, panel: Any) -> None:
    await core.update(turn_detection={"silence_duration_ms": 777})
    talk, page = panel(push_to_talk=True)
    page.say("start", mic=False, problem="No microphone was found.")
    await until(lambda: detection(core) is None)
    assert talk._widget.error == "No microphone was found."
    talk.stop()
    await until(lambda: len(talk._places[0].bundles) == 2)
    assert detection(core)["silence_duration_ms"] == 777
    assert "Nothing was said." in talk._places[0].bundles[-1]["text/html"]


async def test_what_was_said_and_not_sent_when_it_ended_is_in_no_turn(core: AsyncSession, panel: Any) -> None:
    talk, page = panel(push_to_talk=True)
    page.say("start", mic=True)
    await until(lambda: page.facts()["state"] == "live")
    page.say("press")
    page.speak(Clip.tone(300, 1.0))
    page.say("finish")
    await until(lambda: talk._widget.card)
    core.append(Clip.tone(300, 0.5))
    turn = await core.commit()
    assert turn.input.audio.seconds == pytest.approx(0.5)


async def test_stopping_in_the_middle_of_speech_leaves_no_turn_waiting(
    core: AsyncSession, panel: Any
) -> None:
    talk, page = panel()
    page.say("start", mic=True)
    await until(lambda: detection(core))
    page.speak(Clip.tone(300, 1.0))
    await until(lambda: talk.turns)
    page.say("finish")
    await until(lambda: len(talk._places[0].bundles) == 2)
    assert talk.turns[0].done
    assert (await core.send("and now this")).status == "completed"


async def test_another_tab_takes_over(core: AsyncSession, panel: Any) -> None:
    talk, page = panel()
    page.say("start", mic=True)
    await until(lambda: detection(core))
    talk._hear({"kind": "hello", "load": "2", "page": "two"}, [])
    assert talk._widget.owner == "one"
    talk._hear({"kind": "sound", "page": "two"}, [memoryview(bytes(1920))])
    assert not core.state.log.filter("input_audio_buffer.append")
    talk._hear({"kind": "take", "page": "two"}, [])
    assert [m["owner"] for m in page.told if m["kind"] == "owner"] == ["one", "one", "two"]


async def test_a_telephone_session_hears_too(core: AsyncSession, panel: Any) -> None:
    await core.update(input_format="g711_ulaw")
    talk, page = panel()
    page.say("start", mic=True, info={"rate": 48000})
    await until(lambda: detection(core))
    data = SPEECH.to_pcm16(48_000)
    for start in range(0, len(data), 3840):
        talk._hear({"kind": "sound", "page": "one"}, [memoryview(data[start : start + 3840])])
    await until(lambda: talk.turns and talk.turns[0].done)
    assert 0.8 < talk.turns[0].input.audio.seconds < 2.1


async def test_another_microphone_may_have_another_rate(core: AsyncSession, panel: Any) -> None:
    _, page = panel(push_to_talk=True)
    page.say("start", mic=True, info={"rate": 48_000})
    await until(lambda: page.facts()["state"] == "live")
    for rate in (48_000, 16_000):
        page.say("start", mic=True, info={"rate": rate})
        page.say("press")
        data = Clip.tone(300, 1.0).to_pcm16(rate)
        page.talk._hear({"kind": "sound", "page": "one"}, [memoryview(data)])
        page.say("release")
        await until(lambda: core.turns and core.turns[-1].done)
        assert core.turns[-1].input.audio.seconds == pytest.approx(1.0, abs=0.05)


async def test_an_error_of_the_service_is_a_note(core: AsyncSession, panel: Any) -> None:
    talk, page = panel(turn_detection="semantic_vad")
    page.say("start", mic=True)
    await until(lambda: page.facts()["state"] == "live")
    core.send_event({"type": "nonsense"})
    await until(lambda: page.facts()["note"])
    await core.close()
    talk.stop()
    await until(lambda: len(talk._places[0].bundles) == 2)


async def test_stopped_before_it_began_it_cannot_begin(core: AsyncSession, panel: Any) -> None:
    await core.send("hello")
    talk, page = panel()
    talk.stop()
    await until(lambda: talk._widget.card)
    assert (talk.state, talk.turns) == ("stopped", [])
    assert "Nothing was said." in talk._places[0].bundles[-1]["text/html"]
    assert page.facts()["state"] == "stopped"
    page.say("start", mic=True)
    assert talk.state == "stopped"
    assert core not in talking


async def test_one_session_talks_in_one_panel(core: AsyncSession, panel: Any) -> None:
    first, one = panel()
    second, two = panel()
    one.say("start", mic=True)
    two.say("start", mic=True)
    assert [first.state, second.state] == ["live", "ready"]
    assert talking[core] is first
    assert {"kind": "refused", "page": "one"} in two.told
    await until(lambda: "another panel already" in two.facts()["note"])
    await until(lambda: detection(core))
    one.say("finish")
    await until(lambda: first._widget.card)
    two.say("start", mic=True)
    await until(lambda: two.facts()["state"] == "live" and not two.facts()["note"])
    assert talking[core] is second


async def test_an_end_that_fails_leaves_the_session_free_to_talk(
    core: AsyncSession, panel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, one = panel()
    one.say("start", mic=True)
    await until(lambda: detection(core))

    async def fail(**options: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(core, "update", fail)
    with pytest.raises(ZeroDivisionError):
        await first._stop()
    monkeypatch.delattr(core, "update")
    assert core not in talking
    second, two = panel()
    two.say("start", mic=True)
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
        assert "Nothing was said." in talk._places[0].bundles[-1]["text/html"]


def test_talk_from_the_blocking_face() -> None:
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
