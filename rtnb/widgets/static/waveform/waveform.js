// A recording of any length: view it, zoom in, play it.

import { copyBytes, int8View } from "../shared/buffers.js";
import { colourOf, onThemeChange } from "../shared/canvas.js";
import { el, prefersReducedMotion, setText, setVisible } from "../shared/dom.js";
import { describeError } from "../shared/format.js";
import { suppressShortcuts } from "../shared/shortcuts.js";
import { StreamedAudio } from "../shared/streamed_audio.js";
import { PeakStore } from "./peaks.js";
import { clampSpan, followSpan, formatPosition, seekKey, timeMarks, zoomSpan } from "./viewport.js";

/** @typedef {import("./viewport.js").Span} Span */
/**
 * @typedef {object} WaveformTraits
 * @property {string} uid
 * @property {string} title
 * @property {string} description  the length and the format
 * @property {number} seconds
 * @property {number} rate
 * @property {DataView} overview
 * @property {number} overview_level
 * @property {{ base: number, factor: number, tile: number, segment: number }} shape  `segment` in seconds
 * @property {number} position
 */
/**
 * What the kernel sends, each with one buffer.
 * @typedef {{ type: "rows", level: number, tile: number }
 *   | { type: "detail", start: number, stop: number }
 *   | { type: "segment", segment: number, begin: number }} WaveformMessage
 */
/** @typedef {WidgetModel<WaveformTraits, WaveformMessage>} WaveformModel */
/** @typedef {{ accent: string, fg: string, dim: string, line: string, font: string }} Colours */
/** @typedef {Colours & { width: number, height: number, scale: number, drawn: string }} Appearance */

const BAR_PITCH = 2;
const BAR_WIDTH = 1.4;
const AXIS_HEIGHT = 18;
const MAP_HEIGHT = 24;
const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5, 2];
const DETAIL_TIMEOUT_MS = 2000;
const HELP =
  "Space: play or pause. Arrow keys: 5 s, with Shift 50 ms. + and −: zoom. 0: show all. Ctrl + wheel: zoom at the pointer.";

/** @type {Map<string, WaveformData>} */
const waveforms = new Map();

/** The peaks of one waveform, shared by its views in this page, and the requests for more. */
class WaveformData {
  /** @param {WaveformModel} model */
  constructor(model) {
    this.model = model;
    /** @type {Set<WaveformView>} */
    this.views = new Set();
    /** @type {Set<string>} */
    this.requested = new Set();
    /** @type {number | null} */
    this.detailRequested = null;
    this.disconnected = false;
    /** @type {number | null} */
    this.sentPosition = null;
    const { base, factor, tile } = model.get("shape");
    this.peaks = new PeakStore({
      seconds: model.get("seconds"),
      rate: model.get("rate"),
      base,
      factor,
      tile,
      level: model.get("overview_level"),
      overview: int8View(model.get("overview")),
    });
    model.on("msg:custom", (message, buffers) => this.#receive(message, buffers?.[0]));
    for (const name of ["comm:close", "comm_live_update"]) model.on(name, () => this.#setDisconnected(true));
  }

  /** @param {boolean} disconnected  a message from the kernel proves the opposite */
  #setDisconnected(disconnected) {
    if (this.disconnected === disconnected) return;
    this.disconnected = disconnected;
    for (const view of this.views) view.setNote("");
  }

  /** @param {object} message */
  send(message) {
    if (!this.disconnected) this.model.send(message);
  }

  /**
   * Request what is missing to draw a span in `count` columns.
   * @param {Span} span
   * @param {number} count
   */
  need(span, count) {
    for (const tile of this.peaks.missing(span, count)) {
      const key = `${tile.level}:${tile.tile}`;
      if (this.requested.has(key)) continue;
      this.requested.add(key);
      this.send({ type: "rows", ...tile });
    }
    const now = performance.now();
    if (this.detailRequested !== null && now - this.detailRequested < DETAIL_TIMEOUT_MS) return;
    const detail = this.peaks.missingDetail(span, count);
    if (!detail) return;
    this.detailRequested = now;
    this.send({ type: "detail", ...detail });
  }

  /**
   * @param {WaveformMessage} message
   * @param {DataView} data
   */
  #receive(message, data) {
    this.#setDisconnected(false);
    if (message.type === "rows") this.peaks.add(message.level, message.tile, int8View(data));
    else if (message.type === "detail") {
      this.detailRequested = null;
      this.peaks.setDetail(message.start, message.stop, int8View(data));
    } else if (message.type === "segment") {
      const bytes = copyBytes(data);
      for (const view of this.views) view.stream.append(message.segment, message.begin, bytes);
      return;
    }
    for (const view of this.views) view.redraw();
  }
}

