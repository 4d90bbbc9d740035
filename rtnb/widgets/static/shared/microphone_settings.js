// Choosing the microphone and what the browser does to its audio.

import { microphones } from "./capture.js";
import { el } from "./dom.js";

/** @typedef {import("./capture.js").CaptureInfo} CaptureInfo */
/** @typedef {import("./capture.js").CaptureSettings} CaptureSettings */
/** @typedef {import("./capture.js").Microphone} Microphone */
/** @typedef {"echoCancellation" | "noiseSuppression" | "autoGainControl"} MicrophoneFlag */

/** @type {[MicrophoneFlag, string][]} */
const MICROPHONE_FLAGS = [
  ["echoCancellation", "Echo cancellation"],
  ["noiseSuppression", "Noise suppression"],
  ["autoGainControl", "Gain control"],
];

/**
 * Describe what the browser really did to the audio, which may differ from what was requested.
 * @param {Partial<CaptureInfo> | null | undefined} info
 */
export function describeCapture(info) {
  if (!info) return "";
  const known = MICROPHONE_FLAGS.filter(([name]) => typeof info[name] === "boolean");
  const flags = known.map(([name, label]) => `${label.toLowerCase()} ${info[name] ? "on" : "off"}`);
  return [info.device, ...flags].filter(Boolean).join(" · ");
}

/**
 * Return the options of the device list as [value, label]: the default first, `wanted` always among them.
 * @param {Microphone[]} devices
 * @param {string} wanted
 */
export function microphoneOptions(devices, wanted) {
  const named = devices.filter((device) => device.label);
  const options = [
    ["", named.length ? "Default microphone" : "Default (names appear after the first recording)"],
  ];
  for (const device of named) options.push([device.deviceId, device.label]);
  if (wanted && !options.some(([id]) => id === wanted)) options.push([wanted, wanted]);
  return options;
}

/**
 * A collapsible group of settings. The owner calls update() when something changed, refresh() when a microphone was
 * opened (browsers reveal device names then), and close() at the end.
 */
export class MicrophoneSettings {
  /**
   * @param {object} options
   * @param {() => CaptureSettings} options.read  returns the current settings
   * @param {(name: keyof CaptureSettings, value: string | boolean) => void} options.onChange
   */
  constructor({ read, onChange }) {
    this.read = read;
    /** @type {Microphone[]} */
    this.devices = [];
    this.listeners = new AbortController();
    this.device = el("select", {
      "aria-label": "Microphone",
      onchange: () => {
        onChange("device", this.device.value);
      },
    });
    this.flags = MICROPHONE_FLAGS.map(([name, label]) => {
      const onchange = () => {
        onChange(name, box.checked);
      };
      const box = el("input", { type: "checkbox", onchange });
      return { name, box, node: el("label", { class: "rtnb-check" }, box, label) };
    });
    this.node = el(
      "details",
      {
        ontoggle: () => {
          if (this.node.open) this.refresh();
        },
      },
      el("summary", {}, "Microphone"),
      el("div", { class: "rtnb-row" }, this.device, ...this.flags.map((flag) => flag.node)),
    );
    const media = globalThis.navigator?.mediaDevices;
    media?.addEventListener?.("devicechange", () => this.refresh(), { signal: this.listeners.signal });
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
    this.listeners.abort();
  }
}
