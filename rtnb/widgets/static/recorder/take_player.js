// Playing the trimmed part of a take. Playback starts when a player is created; `onEnd` is called at its end.

import { describeError } from "../shared/format.js";
import { StreamedAudio } from "../shared/streamed_audio.js";

/** @typedef {import("./take.js").LocalTake} LocalTake */
/** @typedef {import("./take.js").RemoteTake} RemoteTake */
/** @typedef {import("./take.js").Trim} Trim */

const POLL_MS = 20;

/** Plays a take that was recorded in this page. */
export class LocalPlayer {
  /**
   * @param {LocalTake} take
   * @param {Trim} trim
   * @param {() => void} onEnd
   */
  constructor(take, { start, end }, onEnd) {
    const samples = take.slice(start, end);
    const context = new AudioContext();
    const buffer = context.createBuffer(1, Math.max(1, samples.length), take.rate);
    buffer.copyToChannel(samples, 0);
    const source = context.createBufferSource();
    source.buffer = buffer;
    source.connect(context.destination);
    source.onended = onEnd;
    source.start();
    this.context = context;
    this.start = start - context.currentTime;
    context.resume();
  }

  /** The position in the take, in seconds. */
  get position() {
    return this.start + this.context.currentTime;
  }

  close() {
    this.context.close();
  }
}

/** Plays a take whose audio is in the kernel. */
export class RemotePlayer {
  /**
   * @param {RemoteTake} take
   * @param {Trim} trim
   * @param {object} hooks
   * @param {(segment: number) => void} hooks.request  asks for a segment, which is handed to append()
   * @param {() => void} hooks.onEnd
   * @param {(problem: string) => void} hooks.onError
   */
  constructor(take, { start, end }, { request, onEnd, onError }) {
    this.start = start;
    this.audio = new Audio();
    const seek = () => {
      this.audio.currentTime = start;
    };
    this.audio.addEventListener("loadedmetadata", seek, { once: true });
    this.audio.addEventListener("ended", onEnd);
    this.stream = new StreamedAudio(this.audio, {
      seconds: take.seconds,
      segmentSeconds: take.segmentSeconds,
      request,
    });
    this.timer = setInterval(() => {
      if (this.position >= end) onEnd();
      else this.stream.preload(this.position);
    }, POLL_MS);
    this.#play().catch((error) => {
      const { name, message } = describeError(error);
      if (name !== "AbortError") onError(`Playback failed: ${message}.`);
    });
  }

  async #play() {
    if (!StreamedAudio.supported) throw new Error("this browser cannot stream Opus audio");
    this.stream.open();
    await this.audio.play();
  }

  /** The position in the take, in seconds. */
  get position() {
    return this.audio.readyState ? this.audio.currentTime : this.start;
  }

  /**
   * @param {number} segment
   * @param {number} begin
   * @param {ArrayBuffer} bytes
   */
  append(segment, begin, bytes) {
    this.stream.append(segment, begin, bytes);
  }

  close() {
    clearInterval(this.timer);
    this.stream.close();
  }
}
