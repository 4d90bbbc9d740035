// A row of the event log on the screen. Rows are reused for whichever line scrolls into their place.

import { el, setText } from "../shared/dom.js";
import { formatCount, turnNumber } from "../shared/format.js";
import { formatEventTime } from "./virtual_list.js";

/** @typedef {import("./virtual_list.js").Line} Line */

/** @param {string} kind */
function gridCell(kind) {
  return el("span", { class: `rtnb-ev-${kind}`, role: "gridcell" });
}

export class EventRow {
  /**
   * @param {string} name
   * @param {number} number
   */
  constructor(name, number) {
    this.time = gridCell("time");
    this.side = gridCell("side");
    this.type = gridCell("type");
    this.words = gridCell("words");
    this.arrow = el("span", { "aria-hidden": "true" });
    this.description = el("span", { class: "rtnb-sr" });
    this.side.append(this.arrow, this.description);
    this.prefix = el("span", { class: "rtnb-ev-lead" });
    this.rest = el("span", {});
    this.count = el("span", { class: "rtnb-ev-often rtnb-num" });
    // A type is cut at its front, since its end matters more: its line runs from right to left.
    const type = el("span", { class: "rtnb-ev-name" }, el("bdi", { dir: "ltr" }, this.prefix, this.rest));
    this.type.append(type, this.count);
    const attributes = { class: "rtnb-ev-row", role: "row", id: `${name}-${number}` };
    this.node = el("div", attributes, this.time, this.side, this.type, this.words);
    this.shown = "";
    this.playing = false;
  }

  /**
   * Show a line; undefined is one that is not loaded, number -1 none.
   * @param {number} number
   * @param {Line | undefined} line
   * @param {{ selected: boolean, playing: number }} state  `playing` is the event that plays
   */
  show(number, line, { selected, playing }) {
    const event = line?.heading ? undefined : line;
    this.playing = event?.event === playing;
    const key = JSON.stringify([number, line, selected, this.playing]);
    if (key === this.shown) return;
    this.shown = key;
    const { node } = this;
    node.hidden = number < 0;
    if (number < 0) return;
    node.dataset.line = String(number);
    node.setAttribute("aria-rowindex", String(number + 1));
    node.setAttribute("aria-selected", String(selected));
    const side = event?.server ? "server" : "client";
    const classes = {
      "rtnb-ev-row": true,
      "rtnb-ev-heading": line?.heading,
      "rtnb-ev-selected": selected,
      "rtnb-ev-playing": this.playing,
      "rtnb-ev-bad": event?.bad,
      "rtnb-ev-unknown": !line,
      [`rtnb-ev-${side}`]: event,
    };
    const names = Object.entries(classes).flatMap(([name, on]) => (on ? [name] : []));
    node.className = names.join(" ");
    setText(this.time, line ? formatEventTime(line.t) : "");
    setText(this.words, line?.words ?? "");
    if (event) {
      const { type, count } = event;
      const cut = type.indexOf(".") + 1;
      setText(this.arrow, event.server ? "↓" : "↑");
      setText(this.description, `${side}${event.bad ? ", error" : ""}${this.playing ? ", playing" : ""}`);
      this.#setType(type.slice(0, cut), type.slice(cut), count > 1 ? ` (${formatCount(count)})` : "", type);
      this.prefix.classList.toggle("rtnb-ev-spare", cut > 0 && type.includes(".", cut));
    } else {
      setText(this.arrow, "");
      setText(this.description, "");
      this.#setType("", !line ? "…" : line.turn >= 0 ? `Turn ${turnNumber(line.turn)}` : "Session", "", "");
    }
  }

  /**
   * @param {string} prefix
   * @param {string} rest
   * @param {string} count
   * @param {string} title
   */
  #setType(prefix, rest, count, title) {
    setText(this.prefix, prefix);
    setText(this.rest, rest);
    setText(this.count, count);
    if (this.type.title !== title) this.type.title = title;
  }
}
