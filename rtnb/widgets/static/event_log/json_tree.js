// A JSON value as a tree: made of text alone, opened branch by branch.

import { el } from "../shared/dom.js";

const TREE_PREVIEW = 60;
const TREE_LONG = 400;
const TREE_STEP = 100;

/** Return what a value is, as a word. */
export function kindOf(value) {
  return value === null ? "null" : Array.isArray(value) ? "array" : typeof value;
}

/** Return a value on one line, cut. */
export function previewOf(value, room = TREE_PREVIEW) {
  const kind = kindOf(value);
  if (kind === "string") {
    const text = JSON.stringify(value.length > room ? value.slice(0, room) : value);
    return value.length > room ? `${text.slice(0, -1)}…"` : text;
  }
  if (kind !== "array" && kind !== "object") return String(value);
  const [open, close] = kind === "array" ? ["[", "]"] : ["{", "}"];
  const names = Object.keys(value);
  if (!names.length) return open + close;
  let text = open;
  for (const name of names) {
    const next = `${text.length > 1 ? ", " : ""}${kind === "array" ? "" : `${name}: `}${inner(value[name])}`;
    if (text.length + next.length > room) return `${text}${text.length > 1 ? ", " : ""}…${close}`;
    text += next;
  }
  return text + close;
}

function inner(value) {
  const kind = kindOf(value);
  if (kind === "array") return value.length ? `[${value.length}]` : "[]";
  if (kind === "object") return Object.keys(value).length ? "{…}" : "{}";
  return previewOf(value, 24);
}

/** Return whether a value holds a text, in capitals or not; for an empty text, that it does not. */
export function holds(value, text) {
  if (!text) return false;
  const kind = kindOf(value);
  if (kind === "array" || kind === "object") {
    return Object.entries(value).some(
      ([name, each]) => (kind === "object" && has(name, text)) || holds(each, text),
    );
  }
  return has(String(value), text);
}

function has(text, part) {
  return text.toLowerCase().includes(part.toLowerCase());
}

/** Return where an arrow key moves in a list of open tree items: a number, "open", "close", or null. */
export function treeKey(key, at, items) {
  const { level, branch, open } = items[at];
  if (key === "ArrowDown") return Math.min(at + 1, items.length - 1);
  if (key === "ArrowUp") return Math.max(at - 1, 0);
  if (key === "Home") return 0;
  if (key === "End") return items.length - 1;
  if (key === "ArrowRight") return !branch ? null : open ? Math.min(at + 1, items.length - 1) : "open";
  if (key === "ArrowLeft") {
    if (branch && open) return "close";
    for (let i = at - 1; i >= 0; i -= 1) if (items[i].level < level) return i;
    return at;
  }
  return key === "Enter" || key === " " ? (branch ? (open ? "close" : "open") : null) : null;
}

/**
 * `sounds` are the places of sound, as paths; each gets a button that calls `play`. Branches that hold `find` are open
 * from the beginning. `changed` is called when elements came in.
 */
