// One event in full: what it is, its JSON as a tree, and copies of it.

import { el, setVisible } from "../shared/dom.js";
import { formatCount, turnNumber } from "../shared/format.js";
import { suppressShortcuts } from "../shared/shortcuts.js";
import { JsonTree } from "./json_tree.js";

/** @typedef {import("./requests.js").EventMessage} EventMessage */
/** @typedef {import("./requests.js").CopyMessage} CopyMessage */

/**
 * Copy a text to the clipboard, and return whether the browser allowed it.
 * @param {string} text
 * @param {Element} parent  an element of the page
 */
export async function copyText(text, parent) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text, parent); // the only way on a page that came without https
  }
}

/**
 * @param {string} text
 * @param {Element} parent
 */
function copyBySelection(text, parent) {
  const area = el("textarea", { class: "rtnb-sr", "aria-hidden": "true" });
  area.value = text;
  parent.append(area);
  const focused = document.activeElement;
  area.select();
  try {
    return document.execCommand("copy");
  } finally {
    area.remove();
    if (focused instanceof HTMLElement) focused.focus();
  }
}

/**
 * @typedef {object} DetailsActions
 * @property {(event: number) => void} open
 * @property {(event: number, form: CopyMessage["form"]) => void} copy
 * @property {(message: EventMessage) => void} play
 * @property {() => void} close
 */

export class EventDetails {
  /** @param {DetailsActions} actions */
  constructor(actions) {
    this.actions = actions;
    this.kind = "";
    this.node = el("div", { class: "rtnb-ev-pane rtnb-hidden", role: "region", "aria-label": "Event" });
  }

  /**
   * Show an event. Branches that contain `find` are open.
   * @param {EventMessage} message
   * @param {string} find
   */
  show(message, find) {
    const { node, actions } = this;
    const focused = node.contains(document.activeElement)
      ? document.activeElement?.getAttribute("aria-label")
      : null;
    const scrollTop = message.kind === this.kind ? node.scrollTop : 0;
    this.kind = message.kind;
    const tree = new JsonTree(JSON.parse(message.json), {
      audioPaths: message.audio_paths,
      find,
      label: `JSON of ${message.kind}`,
      onPlay: () => actions.play(message),
      onRender: () => suppressShortcuts(node),
    });
    node.replaceChildren(
      el(
        "div",
        { class: "rtnb-row rtnb-ev-title" },
        el("b", { class: message.bad ? "rtnb-error" : "" }, message.kind),
        el("span", { class: "rtnb-grow" }),
        detailsButton("Close", "✕", () => actions.close()),
      ),
      el(
        "div",
        { class: "rtnb-dim rtnb-num rtnb-ev-facts", title: isoDate(message.wall) },
        factsOf(message).join(" · "),
      ),
      el(
        "div",
        { class: "rtnb-row rtnb-ev-acts" },
        detailsButton("Copy as JSON", "Copy JSON", () => actions.copy(message.event, "json")),
        detailsButton("Copy as Python", "Copy Python", () => actions.copy(message.event, "python")),
        ...this.#deltaButtons(message),
      ),
      tree.node,
    );
    setVisible(node, true);
    node.scrollTop = scrollTop;
    const buttons = [...node.querySelectorAll("button")];
    if (focused) buttons.find((button) => button.getAttribute("aria-label") === focused)?.focus();
  }

  hide() {
    setVisible(this.node, false);
    this.node.replaceChildren();
  }

  /**
   * Return the buttons that step through the deltas of one line.
   * @param {EventMessage} message
   */
  #deltaButtons({ at, count, before, after }) {
    if (count < 2) return [];
    const { open } = this.actions;
    return [
      detailsButton("Previous delta", "‹", () => open(before), before < 0),
      el("span", { class: "rtnb-num" }, `${formatCount(at + 1)} of ${formatCount(count)}`),
      detailsButton("Next delta", "›", () => open(after), after < 0),
    ];
  }
}

/**
 * @param {string} label
 * @param {string} text
 * @param {() => void} onclick
 */
function detailsButton(label, text, onclick, disabled = false) {
  return el("button", { "aria-label": label, title: label, onclick, disabled }, text);
}

/** @param {EventMessage} message */
function factsOf({ side, when, turn, bytes, index }) {
  return [
    side === "client" ? "↑ client" : "↓ server",
    when,
    turn >= 0 ? `turn ${turnNumber(turn)}` : "no turn",
    `${formatCount(bytes)} bytes`,
    `event ${formatCount(index)}`,
  ];
}

/** @param {number} wall  seconds since 1970 */
function isoDate(wall) {
  const date = new Date(wall * 1000);
  return Number.isNaN(date.getTime()) ? "" : date.toISOString();
}
