import assert from "node:assert/strict";
import { test } from "node:test";
import { countOf, describeError, formatTime, turnNumber } from "../../rtnb/widgets/static/shared/format.js";

test("an error is described whatever its class", () => {
  assert.deepEqual(describeError(new DOMException("no", "NotAllowedError")), {
    name: "NotAllowedError",
    message: "no",
  });
  assert.deepEqual(describeError({ name: "NotFoundError", message: "none" }), {
    name: "NotFoundError",
    message: "none",
  });
  assert.deepEqual(describeError("odd"), { name: "Error", message: "odd" });
  assert.deepEqual(describeError(undefined), { name: "Error", message: "undefined" });
});

test("turns are counted from 1", () => {
  assert.deepEqual([-1, 0, 1, 1233].map(turnNumber), ["1", "1", "2", "1234"]);
});

test("times and counts are formatted for people", () => {
  assert.deepEqual(
    [0, 65, 3599.99, -1, Number.NaN].map((s) => formatTime(s)),
    ["0:00", "1:05", "59:59", "0:00", "0:00"],
  );
  assert.equal(formatTime(65.27, true), "1:05.2");
  assert.deepEqual([countOf(1, "note"), countOf(12000, "event")], ["1 note", "12,000 events"]);
});
