// Keeping Jupyter's keyboard shortcuts out of a widget.

const FOCUSABLE = "button, select, input, textarea, summary, a[href], [tabindex]";

/**
 * Suppress Jupyter's shortcuts on everything focusable in `root`, and return `root`. The attribute must be on the
 * focused element itself: Notebook 7 looks there first, before the element receives the key.
 * @template {Element} Root
 * @param {Root} root
 */
export function suppressShortcuts(root) {
  for (const node of [root, ...root.querySelectorAll(FOCUSABLE)])
    node.setAttribute("data-lm-suppress-shortcuts", "true");
  return root;
}
