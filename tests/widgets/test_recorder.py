"""The kernel's side of the recorder, with messages as the page sends them. The page's is in tests/browser."""

import asyncio
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rtnb
from rtnb import ArgumentError, AudioError, Clip, MicrophoneError
from rtnb.audio import sample_clips
from rtnb.notebook import display
from rtnb.notebook.text_to_speech import speak
from rtnb.widgets import base
from rtnb.widgets import recorder as module
from rtnb.widgets.base import pin_to_subshell
from rtnb.widgets.microphone import Capture

INFO = {
    "device": "A microphone",
    "rate": 24_000,
    "echoCancellation": True,
    "noiseSuppression": False,
    "autoGainControl": None,
}


class Page:
    """A page that shows a recorder: it says hello, sends chunks, and records what the kernel sends."""

    def __init__(self, recorder):
        self.recorder = recorder
        self.received = []
        recorder.send = self.receive
        for _ in range(2):  # a page repeats it until it is answered
            self.post({"type": "hello", "id": hex(id(self)), "take": ""})

    def receive(self, content, buffers=None):
        if content != {"type": "welcome"}:
            self.received.append((content, buffers))

    def post(self, message, *buffers):
        self.recorder._handle_custom_msg(message, [memoryview(data) for data in buffers])

    def record(self, pieces, take="t1", rate=24_000):
        self.post({"type": "start", "take": take, "info": {**INFO, "rate": rate}})
        for seq, piece in enumerate(pieces):
            self.post({"type": "chunk", "take": take, "seq": seq}, piece)
        self.post({"type": "stop", "take": take, "chunks": len(pieces)})


def pieces(count, size=960):
    return [np.full(size, 100 * (seq + 1), "<i2").tobytes() for seq in range(count)]


def settle(recorder):
    """Wait until a clip that is made on a thread is ready, or failed."""
    try:
        return recorder.wait(30)
    except rtnb.RtnbError as error:
        return error


# Putting a take together


@given(st.permutations(range(6)), st.integers(0, 5))
def test_chunks_may_come_in_any_order_and_twice(order, twice):
    data = pieces(6, 40)
    recording = Capture("t", 24_000)
    for seq in [*order, twice]:
        recording.add(seq, data[seq])
    assert recording.missing(6) == []
    assert recording.clip({}).to_pcm16() == b"".join(data)
    assert recording.seconds == 240 / 24_000


def test_what_is_missing_is_known():
    recording = Capture("t", 24_000)
    assert recording.add(0, b"\0\0") == b"\0\0"
    assert recording.add(0, b"\0\0") is None
    recording.add(3, b"\0\0")
    assert recording.missing(5) == [1, 2, 4]


def test_a_device_of_another_rate_is_brought_to_24_khz():
    tone = Clip.tone(440, 1.0, rate=48_000).to_pcm16()
    recording = Capture("t", 48_000)
    streamed = b"".join(recording.add(k, tone[k * 3840 : (k + 1) * 3840]) for k in range(25))
    assert recording.clip({}).rate == 24_000
    assert recording.clip({}).seconds == pytest.approx(1.0)
    assert len(streamed) / 48_000 == pytest.approx(1.0, abs=0.05)


def test_a_take_that_was_too_loud_has_a_note():
    loud = np.clip(Clip.tone(100, 0.5, rate=48_000).samples * 4, -1, 1)
    recording = Capture("t", 48_000)
    recording.add(0, Clip(loud, 48_000).to_pcm16())
    clip = recording.clip({"device": "d"})
    assert clip.info["clipped_samples"] > 10_000
    assert clip.info["device"] == "d"
    recorder = rtnb.Recorder()
    Page(recorder).record([Clip(loud, 48_000).to_pcm16()], rate=48_000)
    assert recorder.note == f"Too loud: {clip.info['clipped_samples']:,} samples were clipped"
    recorder._set_clip(Clip.tone(440, 0.5))
    assert recorder.note == ""


# The recorder


def test_a_recording_becomes_a_clip():
    chunks, clips = [], []
    recorder = rtnb.Recorder("Say it.", noise_suppression=False, on_chunk=chunks.append, on_clip=clips.append)
    page = Page(recorder)
    page.record(pieces(5))
    clip = recorder.clip
    assert clip.to_pcm16() == b"".join(pieces(5)) == b"".join(chunks)
    assert clips == [clip]
    assert recorder.state == "done"
    assert clip.info["device"] == "A microphone"
    assert clip.info["requested"] == {
        "echo_cancellation": True,
        "noise_suppression": False,
        "auto_gain_control": True,
    }
    assert (clip.info["echo_cancellation"], clip.info["noise_suppression"]) == (True, False)
    assert clip.info["auto_gain_control"] is None  # the browser did not report it
    assert Clip.of(recorder) == clip
    assert recorder.wait() == clip


