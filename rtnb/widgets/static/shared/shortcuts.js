// Keys that are a widget's own: Jupyter's shortcuts do not take them.

const FOCUSABLE = "button, select, input, textarea, summary, a[href], [tabindex]";

/**
 * Keep Jupyter's shortcuts from all that takes the focus in `root`, and return it. The mark must be on the element
 * that has the focus: Notebook 7 looks there before it looks above, and before the element itself hears the key.
 */
export function ownKeys(root) {
  for (const node of [root, ...root.querySelectorAll(FOCUSABLE)])
    node.setAttribute("data-lm-suppress-shortcuts", "true");
  return root;
}
