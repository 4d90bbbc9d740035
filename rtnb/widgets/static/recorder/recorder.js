// The recorder: one main button, a waveform with trim handles, and other sources of audio.

import { colourOf, onThemeChange, prepareCanvas } from "../shared/canvas.js";
import { el, prefersReducedMotion, setText, setVisible } from "../shared/dom.js";
import { formatTime } from "../shared/format.js";
import { describeCapture, MicrophoneSettings } from "../shared/microphone_settings.js";
import { suppressShortcuts } from "../shared/shortcuts.js";
import { controllerFor } from "./controller.js";
import { meterLevel, trimKey } from "./take.js";

/** @typedef {import("./controller.js").RecorderChange} RecorderChange */
/** @typedef {import("./controller.js").RecorderController} RecorderController */
/** @typedef {import("./controller.js").RecorderModel} RecorderModel */
/** @typedef {import("./controller.js").RecorderPhase} RecorderPhase */
/** @typedef {import("./take.js").TrimEdge} TrimEdge */
/** @typedef {RecorderPhase | "working" | "done" | "error" | "elsewhere"} RecorderState */

const VISIBLE_SECONDS = 10; // while recording

/** @type {Record<RecorderState, string>} */
const STATE_LABELS = {
  idle: "Ready",
  starting: "Asking for the microphone …",
  recording: "Recording",
  paused: "Paused",
  finishing: "Finishing …",
  working: "Working …",
  done: "Recorded",
  error: "No recording",
  elsewhere: "Recording in another tab",
};

/** The recorder's traits by the browser's names. */
const CAPTURE_TRAITS = /** @type {const} */ ({
  device: "device",
  echoCancellation: "echo_cancellation",
  noiseSuppression: "noise_suppression",
  autoGainControl: "auto_gain_control",
});

