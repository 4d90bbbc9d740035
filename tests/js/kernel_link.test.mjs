import assert from "node:assert/strict";
import { mock, test } from "node:test";

import { KernelLink } from "../../rtnb/widgets/static/shared/kernel_link.js";

/** A link to a kernel that answers nothing, what it is sent, and a host for views. */
function bench(hooks = {}) {
  const sent = [];
  const model = {
    on() {},
    off() {},
    get: (name) => (name === "uid" ? "uid" : ""),
    send: (message) => sent.push(message),
  };
  const link = new KernelLink(model, hooks);
  const host = { replaceChildren() {} };
  return { link, sent, show: () => link.show(host, () => ({ root: {}, close() {} })) };
}

test("after a page stops playback, it plays only what follows the kernel's acknowledgement", () => {
  const { link } = bench();
  assert.equal(link.stopPlayback(), "");
  const played = [];
  link.player = {
    flush: (id) => played.push(id),
    close() {},
    begin() {},
    push: (item) => played.push(item),
    end() {},
  };
  const audio = (item) => link.receive({ kind: "audio", item }, [null]);
  audio("a");
  const first = link.stopPlayback();
  const second = link.stopPlayback();
  audio("a");
  link.receive({ kind: "playback_stopped", id: first }, []);
  audio("a");
  link.receive({ kind: "playback_stopped", id: second }, []);
  audio("b");
  assert.deepEqual(played, ["a", first, second, "b"]);
  link.close();
});

test("a widget without a view counts as removed after a moment, one that is moved does not", () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  let unseen = 0;
  const { link, show } = bench({ onRemoved: () => (unseen += 1) });
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

test("a player that failed is replaced for what the kernel sends after it knows", async () => {
  let tries = 0;
  const made = [];
  globalThis.AudioContext = class {
    state = "running";
    audioWorklet = {
      addModule: async () => {
        tries += 1;
        if (tries === 1) throw new Error("no device");
      },
    };
    destination = {};
    addEventListener() {}
    removeEventListener() {}
    resume = () => Promise.resolve();
    suspend = () => Promise.resolve();
  };
  globalThis.GainNode = class {
    connect() {}
    disconnect() {}
  };
  globalThis.AudioWorkletNode = class {
    constructor() {
      made.push(this);
      this.posted = [];
      this.port = { postMessage: (message) => this.posted.push(message) };
    }
    connect = (node) => node;
    disconnect() {}
  };
  const settle = () => new Promise((resolve) => setTimeout(resolve, 5));
  const { link, sent } = bench();
  const audio = (item) => link.receive({ kind: "audio", item }, [new DataView(new ArrayBuffer(4))]);
  audio("a");
  await settle();
  assert.equal(link.problem, "Playback failed: no device.");
  assert.equal(link.player, null);
  const [{ kind, message, stop_id }] = sent;
  assert.deepEqual([kind, message], ["failed", "no device"]);
  audio("a");
  await settle();
  assert.equal(made.length, 0); // an item is never played from its middle
  link.receive({ kind: "playback_stopped", id: stop_id }, []);
  audio("b");
  await settle();
  assert.deepEqual(
    made[0].posted.map((one) => one.item),
    ["b"],
  );
  link.player.onPlayerEvent({ kind: "count", counts: {}, playing: true, underruns: 0 });
  assert.equal(link.problem, "");
  link.close();
});

test("a page stops playing when another one takes over", () => {
  const owned = [];
  const { link } = bench({ onOwner: (owns) => owned.push(owns) });
  let closed = 0;
  link.player = { close: () => (closed += 1) };
  link.receive({ kind: "owner", owner: link.page }, []);
  assert.equal(closed, 0);
  link.receive({ kind: "owner", owner: "another" }, []);
  assert.equal(closed, 1);
  assert.equal(link.player, null);
  assert.deepEqual(owned, [true, false]);
  link.close();
});

test("a page learns that its request was refused", () => {
  let refused = 0;
  const { link } = bench({ onRefused: () => (refused += 1) });
  link.receive({ kind: "refused", page: "another" }, []);
  assert.equal(refused, 0);
  link.receive({ kind: "refused", page: link.page }, []);
  assert.equal(refused, 1);
  link.close();
});
