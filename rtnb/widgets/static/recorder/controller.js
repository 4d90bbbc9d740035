// A recorder's behaviour in this page, apart from how it looks: one controller per recorder, however many views.

import { copyBytes, int8View } from "../shared/buffers.js";
import { Capture, microphoneProblem } from "../shared/capture.js";
import { REMOVED_AFTER_MS } from "../shared/dom.js";
import { describeError } from "../shared/format.js";
import { Handshake } from "../shared/handshake.js";
import { LocalTake, moveTrim, RemoteTake } from "./take.js";
import { LocalPlayer, RemotePlayer } from "./take_player.js";

/** @typedef {import("../shared/capture.js").CaptureInfo} CaptureInfo */
/** @typedef {import("./take.js").Trim} Trim */
/** @typedef {import("./take.js").TrimEdge} TrimEdge */
/** @typedef {"idle" | "starting" | "recording" | "paused" | "finishing"} RecorderPhase */
/**
 * What changed: the state, the audio (new samples), the devices (they have names now), the trim, or playback.
 * @typedef {"state" | "audio" | "devices" | "trim" | "playback"} RecorderChange
 */
/**
 * @typedef {object} RecorderTraits
 * @property {string} uid
 * @property {string} state
 * @property {string} take
 * @property {string} note
 * @property {string} error
 * @property {string} prompt
 * @property {boolean} confirm
 * @property {string[]} samples
 * @property {number} max_seconds
 * @property {string} device
 * @property {boolean} echo_cancellation
 * @property {boolean} noise_suppression
 * @property {boolean} auto_gain_control
 * @property {number} trim_start
 * @property {number | null} trim_end
 */
/** @typedef {{ type: "clip", take: string, seconds: number, row: number, segment_seconds: number }} TakeMessage */
/** @typedef {{ type: "segment", take: string, segment: number, begin: number }} SegmentMessage */
/**
 * What the kernel sends.
 * @typedef {{ type: "welcome" }
 *   | { type: "record", page: string }
 *   | { type: "stop", take?: string }
 *   | { type: "ping", take: string }
 *   | { type: "resend", take: string, seqs: number[] }
 *   | TakeMessage
 *   | SegmentMessage} RecorderMessage
 */
/** @typedef {WidgetModel<RecorderTraits, RecorderMessage>} RecorderModel */

const UPLOAD_CHUNK = 1 << 20;
const UPLOAD_LIMIT = 200 << 20;

/** @type {Map<string, RecorderController>} */
const controllers = new Map();

/**
 * Return the controller of a model, created on first use.
 * @param {RecorderModel} model
 */
export function controllerFor(model) {
  const uid = model.get("uid");
  let controller = controllers.get(uid);
  if (!controller) {
    controller = new RecorderController(model);
    controllers.set(uid, controller);
  }
  return controller;
}

