import assert from "node:assert/strict";
import { test } from "node:test";
import { describeCapture, microphoneOptions } from "../../rtnb/widgets/static/shared/microphone_settings.js";

test("what the browser really set is described, and nothing that it does not report", () => {
  const info = { device: "Headset", echoCancellation: true, noiseSuppression: false, autoGainControl: null };
  assert.equal(describeCapture(info), "Headset · echo cancellation on · noise suppression off");
  assert.equal(describeCapture(null), "");
});

test("the browser's own choice comes first, and what was asked for is always there", () => {
  const devices = [
    { deviceId: "a", label: "Built in" },
    { deviceId: "b", label: "" },
  ];
  assert.deepEqual(microphoneOptions(devices, ""), [
    ["", "Default microphone"],
    ["a", "Built in"],
  ]);
  assert.deepEqual(microphoneOptions(devices, "a").length, 2);
  assert.deepEqual(microphoneOptions(devices, "headset").at(-1), ["headset", "headset"]);
  assert.match(microphoneOptions([devices[1]], "")[0][1], /names appear after/);
});