class OutputCell:
    """Stands in for an output of a cell."""

    def __init__(self, bundle):
        self.bundle = bundle

    def replace(self, bundle):
        self.bundle = bundle


def test_what_a_saved_notebook_keeps(monkeypatch):
    cells = []
    monkeypatch.setattr(display, "OutputCell", lambda bundle: cells.append(OutputCell(bundle)) or cells[-1])
    recorder = rtnb.Recorder()
    recorder._ipython_display_()
    [live, static] = cells
    before = dict(live.bundle)
    assert "application/vnd.jupyter.widget-view+json" in before
    assert static.bundle == {"text/html": '<div class="rtnb-recorder-static"></div>'}
    page = Page(recorder)
    for seconds, words, kept in [(2.0, "2.00 s", 1), (301.0, "too long to be kept", 0)]:
        page.record([Clip.silence(seconds).to_pcm16()], take=words)
        wait_until(lambda words=words: words in static.bundle["text/html"])
        assert static.bundle["text/html"].count("data:audio/ogg;base64,") == kept
    assert live.bundle == before  # the page need not draw it again
    recorder.trim_end = 1.5  # what was cut off is not kept
    wait_until(lambda: "1.50 s" in static.bundle["text/html"])
    recorder._ipython_display_()
    assert cells[-1].bundle == static.bundle


