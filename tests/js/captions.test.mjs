import assert from "node:assert/strict";
import { test } from "node:test";

import {
  announceFinal,
  captionsAfter,
  newlyFinal,
  speakerName,
} from "../../rtnb/widgets/static/shared/captions.js";

const line = (key, turn, who, text, final = false) => ({ key, turn, who, text, final });

test("a line grows in its place", () => {
  let lines = captionsAfter([], line("0a", 0, "assistant", "He"));
  lines = captionsAfter(lines, line("0a", 0, "assistant", "Hello", true));
  assert.deepEqual(
    lines.map((one) => [one.text, one.final]),
    [["Hello", true]],
  );
});

test("the same message again changes nothing, not even the array", () => {
  const lines = captionsAfter([], line("0a", 0, "assistant", "Hello"));
  assert.equal(captionsAfter(lines, line("0a", 0, "assistant", "Hello")), lines);
});

test("the user's words stand before the answer, though they come after it", () => {
  let lines = captionsAfter([], line("0a", 0, "assistant", "Four."));
  lines = captionsAfter(lines, line("1u", 1, "user", "And three?"));
  lines = captionsAfter(lines, line("0u", 0, "user", "Two and two?"));
  assert.deepEqual(
    lines.map((one) => one.key),
    ["0u", "0a", "1u"],
  );
});

test("only what becomes final is announced, once", () => {
  const draft = captionsAfter([], line("0a", 0, "assistant", "Hel"));
  assert.deepEqual(newlyFinal([], draft), []);
  const done = captionsAfter(draft, line("0a", 0, "assistant", "Hello", true));
  assert.deepEqual(
    newlyFinal(draft, done).map((one) => one.text),
    ["Hello"],
  );
  assert.deepEqual(newlyFinal(done, done), []);
});

test("lines that become final one upon the other are all there to be read, the last few", () => {
  const region = {
    children: [],
    append(child) {
      child.remove = () => region.children.splice(region.children.indexOf(child), 1);
      region.children.push(child);
    },
  };
  globalThis.document = {
    createElement: () => ({
      append(text) {
        this.text = text;
      },
    }),
  };
  let lines = [];
  for (let turn = 0; turn < 3; turn += 1) {
    for (const who of ["user", "assistant"]) {
      const after = captionsAfter(lines, line(`${turn}${who}`, turn, who, `${who} ${turn}`, true));
      announceFinal(region, lines, after);
      announceFinal(region, after, after);
      lines = after;
    }
  }
  delete globalThis.document;
  assert.deepEqual(
    region.children.map((child) => child.text),
    ["You: user 1", "Assistant: assistant 1", "You: user 2", "Assistant: assistant 2"],
  );
});

test("markup is text, and odd fields become text", () => {
  const [only] = captionsAfter([], { key: 1, turn: 0, who: "<b>", text: "<script>x</script>" });
  assert.deepEqual(only, {
    key: "1",
    turn: 0,
    who: "assistant",
    text: "<script>x</script>",
    final: false,
    note: "",
  });
  assert.equal(speakerName("user"), "You");
});
