import assert from "node:assert/strict";
import { mock, test } from "node:test";

import { PageLink } from "../../rtnb/faces/static/page.js";

/** A link to a kernel that answers nothing, what it is told, and a host for views. */
function bench(hooks = {}) {
  const told = [];
  const model = { on() {}, off() {}, get: (name) => (name === "uid" ? "uid" : ""), send: (message) => told.push(message) };
  const link = new PageLink(model, hooks);
  const host = { replaceChildren() {} };
  return { link, told, show: () => link.show(host, () => ({ root: {}, done() {} })) };
}

test("a page that fell silent by itself plays only what comes after the kernel's answer", () => {
  const { link } = bench();
  assert.equal(link.hush(), "");
  const played = [];
  link.player = { flush: (id) => played.push(id), close() {}, begin() {}, sound: (item) => played.push(item), end() {} };
  const sound = (item) => link.take({ kind: "sound", item }, [null]);
  sound("a");
  const first = link.hush();
  const second = link.hush();
  sound("a");
  link.take({ kind: "hushed", id: first }, []);
  sound("a");
  link.take({ kind: "hushed", id: second }, []);
  sound("b");
  assert.deepEqual(played, ["a", first, second, "b"]);
  link.close();
});

test("a widget that was cleared away is unseen after a moment, one that was moved is not", () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  let unseen = 0;
  const { link, show } = bench({ onunseen: () => (unseen += 1) });
  const first = show();
  const second = show();
  first();
  mock.timers.tick(5000);
  assert.equal(unseen, 0);
  second();
  mock.timers.tick(1900);
  const moved = show();
  mock.timers.tick(5000);
  assert.equal(unseen, 0);
  moved();
  mock.timers.tick(2000);
  assert.equal(unseen, 1);
  link.close();
  mock.timers.reset();
});
