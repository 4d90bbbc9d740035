"""What `browser.py` runs in the notebook: the cells, and the bare widgets that it measures rtnb against."""

SETUP = '''
import asyncio, json, statistics, threading, time
import anywidget, ipywidgets, numpy as np, traitlets
import rtnb
from IPython.display import display
from rtnb.audio.codecs import Codec, pcm16
from rtnb.session import event_loop
from rtnb.widgets.base import BaseWidget, pin_to_subshell
from rtnb.widgets.playback import Player

TONE = (8000 * np.sin(np.arange(24_000 * 2) * 2 * np.pi * 440 / 24_000)).astype("<i2").tobytes()
RESULT = {}


class Bare(anywidget.AnyWidget):
    """A widget that does nothing but play: what the notebook itself costs."""

    _esm = """
    const code = `registerProcessor("bare", class extends AudioWorkletProcessor {
      constructor() {
        super();
        this.sound = null;
        this.port.onmessage = ({ data }) => { this.sound = data; this.at = 0; };
      }
      process(_, [[out]]) {
        if (!this.sound) return true;
        if (this.at === 0) this.port.postMessage(0);
        out.set(this.sound.subarray(this.at, this.at + out.length));
        this.at += out.length;
        if (this.at >= this.sound.length) this.sound = null;
        return true;
      } })`;
    function initialize({ model }) {
      const early = [];
      let node = null;
      const play = (_, [view]) => {
        if (!node) return early.push(view);
        const samples = new Float32Array(view.byteLength / 2);
        for (let i = 0; i < samples.length; i += 1) samples[i] = view.getInt16(2 * i, true) / 32768;
        node.port.postMessage(samples);
      };
      model.on("msg:custom", play);
      const begin = async () => {
        const context = new AudioContext({ sampleRate: 24000 });
        const blob = new Blob([code], { type: "text/javascript" });
        await context.audioWorklet.addModule(URL.createObjectURL(blob));
        node = new AudioWorkletNode(context, "bare", { outputChannelCount: [1] });
        node.port.onmessage = () => model.send({ wall: performance.timeOrigin + performance.now() });
        node.connect(context.destination);
        await context.resume();
      };
      begin();
    }
    export default { initialize, render() {} };
    """


class Playback:
    """rtnb's own playback: the live turn's widget, its player, and the sessions' loop."""

    def __init__(self):
        self.reports = []
        self.ready = threading.Event()
        loop = event_loop.run(self._loop())
        self.loop = loop
        self.widget = BaseWidget(
            "live_turn/live_turn", lambda m, b: loop.call_soon_threadsafe(self._on_message, m)
        )
        self.player = Player(self.widget.post, loop.call_later)

    async def _loop(self):
        return asyncio.get_running_loop()

    def _on_message(self, message):
        if message["kind"] == "hello":
            self.widget.owner = message["page"]
            self.player.set_owner(message["page"])
            self.ready.set()
        elif message["kind"] in ("played", "flushed"):
            self.player.on_report(message)
            self.reports.append(message)

    def wait_for(self, test, seconds=3.0):
        """Wait for a report of the page and return it."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for message in list(self.reports):
                if test(message):
                    return message
            time.sleep(0.001)
        raise TimeoutError("the page reported nothing")


def spread(values):
    values = sorted(values)
    at = lambda share: round(values[min(len(values) - 1, int(share * len(values)))], 2)
    return {"n": len(values), "p50": at(0.5), "p90": at(0.9), "p95": at(0.95), "max": round(values[-1], 2)}
'''

SHOW = "playback = Playback(); bare = Bare(); pin_to_subshell(bare); display(playback.widget, bare)"

