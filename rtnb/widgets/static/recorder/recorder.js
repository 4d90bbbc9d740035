// The recorder: one button, a picture of the sound, and other ways to a sound where there is no microphone.

import { clock, el, prefersStillness } from "../shared/dom.js";
import { howCaptured, MicrophoneSettings } from "../shared/microphone_settings.js";
import { ownKeys } from "../shared/shortcuts.js";
import { colourOf, onTheme } from "../shared/theme.js";
import { deskOf } from "./controller.js";
import { meterLevel, trimKey } from "./take.js";

const RECORDER_WINDOW = 10;

const WORDS = {
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

/** The recorder's traits by what the browser calls them. */
const RECORDER_TRAITS = {
  device: "device",
  echoCancellation: "echo_cancellation",
  noiseSuppression: "noise_suppression",
  autoGainControl: "auto_gain_control",
};

function initialize({ model }) {
  deskOf(model);
}

function render({ model, el: root }) {
  const desk = deskOf(model);
  const view = new RecorderView(desk, model);
  root.append(view.node);
  const unthemed = onTheme(() => view.draw());
  const unwatch = desk.watch((what) => view.update(what));
  const onchange = () => view.update("state");
  const names = ["state", "note", "error", "prompt", ...Object.values(RECORDER_TRAITS)];
  for (const name of names) model.on(`change:${name}`, onchange);
  const resized = new ResizeObserver(() => view.draw());
  resized.observe(view.canvas);
  view.update("state");
  return () => {
    view.settings.close();
    unwatch();
    unthemed();
    resized.disconnect();
    for (const name of names) model.off(`change:${name}`, onchange);
    view.gone = true;
  };
}

class RecorderView {
  constructor(desk, model) {
    this.desk = desk;
    this.model = model;
    this.gone = false;
    this.held = false;
    this.drawn = 0;
    this.#build();
  }

  #build() {
    const { desk, model } = this;
    this.prompt = el("p", { class: "rtnb-prompt", dir: "auto" });
    this.main = el("button", { class: "rtnb-main", onclick: () => this.#press() });
    this.pauseButton = el("button", {
      onclick: () => (desk.phase === "paused" ? desk.resume() : desk.pause()),
    });
    this.playButton = el("button", { onclick: () => desk.play() });
    this.keepButton = el("button", { onclick: () => desk.keep(), "aria-label": "Keep this clip" }, "✓ Keep");
    this.time = el("span", { class: "rtnb-num", role: "timer", "aria-label": "Length" }, "0:00.0");
    this.word = el("span", { class: "rtnb-word", role: "status" });
    this.fill = el("span", { class: "rtnb-meter-fill" });
    this.meter = el(
      "span",
      { class: "rtnb-meter", role: "meter", "aria-label": "Level", "aria-valuemin": -60, "aria-valuemax": 0 },
      this.fill,
    );
    this.canvas = el("canvas", { role: "img" });
    this.handles = ["start", "end"].map((which) => this.#handle(which));
    this.wave = el("div", { class: "rtnb-wave" }, this.canvas, ...this.handles);
    this.trimText = el("span", { class: "rtnb-dim rtnb-num" });
    this.trimReset = el("button", { onclick: () => this.#resetTrim() }, "Keep all");
    this.how = el("p", { class: "rtnb-dim" });
    this.trimRow = el("div", { class: "rtnb-row" }, this.trimText, this.trimReset);
    this.alert = el("p", { class: "rtnb-error", role: "alert" });
    this.settings = new MicrophoneSettings({
      read: () =>
        Object.fromEntries(Object.entries(RECORDER_TRAITS).map(([name, trait]) => [name, model.get(trait)])),
      change: (name, value) => this.#set(RECORDER_TRAITS[name], value),
    });
    this.other = el("details", {}, el("summary", {}, "No microphone?"), this.#others());
    this.node = el(
      "div",
      {
        class: "rtnb rtnb-recorder",
        role: "group",
        "aria-label": "Recorder",
        "aria-keyshortcuts": "Space",
        title: "While this has the focus: hold Space to record, press it to hear what was recorded",
        tabindex: 0,
        onkeydown: (event) => this.#hold(event),
        onkeyup: (event) => event.key === " " && this.#release(),
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
        this.word,
        this.meter,
      ),
      this.wave,
      this.trimRow,
      this.how,
      this.alert,
      el("div", { class: "rtnb-row rtnb-folds" }, this.settings.node, this.other),
    );
    ownKeys(this.node);
  }

  #others() {
    const { desk, model } = this;
    const file = el("input", {
      type: "file",
      accept: "audio/*,video/webm,video/mp4",
      class: "rtnb-sr",
      tabindex: -1,
      "aria-label": "Sound file",
      onchange: () => {
        if (file.files[0]) desk.upload(file.files[0]);
        file.value = "";
      },
    });
    const samples = el("select", { "aria-label": "Sample" });
    for (const name of model.get("samples")) samples.append(el("option", { value: name }, name));
    const text = el("input", {
      type: "text",
      "aria-label": "Text to speak",
      placeholder: "A text for the local voice",
      class: "rtnb-grow",
    });
    const speak = () => text.value.trim() && desk.say(text.value);
    text.addEventListener("keydown", (event) => event.key === "Enter" && speak());
    this.otherControls = [
      el("button", { onclick: () => file.click() }, "Upload a file …"),
      el("button", { onclick: () => desk.sample(samples.value) }, "Use sample"),
      el("button", { onclick: speak }, "Speak text"),
    ];
    const [uploadButton, sampleButton, speakButton] = this.otherControls;
    return el(
      "div",
      { class: "rtnb-others" },
      el("div", { class: "rtnb-row" }, uploadButton, file),
      el("div", { class: "rtnb-row" }, samples, sampleButton),
      el("div", { class: "rtnb-row" }, text, speakButton),
    );
  }

  #handle(which) {
    const { desk } = this;
    const handle = el("span", {
      class: `rtnb-handle rtnb-handle-${which}`,
      role: "slider",
      tabindex: 0,
      "aria-label": which === "start" ? "Start of what is kept" : "End of what is kept",
      "aria-valuemin": 0,
      onkeydown: (event) => {
        const to = trimKey(event.key, event.shiftKey, desk.trim, which, desk.take?.seconds ?? 0);
        if (to === null) return;
        event.preventDefault();
        event.stopPropagation();
        desk.moveTrim(which, to);
        desk.keepTrim();
      },
      onpointerdown: (event) => {
        handle.setPointerCapture(event.pointerId);
        handle.focus();
        event.preventDefault();
      },
      onpointermove: (event) => {
        if (!handle.hasPointerCapture(event.pointerId)) return;
        const box = this.canvas.getBoundingClientRect();
        desk.moveTrim(which, ((event.clientX - box.left) / box.width) * desk.take.seconds);
      },
      onpointerup: () => desk.keepTrim(),
    });
    return handle;
  }

  #press() {
    if (this.state === "elsewhere") this.desk.endElsewhere();
    else if (this.desk.phase === "recording" || this.desk.phase === "paused") this.desk.stop();
    else this.desk.record();
  }

  /** Record while Space is down, or play what is there already; on the buttons Space presses them. */
  #hold(event) {
    if (event.target !== this.node || event.key !== " ") return;
    event.preventDefault();
    if (event.repeat || this.main.disabled || this.desk.busy || this.state === "elsewhere") return;
    if (this.desk.take?.seconds) {
      this.playButton.click();
      return;
    }
    this.held = true;
    this.desk.record();
  }

  #release() {
    if (this.held) this.desk.stop();
    this.held = false;
  }

  #set(name, value) {
    this.model.set(name, value);
    this.model.save_changes();
  }

  #resetTrim() {
    this.desk.moveTrim("start", 0);
    this.desk.moveTrim("end", this.desk.take.seconds);
    this.desk.keepTrim();
  }

  /** Return the one word that everything else goes by. */
  get state() {
    if (this.desk.busy) return this.desk.phase;
    const told = this.model.get("state");
    const ours = this.model.get("take") === this.desk.takeId;
    if ((told === "recording" || told === "paused") && !ours) return "elsewhere";
    if (told === "working") return told;
    if (this.desk.take) return "done";
    return this.desk.problem || told === "error" ? "error" : "idle";
  }

  update(what) {
    if (what === "sound") this.#level();
    else if (what === "play") this.#playing();
    else if (what === "devices") this.settings.refresh();
    else this.#state();
    this.draw();
  }

  #state() {
    const { desk, model, state } = this;
    const live = state === "recording" || state === "paused";
    const quiet = !live && !["starting", "finishing", "elsewhere"].includes(state);
    this.node.dataset.state = state;
    this.prompt.textContent = model.get("prompt");
    this.prompt.classList.toggle("rtnb-hidden", !model.get("prompt"));
    const [words, label] = this.#mainWords(state);
    this.main.textContent = words;
    this.main.setAttribute("aria-label", label);
    this.main.disabled = ["starting", "finishing", "working"].includes(state);
    this.pauseButton.textContent = state === "paused" ? "Resume" : "Pause";
    this.pauseButton.classList.toggle("rtnb-hidden", !live);
    const kept = quiet && desk.take !== null && desk.take.seconds > 0;
    this.playButton.classList.toggle("rtnb-hidden", !kept);
    const asks = kept && model.get("confirm");
    this.keepButton.classList.toggle("rtnb-hidden", !asks);
    this.keepButton.classList.toggle("rtnb-main", asks);
    this.main.classList.toggle("rtnb-main", !asks);
    const note = state === "working" || state === "done" ? model.get("note") : "";
    this.word.textContent = note || WORDS[state];
    this.word.classList.toggle("rtnb-error", state === "done" && note !== "");
    this.meter.classList.toggle("rtnb-hidden", !live);
    for (const handle of this.handles) handle.classList.toggle("rtnb-hidden", !kept);
    this.trimRow.classList.toggle("rtnb-hidden", !kept);
    this.how.textContent = kept ? howCaptured(desk.info) : "";
    this.how.classList.toggle("rtnb-hidden", !this.how.textContent);
    const problem = desk.problem || model.get("error");
    if (this.alert.textContent !== problem) this.alert.textContent = problem;
    this.alert.classList.toggle("rtnb-hidden", !problem);
    if (problem) this.other.open = true;
    this.settings.update(!quiet);
    for (const control of this.otherControls) control.disabled = !quiet || this.main.disabled;
    this.#level();
    this.#playing();
    if (kept) this.#trim();
  }

  /** Return what the main button says, and its label. */
  #mainWords(state) {
    if (state === "elsewhere") return ["■ Stop", "Stop the recording in another tab"];
    if (state === "recording" || state === "paused") return ["■ Stop", "Stop recording"];
    return this.desk.take ? ["● Record again", "Record again"] : ["● Record", "Record"];
  }

  #trim() {
    const { trim, take } = this.desk;
    const seconds = take.seconds;
    for (const [handle, at] of [
      [this.handles[0], trim.start],
      [this.handles[1], trim.end],
    ]) {
      handle.style.left = `${(100 * at) / seconds}%`;
      handle.setAttribute("aria-valuemax", seconds.toFixed(2));
      handle.setAttribute("aria-valuenow", at.toFixed(2));
      handle.setAttribute("aria-valuetext", `${at.toFixed(2)} seconds`);
    }
    const whole = trim.start === 0 && trim.end >= seconds - 0.0005;
    const kept = `${(trim.end - trim.start).toFixed(2)} s`;
    this.trimText.textContent = whole
      ? `All ${kept} are kept: drag an end, or focus it and press an arrow key`
      : `Kept: ${trim.start.toFixed(2)} s to ${trim.end.toFixed(2)} s (${kept})`;
    if (whole && document.activeElement === this.trimReset) this.handles[0].focus();
    this.trimReset.classList.toggle("rtnb-hidden", whole);
  }

  #level() {
    const seconds = this.desk.take?.seconds ?? 0;
    this.time.textContent = clock(seconds, true);
    const level = this.desk.phase === "recording" ? meterLevel(this.desk.level) : 0;
    this.fill.style.width = `${(100 * level).toFixed(1)}%`;
    this.fill.classList.toggle("rtnb-meter-full", this.desk.level >= 0.99);
    const db = Math.round(60 * level - 60);
    this.meter.setAttribute("aria-valuenow", db);
    this.meter.setAttribute("aria-valuetext", `${db} dB`);
  }

  #playing() {
    const playing = this.desk.player !== null;
    this.playButton.textContent = playing ? "■ Stop playing" : "▶ Play";
    this.playButton.setAttribute("aria-label", playing ? "Stop playing" : "Play what is kept");
  }

  /** Draw soon; where motion is not wanted, twice a second while recording. */
  draw() {
    if (this.pending || this.gone) return;
    const still =
      this.desk.phase === "recording" && prefersStillness() && performance.now() - this.drawn < 500;
    if (still) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      if (this.gone) return;
      this.drawn = performance.now();
      this.#paint();
      if (this.desk.player) this.draw();
    });
  }

  #paint() {
    const { desk, canvas } = this;
    const scale = globalThis.devicePixelRatio || 1;
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    if (!width || !height) return;
    if (canvas.width !== Math.round(width * scale)) canvas.width = Math.round(width * scale);
    if (canvas.height !== Math.round(height * scale)) canvas.height = Math.round(height * scale);
    const brush = canvas.getContext("2d");
    const line = colourOf(this.node, "--rtnb-line");
    const accent = colourOf(this.node, "--rtnb-accent");
    const dim = colourOf(this.node, "--rtnb-dim");
    brush.setTransform(scale, 0, 0, scale, 0, 0);
    brush.clearRect(0, 0, width, height);
    brush.fillStyle = line;
    brush.fillRect(0, height / 2 - 0.5, width, 1);
    const seconds = desk.take?.seconds ?? 0;
    canvas.setAttribute(
      "aria-label",
      seconds ? `Waveform of ${seconds.toFixed(1)} seconds` : "Waveform, nothing recorded",
    );
    if (!seconds) return;
    const live = desk.phase !== "idle";
    const start = live ? seconds - RECORDER_WINDOW : 0;
    const end = seconds;
    const columns = desk.take.columns(start, end, Math.floor(width / 2));
    columns.forEach((column, i) => {
      if (!column) return;
      const at = start + ((end - start) * i) / columns.length;
      const kept = live || (at >= desk.trim.start && at <= desk.trim.end);
      brush.fillStyle = kept ? accent : dim;
      brush.globalAlpha = kept ? 1 : 0.45;
      const top = (height / 2) * (1 - column[1]);
      const tall = Math.max(1, (height / 2) * (column[1] - column[0]));
      brush.fillRect(2 * i, Math.min(top, height - tall), 1.4, tall);
    });
    brush.globalAlpha = 1;
    const playhead = desk.playhead;
    if (playhead !== null) {
      brush.fillStyle = colourOf(this.node, "--rtnb-fg");
      brush.fillRect((width * playhead) / seconds, 0, 1.5, height);
    }
  }
}

export default { initialize, render };
