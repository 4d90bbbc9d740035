"""Audio cells and ipywebrtc in the real page."""

import asyncio

import pytest

from rtnb import Clip

from .lab import QUESTION

pytestmark = pytest.mark.browser

LOAD = "%load_ext rtnb"
CELL = "%%audio question\nCan you tell me something about the ocean?"


def button(page, name, k):
    return page.output(k).get_by_role("button", name=name, exact=True)


async def speak_into(page, k, seconds=2.4):
    await button(page, "Record", k).click()
    await button(page, "Stop recording", k).wait_for()
    await asyncio.sleep(seconds)
    await button(page, "Stop recording", k).click()


async def test_an_audio_cell_is_recorded_once(lab):
    page = await lab.open([LOAD, CELL, "question"], wav=Clip.read(QUESTION))
    await page.run(0)
    await page.start(1)
    await button(page, "Record", 1).wait_for()
    assert "something about the ocean" in await page.text(1)
    await speak_into(page, 1)
    await page.finished(1)
    # The recorder has given way to the clip, which needs no kernel.
    shown = await page.outputs(1)
    assert len(shown) == 1
    assert "application/vnd.jupyter.widget-view+json" not in shown[0]["data"]
    assert "data:audio/ogg;base64," in "".join(shown[0]["data"]["text/html"])
    assert "echo cancellation on" in await page.text(1)
    await page.portraits("audio-cell", page.output(1))
    first = await page.value("(question.seconds, question.peak)")
    assert first[0] > 1.5
    assert first[1] > 0.1
    stem = page.path.removesuffix(".ipynb")
    [kept] = lab.folder.rglob(f"{stem}-audio/question.ogg")
    before = kept.stat().st_mtime_ns
    saved = await page.save()
    assert "audio/ogg" in str(saved.cells[1].outputs[0]["data"]["text/html"])
    # Again, in a new kernel: what is stored is used, and no recorder shows.
    await page.restart()
    await page.run_all()
    assert await page.value("(question.seconds, question.peak)") == first
    assert kept.stat().st_mtime_ns == before
    assert await page.output(1).get_by_role("button", name="Record").count() == 0


async def test_again_edit_and_start(lab):
    cells = [
        LOAD,
        "%%audio --edit tone\nHold the tone.",
        "%%audio tone --again --start --no-aec --max 1\nAgain.",
    ]
    page = await lab.open(cells, wav=Clip.tone(300, 2.0))
    await page.run(0)
    await page.start(1)
    await speak_into(page, 1, 1.0)
    await page.output(1).get_by_role("slider", name="Trim start").focus()
    for _ in range(4):
        await page.page.keyboard.press("ArrowRight")
    await page.portraits("audio-cell-edit", page.output(1))
    await button(page, "Keep this clip", 1).click()
    await page.finished(1)
    assert await page.value("tone.info['trim'][0]") == 0.2
    await page.run(2)  # begins and ends by itself
    assert 0.9 < await page.value("tone.seconds") < 1.5
    assert await page.value("tone.info['requested']['echo_cancellation']") is False


async def test_an_audio_cell_without_a_microphone(lab):
    page = await lab.open([LOAD, CELL], microphone=False)
    await page.run(0)
    await page.start(1)
    await button(page, "Record", 1).click()
    await page.finished(1)
    assert "UsageError: The browser did not allow the microphone" in await page.text(1)
    assert "Traceback" not in await page.text(1)
    await button(page, "Use sample", 1).click()
    await page.until("'question' in globals()")
    assert await page.value("question.info['source']") == "sample"
    await page.output(1).locator(".rtnb-player .rtnb-play").wait_for()


async def test_interrupting_an_audio_cell(notebook7):
    page = await notebook7.open([LOAD, "question = 'as it was'", CELL])
    await page.run(0)
    await page.run(1)
    await page.start(2)
    await button(page, "Record", 2).click()
    await button(page, "Stop recording", 2).wait_for()
    await page.js("() => window.jupyterapp.commands.execute('notebook:interrupt-kernel')")
    await page.finished(2)
    assert "question stays as it was" in await page.text(2)
    assert await page.value("question") == "as it was"


WEBRTC = """import ipywebrtc, rtnb
from rtnb.widgets import ipywebrtc as webrtc
stream = ipywebrtc.CameraStream(constraints={'audio': True, 'video': False})
kinds = [ipywebrtc.AudioRecorder(stream=stream, format=format) for format in ('webm', 'mp4')]
kinds[0]"""


async def test_an_ipywebrtc_recorder_becomes_a_clip(lab):
    cells = [WEBRTC, *[f"for one in kinds:\n    one.recording = {on}" for on in (True, False)]]
    page = await lab.open(
        [*cells, "clips = [webrtc.clip_from(one) for one in kinds]"], wav=Clip.tone(300, 5.0)
    )
    await page.run(0)
    await page.run(1)
    await asyncio.sleep(2.0)
    await page.run(2)
    await page.until("all(len(one.audio.value) for one in kinds)")
    await page.run(3)
    for clip, recorder in (("clips[0]", "kinds[0]"), ("clips[1]", "kinds[1]")):
        assert await page.value(f"{clip}.rate") == 48000
        assert 0.5 < await page.value(f"{clip}.seconds") < 4
        assert await page.value(f"{clip}.peak") > 0.05
        assert await page.value(f"rtnb.Clip.of({recorder}) == {clip}")


async def test_any_stream_becomes_a_clip_while_the_cell_runs(notebook7):
    source = """import ipywebrtc, rtnb
from rtnb.widgets import ipywebrtc as webrtc
stream = ipywebrtc.CameraStream(constraints={'audio': True, 'video': False})
display(stream)
clip = webrtc.clip_from(stream, seconds=1.5)"""
    page = await notebook7.open(
        [source, "taking = webrtc.record(stream)", "later = taking.stop()"], wav=Clip.tone(300, 5.0)
    )
    await page.run(0)
    assert 0.5 < await page.value("clip.seconds") < 4
    await page.run(1)
    await asyncio.sleep(1.2)
    await page.run(2)
    assert await page.value("later.seconds") > 0.3
