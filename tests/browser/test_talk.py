"""Talking in a real page, with a fake microphone that is fed with speech."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from rtnb import Clip

from .lab import QUESTION, busy_until

pytestmark = pytest.mark.browser

CONNECT = "import rtnb\ns = rtnb.connect(engine='fake')"
TALK = "t = s.talk()\nt"
LONG = "'Please count. ' + ' '.join(f'word{i}' for i in range(80))"
SHORTER = "'Please count. ' + ' '.join(f'word{i}' for i in range(15))"
NASTY = "<b>bold</b><img src=x onerror='window.bad = 2'>"
PLAYING = """() => [...(globalThis[Symbol.for("rtnb.page.1")]?.players ?? [])].some((player) => player.playing
    && Object.values(player.items).some((item) => item.rendered_ms > 300 && !item.done))"""


def panel(page: Any) -> Any:
    return page.page.locator(".rtnb-talk")


def button(page: Any, name: str) -> Any:
    return panel(page).get_by_role("button", name=name)


async def says(page: Any, text: str, *, seconds: float = 30) -> None:
    await page.wait(
        "(text) => document.querySelector('.rtnb-talk')?.innerText.includes(text)", text, seconds=seconds
    )


async def carded(page: Any, k: int = 1) -> str:
    """Wait for the talk's static form and return it."""
    await page.wait("() => !document.querySelector('.rtnb-talk')", seconds=30)
    (output,) = await page.outputs(k)
    assert "application/vnd.jupyter.widget-view+json" not in output["data"]
    html = output["data"]["text/html"]
    return "".join(html) if isinstance(html, list) else html


def spoken(seconds: float = 4.0) -> Clip:
    """Return speech and then silence, so that the microphone's loop has pauses of this length."""
    return Clip.read(QUESTION) + Clip.silence(seconds)


async def start(jupyter: Any, talk: str = TALK, *more: str, connect: str = CONNECT, **options: Any) -> Any:
    page = await jupyter.open([connect, talk, *more], **options)
    await page.run(0, seconds=90)
    await page.run(1)
    await button(page, "Start talking").click()
    await says(page, "context")
    return page


async def test_hands_free_while_the_kernel_is_busy_all_the_time(lab: Any, tmp_path: Path) -> None:
    released = tmp_path / "released"
    page = await lab.open([CONNECT, f"t = s.talk()\ndisplay(t)\n{busy_until(released)}"], wav=spoken(1.2))
    await page.run(0, seconds=90)
    await page.start(1)
    await button(page, "Start talking").click()
    await page.wait("() => document.querySelectorAll('.rtnb-talk-assistant:not(.rtnb-hidden)').length > 1")
    await page.portraits("talk", panel(page))
    await page.page.set_viewport_size({"width": 480, "height": 800})
    assert await page.js(
        """() => { const node = document.querySelector(".rtnb-talk");
            return node.scrollWidth <= node.clientWidth; }"""
    )
    await page.screenshot("talk-narrow", panel(page))
    await button(page, "End the talk").click()
    html = await carded(page)
    assert await page.js("() => rtnbTest.runs[1].state") == "running"
    assert html.count("You said: (speech") >= 2
    assert html.count("data:audio/ogg;base64,") >= 4
    released.touch()
    await page.finished(1)
    assert await page.value("s._core.state.conversation.turn_detection") is None
    assert await page.value("t.state") == "stopped"
    saved = await page.save()
    assert "You said: (speech" in str(saved.cells[1].outputs[0].data["text/html"])


async def test_barge_in_truncates_what_plays(lab: Any) -> None:
    page = await start(lab, TALK, f"turn = s.send({LONG})", wav=Clip.silence(4.0) + spoken(2.0))
    await page.run(2)
    await page.wait(PLAYING)
    await page.until("turn.played is not None", seconds=30)
    status, heard, whole = await page.value("[turn.status, turn.played, turn.audio.seconds]")
    assert status == "interrupted"
    assert 0.1 < heard < whole
    await says(page, " s played")
    await button(page, "End the talk").click()
    assert "The hatched part" in await carded(page)


