// DOM helpers that every widget uses.

/** How long in ms a widget may have no view before it counts as removed. One that is moved is back by then. */
export const REMOVED_AFTER_MS = 2000;

/**
 * Create an element: el("button", { class: "x", "aria-label": "Play", onclick }, "text", child).
 *
 * Strings become text, never HTML. Attributes that are null, undefined or false are left out.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {ElementAttributes} attributes
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === "function")
      node.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children);
  return node;
}

/**
 * Set a node's text only if it differs: every change of the document costs Jupyter a pass over its style sheet, and
 * a screen reader may read out text again that was set again.
 * @param {Node} node
 * @param {string} text
 */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * @param {Element} node
 * @param {boolean} visible
 */
export function setVisible(node, visible) {
  node.classList.toggle("rtnb-hidden", !visible);
}

/**
 * Move the focus to `root` if it is in `node`, which is about to be hidden or disabled: keys reach a widget only while
 * something in it has the focus.
 * @param {HTMLElement} root
 * @param {Element} node
 */
export function keepFocus(root, node) {
  if (node.contains(document.activeElement)) root.focus({ preventScroll: true });
}

/** Whether the reader asked the system for reduced motion. */
export function prefersReducedMotion() {
  return globalThis.matchMedia?.("(prefers-reduced-motion: reduce)").matches ?? false;
}

/** A random identifier. `randomUUID` is missing on pages that came without https. */
export function uniqueId() {
  return globalThis.crypto?.randomUUID?.() ?? String(Math.random()).slice(2);
}
