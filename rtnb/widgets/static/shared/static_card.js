// A static card in a widget's place.

// What the kernel's cards are made of (views/card.py), and what a picture or a sound of theirs may be.
const CARD_TAGS = new Set("style div p b strong small span br code pre details summary img audio".split(" "));
const CARD_SOURCE = /^data:(image\/svg\+xml|audio\/ogg);base64,/;

/**
 * Return the kernel's static HTML as nodes. It comes with all that others wrote escaped; should that ever fail,
 * nothing in it may act here all the same: what no card is made of is left out.
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
