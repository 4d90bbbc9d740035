import assert from "node:assert/strict";
import { mock, test } from "node:test";

import { deskOf } from "../../rtnb/widgets/static/recorder/controller.js";
import { fakeMicrophone, settled } from "./fake_microphone.mjs";

let count = 0;

/** Return a desk, its model, and what it told the kernel. */
function desk(traits = {}) {
  const state = {
    uid: `${(count += 1)}`,
    max_seconds: 600,
    trim_start: 0,
    trim_end: null,
    device: "",
    ...traits,
  };
  const said = [];
  const heard = new Map();
  const model = {
    get: (name) => state[name],
    on: (name, handler) => heard.set(name, handler),
    send: (message) => said.push(message),
  };
  const made = deskOf(model);
  return {
    desk: made,
    said,
    kinds: () => said.map((message) => message.type).filter((kind) => kind !== "hello"),
    hear: (message, buffers = []) => heard.get("msg:custom")(message, buffers),
    close: () => heard.get("comm:close")(),
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
  const one = desk(traits);
  one.unwatch = one.desk.watch(() => {});
  one.desk.record();
  await settled();
  await fake.allow();
  fake.hear(new Int16Array(960).fill(1));
  assert.equal(one.desk.phase, "recording");
  return one;
}

quietly("what nobody can see any more is stopped, and what it heard is kept", async (fake) => {
  const one = await recording(fake);
  one.unwatch();
  mock.timers.tick(1900);
  assert.equal(one.desk.phase, "recording");
  mock.timers.tick(200);
  await settled();
  assert.equal(fake.live, 0);
  assert.deepEqual(one.kinds(), ["start", "chunk", "stop"]);
  assert.equal(one.desk.take.length, 960);
});

quietly("what nobody can see any more is heard no longer", async (fake) => {
  const one = await recording(fake);
  await one.desk.stop();
  let closed = false;
  one.desk.player = { close: () => (closed = true) };
  one.unwatch();
  mock.timers.tick(2100);
  assert.equal(closed, true);
  assert.equal(one.desk.player, null);
});

quietly("a view that is moved or drawn anew stops nothing", async (fake) => {
  const one = await recording(fake);
  one.unwatch();
  mock.timers.tick(1000);
  one.desk.watch(() => {});
  mock.timers.tick(60000);
  await settled();
  assert.equal(one.desk.phase, "recording");
  assert.equal(fake.live, 1);
});

quietly("a recorder that goes away while the browser asks leaves the microphone off", async (fake) => {
  for (const end of [
    (one) => one.close(),
    (one) => one.hear({ type: "stop" }),
    (one) => {
      one.unwatch();
      mock.timers.tick(2100);
    },
  ]) {
    const one = desk();
    one.unwatch = one.desk.watch(() => {});
    one.desk.record();
    await settled();
    assert.equal(one.desk.phase, "starting");
    end(one);
    assert.equal(one.desk.phase, "idle");
    await fake.allow();
    assert.equal(fake.live, 0);
    assert.equal(one.desk.phase, "idle");
    assert.deepEqual(one.kinds(), []);
  }
});

quietly("what begins by itself waits until it is seen", async (fake) => {
  const one = desk();
  one.hear({ type: "begin", page: "another tab" });
  one.hear({ type: "begin", page: one.desk.greeting.id });
  await settled();
  assert.equal(fake.asked, 0);
  one.desk.watch(() => {});
  await settled();
  assert.equal(fake.asked, 1);
  await fake.deny();
  assert.deepEqual(one.kinds(), ["problem"]);
  one.desk.watch(() => {}); // seen once more, it does not begin again
  await settled();
  assert.equal(fake.asked, 1);
});

quietly("a page answers for the take that it records, and for no other", async (fake) => {
  const one = await recording(fake);
  one.hear({ type: "ask", take: "of another tab" });
  one.hear({ type: "stop", take: "of another tab" });
  assert.equal(one.kinds().includes("here"), false);
  one.hear({ type: "ask", take: one.desk.takeId });
  assert.deepEqual(one.said.at(-1), { type: "here", take: one.desk.takeId });
  one.hear({ type: "stop", take: one.desk.takeId });
  await settled();
  assert.equal(fake.live, 0);
  one.hear({ type: "ask", take: one.desk.takeId });
  assert.equal(one.kinds().at(-1), "stop");
});

quietly(
  "a take that lies in the kernel is shown, and never in place of the one that is being recorded",
  async (fake) => {
    const message = { type: "sound", take: "k", seconds: 2, row: 256 / 24000, part: 5 };
    const rows = new DataView(new Int8Array(2 * 188).buffer);
    const one = desk();
    one.hear(message, [rows]);
    assert.equal(one.desk.take.seconds, 2);
    assert.deepEqual(one.desk.trim, { start: 0, end: 2 });
    const busy = await recording(fake);
    busy.hear(message, [rows]);
    assert.notEqual(busy.desk.takeId, "k");
  },
);
