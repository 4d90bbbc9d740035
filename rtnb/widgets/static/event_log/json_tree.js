// A JSON value as a tree, made of text alone and rendered branch by branch.

import { el } from "../shared/dom.js";
import { formatCount } from "../shared/format.js";

/** @typedef {(string | number)[]} JsonPath */
/** @typedef {string | number | boolean | null | JsonValue[] | { [name: string]: JsonValue }} JsonValue */
/** @typedef {{ level: number, branch: boolean, open: boolean }} TreeItem */

const PREVIEW_LENGTH = 60;
const LONG_TEXT = 400;
const PAGE_SIZE = 100;
const OPEN_WITHIN = 12;

/**
 * Return a value's JSON type.
 * @param {JsonValue} value
 */
export function kindOf(value) {
  return value === null ? "null" : Array.isArray(value) ? "array" : typeof value;
}

/**
 * Return the members of an array or an object as [key, value] pairs; undefined for any other value.
 * @param {JsonValue} value
 * @returns {[string | number, JsonValue][] | undefined}
 */
function membersOf(value) {
  if (Array.isArray(value)) return [...value.entries()];
  return typeof value === "object" && value !== null ? Object.entries(value) : undefined;
}

/**
 * Return a value on one line, shortened.
 * @param {JsonValue} value
 * @returns {string}
 */
export function previewOf(value, room = PREVIEW_LENGTH) {
  if (typeof value === "string") {
    const text = JSON.stringify(value.length > room ? value.slice(0, room) : value);
    return value.length > room ? `${text.slice(0, -1)}…"` : text;
  }
  const members = membersOf(value);
  if (!members) return String(value);
  const [open, close] = Array.isArray(value) ? ["[", "]"] : ["{", "}"];
  let text = open;
  for (const [key, member] of members) {
    const comma = text.length > 1 ? ", " : "";
    const next = `${comma}${typeof key === "number" ? "" : `${key}: `}${nestedPreview(member)}`;
    if (text.length + next.length > room) return `${text}${comma}…${close}`;
    text += next;
  }
  return text + close;
}

/** @param {JsonValue} value */
function nestedPreview(value) {
  if (Array.isArray(value)) return value.length ? `[${value.length}]` : "[]";
  const members = membersOf(value);
  if (members) return members.length ? "{…}" : "{}";
  return previewOf(value, 24);
}

/**
 * Whether a value contains a text, ignoring case. Nothing contains the empty text.
 * @param {JsonValue} value
 * @param {string} text
 * @returns {boolean}
 */
export function containsText(value, text) {
  if (!text) return false;
  const includes = (/** @type {unknown} */ part) => String(part).toLowerCase().includes(text.toLowerCase());
  const members = membersOf(value);
  if (!members) return includes(value);
  return members.some(
    ([key, member]) => (typeof key === "string" && includes(key)) || containsText(member, text),
  );
}

/**
 * Return where a key moves in a list of visible tree items: an index, "open", "close", or null for any other key.
 * @param {string} key
 * @param {number} at
 * @param {TreeItem[]} items
 */
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
  if (key !== "Enter" && key !== " ") return null;
  return branch ? (open ? "close" : "open") : null;
}

/**
 * @typedef {object} TreeOptions
 * @property {JsonPath[]} [audioPaths]  the paths of audio, which get a play button
 * @property {string} [find]  branches that contain this text start open
 * @property {() => void} [onPlay]
 * @property {() => void} [onRender]  is called when elements were added
 * @property {string} [label]
 */

