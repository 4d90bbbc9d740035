// The event log: as many lines as are seen, whatever their number; chips, search, one event in full, and its sound.

import { el } from "./common.js";
import { EVENT_ROW, eventClock, lineKey, LineStore, manyOf, ScrollMap } from "./events-list.js";
import { EventSound } from "./events-sound.js";
import { JsonTree } from "./events-tree.js";
import { ownKeys } from "./keys.js";

const EVENT_CHIPS = ["client", "server", "audio", "text", "tools", "errors", "limits"];
const EVENT_CHIP_WORDS = {
  client: "↑ client",
  server: "↓ server",
};
const EVENT_PATIENCE = 3000;
const EVENT_SETTLE = 160;
const EVENT_TYPING = 180;
const EVENT_HELP = "Arrows, Page, Home and End move. Enter opens, Escape closes. / searches. Space plays.";
let eventViews = 0;

class EventLogView {
  constructor(model) {
    this.model = model;
    this.name = `rtnb-ev-${(eventViews += 1)}`;
    this.ends = new AbortController();
    this.scroll = new ScrollMap();
    this.store = new LineStore();
    this.chips = new Set();
    this.query = "";
    this.regex = false;
    this.each = false;
    this.follow = model.get("follows");
    this.version = 0; // of what is wanted: answers to older questions are passed over
    this.waiting = null;
    this.again = false;
    this.serial = 0;
    this.seen = 0; // lines there were when the reader left the end
    this.selected = null; // { line, event }
    this.opened = null; // the event in the pane
    this.playing = null;
    this.rows = [];
    this.facts = {};
    this.sound = new EventSound({
      ask: (event) => this.send({ type: "sound", event }),
      heard: (what) => this.#heard(what),
      told: (words) => this.#note(words),
    });
    this.#build();
    this.#listen();
    this.onmessage = (message, buffers) => this.#hear(message, buffers?.[0]);
    model.on("msg:custom", this.onmessage);
    this.onend = () => this.#gone();
    for (const name of ["comm:close", "comm_live_update"]) model.on(name, this.onend);
    const first = model.get("first");
    if (first?.lines) this.#lines({ ...first, version: 0 });
  }

  #build() {
    const chip = (name) => {
      const count = el("span", { class: "rtnb-ev-count rtnb-num" });
      const words = EVENT_CHIP_WORDS[name] ?? name;
      const button = el("button", { class: "rtnb-ev-chip", "aria-pressed": "false", "data-chip": name }, words, " ", count);
      button.addEventListener("click", () => this.#chip(name, button));
      return button;
    };
    this.chipButtons = EVENT_CHIPS.map(chip);
    this.search = el("input", { type: "search", class: "rtnb-ev-search", placeholder: "Search", "aria-label": "Search the events", spellcheck: "false", autocomplete: "off" });
    this.regexButton = el("button", { class: "rtnb-ev-regex", "aria-pressed": "false", title: "Regular expression", "aria-label": "Regular expression" }, ".*");
    this.eachButton = el("button", { class: "rtnb-ev-each", "aria-pressed": "false", title: "Show every delta in a row of its own" }, "every delta");
    this.count = el("span", { class: "rtnb-num" });
    this.note = el("span", { role: "status" });
    this.space = el("div", { class: "rtnb-ev-space", role: "presentation" });
    this.window = el("div", { class: "rtnb-ev-window", role: "presentation" });
    this.turn = el("div", { class: "rtnb-ev-sticky rtnb-hidden", "aria-hidden": "true" });
    this.sheet = el("div", { role: "presentation" });
    this.window.append(this.sheet);
    this.space.append(this.window);
    this.list = el(
      "div",
      { class: "rtnb-ev-list", role: "grid", tabindex: 0, "aria-label": "Events", "aria-colcount": 4, "aria-readonly": "true" },
      this.space,
    );
    this.news = el("button", { class: "rtnb-ev-news rtnb-hidden" });
    this.empty = el("p", { class: "rtnb-ev-empty rtnb-dim rtnb-hidden" });
    this.pane = el("div", { class: "rtnb-ev-pane rtnb-hidden", role: "region", "aria-label": "Event" });
    this.node = el(
      "div",
      { class: "rtnb rtnb-events", role: "group", "aria-label": "Event log" },
      el("div", { class: "rtnb-row rtnb-ev-tools" },
        el("span", { class: "rtnb-ev-find" }, this.search, this.regexButton),
        el("span", { class: "rtnb-row rtnb-ev-chips", role: "group", "aria-label": "Show only" }, ...this.chipButtons),
        this.eachButton,
      ),
      el("div", { class: "rtnb-ev-body" },
        el("div", { class: "rtnb-ev-left" }, this.turn, this.list, this.empty, this.news),
        this.pane,
      ),
      this.sound.node,
      el("div", { class: "rtnb-row rtnb-ev-foot rtnb-dim" }, this.count, this.note, el("span", { class: "rtnb-grow" }), el("span", { class: "rtnb-ev-help" }, EVENT_HELP)),
    );
  }

