// Plays what is kept of a take. Each player begins when it is made, and tells `ended` when it is over by itself.

import { SoundFeed } from "../shared/streamed_audio.js";

const FAR_PACE = 20; // ms between looks at where the sound is

/** Plays what this page itself has recorded. */
export class NearPlayer {
  constructor(take, { start, end }, { ended }) {
    const samples = take.slice(start, end);
    const context = new AudioContext();
    const buffer = context.createBuffer(1, Math.max(1, samples.length), take.rate);
    buffer.copyToChannel(samples, 0);
    const source = context.createBufferSource();
    source.buffer = buffer;
    source.connect(context.destination);
    source.onended = ended;
    source.start();
    this.context = context;
    this.start = start - context.currentTime;
    context.resume();
  }

  /** Where in the take the sound is, in seconds. */
  get at() {
    return this.start + this.context.currentTime;
  }

  close() {
    this.context.close();
  }
}

/** Plays what the kernel has: `ask(part)` is to bring `give(part, begin, bytes)` about. */
export class FarPlayer {
  constructor(take, { start, end }, { ask, ended, failed }) {
    this.start = start;
    this.audio = new Audio();
    this.audio.addEventListener("loadedmetadata", () => (this.audio.currentTime = start), { once: true });
    this.audio.addEventListener("ended", ended);
    this.feed = new SoundFeed(this.audio, { seconds: take.seconds, part: take.part, ask, told: () => {} });
    this.timer = setInterval(() => {
      if (this.at >= end) ended();
      else this.feed.look(this.at);
    }, FAR_PACE);
    this.#begin().catch(
      (error) => error.name !== "AbortError" && failed(`It cannot be played: ${error.message}.`),
    );
  }

  async #begin() {
    if (!SoundFeed.able) throw new Error("this browser plays no Opus in parts");
    this.feed.open();
    await this.audio.play();
  }

  get at() {
    return this.audio.readyState ? this.audio.currentTime : this.start;
  }

  give(part, begin, bytes) {
    this.feed.give(part, begin, bytes);
  }

  close() {
    clearInterval(this.timer);
    this.feed.close();
  }
}
