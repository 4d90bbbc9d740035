"""The recorder in the real page: what is said into the fake microphone arrives as a clip."""

import asyncio

import pytest

from rtnb import Clip

from .lab import QUESTION

pytestmark = pytest.mark.browser

SHOW = "import rtnb\nrec = rtnb.Recorder('Say something.')\nrec"


def button(page, name, k=0):
    return page.output(k).get_by_role("button", name=name, exact=True)


async def record(page, seconds, k=0):
    await button(page, "Record", k).click()
    await button(page, "Stop recording", k).wait_for()
    await page.until(f"(rec._recording.seconds if rec._recording else 0) > {seconds}")
    await button(page, "Stop recording", k).click()
    await page.until("rec.state == 'done'")


async def test_record(lab):
    page = await lab.open([SHOW, "clip = rec.clip; clip"], wav=Clip.read(QUESTION))
    await page.run(0)
    await page.portraits("recorder-idle", page.output(0))
    await button(page, "Record").click()
    await page.until("rec.state == 'recording' and rec._recording.seconds > 1.5")
    await page.portraits("recorder-recording", page.output(0))
    await button(page, "Stop recording").click()
    await page.until("rec.state == 'done'")
    await page.run(1)
    assert await page.value("clip.seconds") > 1.5
    assert await page.value("clip.peak") > 0.1
    info = await page.value("dict(clip.info)")
    assert info["source"] == "microphone"
    assert info["requested"] == {
        "echo_cancellation": True,
        "noise_suppression": True,
        "auto_gain_control": True,
    }
    assert "lost_chunks" not in info
    assert await page.value("len(rec._pages)") == 1
    assert f"{info['device']} · echo cancellation on" in await page.text(0)
    await page.portraits("recorder-done", page.output(0))


async def test_trim_by_keyboard(lab):
    page = await lab.open([SHOW], wav=Clip.read(QUESTION))
    await page.run(0)
    await record(page, 2.4)
    whole = await page.value("rec.whole.seconds")
    start = page.output(0).get_by_role("slider", name="Trim start")
    end = page.output(0).get_by_role("slider", name="Trim end")
    await start.focus()
    for _ in range(3):
        await page.page.keyboard.press("ArrowRight")
    await page.until("abs(rec.trim_start - 0.15) < 1e-9")
    await end.focus()
    await page.page.keyboard.press("ArrowLeft")
    await page.page.keyboard.press("Shift+ArrowLeft")
    await page.until("rec.trim_end is not None")
    await page.until(f"abs(rec.clip.seconds - ({whole} - 0.7)) < 0.002")
    assert await start.get_attribute("aria-valuetext") == "0.15 seconds"
    assert (await page.value("rec.clip.info['trim']"))[0] == 0.15
    await page.portraits("recorder-trimmed", page.output(0))
    await button(page, "Play the recording").click()
    await button(page, "Stop playing").wait_for()
    await button(page, "Reset trim").click()
    await page.until("rec.clip == rec.whole")