  #listen() {
    const { signal } = this.ends;
    const on = (node, name, handler, options = {}) => node.addEventListener(name, handler, { signal, ...options });
    on(this.list, "scroll", () => this.#scrolled(), { passive: true });
    on(this.list, "keydown", (event) => this.#key(event));
    on(this.list, "click", (event) => this.#click(event));
    on(this.search, "input", () => {
      clearTimeout(this.typing);
      this.typing = setTimeout(() => this.#want(), EVENT_TYPING);
    });
    on(this.search, "keydown", (event) => this.#searchKey(event));
    on(this.regexButton, "click", () => this.#press(this.regexButton, "regex"));
    on(this.eachButton, "click", () => this.#press(this.eachButton, "each"));
    on(this.news, "click", () => this.#toEnd());
    on(this.pane, "keydown", (event) => {
      if (event.key !== "Escape") return;
      this.#close();
      event.stopPropagation();
    });
  }

  // Asking and hearing.

  send(message) {
    if (this.dead) return;
    try {
      this.model.send({ ...message, view: this.name });
    } catch {
      this.#gone();
    }
  }

  get want() {
    return { chips: [...this.chips], query: this.query, regex: this.regex, each: this.each };
  }

  /** Ask for what is seen and not known; one question at a time, so that a slow kernel is never flooded. */
  ask(extra = {}) {
    if (this.waiting && !extra.find && performance.now() - this.waiting.since < EVENT_PATIENCE) {
      this.again = true;
      return;
    }
    this.again = false;
    const { first, count } = this.scroll;
    let question = { start: 0, stop: 0 };
    if (this.follow) question = { start: 0, stop: Math.ceil(this.scroll.view / EVENT_ROW) + 8, tail: true };
    else if (!this.store.total) question = { start: 0, stop: 64 };
    else {
      const range = this.store.missing(first - 4, count + 8);
      if (range) question = { start: range[0], stop: range[1] };
    }
    this.serial += 1;
    this.waiting = { serial: this.serial, since: performance.now() };
    clearTimeout(this.patience);
    this.patience = setTimeout(() => this.#slow(), EVENT_PATIENCE);
    this.send({ type: "lines", want: this.want, version: this.version, serial: this.serial, ...question, ...extra });
  }

  #slow() {
    if (!this.waiting || this.dead) return;
    this.#note("Waiting for the kernel …");
    this.ask();
  }

  #hear(message, data) {
    if (this.dead) return;
    if (message.type === "grown") {
      this.store.age();
      this.ask();
      return;
    }
    if (message.view !== this.name) return;
    if (message.type === "lines") this.#lines(message);
    else if (message.type === "look") this.#looked(message);
    else if (message.type === "copy") this.#copied(message);
    else if (message.type === "sound") this.sound.give(message, data ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice() : null);
  }

  #lines(message) {
    if (message.serial === this.waiting?.serial) {
      this.waiting = null;
      clearTimeout(this.patience);
      if (this.note.textContent.startsWith("Waiting")) this.#note("");
    }
    if (message.version !== this.version) {
      this.ask();
      return;
    }
    const fresh = this.store.total === 0;
    this.facts = message;
    this.store.take(message);
    this.#note(message.error || "", Boolean(message.error));
    this.resize();
    if (message.at >= 0 && message.find !== undefined) this.#found(message);
    if (this.follow) this.scroll.go(Infinity);
    else if (fresh && !this.selected) this.seen = this.store.total;
    this.draw();
    const unknown = !message.error && this.store.missing(this.scroll.first, this.scroll.count) !== null;
    if (this.again || unknown || message.whole === false) this.ask();
  }

  #found({ at, find }) {
    if (this.selected?.event === find) this.selected.line = at;
    this.follow = false;
    this.scroll.reveal(at);
  }

  #gone() {
    if (this.model.comm_live === true) return;
    this.dead = true;
    clearTimeout(this.patience);
    this.#note("The kernel is gone: run the cell again.", true);
  }

  #note(words, bad = false) {
    if (this.note.textContent !== words) this.note.textContent = words;
    this.note.classList.toggle("rtnb-error", bad);
  }

  // What is wanted.

  #chip(name, button) {
    const on = !this.chips.delete(name);
    if (on) this.chips.add(name);
    button.setAttribute("aria-pressed", String(on));
    this.#want(true);
  }

  #press(button, name) {
    this[name] = !this[name];
    button.setAttribute("aria-pressed", String(this[name]));
    this.#want(true);
  }

