// Which part of a recording is seen, and which rows of its peak pyramid draw it: no page, no kernel.

const LEAST_SPAN = 0.05;

/** Return start…end moved and narrowed so that it lies within a recording of `seconds`. */
export function clampSpan(start, end, seconds) {
  const least = Math.min(LEAST_SPAN, seconds);
  const span = Math.min(seconds, Math.max(least, end - start));
  const middle = (start + end) / 2;
  const from = Math.max(0, Math.min(middle - span / 2, seconds - span));
  return { start: from, end: from + span };
}

/** Return the span that shows 1/`factor` of what is shown, `anchor` (in seconds) staying where it is. */
export function zoomSpan({ start, end }, factor, anchor, seconds) {
  const least = Math.min(LEAST_SPAN, seconds);
  const span = Math.min(seconds, Math.max(least, (end - start) / factor));
  const share = end > start ? (anchor - start) / (end - start) : 0.5;
  const from = Math.max(0, Math.min(anchor - share * span, seconds - span));
  return { start: from, end: from + span };
}

/** Return the span that shows `at` too: the same where it is seen, else a page turned. */
export function followSpan({ start, end }, at, seconds) {
  if (at >= start && at <= end) return { start, end };
  const span = end - start;
  const from = Math.max(0, Math.min(at - span * 0.08, seconds - span));
  return { start: from, end: from + span };
}

/** Return where a key moves the playhead to, in seconds, or null for a key that moves nothing. */
export function seekKey(key, fine, at, seconds) {
  const step = fine ? 0.05 : 5;
  const to = {
    ArrowLeft: at - step,
    ArrowDown: at - step,
    ArrowRight: at + step,
    ArrowUp: at + step,
    PageDown: at - 30,
    PageUp: at + 30,
    Home: 0,
    End: seconds,
  }[key];
  return to === undefined ? null : Math.max(0, Math.min(seconds, to));
}

/** Return marks for a time axis: whole steps of 1, 2 or 5 (then 15 and 30 s, minutes) about `room` pixels apart. */
export function timeMarks({ start, end }, width, room = 90) {
  const steps = [
    0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200,
  ];
  const least = ((end - start) * room) / Math.max(width, 1);
  const step = steps.find((each) => each >= least) ?? steps.at(-1);
  const marks = [];
  for (let n = Math.ceil(start / step - 1e-9); n * step <= end + 1e-9; n += 1) {
    marks.push({ at: n * step, text: markText(n * step, step) });
  }
  return marks;
}

function markText(at, step) {
  return stamp(at, step < 0.1 ? 2 : step < 1 ? 1 : 0, at >= 3600);
}

/** Write a place in a recording of `seconds`: with hours where it has them, with tenths where they are wanted. */
export function longClock(at, seconds, tenths = false) {
  return stamp(Math.floor(at * 10 + 1e-6) / 10, tenths ? 1 : 0, seconds >= 3600);
}

function stamp(at, digits, hours) {
  const shown = digits ? Number(at.toFixed(digits)) : Math.floor(at + 1e-9);
  const whole = Math.floor(shown);
  const rest = digits ? (shown - whole).toFixed(digits).slice(1) : "";
  const pad = (value) => String(value).padStart(2, "0");
  const minutes = Math.floor(whole / 60);
  const head = hours ? `${Math.floor(minutes / 60)}:${pad(minutes % 60)}` : String(minutes);
  return `${head}:${pad(whole % 60)}${rest}`;
}

/** The rows of a pyramid that are here, and which ones to ask for. Rows are pairs (min, max) of int8. */
export class PeakStore {
  constructor({ seconds, rate, base, factor, tile, level, overview }) {
    Object.assign(this, { seconds, rate, base, factor, tile, top: level });
    this.tiles = new Map();
    this.detail = null;
    this.#split(level, overview);
  }

  #split(level, rows) {
    for (let tile = 0; tile * this.tile * 2 < rows.length || tile === 0; tile += 1) {
      this.add(level, tile, rows.subarray(tile * this.tile * 2, (tile + 1) * this.tile * 2));
    }
  }

  add(level, tile, rows) {
    this.tiles.set(`${level}:${tile}`, rows);
  }

  setDetail(start, stop, rows) {
    this.detail = { start, stop, rows };
  }

  /** Return the level whose rows fit columns of `each` seconds: the coarsest that is not too coarse. */
  levelFor(each) {
    let level = 0;
    while (level < this.top && this.base * this.factor ** (level + 1) <= each * this.rate) level += 1;
    return level;
  }

  /** Return the tiles that a span needs and that are not here, as { level, tile }. */
  missing({ start, end }, count) {
    const level = this.levelFor((end - start) / count);
    const perTile = (this.tile * this.base * this.factor ** level) / this.rate;
    const found = [];
    for (let tile = Math.floor(start / perTile); tile * perTile < Math.min(end, this.seconds); tile += 1) {
      if (!this.tiles.has(`${level}:${tile}`)) found.push({ level, tile });
    }
    return found;
  }

  /** Return { start, stop, count } of samples to ask for in detail, or null where the pyramid is fine enough. */
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
    const wide = { start: Math.max(0, Math.floor(from - margin)), stop: Math.ceil(to + margin) };
    wide.stop = Math.min(wide.stop, Math.round(this.seconds * this.rate));
    wide.count = Math.max(1, Math.min(4096, Math.ceil((wide.stop - wide.start) / Math.max(1, each))));
    return wide.stop > wide.start ? wide : null;
  }

  /** Return min and max of `count` equal columns of a span, in turns, as one Float32Array; NaN where nothing is. */
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

  #fromDetail(out, i, from, to) {
    const detail = this.detail;
    if (!detail || from < detail.start || to > detail.stop + 1) return false;
    const each = (detail.stop - detail.start) / (detail.rows.length / 2);
    const first = Math.floor((from - detail.start) / each + 1e-6);
    const last = Math.max(first + 1, Math.ceil((to - detail.start) / each - 1e-6));
    return this.#extremes(out, i, detail.rows, first, last);
  }

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
