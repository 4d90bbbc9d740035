// Virtual scrolling for the event log: which lines are visible, which are loaded, and how a scroll bar of bounded
// height moves through any number of them. No DOM.

/** A line as the kernel sends it: a turn's heading, or an event or run of deltas; `side` is 1 for the server. */
/** @typedef {[turn: number, t: number, words: string]} HeadingTuple */
/** @typedef {[event: number, count: number, t: number, side: number, type: string, bad: boolean, turn: number, words: string]} EventTuple */
/** @typedef {HeadingTuple | EventTuple} LineTuple */
/** @typedef {{ heading: true, turn: number, t: number, words: string, stale?: boolean }} HeadingLine */
/**
 * @typedef {object} EventLine
 * @property {false} heading
 * @property {number} event
 * @property {number} count
 * @property {number} t
 * @property {boolean} server
 * @property {string} type
 * @property {boolean} bad
 * @property {number} turn
 * @property {string} words
 * @property {boolean} [stale]
 */
/** @typedef {HeadingLine | EventLine} Line */
/** @typedef {{ start: number, lines: LineTuple[], total: number, stable: number }} LineAnswer */

export const ROW_HEIGHT = 24;
const MAX_HEIGHT = 8e6; // browsers stop at 17 to 33 million pixels
const EDGE_HEIGHT = 5000; // at either end of the scroll bar, where it moves as the lines do
const CHUNK_LINES = 64;
const MAX_CHUNKS = 128; // 8,192 lines

/**
 * Format seconds as mm:ss.mmm, with hours if there are any.
 * @param {number} t
 */
export function formatEventTime(t) {
  const ms = Math.round(Math.abs(t) * 1000);
  const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  const minutes = Math.floor(ms / 60000);
  const rest = ms % 60000;
  const head = minutes >= 60 ? `${Math.floor(minutes / 60)}:${two(minutes % 60)}` : two(minutes);
  return `${t < 0 ? "−" : ""}${head}:${two(Math.floor(rest / 1000))}.${String(rest % 1000).padStart(3, "0")}`;
}

/**
 * Parse a line.
 * @param {LineTuple} tuple
 * @returns {Line}
 */
export function parseLine(tuple) {
  if (tuple.length === 3) {
    const [turn, t, words] = tuple;
    return { turn, t, words, heading: true };
  }
  const [event, count, t, side, type, bad, turn, words] = tuple;
  return { event, count, t, server: side === 1, type, bad, turn, words, heading: false };
}

/**
 * A scroll bar. `top` is the position in the full list, in pixels. A list that is taller than an element can be is
 * mapped to the bar: small moves are exact, large ones go to their share of the whole.
 */
export class ScrollMap {
  constructor(maxHeight = MAX_HEIGHT) {
    this.maxHeight = maxHeight;
    this.total = 0;
    this.view = 0;
    this.top = 0;
    this.at = 0; // position of the scroll bar
  }

  /**
   * @param {number} total  lines
   * @param {number} view  visible pixels
   */
  resize(total, view) {
    this.total = total;
    this.view = view;
    this.top = Math.min(this.top, this.maxTop);
  }

  get whole() {
    return this.total * ROW_HEIGHT;
  }

  get height() {
    return Math.min(this.whole, this.maxHeight);
  }

  get maxTop() {
    return Math.max(0, this.whole - this.view);
  }

  get maxScroll() {
    return Math.max(0, this.height - this.view);
  }

  get atEnd() {
    return this.top >= this.maxTop - ROW_HEIGHT / 2;
  }

  get first() {
    return Math.floor(this.top / ROW_HEIGHT);
  }

  /** The number of visible lines, including those cut at the edges. */
  get count() {
    return Math.min(Math.ceil(this.view / ROW_HEIGHT) + 1, Math.max(0, this.total - this.first));
  }

  /** The scroll bar's position for `top`. */
  get place() {
    const { top, maxTop, maxScroll } = this;
    if (this.whole <= this.maxHeight) return top;
    const edge = this.#edge;
    if (top <= edge) return top;
    if (top >= maxTop - edge) return maxScroll - (maxTop - top);
    return edge + ((top - edge) / (maxTop - 2 * edge)) * (maxScroll - 2 * edge);
  }

