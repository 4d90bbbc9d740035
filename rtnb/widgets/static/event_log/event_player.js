// The player below the event log: plays the audio of one item and reports which of its events is playing.

import { el, setText, setVisible } from "../shared/dom.js";
import { describeError, formatTime } from "../shared/format.js";
import { indexAt } from "./virtual_list.js";

/** @typedef {import("./requests.js").AudioMessage} AudioMessage */
/** @typedef {import("./requests.js").Track} Track */
/** @typedef {{ lead: number, event: number }} PlayingEvent  and the first event of its line */

const PROGRESS_MS = 50;

export class EventPlayer {
  /**
   * @param {object} hooks
   * @param {(event: number) => void} hooks.request  asks for the audio of an event, which is handed to load()
   * @param {(playing: PlayingEvent | null) => void} hooks.onProgress
   * @param {(note: string) => void} hooks.onNote
   */
  constructor({ request, onProgress, onNote }) {
    this.request = request;
    this.onProgress = onProgress;
    this.onNote = onNote;
    /** @type {(Track & { event: number }) | null} */
    this.track = null; // of the event that was opened last
    /** @type {{ key: string, events: number[], starts: number[], leads: number[] } | null} */
    this.loaded = null; // what the element holds
    this.playWhenLoaded = false;
    this.position = 0;
    this.url = "";
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    this.audio = el("audio", { preload: "auto" });
    this.button = el("button", { class: "rtnb-main rtnb-ev-play", onclick: () => this.toggle() });
    this.slider = el("input", {
      type: "range",
      min: 0,
      max: 0,
      step: 0.01,
      value: 0,
      "aria-label": "Playback position",
    });
    this.slider.addEventListener("input", () => this.seek(Number(this.slider.value)));
    this.time = el("span", { class: "rtnb-num" });
    this.label = el("span", { class: "rtnb-dim rtnb-ev-audio-label" });
    this.node = el(
      "div",
      { class: "rtnb-row rtnb-ev-audio rtnb-hidden", role: "group", "aria-label": "Audio" },
      this.button,
      this.time,
      this.slider,
      this.label,
      this.audio,
    );
    for (const name of ["play", "pause", "ended", "seeked"])
      this.audio.addEventListener(name, () => this.#update());
    this.audio.addEventListener("loadedmetadata", () => {
      this.audio.currentTime = this.position;
    });
    this.audio.addEventListener("error", () => {
      if (this.loaded) this.onNote("This browser cannot play the audio: write it to a file to play it.");
    });
  }

  get playing() {
    return !this.audio.paused && !this.audio.ended;
  }

  /** Whether the element holds the track that was opened last. */
  get ready() {
    return this.loaded !== null && this.loaded.key === this.track?.key;
  }

  /**
   * Move to an event's place in the audio of its item.
   * @param {number} event
   * @param {Track | null} track
   */
  open(event, track) {
    if (!track || track.seconds <= 0) return;
    const same = this.loaded?.key === track.key;
    if (!same && this.playing) this.audio.pause();
    this.track = { ...track, event };
    if (same) this.seek(track.at);
    else this.position = track.at;
    setVisible(this.node, true);
    this.#update();
  }

  toggle() {
    if (this.playing) this.audio.pause();
    else this.play();
  }

  play() {
    if (!this.track) return;
    if (this.position >= this.track.seconds - 0.02) this.position = 0;
    if (!this.ready) {
      this.playWhenLoaded = true;
      this.onNote("Loading the audio …");
      this.request(this.track.event);
      return;
    }
    const { audio } = this;
    if (Math.abs(audio.currentTime - this.position) > 0.02 && audio.readyState > 0)
      audio.currentTime = this.position;
    audio.play().catch((error) => {
      const { name, message } = describeError(error);
      if (name !== "AbortError") this.onNote(`Playback failed: ${message}`);
    });
  }

  /**
   * Take the requested audio.
   * @param {AudioMessage} message
   * @param {ArrayBuffer} bytes
   */
  load({ track, events, starts, leads, kind, error }, bytes) {
    if (error) this.onNote(error);
    if (error || !track || track.key !== this.track?.key) return;
    this.onNote("");
    this.#revoke();
    this.url = URL.createObjectURL(new Blob([bytes], { type: kind }));
    this.loaded = { key: track.key, events, starts, leads };
    this.audio.src = this.url;
    if (this.playWhenLoaded) this.play();
    this.playWhenLoaded = false;
  }

  /** @param {number} to  in seconds */
  seek(to) {
    this.position = Math.max(0, Math.min(to, this.track?.seconds ?? 0));
    if (this.ready && this.audio.readyState > 0) this.audio.currentTime = this.position;
    this.#update();
  }

  #update() {
    const { audio, loaded, ready, playing } = this;
    if (ready && audio.readyState > 0 && !audio.seeking) this.position = audio.currentTime;
    setText(this.button, playing ? "❚❚ Pause" : "▶ Play");
    const seconds = this.track?.seconds ?? 0;
    const text = `${formatTime(this.position, true)} / ${formatTime(seconds, true)}`;
    if (this.time.textContent !== text) {
      this.time.textContent = text;
      this.slider.max = String(seconds);
      this.slider.value = String(this.position);
      this.slider.setAttribute("aria-valuetext", text);
    }
    setText(this.label, this.track?.label ?? "");
    const index = loaded && ready && playing ? indexAt(loaded.starts, this.position) : -1;
    const current = loaded && index >= 0;
    this.onProgress(current ? { lead: loaded.leads[index], event: loaded.events[index] } : null);
    clearTimeout(this.timer);
    if (playing) this.timer = setTimeout(() => this.#update(), PROGRESS_MS);
  }

  #revoke() {
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = "";
  }

  close() {
    clearTimeout(this.timer);
    this.audio.pause();
    this.loaded = null;
    this.audio.removeAttribute("src");
    this.#revoke();
  }
}