  #want(changed = false) {
    clearTimeout(this.typing);
    const query = this.search.value;
    if (query === this.query && !changed) return;
    this.query = query;
    this.version += 1;
    this.waiting = null;
    this.store.clear();
    this.seen = 0;
    if (!this.follow) this.scroll.go(0);
    this.ask(this.selected ? { find: this.selected.event } : {});
    this.draw();
  }

  // Scrolling.

  resize() {
    this.scroll.resize(this.store.total, this.list.clientHeight);
  }

  #scrolled() {
    if (this.quiet !== undefined && Math.abs(this.list.scrollTop - this.quiet) < 1) {
      this.quiet = undefined;
      this.scroll.at = this.list.scrollTop;
      return;
    }
    this.quiet = undefined;
    const to = this.scroll.moved(this.list.scrollTop);
    this.#stick();
    if (to !== null) this.#put(to);
    clearTimeout(this.settling);
    this.moving = true;
    this.settling = setTimeout(() => {
      this.moving = false;
      this.draw();
    }, EVENT_SETTLE);
    this.draw();
  }

  /** The reader stays at the end by being there, and leaves it by leaving. */
  #stick() {
    const before = this.follow;
    this.follow = this.model.get("follows") && this.scroll.atEnd;
    if (before && !this.follow) this.seen = this.store.total;
  }

  #put(place) {
    this.space.style.height = `${this.scroll.height}px`;
    if (Math.abs(this.list.scrollTop - place) < 1) return;
    this.list.scrollTop = place;
    this.quiet = this.list.scrollTop;
    this.scroll.at = this.list.scrollTop;
  }

  #toEnd() {
    this.follow = this.model.get("follows");
    this.scroll.go(Infinity);
    this.ask();
    this.draw();
    this.list.focus({ preventScroll: true });
  }

  // Selecting and opening.

  #click(event) {
    const row = event.target.closest("[data-line]");
    if (!row) return;
    this.select(Number(row.dataset.line));
    this.open();
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(this.scroll.view / EVENT_ROW) - 1);
    const from = this.selected?.line ?? (event.key === "ArrowUp" || event.key === "PageUp" ? this.store.total : this.follow ? this.store.total - 2 : this.scroll.first - 1);
    const to = lineKey(event.key, from, page, this.store.total);
    if (to !== null) this.select(to, event.key === "ArrowUp" || event.key === "PageUp" || event.key === "End" ? -1 : 1);
    else if (event.key === "Enter") this.open();
    else if (event.key === "Escape" && this.opened !== null) this.#close();
    else if (event.key === "/") {
      this.search.focus();
      this.search.select();
    } else if (event.key === " " && this.sound.track) this.sound.toggle();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #searchKey(event) {
    if (event.key === "Escape" && this.search.value) this.search.value = "";
    else if (event.key !== "Escape" && event.key !== "Enter" && event.key !== "ArrowDown") return;
    this.#want();
    if (event.key !== "Enter" || !this.note.classList.contains("rtnb-error")) this.list.focus({ preventScroll: true });
    event.preventDefault();
    event.stopPropagation();
  }

  /** Select a line, or the next one that is no heading; what is not here yet is asked for first. */
  select(line, step = 1) {
    let to = line;
    if (this.store.get(to)?.heading) to += to + step < 0 || to + step >= this.store.total ? -step : step;
    const known = this.store.get(to);
    this.selected = { line: to, event: known && !known.heading ? known.event : null, open: this.opened !== null };
    this.scroll.reveal(to);
    this.#stick();
    this.draw();
    if (this.selected.event === null) this.ask();
    else if (this.opened !== null) this.#look(this.selected.event);
  }

  open() {
    if (!this.selected) return;
    if (this.selected.event === null) this.selected.open = true;
    else this.#look(this.selected.event);
  }

  #look(event) {
    this.opened = event;
    clearTimeout(this.looking);
    // Holding an arrow key down asks for where it stops, and not for all between.
    this.looking = setTimeout(() => this.send({ type: "look", event }), this.looked && performance.now() - this.looked < 80 ? 80 : 0);
    this.looked = performance.now();
  }

  #close() {
    this.opened = null;
    this.pane.classList.add("rtnb-hidden");
    this.node.classList.remove("rtnb-ev-open");
    this.resize();
    this.draw();
    this.list.focus({ preventScroll: true });
  }

  #looked(message) {
    if (message.event !== this.opened) return;
    this.sound.look(message.event, message.track);
    const button = (label, words, act, disabled = false) => el("button", { "aria-label": label, title: label, onclick: act, disabled }, words);
    const step = (to) => () => this.#look(to);
    const steps = message.count > 1
      ? [
          button("Previous delta", "‹", step(message.before), message.before < 0),
          el("span", { class: "rtnb-num" }, `${(message.at + 1).toLocaleString("en-US")} of ${message.count.toLocaleString("en-US")}`),
          button("Next delta", "›", step(message.after), message.after < 0),
        ]
      : [];
    const bad = message.kind === "error" || message.kind.endsWith(".failed");
    const facts = [
      message.side === "client" ? "↑ client" : "↓ server",
      message.when,
      message.turn >= 0 ? `turn ${message.turn}` : "no turn",
      `${message.bytes.toLocaleString("en-US")} bytes`,
      `event ${message.index.toLocaleString("en-US")}`,
    ];
    const tree = new JsonTree(JSON.parse(message.json), {
      sounds: message.sounds,
      find: this.regex ? "" : this.query,
      label: `JSON of ${message.kind}`,
      play: () => this.sound.play(),
      changed: () => ownKeys(this.pane),
    });
    const focused = this.pane.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
    this.pane.replaceChildren(
      el("div", { class: "rtnb-row rtnb-ev-title" },
        el("b", { class: bad ? "rtnb-error" : "" }, message.kind),
        el("span", { class: "rtnb-grow" }),
        button("Close", "✕", () => this.#close()),
      ),
      el("div", { class: "rtnb-dim rtnb-num rtnb-ev-facts", title: new Date(message.wall * 1000).toISOString() }, facts.join(" · ")),
      el("div", { class: "rtnb-row rtnb-ev-acts" },
        button("Copy as JSON", "Copy JSON", () => this.send({ type: "copy", event: message.event, form: "json" })),
        button("Copy as Python", "Copy Python", () => this.send({ type: "copy", event: message.event, form: "python" })),
        ...steps,
      ),
      tree.node,
    );
    if (focused) [...this.pane.querySelectorAll("button")].find((each) => each.getAttribute("aria-label") === focused)?.focus();
    this.pane.classList.remove("rtnb-hidden");
    this.node.classList.add("rtnb-ev-open");
    ownKeys(this.node);
    this.resize();
    if (this.selected) this.scroll.reveal(this.selected.line);
    this.draw();
  }

  async #copied({ text, form }) {
    const what = form === "python" ? "Python" : "JSON";
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      if (!copyByHand(text, this.node)) {
        this.#note("The browser does not let this page copy.", true);
        return;
      }
    }
    this.#note(`Copied as ${what}.`);
    clearTimeout(this.copying);
    this.copying = setTimeout(() => this.note.textContent.startsWith("Copied") && this.#note(""), 2500);
  }

  // Sound.

  #heard(what) {
    const before = this.playing;
    if (before?.event === what?.event) return;
    this.playing = what;
    const key = (each) => (each ? (this.each ? each.event : each.lead) : -1);
    if (key(before) === key(what)) return;
    const shown = before && this.rows.some((row) => row.playing);
    this.draw();
    if (!what || !shown) return;
    const here = this.#visible().some((line) => this.store.get(line)?.event === key(what));
    if (!here) this.ask({ find: key(what) });
  }

  #visible() {
    const { first, count } = this.scroll;
    return Array.from({ length: count }, (_, i) => first + i);
  }

  // Drawing: once a frame, whatever happened.

  draw() {
    if (this.pending || this.ended) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      if (!this.ended) this.#paint();
    });
  }

  #paint() {
    this.resize();
    if (this.follow) this.scroll.go(Infinity);
    const { scroll, list } = this;
    if (!scroll.view) return;
    const known = this.selected && this.selected.event === null ? this.store.get(this.selected.line) : null;
    if (known && !known.heading) {
      this.selected.event = known.event;
      if (this.selected.open) this.#look(known.event);
    } else if (known?.heading) this.select(this.selected.line);
    const size = `${scroll.height} ${scroll.view}`;
    if (this.size !== size) {
      this.size = size;
      this.space.style.height = `${scroll.height}px`;
      this.window.style.height = `${Math.min(scroll.height, scroll.view)}px`;
    }
    if (!this.moving) this.#put(scroll.place); // else it is left alone until it rests
    this.sheet.style.transform = `translateY(${(scroll.first * EVENT_ROW - scroll.top).toFixed(1)}px)`;
    const { first, count } = scroll;
    while (this.rows.length < count) {
      const row = new EventRow(this.name, this.rows.length);
      this.rows.push(row);
      this.sheet.append(row.node);
    }
    for (let i = 0; i < this.rows.length; i += 1) {
      const line = first + i;
      this.rows[i].show(i < count ? line : -1, this.store.get(line), {
        selected: this.selected?.line === line,
        playing: this.playing ? (this.each ? this.playing.event : this.playing.lead) : -1,
      });
    }
    list.setAttribute("aria-rowcount", this.store.total);
    const active = this.selected && this.rows[this.selected.line - first];
    if (active && this.selected.line < first + count) list.setAttribute("aria-activedescendant", active.node.id);
    else list.removeAttribute("aria-activedescendant");
    this.#say();
    if (this.store.missing(first, count)) this.ask();
  }

  #say() {
    const { facts, store, scroll } = this;
    const top = store.get(scroll.first);
    const sticky = top && !top.heading && top.turn >= 0 && scroll.top > 0 ? `Turn ${top.turn}` : "";
    if (this.turn.textContent !== sticky) this.turn.textContent = sticky;
    this.turn.classList.toggle("rtnb-hidden", !sticky);
    const words = [manyOf(facts.size ?? 0, "event")];
    if (this.chips.size || this.query || this.each) words.push(manyOf(store.total, "line"));
    if (facts.whole === false) {
      const done = facts.size ? Math.floor((100 * (this.query ? facts.searched : facts.taken)) / facts.size) : 0;
      words.push(`${this.query ? "searched" : "read"} ${done} %`);
    }
    const text = words.join(" · ");
    if (this.count.textContent !== text) this.count.textContent = text;
    for (const button of this.chipButtons) {
      const n = facts.counts?.[button.dataset.chip] ?? 0;
      const count = n.toLocaleString("en-US");
      const shown = button.lastChild;
      if (shown.textContent !== count) shown.textContent = count;
      button.classList.toggle("rtnb-ev-none", n === 0);
      if (button.dataset.chip === "errors") button.classList.toggle("rtnb-ev-bad", n > 0);
    }
    const more = this.model.get("follows") && !this.follow ? store.total - this.seen : 0;
    const news = more > 0 ? `${more.toLocaleString("en-US")} new ↓` : "";
    if (this.news.textContent !== news) this.news.textContent = news;
    this.news.classList.toggle("rtnb-hidden", !news);
    const none = store.total ? "" : facts.whole === false ? "" : this.chips.size || this.query ? "No event fits." : "No events yet.";
    if (this.empty.textContent !== none) this.empty.textContent = none;
    this.empty.classList.toggle("rtnb-hidden", !none);
  }

  close() {
    this.ended = true;
    this.dead = true;
    this.ends.abort();
    for (const timer of [this.patience, this.typing, this.settling, this.looking, this.copying]) clearTimeout(timer);
    this.model.off("msg:custom", this.onmessage);
    for (const name of ["comm:close", "comm_live_update"]) this.model.off(name, this.onend);
    this.sound.close();
  }
}

