// A recorder's doings in this page, apart from how they look: one desk per recorder, however often it is shown.

import { Capture, microphoneProblem } from "../shared/capture.js";
import { UNSEEN_MS } from "../shared/dom.js";
import { Greeting } from "../shared/handshake.js";
import { FarTake, moveTrim, Take } from "./take.js";
import { FarPlayer, NearPlayer } from "./take_player.js";

const UPLOAD_PART = 1 << 20;
const UPLOAD_MOST = 200 << 20;
const desks = new Map();

/** Return the desk of a model, made when it is first asked for. */
export function deskOf(model) {
  const uid = model.get("uid");
  if (!desks.has(uid)) desks.set(uid, new Desk(model));
  return desks.get(uid);
}

/**
 * phase: idle, starting, recording, paused, finishing. What the kernel makes of it is the model's `state`. Whoever
 * draws subscribes with watch(), and hears "state", "sound" (new samples), "devices" (they have names now), "trim" or "play".
 */
export class Desk {
  constructor(model) {
    this.model = model;
    this.phase = "idle";
    this.take = null;
    this.takeId = "";
    this.info = null;
    this.trim = { start: 0, end: 0 };
    this.level = 0;
    this.problem = "";
    this.capture = null;
    this.player = null;
    this.watchers = new Set();
    this.unseen = null;
    this.beginning = false;
    model.on("msg:custom", (message, buffers) => this.#hear(message, buffers));
    model.on("comm:close", () => {
      desks.delete(model.get("uid"));
      this.#orphaned();
    });
    model.on("comm_live_update", () => this.#send({ type: "here" })); // which fails where no kernel is left
    for (const name of ["trim_start", "trim_end"]) model.on(`change:${name}`, () => this.#trimmed());
    this.greeting = new Greeting((id) => this.#send({ type: "hello", id, take: this.takeId }));
  }

  /** Send to the kernel; where it is gone, let go of the microphone instead. */
  #send(message, buffers = []) {
    try {
      this.model.send(message, undefined, buffers);
    } catch {
      this.#orphaned();
    }
  }

  /** Show what goes on here to a view; what is returned ends that. What nobody can see neither records nor plays. */
  watch(watcher) {
    clearTimeout(this.unseen);
    this.watchers.add(watcher);
    if (this.beginning) this.record();
    return () => {
      this.watchers.delete(watcher);
      if (this.watchers.size) return;
      this.unseen = setTimeout(() => {
        this.stop();
        this.stopPlaying();
      }, UNSEEN_MS);
    };
  }

  tell(what) {
    for (const watcher of this.watchers) watcher(what);
  }

  get busy() {
    return this.phase !== "idle";
  }

  // Recording.

  async record() {
    this.beginning = !this.watchers.size;
    if (this.busy || this.beginning) return;
    this.stopPlaying();
    this.problem = "";
    this.phase = "starting";
    this.tell("state");
    const capture = new Capture({
      onchunk: (samples, { peak }) => this.#chunk(capture, samples, peak),
      onend: (sentence) => this.stop(sentence),
    });
    this.capture = capture;
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
      if (capture !== this.capture) return; // it was given up while the browser asked
      this.#letGo();
      this.#fail(microphoneProblem(error), error?.name ?? "Error");
      return;
    }
    this.takeId = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}`;
    this.take = new Take(info.rate);
    this.info = info;
    this.phase = "recording";
    this.#send({ type: "start", take: this.takeId, info });
    this.early = null;
    for (const [samples, peak] of early) this.#chunk(capture, samples, peak);
    this.tell("state");
    this.tell("devices");
  }

  #chunk(capture, samples, peak) {
    if (capture !== this.capture) return;
    if (this.early) {
      this.early.push([samples, peak]);
      return;
    }
    const seq = this.take.pieces.length;
    this.take.push(samples);
    this.level = peak;
    this.#send({ type: "chunk", take: this.takeId, seq }, [samples.buffer.slice(0)]);
    this.tell("sound");
    if (this.take.seconds >= this.model.get("max_seconds")) this.stop();
  }

  pause() {
    if (this.phase !== "recording") return;
    this.capture.pause();
    this.phase = "paused";
    this.level = 0;
    this.#send({ type: "pause", take: this.takeId });
    this.tell("state");
  }

  resume() {
    if (this.phase !== "paused") return;
    this.capture.resume();
    this.phase = "recording";
    this.#send({ type: "resume", take: this.takeId });
    this.tell("state");
  }

  /** End the recording; `problem` is a sentence where it ended by itself. */
  async stop(problem = "") {
    if (this.phase === "starting") {
      this.#letGo();
      this.tell("state");
    }
    if (this.phase !== "recording" && this.phase !== "paused") return;
    this.phase = "finishing";
    this.tell("state");
    await this.capture.stop();
    this.capture = null;
    this.level = 0;
    this.trim = { start: 0, end: this.take.seconds };
    this.#send({ type: "stop", take: this.takeId, chunks: this.take.pieces.length });
    this.phase = "idle";
    if (problem) this.#fail(problem, "ended");
    this.tell("state");
  }

  /** End a recording in another tab, or in one that is gone. */
  endElsewhere() {
    this.#send({ type: "end" });
  }

  #letGo() {
    this.capture?.stop();
    this.capture = null;
    this.phase = "idle";
  }

  #orphaned() {
    this.greeting?.answered();
    this.#letGo();
    this.problem = "The kernel is gone. Run the cell again to record.";
    this.tell("state");
  }

  #fail(sentence, name) {
    this.problem = sentence;
    this.#send({ type: "problem", text: sentence, name });
    this.tell("state");
  }

  // The other ways to a sound.

  async upload(file) {
    if (file.size > UPLOAD_MOST) {
      this.#fail(
        `${file.name} has ${Math.round(file.size / 1e6)} MB; the most is ${Math.round(UPLOAD_MOST / 1e6)} MB.`,
        "upload",
      );
      return;
    }
    this.problem = "";
    const id = `${Date.now()}`;
    const parts = Math.max(1, Math.ceil(file.size / UPLOAD_PART));
    for (let part = 0; part < parts; part += 1) {
      const slice = await file.slice(part * UPLOAD_PART, (part + 1) * UPLOAD_PART).arrayBuffer();
      this.#send({ type: "upload", id, name: file.name, part, parts }, [slice]);
    }
    this.tell("state");
  }

  sample(name) {
    this.problem = "";
    this.#send({ type: "sample", name });
  }

  say(text) {
    this.problem = "";
    this.#send({ type: "say", text });
  }

  // What the kernel says.

  #hear(message, buffers) {
    if (message.type === "welcome") this.greeting.answered();
    else if (message.type === "begin" && message.page === this.greeting.id) this.record();
    else if (message.type === "stop" && (message.take ?? this.takeId) === this.takeId) this.stop();
    else if (message.type === "ask" && message.take === this.takeId && this.busy)
      this.#send({ type: "here", take: this.takeId });
    else if (message.type === "again" && message.take === this.takeId) this.#again(message.seqs);
    else if (message.type === "sound") this.#sound(message, buffers);
    else if (message.type === "part") this.#part(message, buffers);
  }

  #again(seqs) {
    for (const seq of seqs) {
      const samples = this.take.pieces[seq];
      this.#send({ type: "chunk", take: this.takeId, seq }, [samples.buffer.slice(0)]);
    }
    this.#send({ type: "stop", take: this.takeId, chunks: this.take.pieces.length });
  }

  #sound(message, [rows]) {
    if (this.busy || message.take === this.takeId) return; // another page asked for what this one has
    this.stopPlaying();
    this.take = new FarTake(message, new Int8Array(rows.buffer, rows.byteOffset, rows.byteLength));
    this.info = null;
    this.takeId = message.take;
    this.#trimmed();
    this.tell("state");
  }

  #part({ take, part, begin }, [data]) {
    if (take !== this.takeId) return;
    this.player?.give?.(part, begin, data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength));
  }

  // Trim.

  #trimmed() {
    const seconds = this.take?.seconds ?? 0;
    const end = this.model.get("trim_end") ?? seconds;
    this.trim = { start: Math.min(this.model.get("trim_start"), seconds), end: Math.min(end, seconds) };
    this.tell("trim");
  }

  moveTrim(which, to) {
    this.trim = moveTrim(this.trim, which, to, this.take.seconds);
    this.tell("trim");
  }

  /** Tell the kernel where the ends are; once a gesture is over, not at each pixel. */
  keepTrim() {
    this.stopPlaying();
    const { start, end } = this.trim; // which the first of the two changes would read anew
    this.model.set("trim_start", start);
    this.model.set("trim_end", end < this.take.seconds ? end : null);
    this.model.save_changes();
  }

  /** Tell the kernel that this is the clip. */
  keep() {
    this.stopPlaying();
    this.#send({ type: "keep" });
  }

  // Listening to it.

  play() {
    if (!this.take || this.player) {
      this.stopPlaying();
      return;
    }
    const Player = this.take instanceof FarTake ? FarPlayer : NearPlayer;
    this.player = new Player(this.take, this.trim, {
      ask: (part) => this.#send({ type: "part", take: this.takeId, part }),
      ended: () => this.stopPlaying(),
      failed: (sentence) => {
        this.problem = sentence;
        this.stopPlaying();
        this.tell("state");
      },
    });
    this.tell("play");
  }

  /** Return where in the take the sound is, in seconds, or null when nothing plays. */
  get playhead() {
    return this.player?.at ?? null;
  }

  stopPlaying() {
    if (!this.player) return;
    this.player.close();
    this.player = null;
    this.tell("play");
  }
}
