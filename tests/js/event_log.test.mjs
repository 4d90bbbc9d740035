import assert from "node:assert/strict";
import test from "node:test";
import { containsText, kindOf, previewOf, treeKey } from "../../rtnb/widgets/static/event_log/json_tree.js";
import { EventRequests } from "../../rtnb/widgets/static/event_log/requests.js";
import {
  formatEventTime,
  indexAt,
  LineStore,
  lineKey,
  parseLine,
  ROW_HEIGHT,
  ScrollMap,
} from "../../rtnb/widgets/static/event_log/virtual_list.js";
import { countOf } from "../../rtnb/widgets/static/shared/format.js";

test("times are minutes, seconds and milliseconds, with hours where there are any", () => {
  const times = [0, 1.2345, 61.0004, 3599.9999, 3661.5, -0.25];
  assert.deepEqual(times.map(formatEventTime), [
    "00:00.000",
    "00:01.235",
    "01:01.000",
    "1:00:00.000",
    "1:01:01.500",
    "−00:00.250",
  ]);
});

test("lines are parsed", () => {
  assert.deepEqual(parseLine([3, 1.5, "hello"]), { turn: 3, t: 1.5, words: "hello", heading: true });
  const row = parseLine([7, 2, 0.5, 1, "x.delta", false, 3, "ab"]);
  assert.deepEqual(
    [row.event, row.count, row.server, row.type, row.turn, row.heading],
    [7, 2, true, "x.delta", 3, false],
  );
});

test("a short list scrolls as any element does", () => {
  const map = new ScrollMap();
  map.resize(100, 240);
  assert.equal(map.height, 2400);
  assert.equal(map.moved(500), null);
  assert.equal(map.top, 500);
  assert.equal(map.first, 20);
  assert.equal(map.count, 11);
  assert.equal(map.place, 500);
  assert.equal(map.atEnd, false);
  map.moved(99999);
  assert.equal(map.top, 2160);
  assert.equal(map.atEnd, true);
  map.resize(3, 240);
  assert.deepEqual([map.top, map.first, map.count, map.atEnd], [0, 0, 3, true]);
});

test("every line of a list of any length can be reached, and stays whole", () => {
  for (const total of [10, 333_333, 1_000_000, 1e9]) {
    const map = new ScrollMap();
    map.resize(total, 386);
    assert.ok(map.height <= 8e6);
    map.moved(map.maxScroll);
    assert.equal(map.first + map.count, total);
    assert.ok(map.atEnd);
    map.moved(0);
    assert.equal(map.first, 0);
    for (const line of [0, 5, Math.floor(total / 2), total - 1]) {
      map.reveal(line);
      assert.ok(
        line * ROW_HEIGHT >= map.top - 1e-6 && (line + 1) * ROW_HEIGHT <= map.top + map.view + 1e-6,
        `${total} ${line}`,
      );
      assert.ok(map.place >= 0 && map.place <= map.maxScroll);
    }
  }
});

test("small moves are exact however long the list, and never get stuck at an end of the bar", () => {
  const map = new ScrollMap();
  map.resize(100_000_000, 386);
  map.go(5e8);
  map.at = map.place;
  let bar = map.at;
  for (let i = 0; i < 200; i += 1) {
    const before = map.top;
    bar += 100;
    const to = map.moved(bar);
    if (to !== null) bar = map.at = to;
    assert.equal(map.top, before + 100);
  }
  map.go(2000);
  map.at = bar = map.place;
  for (let i = 0; map.top > 0; i += 1) {
    assert.ok(i < 100, "the top is never reached");
    bar = Math.max(0, bar - 100);
    const to = map.moved(bar);
    if (to !== null) bar = map.at = to;
  }
});

test("a far move of the bar goes to its share of the whole", () => {
  const map = new ScrollMap();
  map.resize(1_000_000, 400);
  map.moved(map.maxScroll / 2);
  assert.ok(Math.abs(map.top - map.maxTop / 2) < 1);
  assert.ok(Math.abs(map.place - map.maxScroll / 2) < 1);
});

const row = (event, count = 1) => [event, count, 0, 1, "x", false, 0, ""];

test("missing visible lines are requested, with some around them", () => {
  const store = new LineStore();
  store.put({ start: 0, lines: [row(0), row(1)], total: 1000, stable: 1000 });
  assert.equal(store.missing(0, 2), null);
  assert.deepEqual(store.missing(0, 20), [0, 84]);
  assert.deepEqual(store.missing(500, 20), [468, 584]);
  assert.deepEqual(store.missing(990, 20), [958, 1000]);
  store.put({
    start: 468,
    lines: Array.from({ length: 116 }, (_, i) => row(468 + i)),
    total: 1000,
    stable: 1000,
  });
  assert.equal(store.missing(500, 20), null);
  assert.equal(store.get(510).event, 510);
});

test("lines that may have changed are requested again, and shown until then", () => {
  const store = new LineStore();
  store.put({ start: 0, lines: [row(0), row(1), row(2)], total: 3, stable: 2 });
  assert.equal(store.missing(0, 3), null);
  store.invalidate();
  assert.deepEqual(store.missing(0, 3), [2, 3]);
  assert.equal(store.get(2).event, 2);
  store.put({ start: 2, lines: [row(2, 5), row(7)], total: 4, stable: 2 });
  assert.equal(store.missing(0, 4), null);
  assert.equal(store.get(2).count, 5);
  store.put({ start: 0, lines: [], total: 9, stable: 8 });
  assert.deepEqual(store.missing(0, 4), [2, 4]);
  store.clear();
  assert.equal(store.get(0), undefined);
});

