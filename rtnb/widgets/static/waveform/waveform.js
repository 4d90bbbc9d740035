// A recording of any length: looked at, zoomed into, listened to.

import { el, prefersStillness } from "../shared/dom.js";
import { ownKeys } from "../shared/shortcuts.js";
import { SoundFeed } from "../shared/streamed_audio.js";
import { colourOf, onTheme } from "../shared/theme.js";
import { clampSpan, followSpan, longClock, PeakStore, seekKey, timeMarks, zoomSpan } from "./viewport.js";

const WAVE_PITCH = 2;
const WAVE_BAR = 1.4;
const WAVE_AXIS = 18;
const MAP_HEIGHT = 24;
const WAVE_SPEEDS = [0.5, 0.75, 1, 1.25, 1.5, 2];
const WAVE_HELP =
  "Space plays. Arrows: 5 s, with Shift 50 ms. + and − zoom, 0 shows all. Ctrl and the wheel zoom where the pointer is.";
const waveStores = new Map();

/** The pyramid's rows that this page has, shared by all views of one waveform, and the asking for more. */
class WaveStore {
  constructor(model) {
    this.model = model;
    this.views = new Set();
    this.asked = new Set();
    this.detailAsked = null;
    this.gone = false;
    const { base, factor, tile } = model.get("shape");
    const bytes = model.get("overview");
    this.peaks = new PeakStore({
      seconds: model.get("seconds"),
      rate: model.get("rate"),
      base,
      factor,
      tile,
      level: model.get("overview_level"),
      overview: int8(bytes),
    });
    model.on("msg:custom", (message, buffers) => this.#hear(message, buffers?.[0]));
    for (const name of ["comm:close", "comm_live_update"]) model.on(name, () => this.#set(true));
  }

  /** Say whether the kernel is gone; who hears from it knows better. */
  #set(gone) {
    if (this.gone === gone) return;
    this.gone = gone;
    for (const view of this.views) view.tell("");
  }

  send(message) {
    if (!this.gone) this.model.send(message);
  }

  need(span, count) {
    for (const tile of this.peaks.missing(span, count)) {
      const key = `${tile.level}:${tile.tile}`;
      if (this.asked.has(key)) continue;
      this.asked.add(key);
      this.send({ type: "rows", ...tile });
    }
    if (this.detailAsked !== null && performance.now() - this.detailAsked < 2000) return;
    const detail = this.peaks.missingDetail(span, count);
    if (!detail) return;
    this.detailAsked = performance.now();
    this.send({ type: "detail", ...detail });
  }

  #hear(message, data) {
    this.#set(false);
    if (message.type === "rows") this.peaks.add(message.level, message.tile, int8(data));
    else if (message.type === "detail") {
      this.detailAsked = null;
      this.peaks.setDetail(message.start, message.stop, int8(data));
    } else if (message.type === "sound") {
      const bytes = data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength);
      for (const view of this.views) view.feed.give(message.part, message.begin, bytes);
      return;
    }
    for (const view of this.views) view.redraw();
  }
}

function int8(view) {
  return view ? new Int8Array(view.buffer, view.byteOffset, view.byteLength) : new Int8Array();
}

function waveStore(model) {
  const uid = model.get("uid");
  if (!waveStores.has(uid)) waveStores.set(uid, new WaveStore(model));
  return waveStores.get(uid);
}

class WaveView {
  constructor(model, store) {
    this.model = model;
    this.store = store;
    this.seconds = model.get("seconds");
    this.span = { start: 0, end: this.seconds };
    this.at = model.get("position");
    this.hover = null;
    this.look = null;
    this.pace = prefersStillness() ? 500 : 40;
    this.ends = new AbortController();
    this.pointers = new Map();
    this.#build();
    this.feed = new SoundFeed(this.audio, {
      seconds: this.seconds,
      part: model.get("shape").part,
      ask: (part) => store.send({ type: "sound", part }),
      told: (words) => this.tell(words),
    });
    store.views.add(this);
    this.#listen();
    this.playButton.disabled = !SoundFeed.able || this.seconds === 0;
    if (!SoundFeed.able)
      this.tell("This browser cannot play Opus in parts: write the clip to a file to hear it.");
    this.#say();
  }

