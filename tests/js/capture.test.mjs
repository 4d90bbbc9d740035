import assert from "node:assert/strict";
import test from "node:test";

import {
  Capture,
  captureProcessor,
  findDevice,
  microphoneProblem,
} from "../../rtnb/widgets/static/shared/capture.js";
import { fakeMicrophone, settled } from "./fake_microphone.mjs";

/** Run the audio thread's code here, on a port that keeps what is posted. */
function processor(size) {
  let made;
  class AudioWorkletProcessor {
    constructor() {
      this.port = { posted: [], postMessage: (data) => this.port.posted.push(data) };
    }
  }
  const scope = { AudioWorkletProcessor, registerProcessor: (_, type) => (made = type) };
  // As the browser gets it: text, without anything around it.
  new Function("scope", `(${captureProcessor})(scope)`)(scope);
  return new made({ processorOptions: { size } });
}

const block = (value, length = 128) => [[new Float32Array(length).fill(value)]];

test("every sample arrives once, in chunks of one size", () => {
  const one = processor(960);
  for (let i = 0; i < 16; i += 1)
    assert.equal(one.process([[Float32Array.from({ length: 128 }, (_, k) => (i * 128 + k) / 32768)]]), true);
  assert.equal(one.port.posted.length, 2);
  one.port.onmessage({ data: { flush: true } });
  const [first, second, rest, end] = one.port.posted;
  assert.deepEqual(
    [first, second, rest].map((chunk) => chunk.samples.length),
    [960, 960, 128],
  );
  const all = [...first.samples, ...second.samples, ...rest.samples];
  assert.deepEqual(
    all,
    Array.from({ length: 2048 }, (_, k) => k),
  );
  assert.deepEqual(end, { flushed: true });
  assert.equal(one.process(block(0.5)), false);
  assert.equal(one.port.posted.length, 4);
});

test("samples are clipped to full scale, and the level is reported", () => {
  const one = processor(128);
  one.process(block(1.5));
  one.process(block(-1.5));
  one.process(block(0.5));
  assert.equal(one.port.posted[0].samples[0], 32767);
  assert.equal(one.port.posted[1].samples[0], -32768);
  assert.equal(one.port.posted[2].samples[0], 16384);
  assert.equal(one.port.posted[2].peak, 0.5);
  assert.ok(Math.abs(one.port.posted[2].rms - 0.5) < 1e-9);
});

test("a pause delivers what was captured and then captures nothing", () => {
  const one = processor(960);
  one.process(block(0.25));
  one.port.onmessage({ data: { paused: true } });
  assert.equal(one.port.posted[0].samples.length, 128);
  for (let i = 0; i < 20; i += 1) one.process(block(0.5));
  assert.equal(one.port.posted.length, 1);
  one.port.onmessage({ data: { paused: false } });
  for (let i = 0; i < 8; i += 1) one.process(block(0.5));
  assert.equal(one.port.posted.length, 2);
});

test("an input without channels is skipped", () => {
  const one = processor(128);
  assert.equal(one.process([[]]), true);
  assert.equal(one.process([]), true);
  assert.equal(one.port.posted.length, 0);
});

test("a device is found by its id or by a part of its name", () => {
  const devices = [
    { deviceId: "a", label: "Built-in Microphone" },
    { deviceId: "b", label: "USB Headset" },
  ];
  assert.equal(findDevice(devices, "b").deviceId, "b");
  assert.equal(findDevice(devices, "headset").deviceId, "b");
  assert.equal(findDevice(devices, "radio"), undefined);
  assert.equal(findDevice(devices, ""), undefined);
});

test("each problem says what to do", () => {
  assert.match(microphoneProblem({ name: "NotAllowedError" }, true), /did not allow.*Allow it/);
  assert.match(microphoneProblem({ name: "NotFoundError" }, true), /No microphone was found.*Plug one in/);
  assert.match(microphoneProblem({ name: "NotReadableError" }, true), /another program/);
  assert.match(microphoneProblem({ name: "NotSupportedError", message: "odd" }, true), /odd/);
  assert.match(microphoneProblem({ name: "TypeError" }, false), /https/);
});

test("a capture that is stopped while the browser asks for permission opens nothing", async () => {
  for (const answer of ["allow", "deny"]) {
    const fake = fakeMicrophone();
    const capture = new Capture({ onchunk: () => assert.fail("it hears") });
    const started = capture.start();
    await settled();
    assert.equal(fake.asked, 1);
    await capture.stop();
    await Promise.all([assert.rejects(started), fake[answer]()]);
    assert.equal(fake.live, 0);
    fake.restore();
  }
});

test("a capture that is stopped at once asks for nothing", async () => {
  const fake = fakeMicrophone();
  const capture = new Capture({ onchunk: () => {} });
  const started = capture.start();
  capture.stop();
  await assert.rejects(started, { name: "AbortError" });
  assert.equal(fake.asked, 0);
  fake.restore();
});