async def test_a_denied_microphone(lab):
    page = await lab.open([SHOW, "rec.clip", "rec.wait(20)"], microphone=False)
    await page.run(0)
    await button(page, "Record").click()
    await page.until("rec.state == 'error'")
    assert "did not allow the microphone" in await page.text(0)
    assert await page.output(0).get_by_role("alert").inner_text() == await page.value("rec.error")
    for k in (1, 2):
        [error] = await page.run(k, error=True)
        assert error["ename"] == "MicrophoneError"
        assert "Allow it in the site settings" in error["evalue"]
    await page.portraits("recorder-denied", page.output(0))
    # The other ways stand open in place.
    async with page.page.expect_file_chooser() as chooser:
        await button(page, "Upload a file …").click()
    sound = Clip.tone(440, 90.0).write(lab.folder / "tone.wav")  # 4.3 MB: more than one message
    await (await chooser.value).set_files(sound)
    await page.until("rec.state == 'done'")
    assert await page.value("(rec.clip.seconds, rec.clip.info['file'])") == [90.0, "tone.wav"]
    assert "did not allow" not in await page.text(0)
    # The page has a picture of it, and asks for the sound that it plays: here the end.
    await page.execute("rec.trim_start = 89.0")
    await button(page, "Play the recording").click()
    await button(page, "Stop playing").wait_for()
    await page.until("17 in rec._segments._encoded")
    await button(page, "Play the recording").wait_for()
    await page.portraits("recorder-uploaded", page.output(0))
    await button(page, "Use sample").click()
    await page.until("rec.clip.info.get('source') == 'sample'")
    await page.output(0).get_by_role("textbox", name="Text to speak").fill("Hello from the page.")
    await button(page, "Speak text").click()
    await page.until("rec.clip.info.get('source') == 'voice'")
    assert await page.value("rec.clip.info['text']") == "Hello from the page."
    page.errors.clear()


async def test_a_file_without_audio_and_no_device(lab):
    page = await lab.open([SHOW], microphone=False)
    await page.run(0)
    await page.output(0).get_by_text("No microphone?").click()
    (lab.folder / "notes.wav").write_text("no sound at all")
    async with page.page.expect_file_chooser() as chooser:
        await button(page, "Upload a file …").click()
    await (await chooser.value).set_files(lab.folder / "notes.wav")
    await page.until("rec.state == 'error'")
    assert "not a sound file" in await page.text(0)
    await page.js(
        """() => { navigator.mediaDevices.getUserMedia =
            async () => { throw new DOMException("Requested device not found", "NotFoundError"); }; }"""
    )
    await button(page, "Record").click()
    await page.until("'No microphone was found' in rec.error")
    assert "No microphone was found" in await page.text(0)


async def test_wait_and_await_while_the_cell_runs(notebook7):
    cells = [
        "import rtnb\nrec = rtnb.Recorder()\ndisplay(rec)\nclip = rec.wait(40)",
        "rec = rtnb.Recorder()\ndisplay(rec)\nclip = await rec",
    ]
    page = await notebook7.open(cells, wav=Clip.tone(300, 2.0))
    for k in range(2):
        await page.start(k)
        await button(page, "Record", k).click()
        await button(page, "Stop recording", k).wait_for()
        await asyncio.sleep(0.6)
        await button(page, "Stop recording", k).click()
        await page.finished(k)
        assert await page.value("clip.seconds") > 0.4


async def test_flags_and_chunks(lab):
    source = (
        "import rtnb\nchunks = []\nrec = rtnb.Recorder(noise_suppression=False, on_chunk=chunks.append)\nrec"
    )
    page = await lab.open([source], wav=Clip.tone(300, 2.0))
    await page.run(0)
    await page.output(0).get_by_text("Microphone", exact=True).click()
    await page.output(0).get_by_role("checkbox", name="Echo cancellation").uncheck()
    await page.until("rec.echo_cancellation is False")
    await record(page, 0.8)
    info = await page.value("dict(rec.clip.info)")
    assert info["requested"] == {
        "echo_cancellation": False,
        "noise_suppression": False,
        "auto_gain_control": True,
    }
    assert (info["echo_cancellation"], info["noise_suppression"]) == (False, False)
    assert await page.value("{len(chunk) for chunk in chunks[:-1]} == {1920}")
    assert await page.value("b''.join(chunks) == rec.whole.to_pcm16()")
    device = page.output(0).get_by_role("combobox", name="Microphone")
    assert len(await device.locator("option").all()) > 1
    # A page that is loaded again has what the kernel has.
    await page.save()
    await page.reload()
    await button(page, "Play the recording").wait_for()


