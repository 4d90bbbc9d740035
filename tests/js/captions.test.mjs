import assert from "node:assert/strict";
import { test } from "node:test";

import { captionsAfter, newlyFinal, speakerName } from "../../rtnb/faces/static/captions.js";

const line = (key, turn, who, text, final = false) => ({ key, turn, who, text, final });

test("a line grows in its place", () => {
  let lines = captionsAfter([], line("0a", 0, "assistant", "He"));
  lines = captionsAfter(lines, line("0a", 0, "assistant", "Hello", true));
  assert.deepEqual(lines.map((one) => [one.text, one.final]), [["Hello", true]]);
});

test("the same message again changes nothing, not even the array", () => {
  const lines = captionsAfter([], line("0a", 0, "assistant", "Hello"));
  assert.equal(captionsAfter(lines, line("0a", 0, "assistant", "Hello")), lines);
});

test("the user's words stand before the answer, though they come after it", () => {
  let lines = captionsAfter([], line("0a", 0, "assistant", "Four."));
  lines = captionsAfter(lines, line("1u", 1, "user", "And three?"));
  lines = captionsAfter(lines, line("0u", 0, "user", "Two and two?"));
  assert.deepEqual(lines.map((one) => one.key), ["0u", "0a", "1u"]);
});

test("only what becomes final is announced, once", () => {
  const draft = captionsAfter([], line("0a", 0, "assistant", "Hel"));
  assert.deepEqual(newlyFinal([], draft), []);
  const done = captionsAfter(draft, line("0a", 0, "assistant", "Hello", true));
  assert.deepEqual(newlyFinal(draft, done).map((one) => one.text), ["Hello"]);
  assert.deepEqual(newlyFinal(done, done), []);
});

test("markup is text, and odd fields become text", () => {
  const [only] = captionsAfter([], { key: 1, turn: 0, who: "<b>", text: "<script>x</script>" });
  assert.deepEqual(only, { key: "1", turn: 0, who: "assistant", text: "<script>x</script>", final: false, note: "" });
  assert.equal(speakerName("user"), "You");
});
