import assert from "node:assert/strict";
import test from "node:test";

import {
  LocalTake,
  meterLevel,
  moveTrim,
  RemoteTake,
  trimKey,
} from "../../rtnb/widgets/static/recorder/take.js";

function ramp(length, from = 0) {
  return Int16Array.from({ length }, (_, i) => from + i);
}

test("a take is the sum of its pieces", () => {
  const take = new LocalTake(24000);
  take.push(ramp(960));
  take.push(ramp(960, 960));
  take.push(ramp(37, 1920));
  assert.equal(take.length, 1957);
  assert.ok(Math.abs(take.seconds - 1957 / 24000) < 1e-12);
  const all = take.slice(0, take.seconds);
  assert.deepEqual(
    [...all].map((x) => Math.round(x * 32768)),
    Array.from({ length: 1957 }, (_, i) => i),
  );
  const part = take.slice(959 / 24000, 962 / 24000);
  assert.deepEqual(
    [...part].map((x) => Math.round(x * 32768)),
    [959, 960, 961],
  );
  assert.equal(take.slice(1, 2).length, 0);
});

test("columns hold the extremes wherever the pieces begin and end", () => {
  for (const size of [1, 7, 255, 256, 960]) {
    const take = new LocalTake(25600);
    const samples = new Int16Array(2560);
    samples[700] = 32767;
    samples[1500] = -32768;
    for (let i = 0; i < samples.length; i += size) take.push(samples.slice(i, i + size));
    const columns = take.columns(0, 0.1, 10);
    assert.equal(columns.length, 10);
    assert.equal(
      columns.findIndex((column) => column[1] > 0.9),
      2,
    );
    assert.equal(
      columns.findIndex((column) => column[0] < -0.9),
      5,
    );
  }
});

test("where nothing was recorded there is no column", () => {
  const take = new LocalTake(25600);
  take.push(new Int16Array(2560));
  const columns = take.columns(-0.1, 0.2, 6);
  assert.deepEqual(
    columns.map((column) => column !== null),
    [false, false, true, true, false, false],
  );
});

test("trim keeps its ends apart and within the take", () => {
  const trim = { start: 0, end: 2 };
  assert.deepEqual(moveTrim(trim, "start", 0.05, 2), { start: 0.05, end: 2 });
  assert.deepEqual(moveTrim(trim, "start", -3, 2), { start: 0, end: 2 });
  assert.deepEqual(moveTrim(trim, "start", 9, 2), { start: 1.9, end: 2 });
  assert.deepEqual(moveTrim({ start: 1, end: 2 }, "end", 0.2, 2), { start: 1, end: 1.1 });
  assert.deepEqual(moveTrim(trim, "end", 5, 2), { start: 0, end: 2 });
  assert.deepEqual(moveTrim({ start: 0, end: 1 }, "end", 2.00041, 2.00041), { start: 0, end: 2.00041 });
  assert.deepEqual(moveTrim(trim, "start", 0.1 + 0.2, 2), { start: 0.3, end: 2 });
  assert.deepEqual(moveTrim({ start: 0, end: 0.04 }, "start", 1, 0.04), { start: 0, end: 0.04 });
});

test("keys move an end by 50 ms, with Shift by half a second", () => {
  const trim = { start: 1, end: 2 };
  assert.equal(trimKey("ArrowRight", false, trim, "start", 3), 1.05);
  assert.equal(trimKey("ArrowLeft", true, trim, "end", 3), 1.5);
  assert.equal(trimKey("Home", false, trim, "start", 3), 0);
  assert.equal(trimKey("End", false, trim, "end", 3), 3);
  assert.equal(trimKey("Tab", false, trim, "end", 3), null);
});

test("a meter is empty at −60 dBFS and full at 0", () => {
  assert.equal(meterLevel(0), 0);
  assert.equal(meterLevel(0.0005), 0);
  assert.equal(meterLevel(1), 1);
  assert.equal(meterLevel(2), 1);
  assert.ok(Math.abs(meterLevel(0.0316) - 0.5) < 0.01);
});

test("a take whose audio is in the kernel is drawn from its rows", () => {
  const rows = new Int8Array(2 * 100);
  rows[2 * 30 + 1] = 127;
  rows[2 * 60] = -127;
  const take = new RemoteTake({ seconds: 1, row: 0.01, segment_seconds: 5 }, rows);
  const columns = take.columns(0, take.seconds, 10);
  assert.equal(
    columns.findIndex((column) => column[1] === 1),
    3,
  );
  assert.equal(
    columns.findIndex((column) => column[0] === -1),
    6,
  );
});