test("a page never keeps more than some thousand lines", () => {
  const store = new LineStore();
  for (let start = 0; start < 100_000; start += 64) {
    store.put({
      start,
      lines: Array.from({ length: 64 }, (_, i) => row(start + i)),
      total: 100_000,
      stable: 100_000,
    });
  }
  assert.ok(store.chunks.size <= 128);
  assert.equal(store.get(99_999).event, 99_999);
  assert.equal(store.get(0), undefined);
});

test("the chunk that plays is the one that contains the position", () => {
  const starts = [0, 0.1, 0.2, 0.2, 0.5];
  assert.deepEqual(
    [-1, 0, 0.05, 0.1, 0.2, 0.3, 9].map((at) => indexAt(starts, at)),
    [-1, 0, 0, 1, 3, 3, 4],
  );
  assert.equal(indexAt([], 1), -1);
});

test("keys move within the list and no further", () => {
  assert.equal(lineKey("ArrowDown", 5, 10, 8), 6);
  assert.equal(lineKey("ArrowDown", 7, 10, 8), 7);
  assert.equal(lineKey("ArrowUp", 0, 10, 8), 0);
  assert.equal(lineKey("PageDown", 3, 10, 8), 7);
  assert.equal(lineKey("PageUp", 3, 10, 8), 0);
  assert.equal(lineKey("Home", 3, 10, 8), 0);
  assert.equal(lineKey("End", 3, 10, 8), 7);
  assert.equal(lineKey("x", 3, 10, 8), null);
  assert.equal(lineKey("End", 3, 10, 0), null);
  assert.deepEqual([countOf(1, "event"), countOf(2000, "event")], ["1 event", "2,000 events"]);
});

test("a value is previewed on one line", () => {
  assert.equal(
    previewOf({ a: 1, b: "x", c: null, d: [1, 2], e: {} }),
    '{a: 1, b: "x", c: null, d: [2], e: {}}',
  );
  assert.equal(previewOf([1, { a: 2 }, true]), "[1, {…}, true]");
  assert.equal(previewOf("a".repeat(100), 5), '"aaaaa…"');
  assert.equal(previewOf('say "hi"\n'), '"say \\"hi\\"\\n"');
  assert.deepEqual([previewOf({}), previewOf([]), previewOf(null)], ["{}", "[]", "null"]);
  assert.ok(previewOf(Object.fromEntries(Array.from({ length: 99 }, (_, i) => [`name${i}`, i]))).length < 80);
  assert.deepEqual([kindOf(null), kindOf([]), kindOf({}), kindOf(1)], ["null", "array", "object", "number"]);
});

test("branches that contain a text are found by names and values", () => {
  const value = { response: { output: [{ text: "Rome" }] }, n: 42 };
  assert.ok(containsText(value, "rome"));
  assert.ok(containsText(value, "OUTPUT"));
  assert.ok(containsText(value, "42"));
  assert.ok(!containsText(value, "paris"));
  assert.ok(!containsText(value, ""));
  assert.ok(!containsText([1, 2], "0"), "places in a list are no text");
});

test("keys move through a tree as in other trees", () => {
  const items = [
    { level: 1, branch: true, open: true },
    { level: 2, branch: false, open: false },
    { level: 2, branch: true, open: false },
    { level: 1, branch: false, open: false },
  ];
  assert.equal(treeKey("ArrowDown", 0, items), 1);
  assert.equal(treeKey("ArrowDown", 3, items), 3);
  assert.equal(treeKey("ArrowUp", 1, items), 0);
  assert.equal(treeKey("ArrowRight", 2, items), "open");
  assert.equal(treeKey("ArrowRight", 0, items), 1);
  assert.equal(treeKey("ArrowRight", 1, items), null);
  assert.equal(treeKey("ArrowLeft", 2, items), 0);
  assert.equal(treeKey("ArrowLeft", 0, items), "close");
  assert.equal(treeKey("ArrowLeft", 3, items), 3);
  assert.equal(treeKey("Enter", 2, items), "open");
  assert.equal(treeKey(" ", 1, items), null);
  assert.deepEqual([treeKey("Home", 2, items), treeKey("End", 0, items)], [0, 3]);
});

class Model {
  constructor() {
    this.sent = [];
    this.handlers = {};
    this.comm_live = true;
  }

  on(name, handler) {
    this.handlers[name] = handler;
  }

  off(name) {
    delete this.handlers[name];
  }

  send(message) {
    this.sent.push(message);
  }
}

test("one request at a time, and only its own answers", () => {
  const model = new Model();
  const heard = [];
  const requests = new EventRequests(model, {
    onLines: (message) => heard.push(message.serial),
    onGrown: () => heard.push("grown"),
    onSlow: () => heard.push("slow"),
    onDisconnect: () => heard.push("gone"),
  });
  assert.ok(requests.ready);
  requests.requestLines({ start: 0, stop: 9 });
  assert.ok(!requests.ready);
  assert.ok(requests.again);
  const hear = (message) => model.handlers["msg:custom"](message, []);
  hear({ type: "lines", view: "another", serial: 1 });
  assert.ok(!requests.ready);
  hear({ type: "lines", view: requests.name, serial: 1 });
  assert.ok(requests.ready);
  hear({ type: "grown" });
  hear({ type: "unheard of", view: requests.name });
  assert.deepEqual(heard, [1, "grown"]);
  requests.requestLines({});
  assert.equal(requests.again, false);
  requests.cancel();
  assert.ok(requests.ready);
  model.comm_live = false;
  model.handlers.comm_live_update();
  assert.deepEqual(heard.at(-1), "gone");
  requests.send({ type: "look" });
  assert.equal(model.sent.length, 2);
  assert.deepEqual(model.handlers, {});
});