async def test_push_to_talk_by_button_and_by_space(notebook7: Any) -> None:
    page = await start(notebook7, "t = s.talk(push_to_talk=True)\nt")
    await says(page, "Hold to talk")
    assert await page.value("len(s.log.filter('input_audio_buffer.append'))") == 0
    hold = button(page, "Hold to talk")
    box = await hold.bounding_box()
    await page.page.mouse.move(box["x"] + 10, box["y"] + 10)
    pressed = time.monotonic()
    await page.page.mouse.down()
    await says(page, "You are speaking")
    await page.until("t._microphone.seconds > 1.0")
    await page.screenshot("talk-held", panel(page))
    await page.page.mouse.up()
    by_button = time.monotonic() - pressed
    await page.until("len(t.turns) == 1 and t.turns[0].done")
    await panel(page).focus()
    pressed = time.monotonic()
    await page.page.keyboard.down("Space")
    await says(page, "You are speaking")
    await page.until("t._microphone.seconds > 0.6")
    await page.page.keyboard.up("Space")
    by_space = time.monotonic() - pressed
    await page.until("len(t.turns) == 2 and t.turns[1].done")
    first, second = await page.value("[turn.input.audio.seconds for turn in t.turns]")
    assert 0.9 < first < by_button + 0.5
    assert 0.5 < second < by_space + 0.5
    await page.page.keyboard.press("Space")
    await says(page, "too short")
    await page.page.keyboard.press("Escape")
    await button(page, "End the talk").click()
    assert "2 turns" in await carded(page)


async def test_the_keyboard_keeps_its_place(lab: Any) -> None:
    page = await lab.open([CONNECT, "t = s.talk(push_to_talk=True)\nt", f"turn = s.send({LONG})"])
    await page.run(0, seconds=90)
    await page.run(1)
    await page.run(2)
    await button(page, "Start talking").focus()
    await page.page.keyboard.press("Enter")
    await says(page, "Hold to talk")
    await page.page.keyboard.down("Space")
    await says(page, "You are speaking")
    await asyncio.sleep(0.5)
    await page.page.keyboard.up("Space")
    await page.wait(PLAYING)
    await button(page, "Interrupt").focus()
    await page.page.keyboard.press("Enter")
    await page.until("not t._widget.playing")
    assert await page.js("() => document.activeElement.closest('.rtnb-talk') !== null")
    await page.page.keyboard.down("Space")
    await says(page, "You are speaking")
    await page.page.keyboard.up("Space")


async def test_mute_and_half_duplex(lab: Any) -> None:
    page = await start(lab, "t = s.talk(half_duplex=True)\nt", f"turn = s.send({SHORTER})", wav=spoken(1.0))
    appended = "len(s.log.filter('input_audio_buffer.append'))"
    await page.until(f"{appended} > 10")
    await button(page, "Mute the microphone").click()
    await says(page, "Muted")
    await asyncio.sleep(1.6)  # silence for a moment, so that speech ends, and then nothing
    count = await page.value(appended)
    await asyncio.sleep(0.5)
    assert await page.value(appended) == count
    await page.run(2)
    await page.wait(PLAYING)
    await button(page, "Unmute the microphone").click()
    await says(page, "the microphone is muted")
    await page.until("not t._player.pending")
    assert await page.value("turn.played") is None
    count = await page.value(appended)
    await page.until(f"{appended} > {count + 10}")
    await page.restart()
    await says(page, "The kernel is gone")
    assert await page.js("() => [...globalThis[Symbol.for('rtnb.page.1')].players].length") == 0


async def test_a_denied_microphone_is_reported_and_answers_still_play(lab: Any) -> None:
    page = await start(lab, TALK, f"turn = s.send({NASTY!r})", microphone=False)
    await says(page, "did not allow the microphone")
    await page.screenshot("talk-denied", panel(page))
    assert "did not allow" in await page.value("t._widget.error")
    await page.run(2)
    await says(page, f"You said: {NASTY}")
    await page.until("t._widget.played_ms > 100")
    await page.execute("t.stop()")
    await carded(page)
    assert f"You said: {NASTY}" in await page.text(1)
    assert await page.js("() => window.bad ?? null") is None
    page.errors.clear()


TRACKS = """() => { const media = navigator.mediaDevices, get = media.getUserMedia.bind(media);
    globalThis.tracks = [];
    media.getUserMedia = async (wanted) => { const stream = await get(wanted);
        globalThis.tracks.push(...stream.getTracks()); return stream; }; }"""
LISTENS = "() => globalThis.tracks.some((track) => track.readyState === 'live')"


