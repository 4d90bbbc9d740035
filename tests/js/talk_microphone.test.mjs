import assert from "node:assert/strict";
import { mock, test } from "node:test";

import { TalkMicrophone } from "../../rtnb/widgets/static/talk/talk_microphone.js";

const CHUNK = new Int16Array(960);

/** A capture that opens and stops when the test says so. */
class FakeCapture {
  constructor(hooks) {
    this.hooks = hooks;
    this.info = null;
    this.stopped = 0;
  }

  start(settings) {
    this.settings = settings;
    return new Promise((resolve, reject) => {
      this.opened = () => {
        this.info = { rate: 24000 };
        resolve(this.info);
      };
      this.denied = reject;
    });
  }

  stop() {
    this.stopped += 1;
    return new Promise((resolve) => (this.ended = resolve));
  }
}

/** A microphone, its captures, and what the kernel is sent; the talk is live. */
function bench(facts = {}) {
  const sent = [];
  const captures = [];
  const link = {
    facts: { state: "live", ...facts },
    owns: true,
    player: null,
    send: (message) => sent.push(message),
    stopPlayback: () => "page-1",
    openPlayer: () => ({ resume() {} }),
    changed() {},
  };
  const mic = new TalkMicrophone(link, (hooks) => {
    captures.push(new FakeCapture(hooks));
    return captures.at(-1);
  });
  return { mic, link, sent, captures, kinds: () => sent.map((message) => message.kind) };
}

async function opened(one) {
  const starting = one.mic.start();
  one.captures.at(-1).opened();
  await starting;
  return one;
}

test("it opens, and reports the outcome to the kernel", async () => {
  const { mic, sent } = await opened(bench());
  assert.ok(mic.on);
  assert.deepEqual(sent, [{ kind: "start", mic: true, problem: "", info: { rate: 24000 } }]);
  const denied = bench();
  const starting = denied.mic.start();
  denied.captures[0].denied({ name: "NotFoundError" });
  await starting;
  assert.match(denied.sent[0].problem, /microphone/);
});

test("stopping while the browser asks for permission prevents the start", async () => {
  const one = bench();
  const starting = one.mic.start();
  one.mic.stop();
  one.captures[0].opened();
  await starting;
  assert.ok(!one.mic.on);
  assert.equal(one.captures[0].stopped, 1);
  assert.deepEqual(one.sent, []);
  await opened(one);
  assert.ok(one.mic.on);
});

test("a talk that ends while the device changes opens no microphone", async () => {
  const one = await opened(bench());
  const choosing = one.mic.choose("device", "b");
  one.mic.finish();
  one.captures[0].ended();
  await choosing;
  assert.equal(one.captures.length, 1);
  assert.ok(!one.mic.on);
  assert.deepEqual(one.kinds(), ["start", "capture", "finish"]);
});

test("another device is opened with what was chosen", async () => {
  const one = await opened(bench({ capture: { device: "", echoCancellation: true } }));
  const choosing = one.mic.choose("device", "b");
  one.captures[0].ended();
  await new Promise((resolve) => setTimeout(resolve));
  one.captures[1].opened();
  await choosing;
  assert.deepEqual(one.captures[1].settings, { device: "b", echoCancellation: true });
  assert.deepEqual(one.kinds(), ["start", "capture", "start"]);
});

test("a press soon after a release sends that release first", async () => {
  const one = await opened(bench({ push: true }));
  const { mic } = one;
  mic.press();
  mic.onChunk(CHUNK, 0.5);
  mic.release();
  mic.press();
  mic.onChunk(CHUNK, 0.5);
  mic.release();
  mic.onChunk(CHUNK, 0.5);
  mic.onChunk(CHUNK, 0.5);
  assert.deepEqual(one.kinds(), ["start", "press", "audio", "release", "press", "audio", "audio", "release"]);
});

test("a press and the end stop playback before the kernel knows", async () => {
  const one = await opened(bench({ push: true }));
  one.mic.press();
  one.mic.finish();
  assert.deepEqual(one.sent.slice(1, 3), [
    { kind: "press", stop_id: "page-1" },
    { kind: "finish", stop_id: "page-1" },
  ]);
});

test("a release whose last chunk never comes is sent all the same", async () => {
  const one = await opened(bench({ push: true }));
  mock.timers.enable({ apis: ["setTimeout"] });
  one.mic.press();
  one.mic.release();
  assert.deepEqual(one.kinds(), ["start", "press"]);
  mock.timers.tick(120);
  mock.timers.reset();
  assert.deepEqual(one.kinds(), ["start", "press", "release"]);
});

test("a microphone that disconnects while the button is held releases the button", async () => {
  const one = await opened(bench({ push: true }));
  one.mic.press();
  one.mic.onLost("It went away.");
  assert.ok(!one.mic.held);
  assert.deepEqual(one.kinds(), ["start", "press", "release", "start"]);
});

test("the mute modes are sent to the kernel, whose state counts in a page that starts", () => {
  const one = bench({ muted: true, half: true });
  assert.deepEqual([one.mic.muted, one.mic.half], [true, true]);
  one.mic.setMode("muted", false);
  assert.deepEqual(one.sent, [{ kind: "mute", muted: false }]);
  assert.equal(one.mic.muted, false);
  one.mic.reset(); // another page continues
  assert.equal(one.mic.muted, true);
});