  /** @param {number} scroll */
  #topAt(scroll) {
    const { maxTop, maxScroll } = this;
    const edge = this.#edge;
    if (scroll <= edge) return scroll;
    if (scroll >= maxScroll - edge) return maxTop - (maxScroll - scroll);
    return edge + ((scroll - edge) / (maxScroll - 2 * edge)) * (maxTop - 2 * edge);
  }

  get #edge() {
    return Math.min(EDGE_HEIGHT, this.maxScroll / 4);
  }

  /**
   * Handle a move of the scroll bar; return where it must be put at once, or null if it may stay.
   * @param {number} scroll
   */
  moved(scroll) {
    const by = scroll - this.at;
    this.at = scroll;
    if (this.whole <= this.maxHeight) {
      this.go(scroll);
      return null;
    }
    this.go(Math.abs(by) > 3 * this.view ? this.#topAt(scroll) : this.top + by);
    const stuck = (scroll <= 0 && this.top > 0) || (scroll >= this.maxScroll && this.top < this.maxTop);
    return stuck ? this.place : null;
  }

  /** @param {number} top */
  go(top) {
    this.top = Math.min(Math.max(top, 0), this.maxTop);
  }

  /**
   * Scroll a line into view with the least movement.
   * @param {number} line
   */
  reveal(line) {
    const start = line * ROW_HEIGHT;
    if (start < this.top) this.go(start);
    else if (start + ROW_HEIGHT > this.top + this.view) this.go(start + ROW_HEIGHT - this.view);
  }
}

/** The lines that the page has loaded, in chunks; the least recently loaded are dropped. */
export class LineStore {
  constructor() {
    /** @type {Map<number, (Line | undefined)[]>} */
    this.chunks = new Map();
    this.total = 0;
    this.stable = 0; // lines before this one never change
  }

  clear() {
    this.chunks.clear();
    this.total = 0;
    this.stable = 0;
  }

  /** @param {number} line */
  get(line) {
    return this.chunks.get(Math.floor(line / CHUNK_LINES))?.[line % CHUNK_LINES];
  }

  /** Mark the lines that may have changed as stale. */
  invalidate() {
    for (const [number, chunk] of this.chunks) {
      const from = number * CHUNK_LINES;
      for (let i = Math.max(0, this.stable - from); i < CHUNK_LINES; i += 1) {
        const line = chunk[i];
        if (line) line.stale = true;
      }
    }
  }

  /**
   * Store an answer: lines from `start` on, their total, and how many of them will not change.
   * @param {LineAnswer} answer
   */
  put({ start, lines, total, stable }) {
    if (total !== this.total || stable !== this.stable) this.invalidate();
    this.total = total;
    this.stable = stable;
    for (const [i, tuple] of lines.entries()) {
      const number = Math.floor((start + i) / CHUNK_LINES);
      let chunk = this.chunks.get(number);
      if (chunk) this.chunks.delete(number);
      else chunk = new Array(CHUNK_LINES);
      this.chunks.set(number, chunk);
      chunk[(start + i) % CHUNK_LINES] = parseLine(tuple);
    }
    for (const number of this.chunks.keys()) {
      if (this.chunks.size <= MAX_CHUNKS) break;
      this.chunks.delete(number);
    }
  }

  /**
   * Return the range [start, stop] to request so that a window is loaded and up to date, or null if it is.
   * @param {number} first
   * @param {number} count
   */
  missing(first, count) {
    const stop = Math.min(first + count, this.total);
    let from = -1;
    let to = -1;
    for (let line = Math.max(first, 0); line < stop; line += 1) {
      const known = this.get(line);
      if (known && !known.stale) continue;
      if (from < 0) from = line;
      to = line + 1;
    }
    if (from < 0) return null;
    const fresh = !this.get(from);
    return fresh ? [Math.max(0, from - CHUNK_LINES / 2), Math.min(this.total, to + CHUNK_LINES)] : [from, to];
  }
}

/**
 * Return the index of the last of `starts` (ascending) that is not after `at`; -1 if there is none.
 * @param {number[]} starts
 * @param {number} at
 */
export function indexAt(starts, at) {
  let low = 0;
  let high = starts.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (starts[middle] <= at + 1e-6) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/**
 * Return the line to which a key moves the selection, or null for any other key.
 * @param {string} key
 * @param {number} line
 * @param {number} page  lines
 * @param {number} total
 */
export function lineKey(key, line, page, total) {
  if (!total) return null;
  /** @type {Record<string, number>} */
  const targets = {
    ArrowDown: line + 1,
    ArrowUp: line - 1,
    PageDown: line + page,
    PageUp: line - page,
    Home: 0,
    End: total - 1,
  };
  const to = targets[key];
  return to === undefined ? null : Math.min(Math.max(to, 0), total - 1);
}
