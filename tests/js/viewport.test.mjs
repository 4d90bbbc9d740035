import assert from "node:assert/strict";
import test from "node:test";

import { isBuffered, segmentsAhead } from "../../rtnb/widgets/static/shared/streamed_audio.js";
import { PeakStore } from "../../rtnb/widgets/static/waveform/peaks.js";
import {
  clampSpan,
  followSpan,
  formatPosition,
  seekKey,
  timeMarks,
  zoomSpan,
} from "../../rtnb/widgets/static/waveform/viewport.js";

const near = (a, b) => assert.ok(Math.abs(a - b) < 1e-6, `${a} is not ${b}`);

test("a span stays within the recording and never becomes too narrow", () => {
  assert.deepEqual(clampSpan(-5, 5, 100), { start: 0, end: 10 });
  assert.deepEqual(clampSpan(95, 105, 100), { start: 90, end: 100 });
  assert.deepEqual(clampSpan(-50, 200, 100), { start: 0, end: 100 });
  near(clampSpan(10, 10, 100).end - clampSpan(10, 10, 100).start, 0.05);
  assert.deepEqual(clampSpan(0, 0.01, 0.01), { start: 0, end: 0.01 });
});

test("zooming keeps its anchor where it is, but for the ends", () => {
  const span = zoomSpan({ start: 0, end: 100 }, 4, 40, 100);
  near(span.end - span.start, 25);
  near((40 - span.start) / 25, 0.4);
  assert.deepEqual(zoomSpan({ start: 30, end: 55 }, 1 / 100, 40, 100), { start: 0, end: 100 });
  near(zoomSpan({ start: 0, end: 100 }, 1e9, 100, 100).end, 100);
});

test("the page turns when the playhead leaves it", () => {
  assert.deepEqual(followSpan({ start: 10, end: 20 }, 15, 100), { start: 10, end: 20 });
  const turned = followSpan({ start: 10, end: 20 }, 20.1, 100);
  assert.ok(turned.start > 19 && turned.start < 20.1);
  near(turned.end - turned.start, 10);
  assert.deepEqual(followSpan({ start: 10, end: 20 }, 99, 100), { start: 90, end: 100 });
});

test("keys move the playhead by 5 s, with shift by 50 ms, and never out of the recording", () => {
  assert.equal(seekKey("ArrowRight", false, 10, 60), 15);
  near(seekKey("ArrowLeft", true, 10, 60), 9.95);
  assert.equal(seekKey("ArrowLeft", false, 3, 60), 0);
  assert.equal(seekKey("End", false, 3, 60), 60);
  assert.equal(seekKey("Home", false, 3, 60), 0);
  assert.equal(seekKey("x", false, 3, 60), null);
});

test("marks of the time axis are whole steps with room between them", () => {
  const marks = timeMarks({ start: 0, end: 3600 }, 834);
  assert.deepEqual(
    marks.map((mark) => mark.text),
    ["0:00", "10:00", "20:00", "30:00", "40:00", "50:00", "1:00:00"],
  );
  assert.deepEqual(
    timeMarks({ start: 1.21, end: 1.41 }, 400).map((mark) => mark.text),
    ["1:25", "1:30", "1:35", "1:40"].map((t) => t.replace(":", ".")).map((t) => `0:0${t}`),
  );
  for (const end of [0.05, 0.7, 3, 44, 1e3, 14400]) {
    const shown = timeMarks({ start: 0, end }, 800);
    assert.ok(shown.length >= 2 && shown.length <= 10, `${end}: ${shown.length}`);
    assert.equal(new Set(shown.map((mark) => mark.text)).size, shown.length);
  }
});

test("times have hours where the recording has them", () => {
  assert.equal(formatPosition(65.27, 100, true), "1:05.2");
  assert.equal(formatPosition(65.27, 100), "1:05");
  assert.equal(formatPosition(65.27, 3600), "0:01:05");
  assert.equal(formatPosition(3600, 3600, true), "1:00:00.0");
  assert.equal(formatPosition(59.99, 100, true), "0:59.9");
});

// A pyramid of noise with base 4 and factor 2, and the samples that it is made of.
function pyramid(count, top) {
  let seed = 5;
  const samples = Float64Array.from({ length: count }, () => {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    return Math.round((seed / 2147483648) * 250 - 125);
  });
  const levels = [];
  for (let level = 0; level <= top; level += 1) {
    const span = 4 * 2 ** level;
    const rows = new Int8Array(Math.ceil(count / span) * 2);
    for (let row = 0; row < rows.length / 2; row += 1) {
      const part = samples.slice(row * span, (row + 1) * span);
      rows[2 * row] = Math.min(...part);
      rows[2 * row + 1] = Math.max(...part);
    }
    levels.push(rows);
  }
  return { samples, levels };
}

