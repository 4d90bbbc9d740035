// The microphone of one talk in this page: opening it, what of it is sent, push to talk.
import { Capture, microphoneProblem } from "../shared/capture.js";
import { describeError } from "../shared/format.js";
import { isGateOpen, TalkGate } from "./gate.js";

/** @typedef {import("../shared/capture.js").CaptureInfo} CaptureInfo */
/** @typedef {import("../shared/capture.js").CaptureOptions} CaptureOptions */
/** @typedef {import("../shared/capture.js").CaptureSettings} CaptureSettings */
/** @typedef {import("./gate.js").GateState} GateState */
/** @typedef {import("./talk.js").TalkFacts} TalkFacts */
/** @typedef {Pick<Capture, "start" | "stop" | "info">} CaptureLike */
/**
 * What the microphone needs of the link to the kernel.
 * @typedef {object} MicrophoneLink
 * @property {Partial<TalkFacts>} facts
 * @property {boolean} owns
 * @property {{ playing: boolean } | null} player
 * @property {(message: object, buffers?: ArrayBuffer[]) => void} send
 * @property {() => string} stopPlayback
 * @property {() => { resume(): void }} openPlayer
 * @property {() => void} changed
 */

const CHUNK_SECONDS = 0.04;

/** It lives as long as the widget, beyond any one view of it. */
export class TalkMicrophone {
  /**
   * @param {MicrophoneLink} link
   * @param {(options: CaptureOptions) => CaptureLike} createCapture
   */
  constructor(link, createCapture = (options) => new Capture(options)) {
    this.link = link;
    this.createCapture = createCapture;
    this.gate = new TalkGate();
    /** @type {CaptureLike | null} */
    this.capture = null;
    this.problem = "";
    this.opening = false;
    this.held = false;
    /** @type {ReturnType<typeof setTimeout> | null} */
    this.releasing = null;
    /** @type {CaptureSettings | null} */
    this.chosen = null;
    /** @type {{ muted?: boolean, half?: boolean }} */
    this.modes = {};
    this.attempt = 0;
    this.level = 0;
    /** @type {Set<(level: number) => void>} */
    this.levelListeners = new Set();
  }

  get on() {
    return this.capture !== null;
  }

  /** The capture settings: those chosen in this page, else the kernel's. */
  get settings() {
    return this.chosen ?? this.link.facts.capture ?? {};
  }

  get muted() {
    return this.modes.muted ?? Boolean(this.link.facts.muted);
  }

  /** Whether the microphone is muted while the assistant speaks. */
  get half() {
    return this.modes.half ?? Boolean(this.link.facts.half);
  }

  /**
   * Set a mode here at once, and in the kernel for a page that is reloaded or takes over.
   * @param {"muted" | "half"} name
   * @param {boolean} value
   */
  setMode(name, value) {
    this.modes[name] = value;
    this.link.send({ kind: "mute", [name]: value });
    this.link.changed();
  }

  /**
   * Change a capture setting; an open microphone is reopened.
   * @param {keyof CaptureSettings} name
   * @param {string | boolean} value
   */
  async choose(name, value) {
    this.chosen = { ...this.settings, [name]: value };
    this.link.send({ kind: "capture", ...this.chosen });
    const { capture } = this;
    if (!capture) return;
    this.release();
    this.capture = null;
    this.opening = true;
    this.attempt += 1;
    const { attempt } = this;
    this.link.changed();
    await capture.stop();
    if (attempt !== this.attempt) return; // meanwhile the talk ended, or another page took over
    this.opening = false;
    await this.start();
  }

  /** @returns {GateState} */
  state() {
    const { facts, player } = this.link;
    return {
      live: facts.state === "live" && this.link.owns,
      push: Boolean(facts.push),
      held: this.held || this.releasing !== null,
      muted: this.muted,
      half: this.half,
      playing: Boolean(player?.playing),
    };
  }

  /** Open the microphone within a gesture of the user, and report the outcome to the kernel. */
  async start(listenOnly = false) {
    if (this.opening) return;
    this.opening = true;
    this.problem = "";
    this.attempt += 1;
    const { attempt } = this;
    this.link.openPlayer().resume();
    this.link.changed();
    if (!listenOnly && !this.capture) await this.open(attempt);
    if (attempt !== this.attempt) return; // it was stopped while the browser asked for permission
    this.opening = false;
    this.link.send({ kind: "start", mic: this.on, problem: this.problem, info: this.capture?.info ?? null });
    this.link.changed();
  }

  /** @param {number} attempt */
  async open(attempt) {
    const capture = this.createCapture({
      onchunk: (samples, { peak }) => this.onChunk(samples, peak),
      onend: (problem) => this.onLost(problem),
    });
    try {
      await capture.start(this.settings);
      if (attempt === this.attempt) this.capture = capture;
      else capture.stop();
    } catch (error) {
      if (attempt === this.attempt) this.problem = microphoneProblem(describeError(error));
    }
  }

  /** @param {string} problem */
  onLost(problem) {
    this.stop();
    this.problem = problem;
    this.link.send({ kind: "start", mic: false, problem });
    this.link.changed();
  }

  /**
   * @param {Int16Array<ArrayBuffer>} samples
   * @param {number} peak
   */
  onChunk(samples, peak) {
    const state = this.state();
    this.#setLevel(isGateOpen(state) ? peak : 0);
    const decision = this.gate.decide(state, samples.length / (this.capture?.info?.rate ?? 24000));
    if (decision !== "drop") {
      const data = decision === "send" ? samples : new Int16Array(samples.length);
      this.link.send({ kind: "audio" }, [data.buffer]);
    }
    this.#sendRelease();
  }

  /** @param {number} level */
  #setLevel(level) {
    this.level = level;
    for (const listener of this.levelListeners) listener(level);
  }

  press() {
    const { live, push } = this.state();
    if (!live || !push || this.held || !this.on) return;
    this.#sendRelease(); // what was said before is an utterance of its own
    this.held = true;
    this.link.send({ kind: "press", stop_id: this.link.stopPlayback() });
    this.link.changed();
  }

  /** Release the button. The chunk that is being captured still belongs to the utterance. */
  release() {
    if (!this.held) return;
    this.held = false;
    this.releasing = setTimeout(() => this.#sendRelease(), CHUNK_SECONDS * 3000);
    this.link.changed();
  }

  /** Send a release that waited for its last chunk. */
  #sendRelease() {
    if (this.releasing === null) return;
    clearTimeout(this.releasing);
    this.releasing = null;
    this.link.send({ kind: "release" });
  }

  /** End the talk. */
  finish() {
    this.link.send({ kind: "finish", stop_id: this.link.stopPlayback() });
    this.stop();
  }

  stop() {
    this.attempt += 1;
    this.opening = false;
    this.release();
    this.#sendRelease();
    this.capture?.stop();
    this.capture = null;
    this.#setLevel(0);
  }

  /** Stop, and forget what was chosen here: another page continues. */
  reset() {
    this.stop();
    this.chosen = null;
    this.modes = {};
  }
}
