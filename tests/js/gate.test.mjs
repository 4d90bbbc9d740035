import assert from "node:assert/strict";
import { test } from "node:test";

import { contextUsage, isGateOpen, TalkGate, talkStatus } from "../../rtnb/widgets/static/talk/gate.js";

const free = { live: true, push: false, held: false, muted: false, half: false, playing: false };

test("hands-free, audio is sent unless the microphone is muted", () => {
  assert.ok(isGateOpen(free));
  assert.ok(isGateOpen({ ...free, playing: true }));
  assert.ok(!isGateOpen({ ...free, muted: true }));
  assert.ok(!isGateOpen({ ...free, live: false }));
});

test("half duplex mutes it while the answer plays", () => {
  assert.ok(isGateOpen({ ...free, half: true }));
  assert.ok(!isGateOpen({ ...free, half: true, playing: true }));
});

test("push to talk sends only while held, even while the answer plays", () => {
  assert.ok(!isGateOpen({ ...free, push: true }));
  assert.ok(isGateOpen({ ...free, push: true, held: true, half: true, playing: true }));
  assert.ok(isGateOpen({ ...free, push: true, held: true, muted: true }));
  assert.ok(!isGateOpen({ ...free, push: true, held: true, live: false }));
});

test("after the gate closes, silence follows for a moment and then nothing", () => {
  const gate = new TalkGate();
  assert.equal(gate.decide({ ...free, muted: true }, 0.4), "drop");
  assert.equal(gate.decide(free, 0.4), "send");
  const muted = { ...free, muted: true };
  assert.deepEqual(
    [1, 2, 3, 4, 5].map(() => gate.decide(muted, 0.4)),
    ["silence", "silence", "silence", "drop", "drop"],
  );
  assert.equal(gate.decide(free, 0.4), "send");
});

test("push to talk sends no silence", () => {
  const gate = new TalkGate();
  const push = { ...free, push: true };
  assert.equal(gate.decide({ ...push, held: true }, 0.04), "send");
  assert.equal(gate.decide(push, 0.04), "drop");
});

test("the status describes the phase", () => {
  const say = (more) => talkStatus({ state: "live", phase: "listening", owned: true, mic: true, ...more });
  assert.equal(say({}), "Listening");
  assert.equal(say({ state: "ready" }), "Ready");
  assert.equal(say({ push: true }), "Hold to talk");
  assert.equal(say({ muted: true }), "Muted");
  assert.equal(say({ muted: true, push: true }), "Hold to talk");
  assert.equal(say({ mic: false }), "No microphone");
  assert.equal(say({ phase: "user_speaking", playing: true }), "You are speaking");
  assert.equal(say({ playing: true }), "The assistant is speaking");
  assert.equal(say({ playing: true, half: true }), "The assistant is speaking; the microphone is muted");
  assert.equal(say({ disconnected: true }), "The kernel is gone: run the cell again");
  assert.equal(say({ owned: false }), "Live in another tab");
});

test("an unknown window is unknown, not full", () => {
  assert.deepEqual(contextUsage([1234, 32000]), {
    text: "context 1,234 of 32,000 tokens",
    share: 1234 / 32000,
  });
  assert.deepEqual(contextUsage([0, null]), { text: "context unknown", share: null });
});