/** @param {WaveformModel} model */
function waveformData(model) {
  const uid = model.get("uid");
  let data = waveforms.get(uid);
  if (!data) {
    data = new WaveformData(model);
    waveforms.set(uid, data);
  }
  return data;
}

/** One view of a waveform. */
class WaveformView {
  /**
   * @param {WaveformModel} model
   * @param {WaveformData} data
   */
  constructor(model, data) {
    this.model = model;
    this.data = data;
    this.seconds = model.get("seconds");
    /** @type {Span} */
    this.span = { start: 0, end: this.seconds };
    this.at = model.get("position");
    /** @type {number | null} */
    this.hover = null;
    /** @type {Appearance | null} */
    this.appearance = null;
    this.frameMs = prefersReducedMotion() ? 500 : 40;
    this.listeners = new AbortController();
    /** @type {Map<number, number>} */
    this.pointers = new Map();
    this.loaded = false;
    this.ticking = false;
    this.pending = false;
    this.closed = false;
    /** @type {number | null} */
    this.shownPosition = null;

    this.playButton = el("button", { class: "rtnb-main rtnb-wave-play", onclick: () => this.toggle() });
    this.time = el("span", { class: "rtnb-num" });
    this.speed = el("select", { "aria-label": "Speed", title: "Speed" });
    for (const speed of SPEEDS)
      this.speed.append(el("option", { value: speed, selected: speed === 1 }, `${speed}×`));
    const button = (/** @type {string} */ text, /** @type {ElementAttributes} */ attributes) =>
      el("button", attributes, text);
    this.outButton = button("−", {
      "aria-label": "Zoom out",
      title: "Zoom out (−)",
      onclick: () => this.zoom(1 / 2),
    });
    this.inButton = button("+", {
      "aria-label": "Zoom in",
      title: "Zoom in (+)",
      onclick: () => this.zoom(2),
    });
    this.allButton = button("All", {
      title: "Show the whole recording (0)",
      onclick: () => this.show(0, this.seconds),
    });
    this.canvas = el("canvas", { class: "rtnb-wave-main", "aria-hidden": "true" });
    this.played = el("div", { class: "rtnb-wave-played" });
    this.playhead = el("div", { class: "rtnb-wave-line rtnb-wave-head" });
    this.pointedTime = el("span");
    this.pointed = el(
      "div",
      { class: "rtnb-wave-line rtnb-wave-pointed rtnb-hidden", "aria-hidden": "true" },
      this.pointedTime,
    );
    const title = model.get("title");
    this.slider = el(
      "div",
      {
        class: "rtnb-wave-over rtnb-wave-slider",
        role: "slider",
        tabindex: 0,
        title: HELP,
        "aria-label": `Position in ${title || "the recording"}`,
        "aria-valuemin": 0,
        "aria-valuemax": this.seconds.toFixed(2),
      },
      this.canvas,
      this.played,
      this.pointed,
      this.playhead,
    );
    this.map = el("canvas", { class: "rtnb-wave-map", title: "The whole recording: drag to scroll" });
    this.mapPlayhead = el("div", { class: "rtnb-wave-line" });
    this.mapBox = el(
      "div",
      { class: "rtnb-wave-over rtnb-hidden", "aria-hidden": "true" },
      this.map,
      this.mapPlayhead,
    );
    this.note = el("span", { class: "rtnb-dim", role: "status" });
    this.audio = el("audio", { preload: "auto" });
    const tools = [this.speed, this.outButton, this.inButton, this.allButton];
    this.node = el(
      "div",
      {
        class: "rtnb rtnb-waveform",
        role: "group",
        "aria-label": title ? `Waveform of ${title}` : "Waveform",
      },
      el(
        "div",
        { class: "rtnb-row" },
        this.playButton,
        this.time,
        this.note,
        el("span", { class: "rtnb-grow" }),
        el("span", { class: "rtnb-row rtnb-wave-tools" }, ...tools),
      ),
      this.slider,
      this.mapBox,
      el(
        "div",
        { class: "rtnb-dim rtnb-wave-words" },
        title ? el("b", {}, title) : "",
        title ? " · " : "",
        model.get("description"),
      ),
      this.audio,
    );
    this.stream = new StreamedAudio(this.audio, {
      seconds: this.seconds,
      segmentSeconds: model.get("shape").segment,
      request: (segment) => data.send({ type: "segment", segment }),
      onNote: (note) => this.setNote(note),
    });
    data.views.add(this);
    this.#listen();
    this.playButton.disabled = !StreamedAudio.supported || this.seconds === 0;
    if (!StreamedAudio.supported)
      this.setNote("This browser cannot stream Opus audio: save the clip to a file to play it.");
    this.#update();
  }

