// What the event log's list does without a page: which lines are seen, which are known, and how a scroll bar of
// bounded height moves through any number of them.

export const EVENT_ROW = 24;
const EVENT_MOST_HEIGHT = 8e6; // browsers end at 17 to 33 million pixels
const EVENT_EDGE = 5000; // pixels at either end of the bar
const EVENT_CHUNK = 64;
const EVENT_KEPT = 128; // chunks: 8,192 lines

/** Write seconds as mm:ss.mmm, with hours before it where there are any. */
export function eventClock(t) {
  const ms = Math.round(Math.abs(t) * 1000);
  const two = (n) => String(n).padStart(2, "0");
  const minutes = Math.floor(ms / 60000);
  const rest = ms % 60000;
  const head = minutes >= 60 ? `${Math.floor(minutes / 60)}:${two(minutes % 60)}` : two(minutes);
  return `${t < 0 ? "−" : ""}${head}:${two(Math.floor(rest / 1000))}.${String(rest % 1000).padStart(3, "0")}`;
}

/** Read a line as the kernel tells it. */
export function readLine(told) {
  if (told.length === 3) {
    const [turn, t, words] = told;
    return { turn, t, words, heading: true };
  }
  const [event, count, t, side, type, bad, turn, words] = told;
  return { event, count, t, server: side === 1, type, bad, turn, words, heading: false };
}

/**
 * A scroll bar. `top` is the place in the list, in pixels of all lines one below the other; what is taller than a
 * browser can make an element is mapped: small moves are taken as they are, large ones by their share of the whole.
 */
export class ScrollMap {
  constructor(most = EVENT_MOST_HEIGHT) {
    this.most = most;
    this.total = 0;
    this.view = 0;
    this.top = 0;
    this.at = 0; // of the scroll bar
  }

  resize(total, view) {
    this.total = total;
    this.view = view;
    this.top = Math.min(this.top, this.maxTop);
  }

  get whole() {
    return this.total * EVENT_ROW;
  }

  get height() {
    return Math.min(this.whole, this.most);
  }

  get maxTop() {
    return Math.max(0, this.whole - this.view);
  }

  get maxScroll() {
    return Math.max(0, this.height - this.view);
  }

  get atEnd() {
    return this.top >= this.maxTop - EVENT_ROW / 2;
  }

  get first() {
    return Math.floor(this.top / EVENT_ROW);
  }

  /** How many lines are seen, those cut at the edges too. */
  get count() {
    return Math.min(Math.ceil(this.view / EVENT_ROW) + 1, Math.max(0, this.total - this.first));
  }

  /** Where the scroll bar belongs for the present place. Near both ends it moves as the lines do. */
  get place() {
    const { top, maxTop, maxScroll } = this;
    if (this.whole <= this.most) return top;
    const edge = this.#edge;
    if (top <= edge) return top;
    if (top >= maxTop - edge) return maxScroll - (maxTop - top);
    return edge + ((top - edge) / (maxTop - 2 * edge)) * (maxScroll - 2 * edge);
  }

  #topAt(scroll) {
    const { maxTop, maxScroll } = this;
    const edge = this.#edge;
    if (scroll <= edge) return scroll;
    if (scroll >= maxScroll - edge) return maxTop - (maxScroll - scroll);
    return edge + ((scroll - edge) / (maxScroll - 2 * edge)) * (maxTop - 2 * edge);
  }

  get #edge() {
    return Math.min(EVENT_EDGE, this.maxScroll / 4);
  }

  /** Take a move of the scroll bar; return where it must be put at once, or null where it may stay. */
  moved(scroll) {
    const by = scroll - this.at;
    this.at = scroll;
    if (this.whole <= this.most) {
      this.go(scroll);
      return null;
    }
    this.go(Math.abs(by) > 3 * this.view ? this.#topAt(scroll) : this.top + by);
    const stuck = (scroll <= 0 && this.top > 0) || (scroll >= this.maxScroll && this.top < this.maxTop);
    return stuck ? this.place : null;
  }

  go(top) {
    this.top = Math.min(Math.max(top, 0), this.maxTop);
  }

  /** Bring a line into sight with as little movement as will do. */
  reveal(line) {
    const start = line * EVENT_ROW;
    if (start < this.top) this.go(start);
    else if (start + EVENT_ROW > this.top + this.view) this.go(start + EVENT_ROW - this.view);
  }
}

/** The lines that the page has, in chunks; the least used are forgotten. */
export class LineStore {
  constructor() {
    this.chunks = new Map();
    this.total = 0;
    this.stable = 0;
  }

  clear() {
    this.chunks.clear();
    this.total = 0;
    this.stable = 0;
  }

  get(line) {
    return this.chunks.get(Math.floor(line / EVENT_CHUNK))?.[line % EVENT_CHUNK];
  }

  /** Take it that whatever was not settled may be something else by now. */
  age() {
    for (const [number, chunk] of this.chunks) {
      const from = number * EVENT_CHUNK;
      for (let i = Math.max(0, this.stable - from); i < EVENT_CHUNK; i += 1)
        if (chunk[i]) chunk[i].old = true;
    }
  }

  /** Take an answer: lines from `start` on, how many there are, and before which of them nothing changes. */
  take({ start, lines, total, stable }) {
    if (total !== this.total || stable !== this.stable) this.age();
    this.total = total;
    this.stable = stable;
    lines.forEach((told, i) => {
      const number = Math.floor((start + i) / EVENT_CHUNK);
      let chunk = this.chunks.get(number);
      if (chunk) this.chunks.delete(number);
      else chunk = new Array(EVENT_CHUNK);
      this.chunks.set(number, chunk);
      chunk[(start + i) % EVENT_CHUNK] = readLine(told);
    });
    while (this.chunks.size > EVENT_KEPT) this.chunks.delete(this.chunks.keys().next().value);
  }

  /** Return what to ask for, so that the lines of a window are known and up to date: [start, stop], or null. */
  missing(first, count) {
    const stop = Math.min(first + count, this.total);
    let from = -1;
    let to = -1;
    for (let line = Math.max(first, 0); line < stop; line += 1) {
      const known = this.get(line);
      if (known && !known.old) continue;
      if (from < 0) from = line;
      to = line + 1;
    }
    if (from < 0) return null;
    const fresh = !this.get(from);
    return fresh ? [Math.max(0, from - EVENT_CHUNK / 2), Math.min(this.total, to + EVENT_CHUNK)] : [from, to];
  }
}

/** Return where in `starts` (seconds, ascending) the moment `at` falls; -1 before the first. */
export function pieceAt(starts, at) {
  let low = 0;
  let high = starts.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (starts[middle] <= at + 1e-6) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Return the line to which a key moves the selection, or null where the key does something else. */
export function lineKey(key, line, page, total) {
  if (!total) return null;
  const to = {
    ArrowDown: line + 1,
    ArrowUp: line - 1,
    PageDown: line + page,
    PageUp: line - page,
    Home: 0,
    End: total - 1,
  }[key];
  return to === undefined ? null : Math.min(Math.max(to, 0), total - 1);
}

/** Say how many, in words: many(1, "event") is "1 event", many(2000, "event") "2,000 events". */
export function manyOf(n, word) {
  return `${n.toLocaleString("en-US")} ${word}${n === 1 ? "" : "s"}`;
}
