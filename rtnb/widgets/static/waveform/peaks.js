// The waveform's peaks at several resolutions. No DOM, no kernel.

/** @typedef {import("./viewport.js").Span} Span */
/** @typedef {{ level: number, tile: number }} TileKey */
/** @typedef {{ start: number, stop: number, rows: Int8Array }} Detail  of samples start…stop */
/**
 * The shape of a pyramid. Row n of level k holds the extremes of `base * factor ** k` samples.
 * @typedef {object} PyramidShape
 * @property {number} seconds
 * @property {number} rate
 * @property {number} base
 * @property {number} factor
 * @property {number} tile  rows in a tile
 * @property {number} level  the coarsest level
 * @property {Int8Array} overview  all rows of that level
 */

/** The rows of a peak pyramid that the page has, and which ones are missing. Rows are pairs (min, max) of int8. */
export class PeakStore {
  /** @param {PyramidShape} shape */
  constructor({ seconds, rate, base, factor, tile, level, overview }) {
    this.seconds = seconds;
    this.rate = rate;
    this.base = base;
    this.factor = factor;
    this.tile = tile;
    this.top = level;
    /** @type {Map<string, Int8Array>} */
    this.tiles = new Map();
    /** @type {Detail | null} */
    this.detail = null;
    this.#split(level, overview);
  }

  /**
   * @param {number} level
   * @param {Int8Array} rows
   */
  #split(level, rows) {
    for (let tile = 0; tile * this.tile * 2 < rows.length || tile === 0; tile += 1) {
      this.add(level, tile, rows.subarray(tile * this.tile * 2, (tile + 1) * this.tile * 2));
    }
  }

  /**
   * @param {number} level
   * @param {number} tile
   * @param {Int8Array} rows
   */
  add(level, tile, rows) {
    this.tiles.set(`${level}:${tile}`, rows);
  }

  /**
   * @param {number} start
   * @param {number} stop
   * @param {Int8Array} rows
   */
  setDetail(start, stop, rows) {
    this.detail = { start, stop, rows };
  }

  /**
   * Return the coarsest level that still resolves columns of `column` seconds.
   * @param {number} column
   */
  levelFor(column) {
    let level = 0;
    while (level < this.top && this.base * this.factor ** (level + 1) <= column * this.rate) level += 1;
    return level;
  }

  /**
   * Return the missing tiles of a span drawn in `count` columns.
   * @param {Span} span
   * @param {number} count
   * @returns {TileKey[]}
   */
  missing({ start, end }, count) {
    const level = this.levelFor((end - start) / count);
    const perTile = (this.tile * this.base * this.factor ** level) / this.rate;
    const found = [];
    for (let tile = Math.floor(start / perTile); tile * perTile < Math.min(end, this.seconds); tile += 1) {
      if (!this.tiles.has(`${level}:${tile}`)) found.push({ level, tile });
    }
    return found;
  }

  /**
   * Return the samples to request in detail, as `count` columns, or null if the pyramid is fine enough.
   * @param {Span} span
   * @param {number} count
   */
  missingDetail({ start, end }, count) {
    const each = ((end - start) * this.rate) / count;
    if (each >= this.base) return null;
    const [from, to] = [start * this.rate, Math.min(end, this.seconds) * this.rate];
    const have = this.detail;
    if (have && have.start <= from + 1 && have.stop >= to - 1) {
      const fineness = (have.stop - have.start) / (have.rows.length / 2);
      if (fineness <= Math.max(1.5, each * 1.5)) return null;
    }
    const margin = (to - from) / 2;
    const first = Math.max(0, Math.floor(from - margin));
    const stop = Math.min(Math.ceil(to + margin), Math.round(this.seconds * this.rate));
    const columns = Math.max(1, Math.min(4096, Math.ceil((stop - first) / Math.max(1, each))));
    return stop > first ? { start: first, stop, count: columns } : null;
  }

  /**
   * Return min, max of each of `count` equal columns of a span; NaN where there is no audio.
   * @param {Span} span
   * @param {number} count
   */
  columns({ start, end }, count) {
    const each = (end - start) / count;
    const out = new Float32Array(count * 2).fill(NaN);
    const fine = each * this.rate < this.base;
    const wanted = this.levelFor(each);
    for (let i = 0; i < count; i += 1) {
      const from = (start + i * each) * this.rate;
      const to = (start + (i + 1) * each) * this.rate;
      if (from >= this.seconds * this.rate) break;
      if (fine && this.#fromDetail(out, i, from, to)) continue;
      for (let level = wanted; level <= this.top; level += 1) {
        if (this.#fromLevel(out, i, level, from, to)) break;
      }
    }
    return out;
  }

  /**
   * @param {Float32Array} out
   * @param {number} i
   * @param {number} from  in samples
   * @param {number} to
   */
  #fromDetail(out, i, from, to) {
    const detail = this.detail;
    if (!detail || from < detail.start || to > detail.stop + 1) return false;
    const each = (detail.stop - detail.start) / (detail.rows.length / 2);
    const first = Math.floor((from - detail.start) / each + 1e-6);
    const last = Math.max(first + 1, Math.ceil((to - detail.start) / each - 1e-6));
    return this.#extremes(out, i, detail.rows, first, last);
  }

  /**
   * @param {Float32Array} out
   * @param {number} i
   * @param {number} level
   * @param {number} from  in samples
   * @param {number} to
   */
  #fromLevel(out, i, level, from, to) {
    const span = this.base * this.factor ** level;
    const first = Math.floor(from / span + 1e-9);
    const last = Math.max(first + 1, Math.ceil(to / span - 1e-9));
    let found = false;
    for (let row = first; row < last; ) {
      const tile = Math.floor(row / this.tile);
      const rows = this.tiles.get(`${level}:${tile}`);
      if (!rows) return false;
      const end = Math.min(last, (tile + 1) * this.tile);
      found = this.#extremes(out, i, rows, row - tile * this.tile, end - tile * this.tile) || found;
      row = end;
    }
    return found;
  }

  /**
   * Extend column `i` by the extremes of rows first…last; return whether there were any.
   * @param {Float32Array} out
   * @param {number} i
   * @param {Int8Array} rows
   * @param {number} first
   * @param {number} last
   */
  #extremes(out, i, rows, first, last) {
    let [low, high] = [out[2 * i], out[2 * i + 1]];
    const stop = Math.min(last, rows.length / 2);
    if (first >= stop) return false;
    for (let row = first; row < stop; row += 1) {
      if (!(rows[2 * row] >= low)) low = rows[2 * row];
      if (!(rows[2 * row + 1] <= high)) high = rows[2 * row + 1];
    }
    out[2 * i] = low;
    out[2 * i + 1] = high;
    return true;
  }
}
