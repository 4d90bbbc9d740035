import assert from "node:assert/strict";
import { test } from "node:test";

import { keepFocus, setText } from "../../rtnb/widgets/static/shared/dom.js";

test("a text is set only where it is another one", () => {
  const set = [];
  const node = {
    get textContent() {
      return set.at(-1) ?? "";
    },
    set textContent(text) {
      set.push(text);
    },
  };
  for (const text of ["", "a", "a", "b", "b", ""]) setText(node, text);
  assert.deepEqual(set, ["a", "b", ""]);
});

test("the focus stays in the widget when what has it hides", () => {
  const focused = [];
  const root = { focus: () => focused.push("root") };
  globalThis.document = { activeElement: "button" };
  keepFocus(root, { contains: (node) => node === "another" });
  assert.deepEqual(focused, []);
  keepFocus(root, { contains: (node) => node === "button" });
  assert.deepEqual(focused, ["root"]);
  delete globalThis.document;
});
