// The event log's filters: a text or a regular expression, and chips.

import { el, setText } from "../shared/dom.js";
import { formatCount } from "../shared/format.js";

/** @typedef {import("./requests.js").EventFilter} EventFilter */

const CHIP_LABELS = {
  client: "↑ client",
  server: "↓ server",
  audio: "audio",
  text: "text",
  tools: "tools",
  errors: "errors",
  limits: "limits",
};
const TYPING_DELAY_MS = 180;

/**
 * @param {string} text
 * @param {ElementAttributes} attributes
 * @param {(on: boolean) => void} onToggle
 */
function toggleButton(text, attributes, onToggle) {
  const button = el("button", { "aria-pressed": "false", ...attributes }, text);
  button.addEventListener("click", () => {
    const on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(on));
    onToggle(on);
  });
  return button;
}

export class FilterBar {
  /**
   * @param {object} hooks
   * @param {() => void} hooks.onChange
   * @param {() => void} hooks.onLeave  a key returns to the list
   */
  constructor({ onChange, onLeave }) {
    this.onChange = onChange;
    this.onLeave = onLeave;
    /** @type {Set<string>} */
    this.chips = new Set();
    this.regex = false;
    this.each = false;
    this.query = "";
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.typing = undefined;
    this.buttons = Object.entries(CHIP_LABELS).map(([name, label]) => this.#chip(name, label));
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
      this.typing = setTimeout(() => this.#readSearch(), TYPING_DELAY_MS);
    });
    this.search.addEventListener("keydown", (event) => this.#onKey(event));
    const label = "Regular expression";
    const regex = toggleButton(".*", { class: "rtnb-ev-regex", title: label, "aria-label": label }, (on) => {
      this.regex = on;
      this.#changed();
    });
    const title = "Show each delta in its own row";
    const each = toggleButton("every delta", { class: "rtnb-ev-each", title }, (on) => {
      this.each = on;
      this.#changed();
    });
    const chips = { class: "rtnb-row rtnb-ev-chips", role: "group", "aria-label": "Show only" };
    this.node = el(
      "div",
      { class: "rtnb-row rtnb-ev-tools" },
      el("span", { class: "rtnb-ev-find" }, this.search, regex),
      el("span", chips, ...this.buttons.map(({ button }) => button)),
      each,
    );
  }

  /**
   * @param {string} name
   * @param {string} label
   */
  #chip(name, label) {
    const button = toggleButton(`${label} `, { class: "rtnb-ev-chip", "data-chip": name }, (on) => {
      if (on) this.chips.add(name);
      else this.chips.delete(name);
      this.#changed();
    });
    const count = el("span", { class: "rtnb-ev-count rtnb-num" });
    button.append(count);
    return { name, button, count };
  }

  #readSearch() {
    if (this.search.value !== this.query) this.#changed();
  }

  #changed() {
    clearTimeout(this.typing);
    this.query = this.search.value;
    this.onChange();
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    if (event.key === "Escape") this.search.value = "";
    else if (event.key !== "Enter" && event.key !== "ArrowDown") return;
    this.#readSearch();
    this.onLeave();
    event.preventDefault();
    event.stopPropagation();
  }

  /**
   * The filter as the kernel takes it.
   * @returns {EventFilter}
   */
  get filter() {
    return { chips: [...this.chips], query: this.query, regex: this.regex, each: this.each };
  }

  /** Whether the filter may hide events. */
  get active() {
    return this.chips.size > 0 || this.query !== "";
  }

  focus() {
    this.search.focus();
    this.search.select();
  }

  /**
   * Show how many events match each chip.
   * @param {Record<string, number>} counts
   */
  showCounts(counts = {}) {
    for (const { name, button, count } of this.buttons) {
      const n = counts[name] ?? 0;
      setText(count, formatCount(n));
      button.classList.toggle("rtnb-ev-none", n === 0);
      button.classList.toggle("rtnb-ev-bad", name === "errors" && n > 0);
    }
  }

  close() {
    clearTimeout(this.typing);
  }
}