/** One view of a recorder. */
class RecorderView {
  /**
   * @param {RecorderController} controller
   * @param {RecorderModel} model
   */
  constructor(controller, model) {
    this.controller = controller;
    this.model = model;
    this.closed = false;
    this.held = false;
    this.pending = false;
    this.drawn = 0;
    this.prompt = el("p", { class: "rtnb-prompt", dir: "auto" });
    this.main = el("button", { class: "rtnb-main", onclick: () => this.#press() });
    const togglePause = () => (controller.phase === "paused" ? controller.resume() : controller.pause());
    this.pauseButton = el("button", { onclick: togglePause });
    this.playButton = el("button", { onclick: () => controller.togglePlayback() });
    this.keepButton = el(
      "button",
      { onclick: () => controller.keep(), "aria-label": "Keep this clip" },
      "✓ Keep",
    );
    this.time = el("span", { class: "rtnb-num", role: "timer", "aria-label": "Length" }, "0:00.0");
    this.status = el("span", { class: "rtnb-word", role: "status" });
    this.fill = el("span", { class: "rtnb-meter-fill" });
    this.meter = el(
      "span",
      { class: "rtnb-meter", role: "meter", "aria-label": "Level", "aria-valuemin": -60, "aria-valuemax": 0 },
      this.fill,
    );
    this.canvas = el("canvas", { role: "img" });
    this.startHandle = this.#handle("start");
    this.endHandle = this.#handle("end");
    this.trimText = el("span", { class: "rtnb-dim rtnb-num" });
    this.trimReset = el("button", { onclick: () => this.#resetTrim() }, "Reset trim");
    this.trimRow = el("div", { class: "rtnb-row" }, this.trimText, this.trimReset);
    this.captured = el("p", { class: "rtnb-dim" });
    this.problem = el("p", { class: "rtnb-error", role: "alert" });
    this.settings = new MicrophoneSettings({
      read: () => ({
        device: model.get("device"),
        echoCancellation: model.get("echo_cancellation"),
        noiseSuppression: model.get("noise_suppression"),
        autoGainControl: model.get("auto_gain_control"),
      }),
      onChange: (name, value) => {
        model.set(CAPTURE_TRAITS[name], value);
        model.save_changes();
      },
    });
    const sources = this.#otherSources();
    this.otherControls = sources.controls;
    this.other = el("details", {}, el("summary", {}, "No microphone?"), sources.node);
    this.node = el(
      "div",
      {
        class: "rtnb rtnb-recorder",
        role: "group",
        "aria-label": "Recorder",
        "aria-keyshortcuts": "Space",
        title: "While focused: hold Space to record, press Space to play the recording",
        tabindex: 0,
        onfocusout: () => this.#release(),
      },
      this.prompt,
      el(
        "div",
        { class: "rtnb-row" },
        this.main,
        this.pauseButton,
        this.playButton,
        this.keepButton,
        this.time,
        this.status,
        this.meter,
      ),
      el("div", { class: "rtnb-wave" }, this.canvas, this.startHandle, this.endHandle),
      this.trimRow,
      this.captured,
      this.problem,
      el("div", { class: "rtnb-row rtnb-folds" }, this.settings.node, this.other),
    );
    this.node.addEventListener("keydown", (event) => this.#onKeyDown(event));
    this.node.addEventListener("keyup", (event) => event.key === " " && this.#release());
    suppressShortcuts(this.node);
  }

  #otherSources() {
    const { controller, model } = this;
    const file = el("input", {
      type: "file",
      accept: "audio/*,video/webm,video/mp4",
      class: "rtnb-sr",
      tabindex: -1,
      "aria-label": "Audio file",
    });
    file.addEventListener("change", () => {
      if (file.files?.[0]) controller.upload(file.files[0]);
      file.value = "";
    });
    const samples = el("select", { "aria-label": "Sample" });
    for (const name of model.get("samples")) samples.append(el("option", { value: name }, name));
    const text = el("input", {
      type: "text",
      "aria-label": "Text to speak",
      placeholder: "Text for the local voice",
      class: "rtnb-grow",
    });
    const speak = () => {
      if (text.value.trim()) controller.speak(text.value);
    };
    text.addEventListener("keydown", (event) => event.key === "Enter" && speak());
    const upload = el("button", { onclick: () => file.click() }, "Upload a file …");
    const useSample = el("button", { onclick: () => controller.useSample(samples.value) }, "Use sample");
    const speakText = el("button", { onclick: speak }, "Speak text");
    const node = el(
      "div",
      { class: "rtnb-others" },
      el("div", { class: "rtnb-row" }, upload, file),
      el("div", { class: "rtnb-row" }, samples, useSample),
      el("div", { class: "rtnb-row" }, text, speakText),
    );
    return { node, controls: [upload, useSample, speakText] };
  }

  /** @param {TrimEdge} edge */
  #handle(edge) {
    const { controller } = this;
    const handle = el("span", {
      class: `rtnb-handle rtnb-handle-${edge}`,
      role: "slider",
      tabindex: 0,
      "aria-label": edge === "start" ? "Trim start" : "Trim end",
      "aria-valuemin": 0,
    });
    handle.addEventListener("keydown", (event) => {
      const to = trimKey(event.key, event.shiftKey, controller.trim, edge, controller.seconds);
      if (to === null) return;
      event.preventDefault();
      event.stopPropagation();
      controller.moveTrim(edge, to);
      controller.saveTrim();
    });
    handle.addEventListener("pointerdown", (event) => {
      handle.setPointerCapture(event.pointerId);
      handle.focus();
      event.preventDefault();
    });
    handle.addEventListener("pointermove", (event) => {
      if (!handle.hasPointerCapture(event.pointerId)) return;
      const box = this.canvas.getBoundingClientRect();
      controller.moveTrim(edge, ((event.clientX - box.left) / box.width) * controller.seconds);
    });
    handle.addEventListener("pointerup", () => controller.saveTrim());
    return handle;
  }

  #press() {
    const { controller } = this;
    if (this.state === "elsewhere") controller.stopElsewhere();
    else if (controller.phase === "recording" || controller.phase === "paused") controller.stop();
    else controller.record();
  }

  /**
   * Record while Space is held, or play the recording if there is one. On a button, Space presses the button.
   * @param {KeyboardEvent} event
   */
  #onKeyDown(event) {
    if (event.target !== this.node || event.key !== " ") return;
    event.preventDefault();
    if (event.repeat || this.main.disabled || this.controller.busy || this.state === "elsewhere") return;
    if (this.controller.seconds) {
      this.playButton.click();
      return;
    }
    this.held = true;
    this.controller.record();
  }

  #release() {
    if (this.held) this.controller.stop();
    this.held = false;
  }

  #resetTrim() {
    this.controller.moveTrim("start", 0);
    this.controller.moveTrim("end", this.controller.seconds);
    this.controller.saveTrim();
  }

