// Drawing on a canvas in the theme's colours, sharp on any display.

/**
 * Return the value of a custom property at a node, such as colourOf(node, "--rtnb-accent").
 * @param {Element} node
 * @param {string} name
 */
export function colourOf(node, name) {
  return getComputedStyle(node).getPropertyValue(name).trim();
}

/**
 * Match a canvas to its size on the page, clear it, and return its context in CSS pixels; null while it is not laid out.
 * @param {HTMLCanvasElement} canvas
 */
export function prepareCanvas(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const ratio = globalThis.devicePixelRatio || 1;
  const context = canvas.getContext("2d");
  if (!width || !height || !context) return null;
  if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
  if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

/**
 * Call `repaint` whenever Jupyter's or the system's theme changes.
 * @param {() => void} repaint
 * @returns {Cleanup}
 */
export function onThemeChange(repaint) {
  /** @type {ReturnType<typeof setTimeout>[]} */
  let timers = [];
  const changed = () => {
    for (const timer of timers) clearTimeout(timer);
    // The attribute changes before the theme's style sheet has loaded.
    timers = [0, 100, 400].map((delay) => setTimeout(repaint, delay));
  };
  const observer = new MutationObserver(changed);
  const attributes = ["data-jp-theme-light", "data-jp-theme-name", "class"];
  observer.observe(document.body, { attributes: true, attributeFilter: attributes });
  const system = globalThis.matchMedia?.("(prefers-color-scheme: dark)");
  system?.addEventListener?.("change", changed);
  return () => {
    for (const timer of timers) clearTimeout(timer);
    observer.disconnect();
    system?.removeEventListener?.("change", changed);
  };
}
