import assert from "node:assert/strict";
import { mock, test } from "node:test";

import liveWidget, {
  liveLinks,
  liveStatus,
  waveformBars,
} from "../../rtnb/widgets/static/live_turn/live_turn.js";

const status = (more) =>
  liveStatus({ phase: "answering", owned: true, silent: false, blocked: false, playing: false, ...more });

test("the status describes the phase", () => {
  assert.equal(status({}), "Answering");
  assert.equal(status({ playing: true }), "Speaking");
  assert.equal(status({ phase: "done", playing: true }), "Playing the rest");
  assert.equal(status({ phase: "interrupted", playing: true }), "Interrupted");
  assert.equal(status({ blocked: true }), "Click Play (autoplay is blocked)");
  assert.equal(status({ owned: false, playing: true }), "Live in another tab");
  assert.equal(status({ disconnected: true, playing: true }), "The kernel is gone: run the cell again");
  assert.equal(status({ phase: "held" }), "Queued behind the previous turn");
  assert.equal(status({ phase: undefined }), "Connecting to the kernel");
});

test("bars stay within the canvas, loud or silent", () => {
  const bars = waveformBars(Int8Array.from([-127, 127, 0, 0, -64, 32]), 30, 48);
  assert.deepEqual(
    bars.map((bar) => bar.x),
    [0, 10, 20],
  );
  assert.deepEqual(bars[0], { x: 0, top: 0, height: 48 });
  assert.equal(bars[1].height, 1.5);
  for (const bar of bars) assert.ok(bar.top >= 0 && bar.top + bar.height <= 48.001);
});

test("a turn without a view in the page that plays it is stopped", () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const sent = [];
  const model = {
    on() {},
    off() {},
    get: (name) => (name === "uid" ? "uid" : ""),
    send: (message) => sent.push(message.kind),
  };
  const close = liveWidget.initialize({ model });
  const link = liveLinks.get("uid");
  const clear = () => {
    link.show({ replaceChildren() {} }, () => ({ root: {}, close() {} }))();
    sent.length = 0;
    mock.timers.tick(2000);
    return [...sent];
  };
  assert.ok(!clear().includes("stop")); // another tab may play it
  link.receive({ kind: "owner", owner: link.page }, []);
  assert.ok(clear().includes("stop"));
  link.receive({ kind: "facts", silent: true }, []);
  assert.ok(!clear().includes("stop")); // a talk plays it, and can stop it
  close();
  mock.timers.reset();
});
