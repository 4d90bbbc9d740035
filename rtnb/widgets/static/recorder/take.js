// What a recorder has recorded, and which part of it is kept: no page, no microphone.

const TAKE_BUCKET = 256;

/** The smallest and the largest sample, −1 to 1, of each of `perSecond` parts of a second. */
class TakePicture {
  constructor(perSecond) {
    this.perSecond = perSecond;
    this.low = [];
    this.high = [];
  }

  /** Return [low, high] for each of `count` equal parts of start…end seconds; null where there is no sound. */
  columns(start, end, count) {
    const width = ((end - start) * this.perSecond) / count;
    const columns = [];
    for (let i = 0; i < count; i += 1) {
      const from = Math.floor(start * this.perSecond + i * width);
      const to = Math.max(from + 1, Math.floor(start * this.perSecond + (i + 1) * width));
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

/** A take whose sound the kernel has: its picture, rows of (low, high) as int8, each of `row` seconds. */
export class FarTake extends TakePicture {
  constructor({ seconds, row, part }, rows) {
    super(1 / row);
    this.seconds = seconds;
    this.part = part;
    rows.forEach((value, k) => (k % 2 ? this.high : this.low).push(value / 127));
  }
}

/** Sound as it comes in: PCM16 pieces, and the picture of every 256 samples. */
export class Take extends TakePicture {
  constructor(rate) {
    super(rate / TAKE_BUCKET);
    this.rate = rate;
    this.pieces = [];
    this.length = 0;
    this.open = 0;
  }

  get seconds() {
    return this.length / this.rate;
  }

  push(samples) {
    this.pieces.push(samples);
    this.length += samples.length;
    for (let i = 0; i < samples.length; i += 1) {
      const value = samples[i] / 32768;
      if (this.open === 0) {
        this.low.push(value);
        this.high.push(value);
      } else {
        const last = this.low.length - 1;
        if (value < this.low[last]) this.low[last] = value;
        if (value > this.high[last]) this.high[last] = value;
      }
      this.open = (this.open + 1) % TAKE_BUCKET;
    }
  }

  /** Return start…end seconds as floats in [-1, 1). */
  slice(start, end) {
    const from = Math.max(0, Math.round(start * this.rate));
    const to = Math.min(this.length, Math.round(end * this.rate));
    const samples = new Float32Array(Math.max(0, to - from));
    let at = 0;
    for (const piece of this.pieces) {
      const first = Math.max(from, at);
      const last = Math.min(to, at + piece.length);
      for (let i = first; i < last; i += 1) samples[i - from] = piece[i - at] / 32768;
      at += piece.length;
      if (at >= to) break;
    }
    return samples;
  }
}

export const TRIM_STEP = 0.05;
const TRIM_LEAST = 0.1;

/**
 * Move one end of what is kept to `to` seconds, and return the new { start, end }. The ends stay at least 0.1 s apart
 * and within the take.
 */
export function moveTrim(trim, which, to, seconds) {
  const least = Math.min(TRIM_LEAST, seconds);
  const at = Math.round(to * 1000) / 1000;
  if (which === "start") return { start: Math.max(0, Math.min(at, trim.end - least)), end: trim.end };
  return {
    start: trim.start,
    end: Math.min(seconds, Math.max(to >= seconds ? seconds : at, trim.start + least)),
  };
}

/** Return where a key moves one end to, in seconds, or null for a key that moves nothing. Shift makes it ten steps. */
export function trimKey(key, shift, trim, which, seconds) {
  const step = TRIM_STEP * (shift ? 10 : 1);
  switch (key) {
    case "ArrowLeft":
    case "ArrowDown":
      return trim[which] - step;
    case "ArrowRight":
    case "ArrowUp":
      return trim[which] + step;
    case "PageDown":
      return trim[which] - 1;
    case "PageUp":
      return trim[which] + 1;
    case "Home":
      return 0;
    case "End":
      return seconds;
    default:
      return null;
  }
}

/** Return how much of a level meter a peak fills, 0 to 1: −60 dBFS is empty, 0 dBFS is full. */
export function meterLevel(peak) {
  return peak > 0 ? Math.max(0, Math.min(1, 1 + (20 * Math.log10(peak)) / 60)) : 0;
}
