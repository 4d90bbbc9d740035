// Which microphone, and what the browser does to its sound: settings for whoever captures.

import { microphones } from "./capture.js";
import { el } from "./dom.js";

const MICROPHONE_FLAGS = [
  ["echoCancellation", "Echo cancellation"],
  ["noiseSuppression", "Noise suppression"],
  ["autoGainControl", "Gain control"],
];

/** Say what the browser really did to the sound, which need not be what it was asked to do. */
export function howCaptured(info) {
  if (!info) return "";
  const known = MICROPHONE_FLAGS.filter(([key]) => typeof info[key] === "boolean");
  const flags = known.map(([key, label]) => `${label.toLowerCase()} ${info[key] ? "on" : "off"}`);
  return [info.device, ...flags].filter(Boolean).join(" · ");
}

/** Return what a list of microphones offers: [value, words], the browser's own choice first, `wanted` among them. */
export function microphoneOptions(devices, wanted) {
  const named = devices.filter((device) => device.label);
  const options = [
    ["", named.length ? "Default microphone" : "Default (names come after the first recording)"],
  ];
  for (const device of named) options.push([device.deviceId, device.label]);
  if (wanted && !options.some(([id]) => id === wanted)) options.push([wanted, wanted]);
  return options;
}

/**
 * A fold of settings. `read()` gives { device, echoCancellation, noiseSuppression, autoGainControl } as they are;
 * `change(name, value)` is called when the reader chooses. Whoever has it calls update() when something changed,
 * refresh() when a microphone was opened, which is when browsers tell the names, and close() at the end.
 */
export class MicrophoneSettings {
  constructor({ read, change }) {
    this.read = read;
    this.devices = [];
    this.ends = new AbortController();
    this.device = el("select", {
      "aria-label": "Microphone",
      onchange: () => change("device", this.device.value),
    });
    this.flags = MICROPHONE_FLAGS.map(([name, label]) => {
      const box = el("input", { type: "checkbox", onchange: () => change(name, box.checked) });
      return { name, box, node: el("label", { class: "rtnb-check" }, box, label) };
    });
    this.node = el(
      "details",
      { ontoggle: () => this.node.open && this.refresh() },
      el("summary", {}, "Microphone"),
      el("div", { class: "rtnb-row" }, this.device, ...this.flags.map((flag) => flag.node)),
    );
    const media = globalThis.navigator?.mediaDevices;
    media?.addEventListener?.("devicechange", () => this.refresh(), { signal: this.ends.signal });
    this.refresh();
  }

  async refresh() {
    this.devices = await microphones();
    this.update();
  }

  update(disabled = this.device.disabled) {
    const settings = this.read();
    const wanted = settings.device ?? "";
    const options = microphoneOptions(this.devices, wanted);
    const key = JSON.stringify(options);
    if (this.device.dataset.key !== key) {
      this.device.dataset.key = key;
      this.device.replaceChildren(...options.map(([id, label]) => el("option", { value: id }, label)));
    }
    this.device.value = wanted;
    this.device.disabled = disabled;
    for (const { name, box } of this.flags) {
      box.checked = settings[name] ?? true;
      box.disabled = disabled;
    }
  }

  close() {
    this.ends.abort();
  }
}