function filled(count, top) {
  const made = pyramid(count, top);
  const store = new PeakStore({
    seconds: count / 100,
    rate: 100,
    base: 4,
    factor: 2,
    tile: 16,
    level: top,
    overview: made.levels[top],
  });
  return { ...made, store };
}

function serve(store, levels, asked) {
  for (const { level, tile } of asked)
    store.add(level, tile, levels[level].subarray(tile * 32, (tile + 1) * 32));
}

test("an overview needs no request, and nothing in it is smaller than the samples", () => {
  const { store, samples } = filled(6400, 4);
  assert.deepEqual(store.missing({ start: 0, end: 64 }, 50), []);
  const columns = store.columns({ start: 0, end: 64 }, 50);
  for (let i = 0; i < 50; i += 1) {
    const part = samples.slice(i * 128, (i + 1) * 128);
    assert.equal(columns[2 * i], Math.min(...part));
    assert.equal(columns[2 * i + 1], Math.max(...part));
  }
});

test("zooming in asks for the tiles that are seen, and draws coarsely until they come", () => {
  const { store, samples, levels } = filled(6400, 4);
  const span = { start: 10, end: 14 };
  const before = store.columns(span, 50);
  assert.ok(!before.some(Number.isNaN));
  const asked = store.missing(span, 50);
  assert.deepEqual(asked, [
    { level: 1, tile: 7 },
    { level: 1, tile: 8 },
    { level: 1, tile: 9 },
    { level: 1, tile: 10 },
  ]);
  serve(store, levels, asked);
  assert.deepEqual(store.missing(span, 50), []);
  const after = store.columns(span, 50);
  for (let i = 0; i < 50; i += 1) {
    const part = samples.slice(1000 + i * 8, 1000 + (i + 1) * 8);
    assert.equal(after[2 * i], Math.min(...part));
    assert.equal(after[2 * i + 1], Math.max(...part));
    assert.ok(before[2 * i] <= after[2 * i] && before[2 * i + 1] >= after[2 * i + 1]);
  }
});

test("detail finer than the pyramid is asked for once, with a margin to scroll in", () => {
  const { store } = filled(6400, 4);
  const span = { start: 10, end: 11 };
  const asked = store.missingDetail(span, 100);
  assert.deepEqual(asked, { start: 950, stop: 1150, count: 200 });
  const rows = new Int8Array(400);
  rows.fill(7);
  store.setDetail(asked.start, asked.stop, rows);
  assert.equal(store.missingDetail(span, 100), null);
  assert.equal(store.missingDetail({ start: 10.4, end: 11.4 }, 100), null);
  assert.notEqual(store.missingDetail({ start: 11, end: 12 }, 100), null);
  assert.ok(store.columns(span, 100).every((value) => value === 7));
  assert.equal(store.missingDetail({ start: 0, end: 64 }, 100), null);
});

test("the end of a recording is drawn, and nothing after it", () => {
  const { store } = filled(6403, 4);
  const columns = store.columns({ start: 63, end: 65 }, 20);
  assert.ok(!Number.isNaN(columns[2 * 10]));
  assert.ok(Number.isNaN(columns[2 * 11]));
});

test("an empty recording has no columns and asks for nothing", () => {
  const store = new PeakStore({
    seconds: 0,
    rate: 100,
    base: 4,
    factor: 2,
    tile: 16,
    level: 0,
    overview: new Int8Array(),
  });
  assert.ok(store.columns({ start: 0, end: 0 }, 10).every(Number.isNaN));
  assert.deepEqual(store.missing({ start: 0, end: 0 }, 10), []);
  assert.equal(store.missingDetail({ start: 0, end: 0 }, 10), null);
});

test("segments are requested from the playhead on, to the end and not beyond", () => {
  assert.deepEqual(segmentsAhead(0, 12, 5, 100), [0, 1, 2]);
  assert.deepEqual(segmentsAhead(4.9, 12, 5, 100), [0, 1, 2, 3]);
  assert.deepEqual(segmentsAhead(97, 12, 5, 98.3), [19]);
  assert.deepEqual(segmentsAhead(98.3, 12, 5, 98.3), [19]);
});

test("a segment counts as buffered apart from rounding", () => {
  assert.ok(isBuffered([[0, 5.0]], 0, 5, 98.3));
  assert.ok(
    isBuffered(
      [
        [0, 5],
        [9.98, 15.02],
      ],
      2,
      5,
      98.3,
    ),
  );
  assert.ok(
    !isBuffered(
      [
        [0, 5],
        [12, 15],
      ],
      2,
      5,
      98.3,
    ),
  );
  assert.ok(isBuffered([[95, 98.25]], 19, 5, 98.3));
  assert.ok(isBuffered([[100, 100.05]], 20, 5, 100.08));
});