async def test_a_talk_whose_output_is_cleared_ends_and_closes_the_microphone(lab: Any) -> None:
    page = await lab.open([CONNECT, TALK], wav=spoken())
    await page.js(TRACKS)
    await page.run(0, seconds=90)
    await page.run(1)
    await button(page, "Start talking").click()
    await page.until("t.state == 'live' and len(s.log.filter('input_audio_buffer.append')) > 10")
    await page.js("() => { jupyterapp.commands.execute('notebook:move-cell-up'); }")
    await asyncio.sleep(3)
    assert await page.value("t.state") == "live"
    assert await page.js(LISTENS)
    await page.js("() => { jupyterapp.commands.execute('notebook:clear-all-cell-outputs'); }")
    await page.until("t.state == 'stopped'")
    assert not await page.js(LISTENS)
    assert await page.value("s._core.state.conversation.turn_detection") is None
    count = await page.value("len(s.log.filter('input_audio_buffer.append'))")
    await asyncio.sleep(1)
    assert await page.value("len(s.log.filter('input_audio_buffer.append'))") == count


async def test_running_the_cell_again_starts_a_new_talk(lab: Any) -> None:
    page = await lab.open([CONNECT, "s.talk()"], wav=spoken())
    await page.js(TRACKS)
    await page.run(0, seconds=90)
    for _ in range(2):
        await page.run(1)
        assert not await page.js(LISTENS)
        await button(page, "Start talking").click()
        await says(page, "context")
        assert await page.js(LISTENS)
    await button(page, "End the talk").click()
    await carded(page)
    assert not await page.js(LISTENS)


async def test_two_tabs_have_one_microphone(lab: Any) -> None:
    page = await start(lab, wav=spoken(2.0))
    await page.save()
    second = await page.also()
    await says(second, "Live in another tab")
    await second.screenshot("talk-other-tab", panel(second))
    await button(second, "Take over here").click()
    await says(page, "Live in another tab")
    count = await page.value("len(s.log.filter('input_audio_buffer.append'))")
    await page.until(f"len(s.log.filter('input_audio_buffer.append')) > {count + 20}")
    seconds = await page.value("s.log[-1].t")
    assert count / 25 < seconds + 2
    await button(second, "End the talk").click()
    await carded(page)


async def test_the_microphone_is_chosen_and_stays_so_in_a_page_that_is_loaded_again(lab: Any) -> None:
    page = await start(lab)
    appended = "len(s.log.filter('input_audio_buffer.append'))"
    await page.until(f"{appended} > 10")
    await panel(page).get_by_text("Microphone", exact=True).click()
    device = panel(page).get_by_role("combobox", name="Microphone")
    names = await device.locator("option").all_inner_texts()
    assert names[0] == "Default microphone"
    await device.select_option(label=names[-1])
    await page.until(f"t.microphone['device'] == {names[-1]!r}")
    await panel(page).get_by_role("checkbox", name="Echo cancellation").uncheck()
    await page.until("t.microphone['echo_cancellation'] is False")
    await says(page, "echo cancellation off")
    count = await page.value(appended)
    await page.until(f"{appended} > {count + 10}")
    await page.portraits("talk-microphone", panel(page))
    await button(page, "Mute the microphone").click()
    await page.until("t._muted")
    await page.save()
    await page.reload()
    await says(page, "No microphone")
    await button(page, "Turn the microphone on").click()
    await button(page, "Unmute the microphone").click()
    count = await page.value(appended)
    await page.until(f"{appended} > {count + 10}")
    assert await page.value("[t.microphone['device'], t.microphone['noise_suppression']]") == [
        names[-1],
        False,
    ]
    await page.execute("s.close()")
    await page.until("t.state == 'stopped'")
    # The cell's output on disk is the widget, which shows what is left of the talk.
    await page.wait("() => !document.querySelector('.rtnb-talk')")
    assert "Talk:" in await page.text(1)


@pytest.mark.engine
async def test_a_spoken_turn_of_the_real_engine(lab: Any) -> None:
    page = await start(lab, connect="import rtnb\ns = rtnb.connect(engine='local')", wav=spoken(12.0))
    await page.until("t.turns and t.turns[0].done", seconds=60)
    asked, said, status = await page.value(
        "[str(t.turns[0].input), t.turns[0].text_so_far, t.turns[0].status]"
    )
    assert "ocean" in asked.lower()
    assert said.strip() or status == "interrupted"
    await says(page, asked)