  /**
   * The state that all labels and controls depend on.
   * @returns {RecorderState}
   */
  get state() {
    const { controller, model } = this;
    if (controller.busy) return controller.phase;
    const reported = model.get("state");
    const own = model.get("take") === controller.takeId;
    if ((reported === "recording" || reported === "paused") && !own) return "elsewhere";
    if (reported === "working") return "working";
    if (controller.take) return "done";
    return controller.problem || reported === "error" ? "error" : "idle";
  }

  /** @param {RecorderChange} change */
  update(change) {
    if (change === "audio") this.#updateLevel();
    else if (change === "playback") this.#updatePlayback();
    else if (change === "devices") this.settings.refresh();
    else this.#updateState();
    this.draw();
  }

  #updateState() {
    const { controller, model, state } = this;
    const live = state === "recording" || state === "paused";
    const idle = !live && !["starting", "finishing", "elsewhere"].includes(state);
    this.node.dataset.state = state;
    this.prompt.textContent = model.get("prompt");
    setVisible(this.prompt, Boolean(model.get("prompt")));
    const [text, label] = this.#mainLabels(state);
    this.main.textContent = text;
    this.main.setAttribute("aria-label", label);
    this.main.disabled = ["starting", "finishing", "working"].includes(state);
    this.pauseButton.textContent = state === "paused" ? "Resume" : "Pause";
    setVisible(this.pauseButton, live);
    const playable = idle && controller.seconds > 0;
    setVisible(this.playButton, playable);
    const confirms = playable && model.get("confirm");
    setVisible(this.keepButton, confirms);
    this.keepButton.classList.toggle("rtnb-main", confirms);
    this.main.classList.toggle("rtnb-main", !confirms);
    const note = state === "working" || state === "done" ? model.get("note") : "";
    this.status.textContent = note || STATE_LABELS[state];
    this.status.classList.toggle("rtnb-error", state === "done" && note !== "");
    setVisible(this.meter, live);
    for (const node of [this.startHandle, this.endHandle, this.trimRow]) setVisible(node, playable);
    this.captured.textContent = playable ? describeCapture(controller.info) : "";
    setVisible(this.captured, Boolean(this.captured.textContent));
    const problem = controller.problem || model.get("error");
    setText(this.problem, problem);
    setVisible(this.problem, Boolean(problem));
    if (problem) this.other.open = true;
    this.settings.update(!idle);
    for (const control of this.otherControls) control.disabled = !idle || this.main.disabled;
    this.#updateLevel();
    this.#updatePlayback();
    if (playable) this.#updateTrim();
  }

  /**
   * Return the main button's text and its accessible name.
   * @param {RecorderState} state
   */
  #mainLabels(state) {
    if (state === "elsewhere") return ["■ Stop", "Stop the recording in another tab"];
    if (state === "recording" || state === "paused") return ["■ Stop", "Stop recording"];
    return this.controller.take ? ["● Record again", "Record again"] : ["● Record", "Record"];
  }

  #updateTrim() {
    const { trim, seconds } = this.controller;
    /** @type {[HTMLElement, number][]} */
    const edges = [
      [this.startHandle, trim.start],
      [this.endHandle, trim.end],
    ];
    for (const [handle, at] of edges) {
      handle.style.left = `${(100 * at) / seconds}%`;
      handle.setAttribute("aria-valuemax", seconds.toFixed(2));
      handle.setAttribute("aria-valuenow", at.toFixed(2));
      handle.setAttribute("aria-valuetext", `${at.toFixed(2)} seconds`);
    }
    const whole = trim.start === 0 && trim.end >= seconds - 0.0005;
    const length = `${(trim.end - trim.start).toFixed(2)} s`;
    this.trimText.textContent = whole
      ? `${length}, not trimmed: drag a handle, or focus it and press an arrow key`
      : `Trimmed to ${length}: ${trim.start.toFixed(2)} s to ${trim.end.toFixed(2)} s`;
    if (whole && document.activeElement === this.trimReset) this.startHandle.focus();
    setVisible(this.trimReset, !whole);
  }

  #updateLevel() {
    const { controller } = this;
    this.time.textContent = formatTime(controller.seconds, true);
    const level = controller.phase === "recording" ? meterLevel(controller.level) : 0;
    this.fill.style.width = `${(100 * level).toFixed(1)}%`;
    this.fill.classList.toggle("rtnb-meter-full", controller.level >= 0.99);
    const db = Math.round(60 * level - 60);
    this.meter.setAttribute("aria-valuenow", String(db));
    this.meter.setAttribute("aria-valuetext", `${db} dB`);
  }

  #updatePlayback() {
    const playing = this.controller.player !== null;
    this.playButton.textContent = playing ? "■ Stop playing" : "▶ Play";
    this.playButton.setAttribute("aria-label", playing ? "Stop playing" : "Play the recording");
  }

  /** Draw in the next frame; with reduced motion, twice a second while recording. */
  draw() {
    if (this.pending || this.closed) return;
    const recent = performance.now() - this.drawn < 500;
    if (recent && this.controller.phase === "recording" && prefersReducedMotion()) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      if (this.closed) return;
      this.drawn = performance.now();
      this.#paint();
      if (this.controller.player) this.draw();
    });
  }

  #paint() {
    const { controller, canvas, node } = this;
    const prepared = prepareCanvas(canvas);
    if (!prepared) return;
    const { context, width, height } = prepared;
    const [accent, dim] = [colourOf(node, "--rtnb-accent"), colourOf(node, "--rtnb-dim")];
    context.fillStyle = colourOf(node, "--rtnb-line");
    context.fillRect(0, height / 2 - 0.5, width, 1);
    const { take, trim, seconds, playhead } = controller;
    const label = seconds ? `Waveform of ${seconds.toFixed(1)} seconds` : "Waveform, nothing recorded";
    canvas.setAttribute("aria-label", label);
    if (!take || !seconds) return;
    const start = controller.busy ? seconds - VISIBLE_SECONDS : 0;
    const columns = take.columns(start, seconds, Math.floor(width / 2));
    for (const [i, column] of columns.entries()) {
      if (!column) continue;
      const [low, high] = column;
      const at = start + ((seconds - start) * i) / columns.length;
      const inside = controller.busy || (at >= trim.start && at <= trim.end);
      context.fillStyle = inside ? accent : dim;
      context.globalAlpha = inside ? 1 : 0.45;
      const tall = Math.max(1, (height / 2) * (high - low));
      context.fillRect(2 * i, Math.min((height / 2) * (1 - high), height - tall), 1.4, tall);
    }
    context.globalAlpha = 1;
    if (playhead !== null) {
      context.fillStyle = colourOf(node, "--rtnb-fg");
      context.fillRect((width * playhead) / seconds, 0, 1.5, height);
    }
  }

  close() {
    this.closed = true;
    this.settings.close();
  }
}

/** @param {InitializeProps<RecorderModel>} props */
function initialize({ model }) {
  controllerFor(model);
}

/**
 * @param {RenderProps<RecorderModel>} props
 * @returns {Cleanup}
 */
function render({ model, el: root }) {
  const controller = controllerFor(model);
  const view = new RecorderView(controller, model);
  root.append(view.node);
  const offTheme = onThemeChange(() => view.draw());
  const unwatch = controller.watch((change) => view.update(change));
  const onChange = () => view.update("state");
  const names = ["state", "note", "error", "prompt", ...Object.values(CAPTURE_TRAITS)];
  for (const name of names) model.on(`change:${name}`, onChange);
  const observer = new ResizeObserver(() => view.draw());
  observer.observe(view.canvas);
  view.update("state");
  return () => {
    view.close();
    unwatch();
    offTheme();
    observer.disconnect();
    for (const name of names) model.off(`change:${name}`, onChange);
  };
}

export default { initialize, render };