async def test_space_is_held_to_record(lab):
    page = await lab.open([SHOW], wav=Clip.tone(300, 2.0))
    await page.run(0)
    await page.output(0).get_by_role("group", name="Recorder").focus()
    await page.page.keyboard.down(" ")
    await page.until("rec.state == 'recording' and rec._recording.seconds > 0.5")
    await page.page.keyboard.down(" ")  # as a key that is held repeats
    await page.page.keyboard.up(" ")
    await page.until("rec.state == 'done' and rec.clip.seconds > 0.5")
    kept = await page.value("rec.take")
    await page.page.keyboard.press(" ")  # which never records over what is there
    await button(page, "Stop playing").wait_for()
    await page.page.keyboard.press(" ")
    await button(page, "Play the recording").wait_for()
    assert await page.value("(rec.state, rec.take)") == ["done", kept]


async def test_space_that_is_let_go_at_once_records_nothing(lab):
    page = await lab.open([SHOW], wav=Clip.tone(300, 2.0))
    await page.run(0)
    await page.output(0).get_by_role("group", name="Recorder").focus()
    await page.page.keyboard.press(" ")  # let go before the browser has opened the microphone
    await asyncio.sleep(1)
    assert await page.value("rec.state") == "idle"
    await button(page, "Record").wait_for()


async def test_a_saved_notebook_has_the_audio(lab):
    page = await lab.open([SHOW], wav=Clip.tone(300, 2.0))
    await page.run(0)
    await record(page, 0.6)
    await page.until("'audio/ogg' in rec._static.bundle['text/html']")
    await button(page, "Play the recording").wait_for()  # it is live as before
    assert not await page.output(0).locator(".rtnb-player").is_visible()
    [live, still] = (await page.save()).cells[0].outputs
    assert "application/vnd.jupyter.widget-view+json" in live["data"]
    assert still["data"]["text/html"] == (await page.value("rec._static.bundle"))["text/html"]
    await page.restart()
    await page.save()
    await page.reload()
    await page.output(0).locator(".rtnb-play, audio[controls]").first.wait_for()


async def test_narrow_and_still(lab):
    page = await lab.open([SHOW], viewport={"width": 480, "height": 800}, reduced_motion="reduce")
    await page.run(0)
    await record(page, 0.6)
    box = await page.output(0).locator(".rtnb-recorder").bounding_box()
    assert box["width"] < 460
    await page.screenshot("recorder-narrow", page.output(0))


async def test_by_keyboard_alone(notebook7):
    source = "import rtnb\nrec = rtnb.Recorder('<img src=x onerror=alert(1)>')\nrec"
    page = await notebook7.open([source, "x = 1"], wav=Clip.tone(300, 2.0))
    await page.run(0)
    assert "<img src=x onerror=alert(1)>" in await page.text(0)
    keys = page.page.keyboard
    await button(page, "Record").focus()
    await keys.press("Enter")
    await button(page, "Stop recording").wait_for()
    await page.until("rec.state == 'recording' and rec._recording.seconds > 0.5")
    await keys.press("Tab")
    await keys.press("Space")
    await page.until("rec.state == 'paused'")
    held = await page.value("rec._recording.seconds")
    await asyncio.sleep(0.5)
    assert await page.value("rec._recording.seconds") == held
    assert "Paused" in await page.text(0)
    await keys.press("Space")
    await page.until(f"rec._recording.seconds > {held} + 0.2")
    await keys.press("Shift+Tab")
    await keys.press("Space")
    await page.until("rec.state == 'done'")
    await keys.press("Tab")
    await keys.press("Enter")
    await button(page, "Stop playing").wait_for()
    await page.output(0).get_by_text("No microphone?").focus()
    await keys.press("Enter")
    await page.output(0).get_by_role("textbox", name="Text to speak").focus()
    await keys.type("dd aa 00")  # in Jupyter's command mode these would delete the cell and more
    await keys.press("Enter")
    await page.until("rec.clip.info.get('text') == 'dd aa 00'")
    assert await page.value("1") == 1


