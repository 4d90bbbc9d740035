// One line of the event log on the screen, used for whichever line stands there.

import { el, setText } from "../shared/dom.js";
import { eventClock } from "./virtual_list.js";

export class EventRow {
  constructor(name, number) {
    const cell = (kind) => el("span", { class: `rtnb-ev-${kind}`, role: "gridcell" });
    [this.time, this.side, this.type, this.words] = ["time", "side", "type", "words"].map(cell);
    this.arrow = el("span", { "aria-hidden": "true" });
    this.who = el("span", { class: "rtnb-sr" });
    this.side.append(this.arrow, this.who);
    this.lead = el("span", { class: "rtnb-ev-lead" });
    this.rest = el("span", {});
    this.often = el("span", { class: "rtnb-ev-often rtnb-num" });
    // A name is cut at its front, since its end tells: it lies in a line that runs from right to left.
    const whole = el("span", { class: "rtnb-ev-name" }, el("bdi", { dir: "ltr" }, this.lead, this.rest));
    this.type.append(whole, this.often);
    this.node = el(
      "div",
      { class: "rtnb-ev-row", role: "row", id: `${name}-${number}` },
      this.time,
      this.side,
      this.type,
      this.words,
    );
    this.look = "";
  }

  show(line, told, { selected, playing }) {
    this.playing = Boolean(told && !told.heading && told.event === playing);
    const look = JSON.stringify([line, told, selected, this.playing]);
    if (look === this.look) return;
    this.look = look;
    const { node } = this;
    node.hidden = line < 0;
    if (line < 0) return;
    node.dataset.line = line;
    node.setAttribute("aria-rowindex", line + 1);
    node.setAttribute("aria-selected", String(selected));
    const heading = Boolean(told?.heading);
    const name = [
      "rtnb-ev-row",
      heading && "rtnb-ev-heading",
      selected && "rtnb-ev-selected",
      this.playing && "rtnb-ev-playing",
      told?.bad && "rtnb-ev-bad",
      !told && "rtnb-ev-unknown",
      told && !heading && (told.server ? "rtnb-ev-server" : "rtnb-ev-client"),
    ]
      .filter(Boolean)
      .join(" ");
    if (node.className !== name) node.className = name;
    setText(this.time, told ? eventClock(told.t) : "");
    setText(this.arrow, !told || heading ? "" : told.server ? "↓" : "↑");
    setText(
      this.who,
      !told || heading
        ? ""
        : `${told.server ? "server" : "client"}${told.bad ? ", error" : ""}${this.playing ? ", playing" : ""}`,
    );
    const cut = heading || !told ? -1 : told.type.indexOf(".") + 1;
    setText(this.lead, cut > 0 ? told.type.slice(0, cut) : "");
    this.lead.classList.toggle("rtnb-ev-spare", cut > 0 && told.type.includes(".", cut));
    setText(
      this.rest,
      !told
        ? "…"
        : heading
          ? told.turn >= 0
            ? `Turn ${told.turn}`
            : "Session"
          : told.type.slice(Math.max(cut, 0)),
    );
    setText(this.often, told && !heading && told.count > 1 ? ` (${told.count.toLocaleString("en-US")})` : "");
    const title = told && !heading ? told.type : "";
    if (this.type.title !== title) this.type.title = title;
    setText(this.words, told?.words ?? "");
  }
}
