// An <audio> element that plays a long recording, loading it segment by segment as the playhead approaches.

import { describeError } from "./format.js";

const STREAM_TYPE = 'audio/webm; codecs="opus"';
const PRELOAD_SECONDS = 12;
const RETRY_MS = 4000;

/**
 * Return the numbers of the segments that cover `at` and the next `ahead` seconds.
 * @param {number} at
 * @param {number} ahead
 * @param {number} length  seconds of one segment
 * @param {number} seconds  of the whole recording
 */
export function segmentsAhead(at, ahead, length, seconds) {
  const found = [];
  const first = Math.floor(Math.min(at, seconds - 0.001) / length);
  for (let n = first; n * length < Math.min(at + ahead, seconds); n += 1) found.push(n);
  return found;
}

/**
 * Whether buffered ranges, as [start, end] pairs, hold a whole segment, apart from rounding.
 * @param {number[][]} ranges
 * @param {number} n
 * @param {number} length
 * @param {number} seconds
 */
export function isBuffered(ranges, n, length, seconds) {
  const [from, to] = [n * length + 0.1, Math.min((n + 1) * length, seconds) - 0.1];
  const [first, last] = to > from ? [from, to] : [(from + to) / 2, (from + to) / 2];
  return ranges.some(([start, end]) => start <= first && end >= last);
}

/**
 * @typedef {object} StreamOptions
 * @property {number} seconds  of the whole recording
 * @property {number} segmentSeconds
 * @property {(segment: number) => void} request  asks for a segment, which is handed to append()
 * @property {(note: string) => void} [onNote]  is called with "" or with what playback waits for
 */

/** Feeds the segments to the element by the Media Source API. */
export class StreamedAudio {
  /**
   * @param {HTMLAudioElement} audio
   * @param {StreamOptions} options
   */
  constructor(audio, { seconds, segmentSeconds, request, onNote = () => {} }) {
    this.audio = audio;
    this.seconds = seconds;
    this.length = segmentSeconds;
    this.request = request;
    this.onNote = onNote;
    /** @type {Map<number, number>} */
    this.requested = new Map();
    /** @type {{ n: number, begin: number, bytes: ArrayBuffer }[]} */
    this.queue = [];
    /** @type {MediaSource | null} */
    this.source = null;
    /** @type {SourceBuffer | null} */
    this.buffer = null;
    this.url = "";
    this.last = Math.ceil(seconds / segmentSeconds) - 1;
  }

  /** Whether the browser can stream Opus. */
  static get supported() {
    return globalThis.MediaSource?.isTypeSupported?.(STREAM_TYPE) ?? false;
  }

  open() {
    if (this.source) return;
    const source = new MediaSource();
    this.source = source;
    this.url = URL.createObjectURL(source);
    source.addEventListener("sourceopen", () => this.#opened(source), { once: true });
    this.audio.src = this.url;
  }

  /** @param {MediaSource} source */
  #opened(source) {
    source.duration = this.seconds;
    this.buffer = source.addSourceBuffer(STREAM_TYPE);
    this.buffer.mode = "segments";
    this.buffer.addEventListener("updateend", () => this.#appendNext());
    this.preload();
  }

  get ranges() {
    const ranges = this.buffer?.buffered;
    return Array.from({ length: ranges?.length ?? 0 }, (_, i) =>
      ranges ? [ranges.start(i), ranges.end(i)] : [],
    );
  }

  /** Request the segments that the playhead needs next. */
  preload(at = this.audio.currentTime) {
    if (!this.buffer) return;
    const now = performance.now();
    const { ranges, length, seconds } = this;
    const ahead = PRELOAD_SECONDS * Math.max(1, this.audio.playbackRate);
    let late = false;
    for (const n of segmentsAhead(at, ahead, length, seconds)) {
      if (isBuffered(ranges, n, length, seconds) || this.queue.some((segment) => segment.n === n)) continue;
      const asked = this.requested.get(n) ?? -Infinity;
      if (now - asked > 700 && asked > 0) late = true;
      if (now - asked < RETRY_MS) continue;
      this.requested.set(n, now);
      this.request(n);
    }
    this.onNote(late && this.audio.readyState < 3 ? "Waiting for the kernel …" : "");
  }

  /**
   * Take a requested segment; its data begin at `begin` seconds of the recording.
   * @param {number} n
   * @param {number} begin
   * @param {ArrayBuffer} bytes
   */
  append(n, begin, bytes) {
    if (!this.requested.delete(n)) return;
    this.queue.push({ n, begin, bytes });
    this.#appendNext();
  }

  #appendNext() {
    const { buffer, source } = this;
    if (!buffer || !source || buffer.updating || source.readyState === "closed") return;
    const segment = this.queue.shift();
    if (!segment) {
      const end = this.ranges.at(-1)?.[1] ?? 0;
      const complete = end >= this.seconds - 0.1;
      const near = this.audio.currentTime > this.last * this.length - PRELOAD_SECONDS;
      if (complete && near && source.readyState === "open") source.endOfStream();
      this.onNote("");
      return;
    }
    try {
      buffer.appendWindowStart = 0;
      buffer.appendWindowEnd = Math.min((segment.n + 1) * this.length, this.seconds);
      buffer.appendWindowStart = segment.n * this.length;
      buffer.timestampOffset = segment.begin;
      buffer.appendBuffer(segment.bytes);
    } catch (error) {
      if (describeError(error).name !== "QuotaExceededError") throw error;
      this.queue.unshift(segment);
      this.#evict(buffer);
    }
  }

  /**
   * Make room: remove what is far behind the playhead, or else far ahead.
   * @param {SourceBuffer} buffer
   */
  #evict(buffer) {
    const at = this.audio.currentTime;
    const { ranges } = this;
    const [start, end] = [ranges[0]?.[0] ?? 0, ranges.at(-1)?.[1] ?? 0];
    if (start < at - 10) buffer.remove(0, at - 10);
    else if (end > at + 60) buffer.remove(at + 60, end);
    else this.queue.shift();
  }

  close() {
    if (!this.source) return;
    this.audio.pause();
    this.audio.removeAttribute("src");
    this.audio.load();
    URL.revokeObjectURL(this.url);
  }
}
