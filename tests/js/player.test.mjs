import assert from "node:assert/strict";
import { test } from "node:test";
import { Player, playedItems } from "../../rtnb/widgets/static/shared/player.js";
import { SampleQueue } from "../../rtnb/widgets/static/shared/player_worklet.js";

const ramp = (count, from = 1) => Float32Array.from({ length: count }, (_, i) => from + i);
const read = (queue, count) => {
  const out = new Float32Array(count).fill(9);
  return [queue.read(out), [...out]];
};

test("nothing plays before the prebuffer is full", () => {
  const queue = new SampleQueue(4);
  queue.push("a", ramp(3));
  assert.deepEqual(read(queue, 2), [0, [0, 0]]);
  assert.deepEqual(queue.counts(), { a: { rendered: 0, done: false } });
  queue.push("a", ramp(1, 4));
  assert.deepEqual(read(queue, 2), [2, [1, 2]]);
});

test("a short item plays when its end is known", () => {
  const queue = new SampleQueue(100);
  queue.push("a", ramp(3));
  queue.end("a");
  assert.deepEqual(read(queue, 4), [3, [1, 2, 3, 0]]);
  assert.equal(queue.underruns, 0);
  assert.deepEqual(queue.counts(), { a: { rendered: 3, done: true } });
});

test("chunks and items follow one another without a gap, each counted for itself", () => {
  const queue = new SampleQueue(1);
  queue.push("a", ramp(3, 1));
  queue.push("a", ramp(2, 4));
  queue.end("a");
  queue.push("b", ramp(4, 6));
  queue.end("b");
  assert.deepEqual(read(queue, 4)[1], [1, 2, 3, 4]);
  assert.deepEqual(read(queue, 4)[1], [5, 6, 7, 8]);
  assert.deepEqual(queue.counts(), { a: { rendered: 5, done: true }, b: { rendered: 3, done: false } });
  queue.tidy();
  assert.deepEqual(Object.keys(queue.counts()), ["b"]);
  assert.equal(read(queue, 4)[0], 1);
  assert.equal(queue.running, false);
  assert.equal(queue.underruns, 0);
});

test("an underrun is counted once and doubles the prebuffer, up to a limit", () => {
  const queue = new SampleQueue(2);
  queue.push("a", ramp(3));
  assert.equal(read(queue, 4)[0], 3);
  assert.equal(read(queue, 4)[0], 0);
  assert.equal(queue.underruns, 1);
  queue.push("a", ramp(3));
  assert.equal(read(queue, 4)[0], 0);
  queue.push("a", ramp(1));
  assert.equal(read(queue, 2)[0], 2);
  assert.equal(queue.counts().a.rendered, 5);
  for (let k = 0; k < 5; k += 1) {
    queue.push("a", ramp(8));
    read(queue, 16);
  }
  assert.equal(queue.prebuffer, 8);
});

test("a flush drops the audio and returns what was rendered", () => {
  const queue = new SampleQueue(1);
  queue.push("a", ramp(10));
  queue.push("b", ramp(10));
  read(queue, 4);
  assert.deepEqual(queue.flush(), { a: { rendered: 4, done: false }, b: { rendered: 0, done: false } });
  assert.deepEqual(read(queue, 4), [0, [0, 0, 0, 0]]);
  assert.equal(queue.underruns, 0);
  assert.deepEqual(queue.counts(), {});
});

test("an item that began elsewhere continues its count", () => {
  const queue = new SampleQueue(1);
  queue.begin("a", 240);
  queue.push("a", ramp(4));
  queue.end("a");
  read(queue, 4);
  assert.deepEqual(queue.counts(), { a: { rendered: 244, done: true } });
});

test("whatever the chunks, all samples are rendered in order", () => {
  let seed = 7;
  const random = (top) => {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    return seed % top;
  };
  for (let round = 0; round < 50; round += 1) {
    const queue = new SampleQueue(random(20));
    const output = [];
    let next = 1;
    for (let step = 0; step < 40; step += 1) {
      if (random(2)) {
        const count = random(30);
        queue.push("a", ramp(count, next));
        next += count;
      }
      const [count, out] = read(queue, 1 + random(16));
      output.push(...out.slice(0, count));
      assert.ok(out.slice(count).every((value) => value === 0));
    }
    queue.end("a");
    for (let last = true; last; ) {
      const [count, out] = read(queue, 16);
      output.push(...out.slice(0, count));
      last = count > 0;
    }
    assert.deepEqual(output, [...ramp(next - 1)]);
    if (next > 1) assert.equal(queue.counts().a.rendered, next - 1);
  }
});

test("what was played is what was rendered minus the latency, or all of a finished item", () => {
  const items = playedItems({ a: { rendered: 24000, done: true }, b: { rendered: 480, done: false } }, 30);
  assert.deepEqual(items.a, { rendered_ms: 1000, played_ms: 1000, done: true });
  assert.deepEqual(items.b, { rendered_ms: 20, played_ms: 0, done: false });
});

test("where the audio thread's code could not be loaded once, the next widget tries again", async () => {
  let fails = true;
  let connected = 0;
  const addModule = async () => {
    if (fails) throw new DOMException("no network", "AbortError");
  };
  const node = { connect: () => node };
  globalThis.AudioContext = class {
    audioWorklet = { addModule };
    addEventListener() {}
    removeEventListener() {}
    async resume() {}
    async suspend() {}
  };
  globalThis.GainNode = class {};
  globalThis.AudioWorkletNode = class {
    constructor() {
      connected += 1;
      this.port = { postMessage() {} };
    }
    connect = () => node;
    disconnect() {}
  };
  const reports = [];
  const first = new Player((report) => reports.push(report.kind));
  await new Promise((resolve) => setTimeout(resolve));
  assert.deepEqual(reports, ["failed"]);
  fails = false;
  const second = new Player((report) => reports.push(report.kind));
  await new Promise((resolve) => setTimeout(resolve));
  assert.deepEqual([reports.length, connected], [1, 1]);
  second.closed = first.closed = true;
});