/** One line on the screen, used for whichever line stands there. */
class EventRow {
  constructor(name, number) {
    const cell = (kind) => el("span", { class: `rtnb-ev-${kind}`, role: "gridcell" });
    [this.time, this.side, this.type, this.words] = ["time", "side", "type", "words"].map(cell);
    this.arrow = el("span", { "aria-hidden": "true" });
    this.who = el("span", { class: "rtnb-sr" });
    this.side.append(this.arrow, this.who);
    this.lead = el("span", { class: "rtnb-ev-lead" });
    this.rest = el("span", {});
    this.often = el("span", { class: "rtnb-ev-often rtnb-num" });
    this.type.append(this.lead, this.rest, this.often);
    this.node = el("div", { class: "rtnb-ev-row", role: "row", id: `${name}-${number}` }, this.time, this.side, this.type, this.words);
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
    node.className = [
      "rtnb-ev-row",
      heading && "rtnb-ev-heading",
      selected && "rtnb-ev-selected",
      this.playing && "rtnb-ev-playing",
      told?.bad && "rtnb-ev-bad",
      !told && "rtnb-ev-unknown",
      told && !heading && (told.server ? "rtnb-ev-server" : "rtnb-ev-client"),
    ].filter(Boolean).join(" ");
    this.time.textContent = told ? eventClock(told.t) : "";
    this.arrow.textContent = !told || heading ? "" : told.server ? "↓" : "↑";
    this.who.textContent = !told || heading ? "" : `${told.server ? "server" : "client"}${told.bad ? ", error" : ""}${this.playing ? ", playing" : ""}`;
    const cut = heading || !told ? -1 : told.type.indexOf(".") + 1;
    this.lead.textContent = cut > 0 ? told.type.slice(0, cut) : "";
    this.rest.textContent = !told ? "…" : heading ? (told.turn >= 0 ? `Turn ${told.turn}` : "Session") : told.type.slice(Math.max(cut, 0));
    this.often.textContent = told && !heading && told.count > 1 ? ` (${told.count.toLocaleString("en-US")})` : "";
    this.type.title = told && !heading ? told.type : "";
    this.words.textContent = told?.words ?? "";
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

function render({ model, el: root }) {
  const view = new EventLogView(model);
  root.append(ownKeys(view.node));
  const resized = new ResizeObserver(() => view.draw());
  resized.observe(view.list);
  view.draw();
  if (view.facts.whole === false || !view.store.total) view.ask();
  return () => {
    resized.disconnect();
    view.close();
  };
}

export default { render };
