import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { Handshake } from "../../rtnb/widgets/static/shared/handshake.js";

test("a handshake repeats one id at growing intervals until it is acknowledged", () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const said = [];
  const handshake = new Handshake((id) => said.push(id));
  assert.equal(said.length, 1);
  mock.timers.tick(250);
  mock.timers.tick(499);
  assert.equal(said.length, 2);
  mock.timers.tick(1);
  assert.equal(said.length, 3);
  handshake.stop();
  mock.timers.tick(60000);
  assert.equal(said.length, 3);
  assert.equal(new Set(said).size, 1);
  mock.timers.reset();
});