async def test_the_kernel_dies_while_recording(lab):
    page = await lab.open([SHOW], wav=Clip.tone(300, 2.0))
    await page.run(0)
    await button(page, "Record").click()
    await page.until("rec.state == 'recording'")
    await page.restart()
    await page.output(0).get_by_text("The kernel is gone").wait_for()
    await page.run(0)
    await record(page, 0.5)
    await page.restart()  # one that does nothing notices too
    await page.output(0).get_by_text("The kernel is gone").wait_for()


async def test_two_tabs(lab):
    page = await lab.open([SHOW], wav=Clip.tone(300, 2.0))
    await page.run(0)
    await page.save()
    second = await page.also()
    await button(second, "Record").wait_for()
    await button(page, "Record").click()
    await page.until("rec.state == 'recording' and rec._recording.seconds > 0.5")
    await second.output(0).get_by_text("Recording in another tab").wait_for()
    await button(second, "Stop the recording in another tab").click()
    await button(second, "Play the recording").wait_for()  # it got the sound
    await button(page, "Play the recording").wait_for()
    await button(second, "Record again").click()
    await button(second, "Stop recording").wait_for()
    await page.output(0).get_by_text("Recording in another tab").wait_for()
    await second.close()
    await button(page, "Stop the recording in another tab").click()  # which is gone
    await page.until("rec.state == 'done' and rec.clip.info['cut_off']")
    await button(page, "Record again").wait_for()


async def test_the_page_is_loaded_again_while_it_records(lab):
    page = await lab.open([SHOW], wav=Clip.tone(300, 2.0))
    await page.run(0)
    await page.save()
    await button(page, "Record").click()
    await page.until("rec.state == 'recording' and rec._recording.seconds > 0.8")
    await page.reload()
    await button(page, "Play the recording").wait_for()
    assert await page.value("rec.clip.seconds") > 0.8
    await button(page, "Record again").click()
    await page.until("rec.state == 'recording'")


async def test_a_recorder_that_is_gone_from_the_page_stops(lab):
    """The output is cleared, or the cell runs again, while it records: the microphone goes off."""
    page = await lab.open([SHOW], wav=Clip.tone(300, 2.0))
    await page.js(
        """() => {
            const media = navigator.mediaDevices;
            const get = media.getUserMedia.bind(media);
            window.tracks = [];
            media.getUserMedia = async (constraints) => {
                const stream = await get(constraints);
                tracks.push(...stream.getTracks());
                return stream;
            };
        }"""
    )
    still = "() => tracks.every((track) => track.readyState === 'ended')"
    await page.run(0)
    await button(page, "Record").click()
    await page.until("rec.state == 'recording' and rec._recording.seconds > 0.5")
    await page.execute("first = rec")
    await page.run(0)
    await page.until("first.state == 'done' and first.clip.seconds > 0.5")
    assert await page.wait(still)
    await button(page, "Record").click()
    await page.until("rec.state == 'recording' and rec._recording.seconds > 0.5")
    assert not await page.js(still)
    await page.js("() => window.jupyterapp.commands.execute('notebook:clear-cell-output')")
    await page.until("rec.state == 'done' and rec.clip.seconds > 0.5")
    assert await page.wait(still)


@pytest.mark.engine
async def test_what_was_said_is_understood(lab, tmp_path):
    """The words that went into the microphone come out of the recogniser."""
    from rtnb.engines import registry

    page = await lab.open([SHOW], wav=Clip.read(QUESTION) + Clip.silence(1.5))
    await page.run(0)
    await record(page, 3.8)  # a whole round of the sound, wherever it began
    path = tmp_path / "said.wav"
    await page.execute(f"rec.clip.write({str(path)!r})")
    asr = registry.part("asr", "moonshine")
    said = asr.transcribe(Clip.read(path).resample(asr.rate).samples).lower()
    assert "ocean" in said
    assert "tell me" in said