  #listen() {
    const { audio, slider, map, speed } = this;
    const { signal } = this.listeners;
    speed.addEventListener("change", () => {
      audio.playbackRate = Number(speed.value);
    });
    for (const name of ["play", "pause", "ended", "ratechange"])
      audio.addEventListener(name, () => this.#update(), { signal });
    for (const name of ["timeupdate", "seeking", "waiting", "playing"]) {
      const onMove = () => {
        this.#onPlayhead();
        this.stream.preload(this.at);
      };
      audio.addEventListener(name, onMove, { signal });
    }
    audio.addEventListener("pause", () => this.#savePosition(), { signal });
    const onLoad = () => {
      this.loaded = true;
      if (Math.abs(audio.currentTime - this.at) > 0.01) audio.currentTime = this.at;
    };
    audio.addEventListener("loadedmetadata", onLoad, { signal });
    slider.addEventListener("keydown", (event) => this.#onKey(event), { signal });
    slider.addEventListener("wheel", (event) => this.#onWheel(event), { signal, passive: false });
    slider.addEventListener("pointerdown", (event) => this.#onPointerDown(event), { signal });
    slider.addEventListener("pointermove", (event) => this.#onPointerMove(event), { signal });
    slider.addEventListener("pointerup", (event) => this.#onPointerUp(event), { signal });
    slider.addEventListener("pointercancel", (event) => this.#onPointerUp(event), { signal });
    const onLeave = () => {
      this.hover = null;
      this.draw();
    };
    slider.addEventListener("pointerleave", onLeave, { signal });
    const scroll = (/** @type {PointerEvent} */ event) => {
      if (event.buttons !== 1) return;
      map.setPointerCapture(event.pointerId);
      const box = map.getBoundingClientRect();
      const middle = ((event.clientX - box.left) / box.width) * this.seconds;
      const half = (this.span.end - this.span.start) / 2;
      this.show(middle - half, middle + half);
    };
    map.addEventListener("pointerdown", scroll, { signal });
    map.addEventListener("pointermove", scroll, { signal });
  }

  // Labels.

  get playing() {
    return !this.audio.paused && !this.audio.ended;
  }

  /** Update the labels and draw. */
  #update() {
    const { playing } = this;
    setText(this.playButton, playing ? "❚❚ Pause" : "▶ Play");
    // Tenths are shown only at rest: every change of the document costs Jupyter a pass over its style sheet.
    const position = playing ? Math.floor(this.at) : this.at;
    if (position !== this.shownPosition) {
      this.shownPosition = position;
      const text = formatPosition(position, this.seconds, !playing);
      const length = formatPosition(this.seconds, this.seconds);
      this.time.textContent = `${text} / ${length}`;
      this.slider.setAttribute("aria-valuenow", position.toFixed(2));
      this.slider.setAttribute("aria-valuetext", `${text} of ${length}`);
    }
    if (playing && !this.ticking) this.#tick();
    this.draw();
  }

  #tick() {
    this.ticking = true;
    setTimeout(() => {
      this.ticking = false;
      if (this.playing && !this.closed) this.#onPlayhead();
    }, this.frameMs);
  }

  /** @param {string} note */
  setNote(note) {
    setText(this.note, this.data.disconnected ? "The kernel is gone: run the cell again." : note);
  }

  // Playback.

  toggle() {
    if (this.playing) {
      this.audio.pause();
      return;
    }
    if (this.at >= this.seconds - 0.02) this.seek(0);
    this.stream.open();
    this.audio.play().catch((error) => {
      const { name, message } = describeError(error);
      if (name !== "AbortError") this.setNote(`Playback failed: ${message}`);
    });
    this.stream.preload(this.at);
  }

  #onPlayhead() {
    const { audio } = this;
    if (this.loaded && !audio.seeking) {
      this.at = Math.min(audio.currentTime, this.seconds);
      if (this.playing) this.span = followSpan(this.span, this.at, this.seconds);
    }
    this.#update();
  }

  /** @param {number} to  in seconds */
  seek(to) {
    this.at = Math.max(0, Math.min(this.seconds, to));
    if (this.loaded) this.audio.currentTime = this.at;
    this.span = followSpan(this.span, this.at, this.seconds);
    this.stream.preload(this.at);
    this.#update();
  }

  /** Send the position to Python. */
  #savePosition() {
    if (this.data.disconnected || Math.abs(this.model.get("position") - this.at) < 0.001) return;
    this.data.sentPosition = this.at;
    this.model.set("position", this.at);
    this.model.save_changes();
  }

  /** Follow the position that Python or another view set. One that this page sent moves no playhead that plays. */
  onPosition() {
    const position = this.model.get("position");
    const own = position === this.data.sentPosition;
    if (Math.abs(position - this.at) > 0.001 && !(own && this.playing)) this.seek(position);
  }

  // Zoom and scroll.

  /**
   * @param {number} start
   * @param {number} end
   */
  show(start, end) {
    this.span = clampSpan(start, end, this.seconds);
    this.draw();
  }

  /** @param {number} factor */
  zoom(factor, anchor = this.#anchor()) {
    this.span = zoomSpan(this.span, factor, anchor, this.seconds);
    this.draw();
  }

  /** The moment that stays in place without a pointer: the playhead if it is visible, else the middle. */
  #anchor() {
    const { start, end } = this.span;
    return this.at >= start && this.at <= end ? this.at : (start + end) / 2;
  }

  /** @param {number} clientX */
  #secondsAt(clientX) {
    const box = this.canvas.getBoundingClientRect();
    const share = Math.max(0, Math.min(1, (clientX - box.left) / box.width));
    return this.span.start + share * (this.span.end - this.span.start);
  }

  get zoomed() {
    return this.span.end - this.span.start < this.seconds - 1e-6;
  }

  // Keys, wheel, pointer.

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const to = seekKey(event.key, event.shiftKey, this.at, this.seconds);
    if (to !== null) {
      this.seek(to);
      this.#savePosition();
    } else if (event.key === " " || event.key === "Enter") this.toggle();
    else if (event.key === "+" || event.key === "=") this.zoom(2);
    else if (event.key === "-" || event.key === "_") this.zoom(1 / 2);
    else if (event.key === "0") this.show(0, this.seconds);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** @param {WheelEvent} event */
  #onWheel(event) {
    const sideways = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
    if (event.ctrlKey || event.metaKey) {
      this.zoom(Math.exp(-event.deltaY / 120), this.#secondsAt(event.clientX));
    } else if (sideways && Math.abs(sideways) >= Math.abs(event.shiftKey ? 0 : event.deltaY) && this.zoomed) {
      const by = (sideways / this.canvas.clientWidth) * (this.span.end - this.span.start);
      this.show(this.span.start + by, this.span.end + by);
    } else return;
    event.preventDefault();
  }

  /** @param {PointerEvent} event */
  #onPointerDown(event) {
    if (event.button !== 0) return;
    this.slider.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, event.clientX);
    if (this.pointers.size === 1) this.seek(this.#secondsAt(event.clientX));
  }