export class JsonTree {
  constructor(value, { sounds = [], find = "", play = () => {}, changed = () => {}, label = "Event" } = {}) {
    Object.assign(this, { find, play, changed });
    this.sounds = new Set(sounds.map((place) => JSON.stringify(place)));
    this.node = el("div", { class: "rtnb-tree", role: "tree", "aria-label": label });
    this.node.addEventListener("keydown", (event) => this.#key(event));
    const kind = kindOf(value);
    if (kind === "object" || kind === "array") this.#children(this.node, value, [], 1);
    else this.node.append(this.#item(null, value, [], 1));
    this.items[0]?.setAttribute("tabindex", "0");
  }

  /** All items that are seen, from top to bottom. */
  get items() {
    return [...this.node.querySelectorAll('[role="treeitem"]')].filter((item) => !item.closest("[hidden]"));
  }

  #children(parent, value, place, level, from = 0) {
    const array = Array.isArray(value);
    const names = Object.keys(value);
    const stop = Math.min(from + TREE_STEP, names.length);
    for (const name of names.slice(from, stop)) {
      const key = array ? Number(name) : name;
      parent.append(this.#item(key, value[name], [...place, key], level));
    }
    if (stop === names.length) return;
    const more = el(
      "button",
      { class: "rtnb-tree-more" },
      `${(names.length - stop).toLocaleString("en-US")} more`,
    );
    more.addEventListener("click", () => {
      more.remove();
      this.#children(parent, value, place, level, stop);
      this.changed();
    });
    parent.append(more);
  }

  #item(name, value, place, level) {
    const kind = kindOf(value);
    const branch = (kind === "array" || kind === "object") && Object.keys(value).length > 0;
    const label = el("span", { class: "rtnb-tree-line" });
    if (name !== null)
      label.append(
        el("span", { class: typeof name === "number" ? "rtnb-tree-index" : "rtnb-tree-name" }, String(name)),
        ": ",
      );
    const item = el(
      "div",
      { class: "rtnb-tree-item", role: "treeitem", "aria-level": level, tabindex: -1 },
      label,
    );
    if (!branch) {
      label.append(...this.#leaf(value, kind, place));
      if (this.find && holds(value, this.find)) item.classList.add("rtnb-tree-found");
      return item;
    }
    const preview = el("span", { class: "rtnb-tree-preview" }, previewOf(value));
    label.append(preview);
    const group = el("div", { role: "group", hidden: true });
    item.append(group);
    item.setAttribute("aria-expanded", "false");
    item.toggle = (open) => {
      if (open && !group.childNodes.length) this.#children(group, value, place, level + 1);
      group.hidden = !open;
      item.setAttribute("aria-expanded", String(open));
      if (open) this.changed();
    };
    label.addEventListener("click", () => {
      item.toggle(group.hidden);
      this.#focus(item);
    });
    if ((level === 1 && Object.keys(value).length <= 12) || holds(value, this.find)) item.toggle(true);
    return item;
  }

  #leaf(value, kind, place) {
    if (this.sounds.has(JSON.stringify(place))) {
      const play = el(
        "button",
        { class: "rtnb-tree-play", "aria-label": `Play ${value}`, title: "Play from here" },
        "▶",
      );
      play.addEventListener("click", () => this.play());
      return [el("span", { class: "rtnb-tree-sound" }, value), " ", play];
    }
    const text = kind === "string" ? JSON.stringify(value) : String(value);
    if (text.length <= TREE_LONG) return [el("span", { class: `rtnb-tree-${kind}` }, text)];
    const shown = el("span", { class: `rtnb-tree-${kind}` }, `${text.slice(0, TREE_LONG)}…`);
    const rest = (text.length - TREE_LONG).toLocaleString("en-US");
    const more = el("button", { class: "rtnb-tree-more" }, `${rest} more letters`);
    more.addEventListener("click", () => {
      shown.textContent = text;
      more.remove();
    });
    return [shown, " ", more];
  }

  #key(event) {
    if (event.target.getAttribute("role") !== "treeitem" || event.ctrlKey || event.metaKey || event.altKey)
      return;
    const items = this.items;
    const at = items.indexOf(event.target);
    const facts = items.map((item) => ({
      level: Number(item.getAttribute("aria-level")),
      branch: item.hasAttribute("aria-expanded"),
      open: item.getAttribute("aria-expanded") === "true",
    }));
    let to = treeKey(event.key, at, facts);
    if (to === null && (event.key === "Enter" || event.key === " ")) {
      event.target.querySelector("button")?.click();
      to = at;
    }
    if (to === null) return;
    if (to === "open" || to === "close") items[at].toggle(to === "open");
    else this.#focus(items[to]);
    event.preventDefault();
    event.stopPropagation();
  }

  #focus(item) {
    for (const each of this.node.querySelectorAll('[tabindex="0"][role="treeitem"]'))
      each.setAttribute("tabindex", "-1");
    item.setAttribute("tabindex", "0");
    item.focus();
  }
}
