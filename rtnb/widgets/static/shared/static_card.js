// The static card that replaces a finished widget.

// The elements of the kernel's cards, and the images and audio that they may embed.
const CARD_TAGS = new Set("style div p b strong small span br code pre details summary img audio".split(" "));
const CARD_SOURCE = /^data:(image\/svg\+xml|audio\/ogg);base64,/;

/**
 * Return the kernel's static HTML as nodes. The kernel escapes everything that others wrote; should that ever fail,
 * nothing in it can run: elements and attributes that no card uses are removed.
 * @param {string} html
 */
export function cardNodes(html) {
  const template = document.createElement("template");
  template.innerHTML = html; // inert: no script runs and nothing is loaded
  for (const node of template.content.querySelectorAll("*")) {
    if (!CARD_TAGS.has(node.localName)) node.remove();
    for (const { name, value } of [...node.attributes]) {
      if (name.startsWith("on") || (name === "src" && !CARD_SOURCE.test(value))) node.removeAttribute(name);
    }
  }
  return template.content;
}

/**
 * Make the players in `root` live, as the script of a card does.
 * @param {ParentNode} root
 */
export function attachPlayers(root) {
  const attach = Reflect.get(globalThis, Symbol.for("rtnb.players.1")); // of render/static/player.js
  attach?.(root);
}
