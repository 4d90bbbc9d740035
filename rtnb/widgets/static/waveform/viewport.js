// The visible span of a recording: moving and zooming it, and its time axis. No DOM.

/** @typedef {{ start: number, end: number }} Span  in seconds */

const SHORTEST_SPAN = 0.05;

/**
 * Return start…end moved and narrowed to lie within a recording of `seconds`.
 * @param {number} start
 * @param {number} end
 * @param {number} seconds
 * @returns {Span}
 */
export function clampSpan(start, end, seconds) {
  const shortest = Math.min(SHORTEST_SPAN, seconds);
  const span = Math.min(seconds, Math.max(shortest, end - start));
  const middle = (start + end) / 2;
  const from = Math.max(0, Math.min(middle - span / 2, seconds - span));
  return { start: from, end: from + span };
}

/**
 * Zoom in by `factor`, keeping the moment `anchor` in its place on the screen.
 * @param {Span} span
 * @param {number} factor
 * @param {number} anchor  in seconds
 * @param {number} seconds
 * @returns {Span}
 */
export function zoomSpan({ start, end }, factor, anchor, seconds) {
  const shortest = Math.min(SHORTEST_SPAN, seconds);
  const span = Math.min(seconds, Math.max(shortest, (end - start) / factor));
  const share = end > start ? (anchor - start) / (end - start) : 0.5;
  const from = Math.max(0, Math.min(anchor - share * span, seconds - span));
  return { start: from, end: from + span };
}

/**
 * Return a span that contains `at`: the same one, or else the next page.
 * @param {Span} span
 * @param {number} at
 * @param {number} seconds
 * @returns {Span}
 */
export function followSpan({ start, end }, at, seconds) {
  if (at >= start && at <= end) return { start, end };
  const span = end - start;
  const from = Math.max(0, Math.min(at - span * 0.08, seconds - span));
  return { start: from, end: from + span };
}

/**
 * Return where a key moves the playhead, in seconds, or null for any other key.
 * @param {string} key
 * @param {boolean} fine
 * @param {number} at
 * @param {number} seconds
 */
export function seekKey(key, fine, at, seconds) {
  const step = fine ? 0.05 : 5;
  /** @type {Record<string, number>} */
  const targets = {
    ArrowLeft: at - step,
    ArrowDown: at - step,
    ArrowRight: at + step,
    ArrowUp: at + step,
    PageDown: at - 30,
    PageUp: at + 30,
    Home: 0,
    End: seconds,
  };
  const to = targets[key];
  return to === undefined ? null : Math.max(0, Math.min(seconds, to));
}

/**
 * Return the marks of a time axis at round times, at least `spacing` pixels apart.
 * @param {Span} span
 * @param {number} width  in pixels
 */
export function timeMarks({ start, end }, width, spacing = 90) {
  const steps = [
    0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200,
  ];
  const least = ((end - start) * spacing) / Math.max(width, 1);
  const step = steps.find((seconds) => seconds >= least) ?? 7200;
  const marks = [];
  for (let n = Math.ceil(start / step - 1e-9); n * step <= end + 1e-9; n += 1) {
    marks.push({ at: n * step, text: formatMark(n * step, step) });
  }
  return marks;
}

/**
 * @param {number} at
 * @param {number} step
 */
function formatMark(at, step) {
  return formatClock(at, step < 0.1 ? 2 : step < 1 ? 1 : 0, at >= 3600);
}

/**
 * Format a position in a recording of `seconds`, with hours if it is that long.
 * @param {number} at
 * @param {number} seconds
 */
export function formatPosition(at, seconds, tenths = false) {
  return formatClock(Math.floor(at * 10 + 1e-6) / 10, tenths ? 1 : 0, seconds >= 3600);
}

/**
 * @param {number} at
 * @param {number} digits
 * @param {boolean} hours
 */
function formatClock(at, digits, hours) {
  const shown = digits ? Number(at.toFixed(digits)) : Math.floor(at + 1e-9);
  const whole = Math.floor(shown);
  const rest = digits ? (shown - whole).toFixed(digits).slice(1) : "";
  const pad = (/** @type {number} */ value) => String(value).padStart(2, "0");
  const minutes = Math.floor(whole / 60);
  const head = hours ? `${Math.floor(minutes / 60)}:${pad(minutes % 60)}` : String(minutes);
  return `${head}:${pad(whole % 60)}${rest}`;
}