export class JsonTree {
  /**
   * @param {JsonValue} value
   * @param {TreeOptions} options
   */
  constructor(
    value,
    { audioPaths = [], find = "", onPlay = () => {}, onRender = () => {}, label = "Event" } = {},
  ) {
    this.find = find;
    this.onPlay = onPlay;
    this.onRender = onRender;
    this.audioPaths = new Set(audioPaths.map((path) => JSON.stringify(path)));
    /** @type {WeakMap<Element, (open: boolean) => void>} */
    this.toggles = new WeakMap();
    this.node = el("div", { class: "rtnb-tree", role: "tree", "aria-label": label });
    this.node.addEventListener("keydown", (event) => this.#onKey(event));
    const members = membersOf(value);
    if (members) this.#appendMembers(this.node, members, [], 1);
    else this.node.append(this.#item(null, value, [], 1));
    this.items[0]?.setAttribute("tabindex", "0");
  }

  /** All visible items, from top to bottom. */
  get items() {
    /** @type {NodeListOf<HTMLElement>} */
    const items = this.node.querySelectorAll('[role="treeitem"]');
    return [...items].filter((item) => !item.closest("[hidden]"));
  }

  /**
   * Append items, a page at a time.
   * @param {Element} parent
   * @param {[string | number, JsonValue][]} members
   * @param {JsonPath} path
   * @param {number} level
   */
  #appendMembers(parent, members, path, level) {
    for (const [key, value] of members.slice(0, PAGE_SIZE))
      parent.append(this.#item(key, value, [...path, key], level));
    const rest = members.slice(PAGE_SIZE);
    if (!rest.length) return;
    const more = el("button", { class: "rtnb-tree-more" }, `${formatCount(rest.length)} more`);
    more.addEventListener("click", () => {
      more.remove();
      this.#appendMembers(parent, rest, path, level);
      this.onRender();
    });
    parent.append(more);
  }

  /**
   * @param {string | number | null} key
   * @param {JsonValue} value
   * @param {JsonPath} path
   * @param {number} level
   */
  #item(key, value, path, level) {
    const line = el("span", { class: "rtnb-tree-line" });
    if (key !== null) {
      const kind = typeof key === "number" ? "rtnb-tree-index" : "rtnb-tree-name";
      line.append(el("span", { class: kind }, String(key)), ": ");
    }
    const attributes = { class: "rtnb-tree-item", role: "treeitem", "aria-level": level, tabindex: -1 };
    const item = el("div", attributes, line);
    const members = membersOf(value) ?? [];
    if (!members.length) {
      line.append(...this.#leaf(value, path));
      if (containsText(value, this.find)) item.classList.add("rtnb-tree-found");
      return item;
    }
    line.append(el("span", { class: "rtnb-tree-preview" }, previewOf(value)));
    const group = el("div", { role: "group", hidden: true });
    item.append(group);
    item.setAttribute("aria-expanded", "false");
    const toggle = (/** @type {boolean} */ open) => {
      if (open && !group.childNodes.length) this.#appendMembers(group, members, path, level + 1);
      group.hidden = !open;
      item.setAttribute("aria-expanded", String(open));
      if (open) this.onRender();
    };
    this.toggles.set(item, toggle);
    line.addEventListener("click", () => {
      toggle(group.hidden === true);
      this.#focus(item);
    });
    if ((level === 1 && members.length <= OPEN_WITHIN) || containsText(value, this.find)) toggle(true);
    return item;
  }

  /**
   * @param {JsonValue} value
   * @param {JsonPath} path
   */
  #leaf(value, path) {
    if (this.audioPaths.has(JSON.stringify(path))) {
      const attributes = { "aria-label": `Play ${value}`, title: "Play from here" };
      const play = el(
        "button",
        { class: "rtnb-tree-play", onclick: () => this.onPlay(), ...attributes },
        "▶",
      );
      return [el("span", { class: "rtnb-tree-audio" }, String(value)), " ", play];
    }
    const text = JSON.stringify(value);
    const shown = el("span", { class: `rtnb-tree-${kindOf(value)}` }, text);
    if (text.length <= LONG_TEXT) return [shown];
    shown.textContent = `${text.slice(0, LONG_TEXT)}…`;
    const rest = formatCount(text.length - LONG_TEXT);
    const more = el("button", { class: "rtnb-tree-more" }, `${rest} more characters`);
    more.addEventListener("click", () => {
      shown.textContent = text;
      more.remove();
    });
    return [shown, " ", more];
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const { key, target } = event;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { items } = this;
    const at = target instanceof HTMLElement ? items.indexOf(target) : -1;
    if (at < 0) return;
    const states = items.map((item) => ({
      level: Number(item.getAttribute("aria-level")),
      branch: item.hasAttribute("aria-expanded"),
      open: item.getAttribute("aria-expanded") === "true",
    }));
    const to = treeKey(key, at, states);
    if (to === "open" || to === "close") this.toggles.get(items[at])?.(to === "open");
    else if (to !== null) this.#focus(items[to]);
    else if (key === "Enter" || key === " ") items[at].querySelector("button")?.click();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** @param {HTMLElement} item */
  #focus(item) {
    for (const other of this.node.querySelectorAll('[tabindex="0"][role="treeitem"]'))
      other.setAttribute("tabindex", "-1");
    item.setAttribute("tabindex", "0");
    item.focus();
  }
}