  #build() {
    this.playButton = el("button", { class: "rtnb-main rtnb-wave-play", onclick: () => this.toggle() });
    this.time = el("span", { class: "rtnb-num" });
    this.speed = el(
      "select",
      {
        "aria-label": "Speed",
        title: "Speed",
        onchange: () => (this.audio.playbackRate = Number(this.speed.value)),
      },
      ...WAVE_SPEEDS.map((speed) => el("option", { value: speed, selected: speed === 1 }, `${speed}×`)),
    );
    const zoom = (factor) => () => this.zoom(factor);
    this.outButton = el(
      "button",
      { "aria-label": "Zoom out", title: "Zoom out (−)", onclick: zoom(1 / 2) },
      "−",
    );
    this.inButton = el("button", { "aria-label": "Zoom in", title: "Zoom in (+)", onclick: zoom(2) }, "+");
    this.allButton = el(
      "button",
      { title: "Show the whole recording (0)", onclick: () => this.show(0, this.seconds) },
      "All",
    );
    this.canvas = el("canvas", { class: "rtnb-wave-main", "aria-hidden": "true" });
    this.played = el("div", { class: "rtnb-wave-played" });
    this.head = el("div", { class: "rtnb-wave-line rtnb-wave-head" });
    this.pointed = el(
      "div",
      { class: "rtnb-wave-line rtnb-wave-pointed rtnb-hidden", "aria-hidden": "true" },
      el("span"),
    );
    this.slider = el(
      "div",
      {
        class: "rtnb-wave-over rtnb-wave-slider",
        role: "slider",
        tabindex: 0,
        title: WAVE_HELP,
        "aria-label": `Position in ${this.model.get("title") || "the recording"}`,
        "aria-valuemin": 0,
        "aria-valuemax": this.seconds.toFixed(2),
      },
      this.canvas,
      this.played,
      this.pointed,
      this.head,
    );
    this.map = el("canvas", { class: "rtnb-wave-map", title: "The whole recording: drag to scroll" });
    this.mapHead = el("div", { class: "rtnb-wave-line" });
    this.mapBox = el(
      "div",
      { class: "rtnb-wave-over rtnb-hidden", "aria-hidden": "true" },
      this.map,
      this.mapHead,
    );
    this.note = el("span", { class: "rtnb-dim", role: "status" });
    this.audio = el("audio", { preload: "auto" });
    const title = this.model.get("title");
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
        el(
          "span",
          { class: "rtnb-row rtnb-wave-tools" },
          this.speed,
          this.outButton,
          this.inButton,
          this.allButton,
        ),
      ),
      this.slider,
      this.mapBox,
      el(
        "div",
        { class: "rtnb-dim rtnb-wave-words" },
        title ? el("b", {}, title) : "",
        title ? " · " : "",
        this.model.get("words"),
      ),
      this.audio,
    );
  }

  #listen() {
    const signal = this.ends.signal;
    const on = (node, name, handler, options = {}) =>
      node.addEventListener(name, handler, { signal, ...options });
    const { audio, slider, map } = this;
    for (const name of ["play", "pause", "ended", "ratechange"]) on(audio, name, () => this.#say());
    for (const name of ["timeupdate", "seeking", "waiting", "playing"]) {
      on(audio, name, () => {
        this.#moved();
        this.feed.look(this.at);
      });
    }
    on(audio, "pause", () => this.#keep());
    on(audio, "loadedmetadata", () => {
      this.loaded = true;
      if (Math.abs(audio.currentTime - this.at) > 0.01) audio.currentTime = this.at;
    });
    on(slider, "keydown", (event) => this.#key(event));
    on(slider, "wheel", (event) => this.#wheel(event), { passive: false });
    on(slider, "pointerdown", (event) => this.#down(event));
    on(slider, "pointermove", (event) => this.#move(event));
    on(slider, "pointerup", (event) => this.#up(event));
    on(slider, "pointercancel", (event) => this.#up(event));
    on(slider, "pointerleave", () => {
      this.hover = null;
      this.draw();
    });
    const scroll = (event) => {
      if (event.buttons !== 1) return;
      map.setPointerCapture(event.pointerId);
      const box = map.getBoundingClientRect();
      const middle = ((event.clientX - box.left) / box.width) * this.seconds;
      const half = (this.span.end - this.span.start) / 2;
      this.show(middle - half, middle + half);
    };
    on(map, "pointerdown", scroll);
    on(map, "pointermove", scroll);
  }

  // What it says.

  get playing() {
    return !this.audio.paused && !this.audio.ended;
  }

  #say() {
    const { playing } = this;
    const label = playing ? "❚❚ Pause" : "▶ Play";
    if (this.playButton.textContent !== label) this.playButton.textContent = label;
    // Tenths are for those who stand still: each change of the document costs Jupyter's whole style sheet.
    const now = playing ? Math.floor(this.at) : this.at;
    if (now !== this.said) {
      this.said = now;
      const text = longClock(now, this.seconds, !playing);
      const whole = longClock(this.seconds, this.seconds);
      this.time.textContent = `${text} / ${whole}`;
      this.slider.setAttribute("aria-valuenow", now.toFixed(2));
      this.slider.setAttribute("aria-valuetext", `${text} of ${whole}`);
    }
    if (playing && !this.ticking) this.#tick();
    this.draw();
  }

  #tick() {
    this.ticking = true;
    setTimeout(() => {
      this.ticking = false;
      if (this.playing && !this.gone) this.#moved();
    }, this.pace);
  }

  tell(words) {
    const text = this.store.gone ? "The kernel is gone: run the cell again." : words;
    if (this.note.textContent !== text) this.note.textContent = text;
  }

  // Playing.

  toggle() {
    if (this.playing) {
      this.audio.pause();
      return;
    }
    if (this.at >= this.seconds - 0.02) this.seek(0);
    this.feed.open();
    this.audio.play().catch((error) => {
      if (error.name !== "AbortError") this.tell(`It cannot be played: ${error.message}`);
    });
    this.feed.look(this.at);
  }

  #moved() {
    const { audio } = this;
    if (this.loaded && !audio.seeking) {
      this.at = Math.min(audio.currentTime, this.seconds);
      if (this.playing) this.span = followSpan(this.span, this.at, this.seconds);
    }
    this.#say();
  }

  seek(to) {
    this.at = Math.max(0, Math.min(this.seconds, to));
    if (this.loaded) this.audio.currentTime = this.at;
    this.span = followSpan(this.span, this.at, this.seconds);
    this.feed.look(this.at);
    this.#say();
  }

  /** Let Python know where the playhead stands. */
  #keep() {
    if (this.store.gone || Math.abs(this.model.get("position") - this.at) < 0.001) return;
    this.store.told = this.at;
    this.model.set("position", this.at);
    this.model.save_changes();
  }

  // Looking.

  show(start, end) {
    this.span = clampSpan(start, end, this.seconds);
    this.draw();
  }

  zoom(factor, anchor = this.#anchor()) {
    this.span = zoomSpan(this.span, factor, anchor, this.seconds);
    this.draw();
  }

  /** What stays in its place when nobody points: the playhead where it is seen, else the middle. */
  #anchor() {
    const { start, end } = this.span;
    return this.at >= start && this.at <= end ? this.at : (start + end) / 2;
  }

  #secondsAt(event) {
    const box = this.canvas.getBoundingClientRect();
    const share = Math.max(0, Math.min(1, (event.clientX - box.left) / box.width));
    return this.span.start + share * (this.span.end - this.span.start);
  }

  // Keys, wheel, pointer.

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const to = seekKey(event.key, event.shiftKey, this.at, this.seconds);
    if (to !== null) {
      this.seek(to);
      this.#keep();
    } else if (event.key === " " || event.key === "Enter") this.toggle();
    else if (event.key === "+" || event.key === "=") this.zoom(2);
    else if (event.key === "-" || event.key === "_") this.zoom(1 / 2);
    else if (event.key === "0") this.show(0, this.seconds);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #wheel(event) {
    const sideways = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
    if (event.ctrlKey || event.metaKey) {
      this.zoom(Math.exp(-event.deltaY / 120), this.#secondsAt(event));
    } else if (sideways && Math.abs(sideways) >= Math.abs(event.shiftKey ? 0 : event.deltaY) && this.zoomed) {
      const by = (sideways / this.canvas.clientWidth) * (this.span.end - this.span.start);
      this.show(this.span.start + by, this.span.end + by);
    } else return;
    event.preventDefault();
  }

  get zoomed() {
    return this.span.end - this.span.start < this.seconds - 1e-6;
  }

  #down(event) {
    if (event.button !== 0) return;
    this.slider.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, event.clientX);
    if (this.pointers.size === 1) this.seek(this.#secondsAt(event));
  }

  #move(event) {
    if (!this.pointers.has(event.pointerId)) {
      this.hover = this.#secondsAt(event);
      this.draw();
      return;
    }
    if (this.pointers.size === 1) {
      this.pointers.set(event.pointerId, event.clientX);
      this.seek(this.#secondsAt(event));
      return;
    }
    const others = [...this.pointers].filter(([id]) => id !== event.pointerId);
    const other = others[0][1];
    const before = Math.abs(this.pointers.get(event.pointerId) - other);
    const after = Math.abs(event.clientX - other);
    this.pointers.set(event.pointerId, event.clientX);
    if (before > 10 && after > 10)
      this.zoom(after / before, this.#secondsAt({ clientX: (event.clientX + other) / 2 }));
  }

  #up(event) {
    if (this.pointers.delete(event.pointerId)) this.#keep();
  }

  // Drawing. Only scrolling and zooming paint; the playhead is an element that moves over the picture.

  draw() {
    if (this.pending || this.gone) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      if (!this.gone) this.#paint();
    });
  }

  /** Draw anew: there are other rows, another size, or another theme. */
  redraw() {
    this.look = null;
    this.draw();
  }

  /** Read the size and the theme: asking for them costs a layout, so it is done only when they may have changed. */
  #measure() {
    const names = ["accent", "fg", "dim", "line"];
    const colours = names.map((name) => [name, colourOf(this.node, `--rtnb-${name}`)]);
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    const font = `11px ${getComputedStyle(this.node).fontFamily}`;
    const scale = globalThis.devicePixelRatio || 1;
    this.look = { ...Object.fromEntries(colours), width, height, font, scale, drawn: "" };
    Object.assign(this.canvas, { width: Math.round(width * scale), height: Math.round(height * scale) });
    Object.assign(this.map, { width: Math.round(width * scale), height: Math.round(MAP_HEIGHT * scale) });
  }

  #paint() {
    if (!this.look) this.#measure();
    if (this.look.width === 0) {
      this.look = null;
      return;
    }
    const { width } = this.look;
    const { start, end } = this.span;
    const place = (at) => (end > start ? ((at - start) / (end - start)) * width : 0);
    const shown = `${start} ${end}`;
    if (this.look.drawn !== shown) {
      this.look.drawn = shown;
      this.#paintWave(place);
      this.#paintMap();
    }
    const x = place(this.at);
    this.head.style.transform = `translateX(${Math.max(-20, Math.min(width + 20, x)).toFixed(1)}px)`;
    this.played.style.transform = `scaleX(${Math.max(0, Math.min(1, x / width)).toFixed(4)})`;
    this.mapHead.style.transform = `translateX(${((this.at / (this.seconds || 1)) * width).toFixed(1)}px)`;
    this.pointed.classList.toggle("rtnb-hidden", this.hover === null);
    if (this.hover === null) return;
    this.pointed.style.transform = `translateX(${place(this.hover).toFixed(1)}px)`;
    this.pointed.classList.toggle("rtnb-left", place(this.hover) > width - 90);
    this.pointed.firstChild.textContent = longClock(this.hover, this.seconds, true);
  }

  #brush(canvas) {
    const brush = canvas.getContext("2d");
    brush.setTransform(this.look.scale, 0, 0, this.look.scale, 0, 0);
    brush.clearRect(0, 0, canvas.width, canvas.height);
    return brush;
  }

  #bars(brush, span, height) {
    const count = Math.max(1, Math.floor(this.look.width / WAVE_PITCH));
    this.store.need(span, count);
    const columns = this.store.peaks.columns(span, count);
    brush.fillStyle = this.look.accent;
    const middle = height / 2;
    for (let i = 0; i < count; i += 1) {
      const [low, high] = [columns[2 * i], columns[2 * i + 1]];
      if (Number.isNaN(low)) continue;
      const tall = Math.max(1, ((high - low) / 254) * height);
      const top = Math.min(middle - (high / 127) * middle, height - tall);
      brush.fillRect(i * WAVE_PITCH, top, WAVE_BAR, tall);
    }
  }

  #paintWave(place) {
    const { width, height, line, dim, font } = this.look;
    const wave = height - WAVE_AXIS;
    const brush = this.#brush(this.canvas);
    this.#bars(brush, this.span, wave);
    brush.font = font;
    brush.textBaseline = "bottom";
    for (const { at, text } of timeMarks(this.span, width)) {
      const x = place(at);
      brush.fillStyle = line;
      brush.fillRect(Math.min(width - 1, x), wave + 2, 1, 4);
      brush.fillStyle = dim;
      const wide = brush.measureText(text).width;
      brush.fillText(text, Math.max(0, Math.min(width - wide, x - wide / 2)), height);
    }
  }

  #paintMap() {
    const { zoomed } = this;
    for (const button of [this.outButton, this.allButton])
      if (button.disabled === zoomed) button.disabled = !zoomed;
    this.mapBox.classList.toggle("rtnb-hidden", !zoomed);
    if (!zoomed) return;
    const { width, fg } = this.look;
    const brush = this.#brush(this.map);
    brush.globalAlpha = 0.6;
    this.#bars(brush, { start: 0, end: this.seconds }, MAP_HEIGHT);
    const left = (this.span.start / this.seconds) * width;
    const wide = Math.max(4, ((this.span.end - this.span.start) / this.seconds) * width);
    brush.globalAlpha = 0.18;
    brush.fillStyle = fg;
    brush.fillRect(left, 0, wide, MAP_HEIGHT);
    brush.globalAlpha = 1;
    brush.strokeStyle = fg;
    brush.strokeRect(left + 0.5, 0.5, Math.max(1, wide - 1), MAP_HEIGHT - 1);
  }

  close() {
    this.gone = true;
    this.ends.abort();
    this.store.views.delete(this);
    this.feed.close();
  }
}

function initialize({ model }) {
  waveStore(model);
  return () => waveStores.delete(model.get("uid"));
}

function render({ model, el: root }) {
  const view = new WaveView(model, waveStore(model));
  root.append(ownKeys(view.node));
  const moved = () => {
    const position = model.get("position");
    const ours = position === view.store.told; // a page's own word moves no playhead that plays
    if (Math.abs(position - view.at) > 0.001 && !(ours && view.playing)) view.seek(position);
  };
  model.on("change:position", moved);
  const resized = new ResizeObserver(() => view.redraw());
  resized.observe(view.canvas);
  const still = onTheme(() => view.redraw());
  view.draw();
  return () => {
    model.off("change:position", moved);
    resized.disconnect();
    still();
    view.close();
  };
}

export default { initialize, render };