LATENCY = """
import random
received = []
bare.on_msg(lambda w, m, b: received.append(m))
time.sleep(1.0)
ours, flushes, anchor = [], [], []
short = TONE[: 2 * 24 * 1000]
chance = random.Random(1)
for k in range(42):
    # Quiet before each, so that neither waits for what was sent before it.
    time.sleep(0.3)
    playback.reports.clear()
    began = time.time() * 1000
    playback.loop.call_soon_threadsafe(playback.player.feed, f"i{k}", short, pcm16)
    report = playback.wait_for(lambda m: m.get("moment") == "started")
    ours.append(report["wall"] - began)
    time.sleep(chance.uniform(0.1, 0.6))
    began = time.time() * 1000
    playback.loop.call_soon_threadsafe(playback.player.flush, lambda played: None)
    report = playback.wait_for(lambda m: m["kind"] == "flushed")
    flushes.append(report["wall"] - began)
    time.sleep(0.3)
    received.clear()
    began = time.time() * 1000
    bare.send({}, buffers=[short])
    while not any("wall" in m for m in received):
        assert time.time() * 1000 - began < 3000
        time.sleep(0.001)
    anchor.append(received[-1]["wall"] - began)
    time.sleep(1.0)
# The first two of each open the way.
RESULT["first_sample"] = {"rtnb": spread(ours[2:]), "bare": spread(anchor[2:])}
RESULT["flush"] = spread(flushes[2:])
"""

MINUTE = '''
async def minute(seconds, every):
    """Send a tone in real time, as a server at its quickest sends an answer that is being spoken."""
    part = int(24_000 * every) * 2
    sound = TONE * (int(seconds) // 2 + 1)
    began = asyncio.get_running_loop().time()
    late = []
    for k in range(int(seconds / every)):
        wait = began + k * every - asyncio.get_running_loop().time()
        await asyncio.sleep(max(0.0, wait))
        late.append(-min(0.0, wait) * 1000)
        playback.player.feed("minute", sound[k * part : (k + 1) * part], pcm16)
    playback.player.end("minute")
    return max(late)

playback.reports.clear()
latest = event_loop.run(minute(SECONDS, 0.04))
playback.wait_for(lambda m: m.get("items", {}).get("minute", {}).get("done"), 20)
RESULT["minute"] = {
    "seconds": SECONDS,
    "underruns": playback.player.underruns,
    "played_s": round(playback.player.items["minute"].played_ms / 1000, 3),
    "sender_late_ms": round(latest, 1),
}
'''

TALK = """
s = rtnb.connect(WHERE)
talk = s.talk()
talk
"""

STAMPS = """
stamps = []
talk._widget.on_msg(lambda w, m, b: stamps.append(time.time() * 1000) if m.get("kind") == "audio" else None)
"""

ASLEEP = "time.sleep(SECONDS)"
COMPUTING = "end = time.time() + SECONDS\nwhile time.time() < end: sum(i * i for i in range(10_000))"

HOUR = '''
rate = 24_000
minute_of_noise = np.random.default_rng(7).standard_normal(60 * rate).astype(np.float32) * 0.12
minute_of_noise *= np.abs(np.sin(np.arange(60 * rate) / rate * 2.1)) ** 3
clip = rtnb.Clip(np.tile(minute_of_noise, 60), rate)
samples = (clip.samples * 32767).astype("<i2")
from rtnb.widgets.waveform import Waveform


class Raw(anywidget.AnyWidget):
    """All samples go to the page, which draws them."""

    samples = traitlets.Bytes().tag(sync=True)
    _esm = """
    export default { render({ model, el }) {
      const canvas = document.createElement("canvas");
      canvas.className = "raw-wave";
      Object.assign(canvas, { width: 836, height: 116 });
      el.append(canvas);
      const view = model.get("samples");
      const samples = new Int16Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
      const brush = canvas.getContext("2d");
      const each = samples.length / 418;
      for (let i = 0; i < 418; i += 1) {
        let [low, high] = [32767, -32768];
        for (let k = Math.floor(i * each); k < (i + 1) * each; k += 1) {
          if (samples[k] < low) low = samples[k];
          if (samples[k] > high) high = samples[k];
        }
        brush.fillRect(2 * i, 58 - (high / 32768) * 58, 1.4, Math.max(1, ((high - low) / 65536) * 116));
      }
    } };
    """
'''
PEAKS = "began = time.time() * 1000; w = Waveform(clip); made = time.time() * 1000; display(w)"
RAW = "began = time.time() * 1000; w = Raw(samples=samples.tobytes()); made = time.time() * 1000; display(w)"