/** Records, trims and plays. `phase` is this page's own; the kernel's view of the recording is the trait `state`. */
export class RecorderController {
  /** @param {RecorderModel} model */
  constructor(model) {
    this.model = model;
    /** @type {RecorderPhase} */
    this.phase = "idle";
    /** @type {LocalTake | RemoteTake | null} */
    this.take = null;
    this.takeId = "";
    /** @type {CaptureInfo | null} */
    this.info = null;
    /** @type {Trim} */
    this.trim = { start: 0, end: 0 };
    this.level = 0;
    this.problem = "";
    /** @type {Capture | null} */
    this.capture = null;
    /** @type {[Int16Array<ArrayBuffer>, number][] | null} */
    this.early = null; // chunks that arrive before the recording's info
    /** @type {LocalPlayer | RemotePlayer | null} */
    this.player = null;
    /** @type {Set<(change: RecorderChange) => void>} */
    this.watchers = new Set();
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.removal = undefined;
    this.startWhenShown = false;
    /** @type {Handshake | null} */
    this.handshake = null;
    model.on("msg:custom", (message, buffers) => this.#receive(message, buffers));
    model.on("comm:close", () => {
      controllers.delete(model.get("uid"));
      this.#disconnect();
    });
    model.on("comm_live_update", () => this.#send({ type: "here" })); // it fails if no kernel is left
    for (const name of ["trim_start", "trim_end"]) model.on(`change:${name}`, () => this.#readTrim());
    this.handshake = new Handshake((id) => this.#send({ type: "hello", id, take: this.takeId }));
  }

  /**
   * Send to the kernel; if it is gone, release the microphone instead.
   * @param {object} message
   * @param {ArrayBuffer[]} buffers
   */
  #send(message, buffers = []) {
    try {
      this.model.send(message, undefined, buffers);
    } catch {
      this.#disconnect();
    }
  }

  /**
   * Subscribe a view to changes. A recorder without any view stops recording and playing after a moment.
   * @param {(change: RecorderChange) => void} watcher
   * @returns {Cleanup}
   */
  watch(watcher) {
    clearTimeout(this.removal);
    this.watchers.add(watcher);
    if (this.startWhenShown) this.record();
    return () => {
      this.watchers.delete(watcher);
      if (this.watchers.size) return;
      this.removal = setTimeout(() => {
        this.stop();
        this.stopPlaying();
      }, REMOVED_AFTER_MS);
    };
  }

  /** @param {RecorderChange} change */
  notify(change) {
    for (const watcher of this.watchers) watcher(change);
  }

  get busy() {
    return this.phase !== "idle";
  }

  // Recording.

  async record() {
    this.startWhenShown = !this.watchers.size;
    if (this.busy || this.startWhenShown) return;
    this.stopPlaying();
    this.problem = "";
    this.phase = "starting";
    this.notify("state");
    const capture = new Capture({
      onchunk: (samples, { peak }) => this.#onChunk(capture, samples, peak),
      onend: (problem) => this.stop(problem),
    });
    this.capture = capture;
    /** @type {[Int16Array<ArrayBuffer>, number][]} */
    const early = [];
    this.early = early;
    let info;
    try {
      info = await capture.start({
        device: this.model.get("device"),
        echoCancellation: this.model.get("echo_cancellation"),
        noiseSuppression: this.model.get("noise_suppression"),
        autoGainControl: this.model.get("auto_gain_control"),
      });
    } catch (error) {
      if (capture !== this.capture) return; // it was stopped while the browser asked for permission
      this.#releaseMicrophone();
      const described = describeError(error);
      this.#fail(microphoneProblem(described), described.name);
      return;
    }
    this.takeId = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}`;
    this.take = new LocalTake(info.rate);
    this.info = info;
    this.phase = "recording";
    this.#send({ type: "start", take: this.takeId, info });
    this.early = null;
    for (const [samples, peak] of early) this.#onChunk(capture, samples, peak);
    this.notify("state");
    this.notify("devices");
  }

  /**
   * @param {Capture} capture
   * @param {Int16Array<ArrayBuffer>} samples
   * @param {number} peak
   */
  #onChunk(capture, samples, peak) {
    if (capture !== this.capture) return;
    if (this.early) {
      this.early.push([samples, peak]);
      return;
    }
    const { take } = this;
    if (!(take instanceof LocalTake)) return;
    take.push(samples);
    this.level = peak;
    this.#sendChunk(take, take.chunks.length - 1);
    this.notify("audio");
    if (take.seconds >= this.model.get("max_seconds")) this.stop();
  }

  /**
   * @param {LocalTake} take
   * @param {number} seq
   */
  #sendChunk(take, seq) {
    this.#send({ type: "chunk", take: this.takeId, seq }, [take.chunks[seq].buffer.slice(0)]);
  }

  pause() {
    if (this.phase !== "recording") return;
    this.capture?.pause();
    this.phase = "paused";
    this.level = 0;
    this.#send({ type: "pause", take: this.takeId });
    this.notify("state");
  }

  resume() {
    if (this.phase !== "paused") return;
    this.capture?.resume();
    this.phase = "recording";
    this.#send({ type: "resume", take: this.takeId });
    this.notify("state");
  }

  /** Stop recording; `problem` explains a recording that ended by itself. */
  async stop(problem = "") {
    if (this.phase === "starting") {
      this.#releaseMicrophone();
      this.notify("state");
    }
    const { take } = this;
    if (this.phase !== "recording" && this.phase !== "paused") return;
    this.phase = "finishing";
    this.notify("state");
    await this.capture?.stop();
    this.capture = null;
    this.level = 0;
    if (take instanceof LocalTake) {
      this.trim = { start: 0, end: take.seconds };
      this.#send({ type: "stop", take: this.takeId, chunks: take.chunks.length });
    }
    this.phase = "idle";
    if (problem) this.#fail(problem, "ended");
    this.notify("state");
  }

  /** Stop a recording in another tab, or in one that was closed. */
  stopElsewhere() {
    this.#send({ type: "stop_elsewhere" });
  }

  #releaseMicrophone() {
    this.capture?.stop();
    this.capture = null;
    this.phase = "idle";
  }

  #disconnect() {
    this.handshake?.stop();
    this.#releaseMicrophone();
    this.problem = "The kernel is gone: run the cell again to record.";
    this.notify("state");
  }

  /**
   * @param {string} problem
   * @param {string} name
   */
  #fail(problem, name) {
    this.problem = problem;
    this.#send({ type: "problem", text: problem, name });
    this.notify("state");
  }

  // Other sources.

  /** @param {File} file */
  async upload(file) {
    if (file.size > UPLOAD_LIMIT) {
      const [size, limit] = [file.size, UPLOAD_LIMIT].map((bytes) => `${Math.round(bytes / 1e6)} MB`);
      this.#fail(`${file.name} has ${size}; the limit is ${limit}.`, "upload");
      return;
    }
    this.problem = "";
    const id = `${Date.now()}`;
    const parts = Math.max(1, Math.ceil(file.size / UPLOAD_CHUNK));
    for (let part = 0; part < parts; part += 1) {
      const slice = await file.slice(part * UPLOAD_CHUNK, (part + 1) * UPLOAD_CHUNK).arrayBuffer();
      this.#send({ type: "upload", id, name: file.name, part, parts }, [slice]);
    }
    this.notify("state");
  }

  /** @param {string} name */
  useSample(name) {
    this.problem = "";
    this.#send({ type: "sample", name });
  }

  /** @param {string} text */
  speak(text) {
    this.problem = "";
    this.#send({ type: "speak", text });
  }

  // Messages from the kernel.

  /**
   * @param {RecorderMessage} message
   * @param {DataView[]} buffers
   */
  #receive(message, buffers) {
    switch (message.type) {
      case "welcome":
        this.handshake?.stop();
        break;
      case "record":
        if (message.page === this.handshake?.id) this.record();
        break;
      case "stop":
        if ((message.take ?? this.takeId) === this.takeId) this.stop();
        break;
      case "ping":
        if (message.take === this.takeId && this.busy) this.#send({ type: "here", take: this.takeId });
        break;
      case "resend":
        if (message.take === this.takeId) this.#resend(message.seqs);
        break;
      case "clip":
        this.#showRemote(message, buffers[0]);
        break;
      case "segment":
        if (message.take === this.takeId && this.player instanceof RemotePlayer)
          this.player.append(message.segment, message.begin, copyBytes(buffers[0]));
    }
  }

  /**
   * Send the chunks that the kernel lacks again.
   * @param {number[]} seqs
   */
  #resend(seqs) {
    const { take } = this;
    if (!(take instanceof LocalTake)) return;
    for (const seq of seqs) this.#sendChunk(take, seq);
    this.#send({ type: "stop", take: this.takeId, chunks: take.chunks.length });
  }

  /**
   * Show a take that is in the kernel.
   * @param {TakeMessage} message
   * @param {DataView} rows
   */
  #showRemote(message, rows) {
    if (this.busy || message.take === this.takeId) return; // another page asked for what this one has
    this.stopPlaying();
    this.take = new RemoteTake(message, int8View(rows));
    this.info = null;
    this.takeId = message.take;
    this.#readTrim();
    this.notify("state");
  }

  // Trim.

  get seconds() {
    return this.take?.seconds ?? 0;
  }

  #readTrim() {
    const { seconds } = this;
    const end = this.model.get("trim_end") ?? seconds;
    this.trim = { start: Math.min(this.model.get("trim_start"), seconds), end: Math.min(end, seconds) };
    this.notify("trim");
  }

  /**
   * @param {TrimEdge} edge
   * @param {number} to
   */
  moveTrim(edge, to) {
    this.trim = moveTrim(this.trim, edge, to, this.seconds);
    this.notify("trim");
  }

  /** Send the trim to the kernel, at the end of a gesture and not at each pixel. */
  saveTrim() {
    this.stopPlaying();
    const { start, end } = this.trim; // the first change below reads the trim again
    this.model.set("trim_start", start);
    this.model.set("trim_end", end < this.seconds ? end : null);
    this.model.save_changes();
  }

  /** Confirm the clip. */
  keep() {
    this.stopPlaying();
    this.#send({ type: "keep" });
  }

  // Playback.

  togglePlayback() {
    const { take } = this;
    if (!take || this.player) {
      this.stopPlaying();
      return;
    }
    const onEnd = () => this.stopPlaying();
    if (take instanceof LocalTake) this.player = new LocalPlayer(take, this.trim, onEnd);
    else {
      const request = (/** @type {number} */ segment) =>
        this.#send({ type: "segment", take: this.takeId, segment });
      const onError = (/** @type {string} */ problem) => {
        this.problem = problem;
        this.stopPlaying();
        this.notify("state");
      };
      this.player = new RemotePlayer(take, this.trim, { request, onEnd, onError });
    }
    this.notify("playback");
  }

  /** The playhead's position in the take, in seconds; null while nothing plays. */
  get playhead() {
    return this.player?.position ?? null;
  }

  stopPlaying() {
    if (!this.player) return;
    this.player.close();
    this.player = null;
    this.notify("playback");
  }
}
