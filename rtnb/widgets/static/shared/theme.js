// Jupyter's theme, for those who paint on a canvas: a style sheet cannot reach it.

/** Return the colour that a custom property has at a node, such as colourOf(node, "--rtnb-accent"). */
export function colourOf(node, name) {
  return getComputedStyle(node).getPropertyValue(name).trim();
}

/** Call `repaint` whenever the theme has changed; return how to stop that. */
export function onTheme(repaint) {
  let timers = [];
  const changed = () => {
    for (const timer of timers) clearTimeout(timer);
    // The attribute changes before the theme's style sheet has come.
    timers = [0, 100, 400].map((delay) => setTimeout(repaint, delay));
  };
  const watcher = new MutationObserver(changed);
  const attributes = ["data-jp-theme-light", "data-jp-theme-name", "class"];
  watcher.observe(document.body, { attributes: true, attributeFilter: attributes });
  const system = globalThis.matchMedia?.("(prefers-color-scheme: dark)");
  system?.addEventListener?.("change", changed);
  return () => {
    for (const timer of timers) clearTimeout(timer);
    watcher.disconnect();
    system?.removeEventListener?.("change", changed);
  };
}
