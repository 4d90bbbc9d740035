// What every widget needs: elements, icons as text, times, and the queue that no early message escapes.

/** How long in ms a widget may be shown nowhere: one that is moved or drawn anew is back by then. */
export const UNSEEN_MS = 2000;

/** Make an element: el("button", { class: "x", "aria-label": "Play", onclick }, "text", child). Text stays text. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children);
  return node;
}

/**
 * Change a text only where it is another: each change of the document costs Jupyter's whole style sheet, and a screen
 * reader may read again what was set again.
 */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * Give the focus to `root` where `node` has it, which is about to hide or to be disabled: keys reach a widget only while
 * something in it has the focus.
 */
export function keepFocus(root, node) {
  if (node.contains(document.activeElement)) root.focus({ preventScroll: true });
}

/** Write seconds as m:ss, or as m:ss.t when tenths are asked for. */
export function clock(seconds, tenths = false) {
  const safe = Number.isFinite(seconds) && seconds > 0 ? seconds : 0;
  const minutes = Math.floor(safe / 60);
  const rest = safe - minutes * 60;
  const text = tenths ? (Math.floor(rest * 10) / 10).toFixed(1) : String(Math.floor(rest));
  return `${minutes}:${text.padStart(tenths ? 4 : 2, "0")}`;
}

/** Read little-endian PCM16 bytes (a DataView from a comm buffer) as floats in [-1, 1). */
export function pcm16ToFloat(view) {
  const samples = new Float32Array(view.byteLength >> 1);
  for (let i = 0; i < samples.length; i += 1) samples[i] = view.getInt16(i * 2, true) / 32768;
  return samples;
}

/** Hold the page's reduced-motion wish. */
export function prefersStillness() {
  return globalThis.matchMedia?.("(prefers-reduced-motion: reduce)").matches ?? false;
}
