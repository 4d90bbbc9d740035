import assert from "node:assert/strict";
import { mock, test } from "node:test";

import { controllerFor } from "../../rtnb/widgets/static/recorder/controller.js";
import { fakeMicrophone, settled } from "./fake_microphone.mjs";

let count = 0;

/** Return a controller, what it sent to the kernel, and ways to play the kernel's part. */
function bench(traits = {}) {
  count += 1;
  const state = {
    uid: String(count),
    max_seconds: 600,
    trim_start: 0,
    trim_end: null,
    device: "",
    ...traits,
  };
  const sent = [];
  const handlers = new Map();
  const model = {
    get: (name) => state[name],
    on: (name, handler) => handlers.set(name, handler),
    send: (message) => sent.push(message),
  };
  const made = controllerFor(model);
  return {
    controller: made,
    sent,
    kinds: () => sent.map((message) => message.type).filter((kind) => kind !== "hello"),
    receive: (message, buffers = []) => handlers.get("msg:custom")(message, buffers),
    close: () => handlers.get("comm:close")(),
  };
}

/** Run with a fake microphone and timers that stand still. */
function quietly(name, run) {
  test(name, async () => {
    const fake = fakeMicrophone();
    mock.timers.enable({ apis: ["setTimeout"] });
    try {
      await run(fake);
    } finally {
      mock.timers.reset();
      fake.restore();
    }
  });
}

async function recording(fake, traits) {
  const one = bench(traits);
  one.unwatch = one.controller.watch(() => {});
  one.controller.record();
  await settled();
  await fake.allow();
  fake.hear(new Int16Array(960).fill(1));
  assert.equal(one.controller.phase, "recording");
  return one;
}

quietly("a recorder without a view stops, and keeps what it recorded", async (fake) => {
  const one = await recording(fake);
  one.unwatch();
  mock.timers.tick(1900);
  assert.equal(one.controller.phase, "recording");
  mock.timers.tick(200);
  await settled();
  assert.equal(fake.live, 0);
  assert.deepEqual(one.kinds(), ["start", "chunk", "stop"]);
  assert.equal(one.controller.take.length, 960);
});

quietly("a recorder without a view stops playing", async (fake) => {
  const one = await recording(fake);
  await one.controller.stop();
  let closed = false;
  one.controller.player = { close: () => (closed = true) };
  one.unwatch();
  mock.timers.tick(2100);
  assert.equal(closed, true);
  assert.equal(one.controller.player, null);
});

quietly("moving or rendering a view again does not stop a recording", async (fake) => {
  const one = await recording(fake);
  one.unwatch();
  mock.timers.tick(1000);
  one.controller.watch(() => {});
  mock.timers.tick(60000);
  await settled();
  assert.equal(one.controller.phase, "recording");
  assert.equal(fake.live, 1);
});

quietly(
  "a recorder that is removed while the browser asks for permission leaves the microphone off",
  async (fake) => {
    for (const end of [
      (one) => one.close(),
      (one) => one.receive({ type: "stop" }),
      (one) => {
        one.unwatch();
        mock.timers.tick(2100);
      },
    ]) {
      const one = bench();
      one.unwatch = one.controller.watch(() => {});
      one.controller.record();
      await settled();
      assert.equal(one.controller.phase, "starting");
      end(one);
      assert.equal(one.controller.phase, "idle");
      await fake.allow();
      assert.equal(fake.live, 0);
      assert.equal(one.controller.phase, "idle");
      assert.deepEqual(one.kinds(), []);
    }
  },
);

quietly("a recording that starts by itself waits for a view", async (fake) => {
  const one = bench();
  one.receive({ type: "record", page: "another tab" });
  one.receive({ type: "record", page: one.controller.handshake.id });
  await settled();
  assert.equal(fake.asked, 0);
  one.controller.watch(() => {});
  await settled();
  assert.equal(fake.asked, 1);
  await fake.deny();
  assert.deepEqual(one.kinds(), ["problem"]);
  one.controller.watch(() => {}); // with another view it does not begin again
  await settled();
  assert.equal(fake.asked, 1);
});

quietly("a page answers only for the take that it records", async (fake) => {
  const one = await recording(fake);
  one.receive({ type: "ping", take: "of another tab" });
  one.receive({ type: "stop", take: "of another tab" });
  assert.equal(one.kinds().includes("here"), false);
  one.receive({ type: "ping", take: one.controller.takeId });
  assert.deepEqual(one.sent.at(-1), { type: "here", take: one.controller.takeId });
  one.receive({ type: "stop", take: one.controller.takeId });
  await settled();
  assert.equal(fake.live, 0);
  one.receive({ type: "ping", take: one.controller.takeId });
  assert.equal(one.kinds().at(-1), "stop");
});

quietly("a take in the kernel is shown, but never replaces one that is being recorded", async (fake) => {
  const message = { type: "clip", take: "k", seconds: 2, row: 256 / 24000, segment_seconds: 5 };
  const rows = new DataView(new Int8Array(2 * 188).buffer);
  const one = bench();
  one.receive(message, [rows]);
  assert.equal(one.controller.take.seconds, 2);
  assert.deepEqual(one.controller.trim, { start: 0, end: 2 });
  const busy = await recording(fake);
  busy.receive(message, [rows]);
  assert.notEqual(busy.controller.takeId, "k");
});
