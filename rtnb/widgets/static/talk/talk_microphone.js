// The microphone of one talk in this page: opening, what of it goes to the kernel, push to talk.
import { Capture, microphoneProblem } from "../shared/capture.js";
import { gateOpen, TalkGate } from "./gate.js";

const CHUNK_SECONDS = 0.04;

/** It lives as long as the widget, not as its views. `capture(hooks)` makes what captures. */
export class TalkMic {
  constructor(link, capture = (hooks) => new Capture(hooks)) {
    this.link = link;
    this.make = capture;
    this.gate = new TalkGate();
    this.capture = null;
    this.problem = "";
    this.opening = false;
    this.held = false;
    this.releasing = null;
    this.chosen = null;
    this.wished = {};
    this.attempt = 0;
    this.level = 0;
    this.onlevel = new Set();
  }

  get on() {
    return this.capture !== null;
  }

  /** What to capture with: what was chosen in this page, else what the kernel has. */
  get settings() {
    return this.chosen ?? this.link.facts.capture ?? {};
  }

  get muted() {
    return this.wished.muted ?? Boolean(this.link.facts.muted);
  }

  /** Whether it is mute while the assistant speaks. */
  get half() {
    return this.wished.half ?? Boolean(this.link.facts.half);
  }

  /** Set `muted` or `half`: here at once, and in the kernel for a page that is loaded again or takes over. */
  wish(name, value) {
    this.wished[name] = value;
    this.link.tell({ kind: "wish", [name]: value });
    this.link.changed();
  }

  /** Change one of the settings; a microphone that is open is opened anew. */
  async choose(name, value) {
    this.chosen = { ...this.settings, [name]: value };
    this.link.tell({ kind: "capture", ...this.chosen });
    if (!this.on) return;
    const before = this.capture;
    this.release();
    this.capture = null;
    this.opening = true;
    this.attempt += 1;
    const { attempt } = this;
    this.link.changed();
    await before.stop();
    if (attempt !== this.attempt) return; // the talk, or this page's part in it, ended meanwhile
    this.opening = false;
    await this.start();
  }

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

  /** Open the microphone within a gesture, and tell the kernel how that went. */
  async start(listenOnly = false) {
    if (this.opening) return;
    this.opening = true;
    this.problem = "";
    this.attempt += 1;
    const { attempt } = this;
    this.link.loudspeaker().resume();
    this.link.changed();
    if (!listenOnly && !this.capture) await this.open(attempt);
    if (attempt !== this.attempt) return; // it was stopped while the browser asked
    this.opening = false;
    this.link.tell({ kind: "start", mic: this.on, problem: this.problem, info: this.capture?.info ?? null });
    this.link.changed();
  }

  async open(attempt) {
    const capture = this.make({
      onchunk: (samples, { peak }) => this.chunk(samples, peak),
      onend: (sentence) => this.lost(sentence),
    });
    try {
      await capture.start(this.settings);
      if (attempt === this.attempt) this.capture = capture;
      else capture.stop();
    } catch (error) {
      if (attempt === this.attempt) this.problem = microphoneProblem(error);
    }
  }

  lost(sentence) {
    this.stop();
    this.problem = sentence;
    this.link.tell({ kind: "start", mic: false, problem: sentence });
    this.link.changed();
  }

  chunk(samples, peak) {
    const state = this.state();
    this.level = gateOpen(state) ? peak : 0;
    for (const show of this.onlevel) show(this.level);
    const seconds = samples.length / (this.capture?.info?.rate ?? 24000);
    const decision = this.gate.decide(state, seconds);
    if (decision !== "drop") {
      const data = decision === "send" ? samples : new Int16Array(samples.length);
      this.link.tell({ kind: "sound" }, [data.buffer]);
    }
    this.letGo();
  }

  press() {
    const { live, push } = this.state();
    if (!live || !push || this.held || !this.on) return;
    this.letGo(); // what was said before this is an utterance of its own
    this.held = true;
    this.link.tell({ kind: "press", hush: this.link.hush() });
    this.link.changed();
  }

  /** Let go of the button: the chunk that is being gathered still belongs to what was said. */
  release() {
    if (!this.held) return;
    this.held = false;
    this.releasing = setTimeout(() => this.letGo(), CHUNK_SECONDS * 3000);
    this.link.changed();
  }

  /** Tell of a release that waited for its last chunk. */
  letGo() {
    if (this.releasing === null) return;
    clearTimeout(this.releasing);
    this.releasing = null;
    this.link.tell({ kind: "release" });
  }

  /** End the talk. */
  finish() {
    this.link.tell({ kind: "finish", hush: this.link.hush() });
    this.stop();
  }

  stop() {
    this.attempt += 1;
    this.opening = false;
    this.release();
    this.letGo();
    this.capture?.stop();
    this.capture = null;
    this.level = 0;
    for (const show of this.onlevel) show(0);
  }

  /** Stop, and leave it to the page that goes on how. */
  forget() {
    this.stop();
    this.chosen = null;
    this.wished = {};
  }
}
