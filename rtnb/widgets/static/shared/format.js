// Numbers and errors as text.

/**
 * Format seconds as m:ss, or as m:ss.t with tenths.
 * @param {number} seconds
 */
export function formatTime(seconds, tenths = false) {
  const safe = Number.isFinite(seconds) && seconds > 0 ? seconds : 0;
  const minutes = Math.floor(safe / 60);
  const rest = safe - minutes * 60;
  const text = tenths ? (Math.floor(rest * 10) / 10).toFixed(1) : String(Math.floor(rest));
  return `${minutes}:${text.padStart(tenths ? 4 : 2, "0")}`;
}

/**
 * Format an integer with thousands separators.
 * @param {number} n
 */
export function formatCount(n) {
  return n.toLocaleString("en-US");
}

/**
 * Format a count with its noun: countOf(1, "event") is "1 event", countOf(2000, "event") "2,000 events".
 * @param {number} n
 * @param {string} noun
 */
export function countOf(n, noun) {
  return `${formatCount(n)} ${noun}${n === 1 ? "" : "s"}`;
}

/**
 * Return a turn's number as people count, from 1.
 * @param {number} number
 */
export function turnNumber(number) {
  return String(Math.max(number, 0) + 1);
}

/**
 * Return the name and message of whatever was thrown. The class does not matter: an error may come from another frame.
 * @param {unknown} error
 */
export function describeError(error) {
  const { name = "Error", message = String(error) } = /** @type {Partial<Error>} */ (error ?? {});
  return { name, message };
}
