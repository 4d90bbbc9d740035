// One event of the log in full: what it is, its JSON as a tree, and copies of it.

import { el } from "../shared/dom.js";
import { ownKeys } from "../shared/shortcuts.js";
import { JsonTree } from "./json_tree.js";

/** Put a text on the clipboard, and return whether that was allowed; `near` is an element of the page. */
export async function copyText(text, near) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyByHand(text, near); // a page that came without https has no other way
  }
}

function copyByHand(text, near) {
  const area = el("textarea", { class: "rtnb-sr", "aria-hidden": "true" });
  area.value = text;
  near.append(area);
  const before = document.activeElement;
  area.select();
  let done = false;
  try {
    done = document.execCommand("copy");
  } finally {
    area.remove();
    before?.focus?.();
  }
  return done;
}

/** `look(event)`, `copy(event, form)`, `play(message)` and `close()` say what the reader does. */
export class EventPane {
  constructor({ look, copy, play, close }) {
    Object.assign(this, { look, copy, play, close });
    this.node = el("div", { class: "rtnb-ev-pane rtnb-hidden", role: "region", "aria-label": "Event" });
  }

  /** Show what the kernel told of an event; what holds the text `find` is open. */
  show(message, find) {
    const { node } = this;
    const focused = node.contains(document.activeElement)
      ? document.activeElement.getAttribute("aria-label")
      : null;
    const scrolled = message.kind === this.kind ? node.scrollTop : 0;
    this.kind = message.kind;
    const tree = new JsonTree(JSON.parse(message.json), {
      sounds: message.sounds,
      find,
      label: `JSON of ${message.kind}`,
      play: () => this.play(message),
      changed: () => ownKeys(node),
    });
    node.replaceChildren(
      el(
        "div",
        { class: "rtnb-row rtnb-ev-title" },
        el("b", { class: message.bad ? "rtnb-error" : "" }, message.kind),
        el("span", { class: "rtnb-grow" }),
        this.#button("Close", "✕", () => this.close()),
      ),
      el(
        "div",
        { class: "rtnb-dim rtnb-num rtnb-ev-facts", title: dateOf(message.wall) },
        factsOf(message).join(" · "),
      ),
      el(
        "div",
        { class: "rtnb-row rtnb-ev-acts" },
        this.#button("Copy as JSON", "Copy JSON", () => this.copy(message.event, "json")),
        this.#button("Copy as Python", "Copy Python", () => this.copy(message.event, "python")),
        ...this.#steps(message),
      ),
      tree.node,
    );
    node.classList.remove("rtnb-hidden");
    node.scrollTop = scrolled;
    if (focused)
      [...node.querySelectorAll("button")]
        .find((each) => each.getAttribute("aria-label") === focused)
        ?.focus();
  }

  hide() {
    this.node.classList.add("rtnb-hidden");
    this.node.replaceChildren();
  }

  #button(label, words, act, disabled = false) {
    return el("button", { "aria-label": label, title: label, onclick: act, disabled }, words);
  }

  /** Of deltas that share a line, the way from one to the next. */
  #steps({ at, count, before, after }) {
    if (count < 2) return [];
    const place = `${(at + 1).toLocaleString("en-US")} of ${count.toLocaleString("en-US")}`;
    return [
      this.#button("Previous delta", "‹", () => this.look(before), before < 0),
      el("span", { class: "rtnb-num" }, place),
      this.#button("Next delta", "›", () => this.look(after), after < 0),
    ];
  }
}

function factsOf({ side, when, turn, bytes, index }) {
  return [
    side === "client" ? "↑ client" : "↓ server",
    when,
    turn >= 0 ? `turn ${turn}` : "no turn",
    `${bytes.toLocaleString("en-US")} bytes`,
    `event ${index.toLocaleString("en-US")}`,
  ];
}

function dateOf(wall) {
  const date = new Date(wall * 1000);
  return Number.isNaN(date.getTime()) ? "" : date.toISOString();
}