  /** @param {PointerEvent} event */
  #onPointerMove({ pointerId, clientX }) {
    const before = this.pointers.get(pointerId);
    if (before === undefined) {
      this.hover = this.#secondsAt(clientX);
      this.draw();
      return;
    }
    this.pointers.set(pointerId, clientX);
    const other = [...this.pointers].find(([id]) => id !== pointerId)?.[1];
    if (other === undefined) {
      this.seek(this.#secondsAt(clientX));
      return;
    }
    const [from, to] = [Math.abs(before - other), Math.abs(clientX - other)];
    if (from > 10 && to > 10) this.zoom(to / from, this.#secondsAt((clientX + other) / 2));
  }

  /** @param {PointerEvent} event */
  #onPointerUp(event) {
    if (this.pointers.delete(event.pointerId)) this.#savePosition();
  }

  // Drawing. Only scrolling and zooming paint; the playhead is an element that moves over the canvas.

  draw() {
    if (this.pending || this.closed) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      if (!this.closed) this.#paint();
    });
  }

  /** Draw everything again: there are new peaks, another size, or another theme. */
  redraw() {
    this.appearance = null;
    this.draw();
  }

  /** Read the size and the theme. This forces a layout, so it is done only when they may have changed. */
  #measure() {
    const { canvas, map, node } = this;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (width === 0) return null;
    const scale = globalThis.devicePixelRatio || 1;
    canvas.width = map.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    map.height = Math.round(MAP_HEIGHT * scale);
    return {
      accent: colourOf(node, "--rtnb-accent"),
      fg: colourOf(node, "--rtnb-fg"),
      dim: colourOf(node, "--rtnb-dim"),
      line: colourOf(node, "--rtnb-line"),
      font: `11px ${getComputedStyle(node).fontFamily}`,
      width,
      height,
      scale,
      drawn: "",
    };
  }

  #paint() {
    this.appearance ??= this.#measure();
    const { appearance } = this;
    if (!appearance) return;
    const { width } = appearance;
    const { start, end } = this.span;
    const x = (/** @type {number} */ at) => (end > start ? ((at - start) / (end - start)) * width : 0);
    const shown = `${start} ${end}`;
    if (appearance.drawn !== shown) {
      appearance.drawn = shown;
      this.#paintWaveform(appearance, x);
      this.#paintMap(appearance);
    }
    const playheadX = x(this.at);
    moveTo(this.playhead, Math.max(-20, Math.min(width + 20, playheadX)));
    this.played.style.transform = `scaleX(${Math.max(0, Math.min(1, playheadX / width)).toFixed(4)})`;
    moveTo(this.mapPlayhead, (this.at / (this.seconds || 1)) * width);
    setVisible(this.pointed, this.hover !== null);
    if (this.hover === null) return;
    const pointedX = x(this.hover);
    moveTo(this.pointed, pointedX);
    this.pointed.classList.toggle("rtnb-left", pointedX > width - 90);
    this.pointedTime.textContent = formatPosition(this.hover, this.seconds, true);
  }

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {Appearance} appearance
   */
  #context(canvas, { scale }) {
    const context = canvas.getContext("2d");
    context?.setTransform(scale, 0, 0, scale, 0, 0);
    context?.clearRect(0, 0, canvas.width, canvas.height);
    return context;
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Appearance} appearance
   * @param {Span} span
   * @param {number} height
   */
  #paintBars(context, { width, accent }, span, height) {
    const count = Math.max(1, Math.floor(width / BAR_PITCH));
    this.data.need(span, count);
    const columns = this.data.peaks.columns(span, count);
    context.fillStyle = accent;
    const middle = height / 2;
    for (let i = 0; i < count; i += 1) {
      const [low, high] = [columns[2 * i], columns[2 * i + 1]];
      if (Number.isNaN(low)) continue;
      const tall = Math.max(1, ((high - low) / 254) * height);
      const top = Math.min(middle - (high / 127) * middle, height - tall);
      context.fillRect(i * BAR_PITCH, top, BAR_WIDTH, tall);
    }
  }

  /**
   * @param {Appearance} appearance
   * @param {(at: number) => number} toX
   */
  #paintWaveform(appearance, toX) {
    const { width, height, line, dim, font } = appearance;
    const bottom = height - AXIS_HEIGHT;
    const context = this.#context(this.canvas, appearance);
    if (!context) return;
    this.#paintBars(context, appearance, this.span, bottom);
    context.font = font;
    context.textBaseline = "bottom";
    for (const { at, text } of timeMarks(this.span, width)) {
      const x = toX(at);
      context.fillStyle = line;
      context.fillRect(Math.min(width - 1, x), bottom + 2, 1, 4);
      context.fillStyle = dim;
      const textWidth = context.measureText(text).width;
      context.fillText(text, Math.max(0, Math.min(width - textWidth, x - textWidth / 2)), height);
    }
  }

  /** @param {Appearance} appearance */
  #paintMap(appearance) {
    const { zoomed } = this;
    for (const button of [this.outButton, this.allButton])
      if (button.disabled === zoomed) button.disabled = !zoomed;
    setVisible(this.mapBox, zoomed);
    const context = zoomed ? this.#context(this.map, appearance) : null;
    if (!context) return;
    const { width, fg } = appearance;
    context.globalAlpha = 0.6;
    this.#paintBars(context, appearance, { start: 0, end: this.seconds }, MAP_HEIGHT);
    const left = (this.span.start / this.seconds) * width;
    const wide = Math.max(4, ((this.span.end - this.span.start) / this.seconds) * width);
    context.globalAlpha = 0.18;
    context.fillStyle = fg;
    context.fillRect(left, 0, wide, MAP_HEIGHT);
    context.globalAlpha = 1;
    context.strokeStyle = fg;
    context.strokeRect(left + 0.5, 0.5, Math.max(1, wide - 1), MAP_HEIGHT - 1);
  }

  close() {
    this.closed = true;
    this.listeners.abort();
    this.data.views.delete(this);
    this.stream.close();
  }
}

/**
 * Move an element sideways without a layout.
 * @param {HTMLElement} node
 * @param {number} x
 */
function moveTo(node, x) {
  node.style.transform = `translateX(${x.toFixed(1)}px)`;
}

/**
 * @param {InitializeProps<WaveformModel>} props
 * @returns {Cleanup}
 */
function initialize({ model }) {
  waveformData(model);
  return () => waveforms.delete(model.get("uid"));
}

/**
 * @param {RenderProps<WaveformModel>} props
 * @returns {Cleanup}
 */
function render({ model, el: root }) {
  const view = new WaveformView(model, waveformData(model));
  root.append(suppressShortcuts(view.node));
  const onPosition = () => view.onPosition();
  model.on("change:position", onPosition);
  const observer = new ResizeObserver(() => view.redraw());
  observer.observe(view.canvas);
  const offTheme = onThemeChange(() => view.redraw());
  view.draw();
  return () => {
    model.off("change:position", onPosition);
    observer.disconnect();
    offTheme();
    view.close();
  };
}

export default { initialize, render };
