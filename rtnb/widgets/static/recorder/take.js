// A take: recorded audio, its waveform, and the trimmed part of it. No DOM, no microphone.

/** @typedef {[low: number, high: number]} Extremes  −1 to 1 */
/** @typedef {{ start: number, end: number }} Trim  in seconds */
/** @typedef {keyof Trim} TrimEdge */

const TAKE_BUCKET = 256;

/** The waveform of a take: the smallest and the largest sample of each bucket. */
class TakeWaveform {
  /** @param {number} perSecond  buckets */
  constructor(perSecond) {
    this.perSecond = perSecond;
    /** @type {number[]} */
    this.low = [];
    /** @type {number[]} */
    this.high = [];
  }

  /**
   * Return the extremes of `count` equal parts of start…end seconds; null where there is no audio.
   * @param {number} start
   * @param {number} end
   * @param {number} count
   */
  columns(start, end, count) {
    const width = ((end - start) * this.perSecond) / count;
    const columns = [];
    for (let i = 0; i < count; i += 1) {
      const from = Math.floor(start * this.perSecond + i * width);
      const to = Math.max(from + 1, Math.floor(start * this.perSecond + (i + 1) * width));
      /** @type {Extremes | null} */
      let column = null;
      for (let k = Math.max(0, from); k < Math.min(to, this.low.length); k += 1) {
        column ??= [this.low[k], this.high[k]];
        if (this.low[k] < column[0]) column[0] = this.low[k];
        if (this.high[k] > column[1]) column[1] = this.high[k];
      }
      columns.push(column);
    }
    return columns;
  }
}

/** A take whose audio is in the kernel; the page has its waveform and requests segments to play. */
export class RemoteTake extends TakeWaveform {
  /**
   * @param {{ seconds: number, row: number, segment_seconds: number }} info  lengths of the take, a row and a segment, in seconds
   * @param {Int8Array} rows  pairs of (low, high)
   */
  constructor({ seconds, row, segment_seconds }, rows) {
    super(1 / row);
    this.seconds = seconds;
    this.segmentSeconds = segment_seconds;
    for (const [k, value] of rows.entries()) (k % 2 ? this.high : this.low).push(value / 127);
  }
}

/** A take recorded in this page: PCM16 chunks as they arrive. */
export class LocalTake extends TakeWaveform {
  /** @param {number} rate */
  constructor(rate) {
    super(rate / TAKE_BUCKET);
    this.rate = rate;
    /** @type {Int16Array<ArrayBuffer>[]} */
    this.chunks = [];
    this.length = 0;
    this.filled = 0; // of the last bucket
  }

  get seconds() {
    return this.length / this.rate;
  }

  /** @param {Int16Array<ArrayBuffer>} samples */
  push(samples) {
    this.chunks.push(samples);
    this.length += samples.length;
    for (let i = 0; i < samples.length; i += 1) {
      const value = samples[i] / 32768;
      if (this.filled === 0) {
        this.low.push(value);
        this.high.push(value);
      } else {
        const last = this.low.length - 1;
        if (value < this.low[last]) this.low[last] = value;
        if (value > this.high[last]) this.high[last] = value;
      }
      this.filled = (this.filled + 1) % TAKE_BUCKET;
    }
  }

  /**
   * Return start…end seconds as floats in [-1, 1).
   * @param {number} start
   * @param {number} end
   */
  slice(start, end) {
    const from = Math.max(0, Math.round(start * this.rate));
    const to = Math.min(this.length, Math.round(end * this.rate));
    const samples = new Float32Array(Math.max(0, to - from));
    let at = 0;
    for (const chunk of this.chunks) {
      const first = Math.max(from, at);
      const last = Math.min(to, at + chunk.length);
      for (let i = first; i < last; i += 1) samples[i - from] = chunk[i - at] / 32768;
      at += chunk.length;
      if (at >= to) break;
    }
    return samples;
  }
}

export const TRIM_STEP = 0.05;
const SHORTEST_TRIM = 0.1;

/**
 * Return the trim with one edge moved to `to` seconds. The edges stay at least 0.1 s apart and within the take.
 * @param {Trim} trim
 * @param {TrimEdge} edge
 * @param {number} to
 * @param {number} seconds
 * @returns {Trim}
 */
export function moveTrim(trim, edge, to, seconds) {
  const least = Math.min(SHORTEST_TRIM, seconds);
  const at = Math.round(to * 1000) / 1000;
  if (edge === "start") return { start: Math.max(0, Math.min(at, trim.end - least)), end: trim.end };
  return {
    start: trim.start,
    end: Math.min(seconds, Math.max(to >= seconds ? seconds : at, trim.start + least)),
  };
}

/**
 * Return where a key moves an edge, in seconds, or null for any other key. With Shift the step is ten times as large.
 * @param {string} key
 * @param {boolean} shift
 * @param {Trim} trim
 * @param {TrimEdge} edge
 * @param {number} seconds
 */
export function trimKey(key, shift, trim, edge, seconds) {
  const step = TRIM_STEP * (shift ? 10 : 1);
  switch (key) {
    case "ArrowLeft":
    case "ArrowDown":
      return trim[edge] - step;
    case "ArrowRight":
    case "ArrowUp":
      return trim[edge] + step;
    case "PageDown":
      return trim[edge] - 1;
    case "PageUp":
      return trim[edge] + 1;
    case "Home":
      return 0;
    case "End":
      return seconds;
    default:
      return null;
  }
}

/**
 * Return how much of a level meter a peak fills, 0 to 1: −60 dBFS is empty, 0 dBFS is full.
 * @param {number} peak
 */
export function meterLevel(peak) {
  return peak > 0 ? Math.max(0, Math.min(1, 1 + (20 * Math.log10(peak)) / 60)) : 0;
}
