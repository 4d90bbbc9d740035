// The small player under the event log: the sound of one item, and which event of it is heard.

import { clock, el } from "../shared/dom.js";
import { pieceAt } from "./virtual_list.js";

const EVENT_SOUND_TICK = 50;

/** `ask(event)` is to bring `give(answer, bytes)` about; `heard(lead, event)` tells what plays, or null. */
export class EventSound {
  constructor({ ask, heard, told }) {
    Object.assign(this, { ask, heard, told });
    this.track = null; // that of the event looked at last
    this.loaded = null; // what the element holds
    this.wanted = false;
    this.at = 0;
    this.audio = el("audio", { preload: "auto" });
    this.button = el("button", { class: "rtnb-main rtnb-ev-play", onclick: () => this.toggle() });
    this.slider = el("input", {
      type: "range",
      min: 0,
      max: 0,
      step: 0.01,
      value: 0,
      "aria-label": "Position in the sound",
    });
    this.slider.addEventListener("input", () => this.seek(Number(this.slider.value)));
    this.time = el("span", { class: "rtnb-num" });
    this.label = el("span", { class: "rtnb-dim rtnb-ev-sound-label" });
    this.node = el("div", {
      class: "rtnb-row rtnb-ev-sound rtnb-hidden",
      role: "group",
      "aria-label": "Sound",
    });
    this.node.append(this.button, this.time, this.slider, this.label, this.audio);
    for (const name of ["play", "pause", "ended", "seeked"])
      this.audio.addEventListener(name, () => this.#moved());
    this.audio.addEventListener("loadedmetadata", () => {
      this.audio.currentTime = this.at;
    });
    this.audio.addEventListener("error", () => {
      if (this.loaded) this.told("This browser cannot play the sound: write it to a file to hear it.");
    });
  }

  get playing() {
    return !this.audio.paused && !this.audio.ended;
  }

  /** Stand where an event stands in the sound of its item. */
  look(event, track) {
    if (!track || track.seconds <= 0) return;
    if (this.loaded?.key === track.key) {
      this.track = { ...track, event };
      this.seek(track.at);
    } else {
      if (this.playing) this.audio.pause();
      this.track = { ...track, event };
      this.at = track.at;
    }
    this.node.classList.remove("rtnb-hidden");
    this.#moved();
  }

  toggle() {
    if (this.playing) this.audio.pause();
    else this.play();
  }

  play() {
    if (!this.track) return;
    if (this.at >= this.track.seconds - 0.02) this.at = 0;
    if (this.loaded?.key !== this.track.key) {
      this.wanted = true;
      this.told("Fetching the sound …");
      this.ask(this.track.event);
      return;
    }
    if (Math.abs(this.audio.currentTime - this.at) > 0.02 && this.audio.readyState > 0)
      this.audio.currentTime = this.at;
    this.audio.play().catch((error) => {
      if (error.name !== "AbortError") this.told(`It cannot be played: ${error.message}`);
    });
  }

  give({ track, events, starts, leads, kind, error }, bytes) {
    if (error || track?.key !== this.track?.key) {
      if (error) this.told(error);
      return;
    }
    this.told("");
    this.#forget();
    this.url = URL.createObjectURL(new Blob([bytes], { type: kind }));
    this.loaded = { key: track.key, events, starts, leads };
    this.audio.src = this.url;
    if (this.wanted) this.play();
    this.wanted = false;
  }

  seek(to) {
    this.at = Math.max(0, Math.min(to, this.track?.seconds ?? 0));
    if (this.loaded?.key === this.track?.key && this.audio.readyState > 0) this.audio.currentTime = this.at;
    this.#moved();
  }

  #moved() {
    const own = this.loaded && this.loaded.key === this.track?.key;
    if (own && this.audio.readyState > 0 && !this.audio.seeking) this.at = this.audio.currentTime;
    const label = this.playing ? "❚❚ Pause" : "▶ Play";
    if (this.button.textContent !== label) this.button.textContent = label;
    const whole = this.track?.seconds ?? 0;
    const text = `${clock(this.at, true)} / ${clock(whole, true)}`;
    if (this.time.textContent !== text) {
      this.time.textContent = text;
      this.slider.max = whole;
      this.slider.value = this.at;
      this.slider.setAttribute("aria-valuetext", text);
    }
    const words = this.track?.label ?? "";
    if (this.label.textContent !== words) this.label.textContent = words;
    const piece = own && this.playing ? pieceAt(this.loaded.starts, this.at) : -1;
    this.heard(piece < 0 ? null : { lead: this.loaded.leads[piece], event: this.loaded.events[piece] });
    clearTimeout(this.timer);
    if (this.playing) this.timer = setTimeout(() => this.#moved(), EVENT_SOUND_TICK);
  }

  #forget() {
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = null;
  }

  close() {
    clearTimeout(this.timer);
    this.audio.pause();
    this.loaded = null;
    this.audio.removeAttribute("src");
    this.#forget();
  }
}
