// What the reader of the event log wants to see: a text or a pattern, and chips.

import { el } from "../shared/dom.js";

const EVENT_CHIPS = ["client", "server", "audio", "text", "tools", "errors", "limits"];
const EVENT_ARROWS = { client: "↑ ", server: "↓ " };
const EVENT_TYPING = 180;

/** `changed()` is called when something else is wanted, `leave()` when a key goes back to the list. */
export class EventTools {
  constructor({ changed, leave }) {
    Object.assign(this, { changed, leave });
    this.chips = new Set();
    this.regex = false;
    this.each = false;
    this.query = "";
    this.buttons = EVENT_CHIPS.map((name) => this.#chip(name));
    this.search = el("input", {
      type: "search",
      class: "rtnb-ev-search",
      placeholder: "Search",
      "aria-label": "Search the events",
      spellcheck: "false",
      autocomplete: "off",
    });
    this.search.addEventListener("input", () => {
      clearTimeout(this.typing);
      this.typing = setTimeout(() => this.#read(), EVENT_TYPING);
    });
    this.search.addEventListener("keydown", (event) => this.#key(event));
    const regex = this.#switch(
      "regex",
      { class: "rtnb-ev-regex", title: "Regular expression", "aria-label": "Regular expression" },
      ".*",
    );
    const each = this.#switch(
      "each",
      { class: "rtnb-ev-each", title: "Show every delta in a row of its own" },
      "every delta",
    );
    this.node = el(
      "div",
      { class: "rtnb-row rtnb-ev-tools" },
      el("span", { class: "rtnb-ev-find" }, this.search, regex),
      el(
        "span",
        { class: "rtnb-row rtnb-ev-chips", role: "group", "aria-label": "Show only" },
        ...this.buttons,
      ),
      each,
    );
  }

  #chip(name) {
    const count = el("span", { class: "rtnb-ev-count rtnb-num" });
    const words = `${EVENT_ARROWS[name] ?? ""}${name} `;
    const button = el(
      "button",
      { class: "rtnb-ev-chip", "aria-pressed": "false", "data-chip": name },
      words,
      count,
    );
    button.addEventListener("click", () => {
      const on = !this.chips.delete(name);
      if (on) this.chips.add(name);
      button.setAttribute("aria-pressed", String(on));
      this.#tell();
    });
    return button;
  }

  #switch(name, attributes, words) {
    const button = el("button", { "aria-pressed": "false", ...attributes }, words);
    button.addEventListener("click", () => {
      this[name] = !this[name];
      button.setAttribute("aria-pressed", String(this[name]));
      this.#tell();
    });
    return button;
  }

  #read() {
    if (this.search.value !== this.query) this.#tell();
  }

  #tell() {
    clearTimeout(this.typing);
    this.query = this.search.value;
    this.changed();
  }

  #key(event) {
    if (event.key === "Escape") this.search.value = "";
    else if (event.key !== "Enter" && event.key !== "ArrowDown") return;
    this.#read();
    this.leave();
    event.preventDefault();
    event.stopPropagation();
  }

  /** What is wanted, as the kernel takes it. */
  get want() {
    return { chips: [...this.chips], query: this.query, regex: this.regex, each: this.each };
  }

  /** Whether less is wanted than all. */
  get narrow() {
    return this.chips.size > 0 || this.query !== "";
  }

  focus() {
    this.search.focus();
    this.search.select();
  }

  /** Say how many events each chip stands for. */
  count(counts = {}) {
    for (const button of this.buttons) {
      const name = button.dataset.chip;
      const n = counts[name] ?? 0;
      const text = n.toLocaleString("en-US");
      if (button.lastChild.textContent === text) continue;
      button.lastChild.textContent = text;
      button.classList.toggle("rtnb-ev-none", n === 0);
      if (name === "errors") button.classList.toggle("rtnb-ev-bad", n > 0);
    }
  }

  close() {
    clearTimeout(this.typing);
  }
}