def wait_until(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_trim():
    recorder = rtnb.Recorder()
    Page(recorder).record(pieces(25))
    recorder.trim_start, recorder.trim_end = 0.25, 0.75
    assert recorder.clip == recorder.whole[0.25:0.75]
    assert recorder.clip.info["trim"] == (0.25, 0.75)
    recorder.trim_end = 99.0
    assert recorder.clip.seconds == pytest.approx(0.75)
    Page(recorder).record(pieces(3), take="t2")
    assert recorder.clip.to_pcm16() == b"".join(pieces(3))


@pytest.mark.parametrize(
    ("start", "end"), [(0.0, -1.0), (0.0, 0.0), (-0.5, None), (2.0, None), (0.8, 0.5), (float("nan"), None)]
)
def test_ends_of_trim_that_leave_nothing(start, end):
    recorder = rtnb.Recorder()
    Page(recorder).record(pieces(25))
    recorder.trim_start, recorder.trim_end = start, end
    with pytest.raises(ArgumentError, match=r"from 0 to 1\.00.*trim_end = None"):
        _ = recorder.clip
    assert recorder.whole.seconds == 1.0


def test_reading_the_clip_before_it_is_recorded_is_an_error():
    recorder = rtnb.Recorder()
    with pytest.raises(AudioError, match="press Record"):
        _ = recorder.clip
    page = Page(recorder)
    page.post({"type": "start", "take": "t", "info": INFO})
    page.post({"type": "chunk", "take": "t", "seq": 0}, b"\0" * 48_000)
    with pytest.raises(AudioError, match=r"still recording \(1\.0 s"):
        _ = recorder.clip
    page.post({"type": "pause", "take": "t"})
    assert recorder.state == "paused"
    page.post({"type": "resume", "take": "t"})
    assert recorder.state == "recording"


def test_lost_chunks_are_requested_once():
    recorder = rtnb.Recorder()
    page = Page(recorder)
    data = pieces(4)
    page.post({"type": "start", "take": "t", "info": INFO})
    for seq in (0, 3):
        page.post({"type": "chunk", "take": "t", "seq": seq}, data[seq])
    page.post({"type": "stop", "take": "t", "chunks": 4})
    assert page.received[-1][0] == {"type": "resend", "take": "t", "seqs": [1, 2]}
    page.post({"type": "chunk", "take": "t", "seq": 1}, data[1])
    page.post({"type": "stop", "take": "t", "chunks": 4})
    assert recorder.clip.to_pcm16() == data[0] + data[1] + data[3]
    assert recorder.clip.info["lost_chunks"] == 1


def test_a_microphone_that_was_denied():
    recorder = rtnb.Recorder()
    page = Page(recorder)
    page.post(
        {"type": "problem", "text": "The browser did not allow the microphone.", "name": "NotAllowedError"}
    )
    assert recorder.state == "error"
    assert recorder.error == "The browser did not allow the microphone."
    with pytest.raises(MicrophoneError, match="did not allow"):
        _ = recorder.clip
    with pytest.raises(MicrophoneError, match="did not allow"):
        recorder.wait(5)
    with pytest.raises(MicrophoneError, match="nothing was recorded within"):
        recorder.wait(0)  # raised once; a second wait is for the next recording
    page.record(pieces(2))
    assert recorder.wait(5).seconds == 0.08
    assert recorder.error == ""


def test_an_empty_recording_is_an_error():
    recorder = rtnb.Recorder()
    page = Page(recorder)
    page.record([])
    assert recorder.state == "error"
    with pytest.raises(AudioError, match="empty"):
        _ = recorder.clip
    page.record(pieces(3))
    clip = recorder.clip
    page.record([], take="t2")
    assert (recorder.state, recorder.clip) == ("done", clip)
    assert "empty" in recorder.error
    head, _ = page.received[-1]
    assert (head["type"], head["take"]) == ("clip", recorder.take)
    with pytest.raises(AudioError, match="empty"):
        recorder.wait(5)
    assert recorder.wait(5) == clip


def test_what_was_too_loud_and_is_trimmed_away_does_not_count():
    sound = np.concatenate([np.ones(2400), np.zeros(24_000)])
    recorder = rtnb.Recorder()
    Page(recorder).record([Clip(sound, 24_000).to_pcm16()])
    assert recorder.clip.info["clipped_samples"] == 2400
    recorder.trim_start = 0.05
    assert recorder.clip.info["clipped_samples"] == 1200
    recorder.trim_start = 0.5
    assert recorder.clip.info["clipped_samples"] == 0


def test_unexpected_messages_are_an_error(caplog):
    recorder = rtnb.Recorder()
    page = Page(recorder)
    page.post({"type": "start"})
    with pytest.raises(AudioError, match="unexpected"):
        _ = recorder.clip
    page.post({"type": "no such thing"})
    page.post({"type": "chunk", "take": "of another", "seq": 0}, b"\0\0")
    page.post({"type": "sample", "name": "none"})
    assert "no sample" in str(settle(recorder))


def test_a_later_page_receives_the_overview_and_requests_segments():
    recorder = rtnb.Recorder()
    Page(recorder).record(pieces(200))
    page = Page(recorder)
    [(head, [rows])] = page.received
    assert (head["type"], head["take"], head["seconds"]) == ("clip", "t1", 8.0)
    assert len(rows) == 2 * -(-192_000 // 256)
    assert max(np.frombuffer(rows, np.int8)) == np.ceil(127 * 20_000 / 32_768)
    audio = Clip.join([requested(page, segment) for segment in range(2)])
    assert audio.seconds == pytest.approx(8.0, abs=0.3)  # with a little before and after each part
    page.received.clear()
    page.post({"type": "segment", "take": "of another take", "segment": 0})
    page.post({"type": "segment", "take": "t1", "segment": 2})
    assert page.received == []


def requested(page, segment):
    """Return a segment of the audio, as the page requests it."""
    page.post({"type": "segment", "take": page.recorder.take, "segment": segment})
    head, [data] = page.received[-1]
    assert (head["type"], head["segment"]) == ("segment", segment)
    return Clip.read(data)


@pytest.mark.slow
def test_no_audio_is_sent_to_a_page_that_did_not_request_it():
    recorder = rtnb.Recorder()
    page = Page(recorder)
    file = Clip.tone(440, 600.0).to_bytes("opus")
    page.post({"type": "upload", "id": "u", "name": "a.ogg", "part": 0, "parts": 1}, file)
    assert settle(recorder).seconds == pytest.approx(600, abs=0.1)
    Page(recorder)
    assert sum(len(data) for _, buffers in page.received for data in buffers or []) < 10_000


@pytest.fixture
def short_timeout(monkeypatch):
    """A page that records must answer quickly, instead of within two seconds."""
    monkeypatch.setattr(module, "_REPLY_TIMEOUT", 0.05)


def recording(recorder):
    """Return a page that records and has sent three chunks."""
    page = Page(recorder)
    page.post({"type": "start", "take": "t", "info": INFO})
    for seq, piece in enumerate(pieces(3)):
        page.post({"type": "chunk", "take": "t", "seq": seq}, piece)
    return page


@pytest.mark.parametrize("end", [Page, lambda recorder: recorder.stop()], ids=["another page", "stop"])
def test_a_page_that_is_gone_leaves_what_had_arrived(short_timeout, end):
    recorder = rtnb.Recorder()
    recording(recorder)
    end(recorder)
    clip = recorder.wait(10)
    assert clip.to_pcm16() == b"".join(pieces(3))
    assert clip.info["cut_off"] is True
    assert recorder.state == "done"
    Page(recorder).record(pieces(2), take="t2")
    assert recorder.clip.to_pcm16() == b"".join(pieces(2))
    assert "cut_off" not in recorder.clip.info


def test_a_page_that_is_gone_before_it_sent_anything(short_timeout):
    recorder = rtnb.Recorder()
    Page(recorder).post({"type": "start", "take": "t", "info": INFO})
    recorder.stop()
    assert "empty" in str(settle(recorder))
    assert recorder.state == "error"


def test_a_page_that_answers_continues(short_timeout):
    recorder = rtnb.Recorder()
    page = recording(recorder)
    Page(recorder)
    recorder.send = page.receive
    page.post({"type": "stop_elsewhere"})  # asked for in another tab
    assert [head for head, _ in page.received][-2:] == [{"type": "stop"}, {"type": "ping", "take": "t"}]
    page.post({"type": "here", "take": "t"})
    time.sleep(0.2)
    assert recorder.state == "recording"
    page.post({"type": "stop", "take": "t", "chunks": 3})
    assert recorder.clip.seconds == pytest.approx(0.12)


def test_a_page_whose_take_was_given_up_is_stopped(short_timeout):
    recorder = rtnb.Recorder()
    page = recording(recorder)
    recorder.stop()
    recorder.wait(10)
    page.post({"type": "chunk", "take": "t", "seq": 3}, pieces(4)[3])
    assert page.received[-1][0] == {"type": "stop", "take": "t"}


def test_exceptions_of_callbacks_are_reported_and_stop_nothing():
    def fails(_):
        raise ValueError("no such thing")

    recorder = rtnb.Recorder(on_chunk=fails)
    page = recording(recorder)
    page.post({"type": "stop", "take": "t", "chunks": 3})
    assert recorder.error == "on_chunk failed (ValueError: no such thing); the recording continues"
    assert recorder.wait(0).seconds == pytest.approx(0.12)
    recorder = rtnb.Recorder(on_clip=fails)
    Page(recorder).record(pieces(3))
    assert (recorder.state, recorder.clip.seconds) == ("done", pytest.approx(0.12))
    assert "on_clip failed (ValueError: no such thing)" in recorder.error
    with pytest.raises(AudioError, match="on_clip failed"):
        recorder.wait(0)
    assert recorder.wait(0) == recorder.clip


def test_a_broken_on_chunk_is_logged_once(caplog):
    recording(rtnb.Recorder(on_chunk=lambda chunk: 1 / 0))
    assert len(caplog.records) == 1


def test_the_other_sources_of_audio():
    recorder = rtnb.Recorder()
    page = Page(recorder)
    file = Clip.tone(440, 1.0, rate=16_000).to_bytes("flac")
    half = len(file) // 2
    page.post({"type": "upload", "id": "u", "name": "a.flac", "part": 1, "parts": 2}, file[half:])
    page.post({"type": "upload", "id": "u", "name": "a.flac", "part": 0, "parts": 2}, file[:half])
    clip = settle(recorder)
    assert (clip.rate, clip.seconds, clip.info["file"]) == (24_000, 1.0, "a.flac")
    assert page.received[-1][0]["seconds"] == 1.0
    assert requested(page, 0).seconds == pytest.approx(1.0, abs=0.1)
    name = sample_clips.names()[0]
    page.post({"type": "sample", "name": name})
    assert settle(recorder).info["text"] == name
    page.post({"type": "upload", "id": "v", "name": "b", "part": 0, "parts": 1}, b"no sound")
    assert "not a sound file" in str(settle(recorder))
    assert recorder.clip.info["text"] == name  # what was there stays
    assert (recorder.state, "not a sound file" in recorder.error) == ("done", True)
    for sample in sample_clips.names():
        assert sample_clips.read(sample).seconds > 1
    with pytest.raises(ArgumentError, match="no sample"):
        sample_clips.read("none")


def test_a_text_is_spoken_by_the_local_voice(monkeypatch):
    monkeypatch.setenv("RTNB_ENGINE", "fake")
    recorder = rtnb.Recorder()
    Page(recorder).post({"type": "speak", "text": "Hello there. How are you?"})
    clip = settle(recorder)
    assert clip.info["source"] == "voice"
    assert clip == speak("Hello there. How are you?")
    assert speak(" ".join(["and so on,"] * 60)).seconds > 1
    with pytest.raises(ArgumentError, match="no words"):
        speak("…")


@pytest.mark.engine
def test_the_local_voice_can_be_understood():
    from rtnb.engines import registry

    asr = registry.part("asr", "moonshine")
    clip = speak("The weather is fine today. Let us walk along the river.")
    said = asr.transcribe(clip.resample(asr.rate).samples).lower()
    assert "weather" in said
    assert "river" in said


def test_confirm_waits_for_keep():
    recorder = rtnb.Recorder(confirm=True)
    page = Page(recorder)
    page.record(pieces(25))
    with pytest.raises(MicrophoneError, match="nothing was recorded within"):
        recorder.wait(0)
    recorder.trim_start = 0.5
    page.post({"type": "keep"})
    assert recorder.wait(0).seconds == pytest.approx(0.5)


def test_autostart_begins_in_the_first_page_only():
    recorder = rtnb.Recorder(autostart=True)
    page = Page(recorder)
    assert [head["type"] for head, _ in page.received] == ["record"]
    assert Page(recorder).received == []
    recorder.stop()


def test_without_a_page_the_wait_ends(monkeypatch):
    monkeypatch.setattr(module, "_PAGE_TIMEOUT", 0.0)
    recorder = rtnb.Recorder()
    with pytest.raises(MicrophoneError, match="no page has shown the recorder"):
        recorder.wait()


def test_wait_fails_at_once_if_messages_arrive_only_between_cells(monkeypatch):
    monkeypatch.setattr(base, "front_end", lambda: "Visual Studio Code")
    recorder = rtnb.Recorder()
    page = Page(recorder)
    with pytest.raises(
        MicrophoneError, match="in Visual Studio Code messages from the page arrive only between cells"
    ):
        recorder.wait()
    page.record(pieces(4))
    assert recorder.wait().seconds == 0.16  # what is there already is there


def test_a_kernel_without_subshells_is_known(monkeypatch):
    class Shell:
        kernel = None

    monkeypatch.setattr("IPython.get_ipython", lambda: Shell)
    assert base.why_delayed() == ""
    Shell.kernel = object()
    assert "ipykernel 7.1" in base.why_delayed()
    Shell.kernel = type("Kernel", (), {"_supports_kernel_subshells": True})
    assert base.why_delayed() == ""


async def test_await():
    recorder = rtnb.Recorder()
    page = Page(recorder)
    threading.Timer(0.05, page.record, [pieces(4)]).start()
    assert (await asyncio.wait_for(_awaited(recorder), 10)).seconds == 0.16
    assert (await _awaited(recorder)).seconds == 0.16


async def _awaited(recorder):
    return await recorder


def test_wait_is_woken_from_another_thread():
    recorder = rtnb.Recorder()
    page = Page(recorder)
    thread = threading.Timer(0.05, page.record, [pieces(4)])
    thread.start()
    assert recorder.wait(10).seconds == 0.16
    thread.join()


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), 1e9, "5", None])
def test_a_recorder_takes_reasonable_lengths_only(seconds):
    with pytest.raises(ArgumentError, match="max_seconds"):
        rtnb.Recorder(max_seconds=seconds)


def test_a_recorder_takes_reasonable_lengths_only_later_too():
    recorder = rtnb.Recorder(max_seconds=5)
    with pytest.raises(ArgumentError, match=r"max_seconds.*got -3"):
        recorder.max_seconds = -3
    assert recorder.max_seconds == 5


def test_pinning_holds_the_shell_where_there_are_shells():
    class Comm:
        def _reply_subshell_for(self, data, default):
            return "the last one that sent"

    class Widget:
        comm = Comm()

    pin_to_subshell(Widget)
    assert Widget.comm._reply_subshell_for({}, "its own") == "its own"
    Widget.comm = object()
    pin_to_subshell(Widget)  # an older ipykernel: nothing to hold


def test_without_anywidget_the_error_names_the_install_command():
    code = (
        "import sys; sys.modules['anywidget'] = None\n"
        "import rtnb\n"
        "try: rtnb.Recorder\n"
        "except rtnb.MissingPackageError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'rtnb[lab]'" in done.stdout
