// The event log: as many lines as are seen, whatever their number; chips, search, one event in full, and its sound.

import { el, setText } from "../shared/dom.js";
import { ownKeys } from "../shared/shortcuts.js";
import { copyText, EventPane } from "./details.js";
import { EventSound } from "./event_player.js";
import { EventTools } from "./filter_bar.js";
import { EventFeed } from "./requests.js";
import { EventRow } from "./row.js";
import { EVENT_ROW, LineStore, lineKey, manyOf, ScrollMap } from "./virtual_list.js";

const EVENT_SETTLE = 160;
const EVENT_HOLD = 80;
const EVENT_HELP = "Arrows, Page, Home and End move. Enter opens, Escape closes. / searches. Space plays.";

class EventLogView {
  constructor(model) {
    this.follows = model.get("follows");
    this.follow = this.follows; // the reader is at the end, and stays there
    this.scroll = new ScrollMap();
    this.store = new LineStore();
    this.version = 0; // of what is wanted: answers to older questions are passed over
    this.seen = 0; // lines there were when the reader left the end
    this.selected = null; // { line, event }
    this.opened = null; // the event in the pane
    this.playing = null;
    this.rows = [];
    this.facts = {};
    this.ends = new AbortController();
    this.feed = new EventFeed(model, {
      lines: (message) => this.#lines(message),
      look: (message) => this.#looked(message),
      copy: (message) => this.#copied(message),
      sound: (message, bytes) => this.sound.give(message, bytes),
      grown: () => {
        this.store.age();
        this.ask();
      },
      slow: () => {
        this.#note("Waiting for the kernel …");
        this.ask();
      },
      gone: () => this.#note("The kernel is gone: run the cell again.", true),
    });
    this.tools = new EventTools({
      changed: () => this.#want(),
      leave: () => this.list.focus({ preventScroll: true }),
    });
    this.pane = new EventPane({
      look: (event) => this.#look(event),
      copy: (event, form) => this.feed.send({ type: "copy", event, form }),
      play: (message) => this.#play(message),
      close: () => this.#close(),
    });
    this.sound = new EventSound({
      ask: (event) => this.feed.send({ type: "sound", event }),
      heard: (what) => this.#heard(what),
      told: (words) => this.#note(words),
    });
    this.#build();
    const first = model.get("first");
    if (first?.lines) this.#lines({ ...first, version: 0 });
  }

  #build() {
    this.sheet = el("div", { role: "presentation" });
    this.window = el("div", { class: "rtnb-ev-window", role: "presentation" }, this.sheet);
    this.space = el("div", { class: "rtnb-ev-space", role: "presentation" }, this.window);
    const grid = {
      role: "grid",
      tabindex: 0,
      "aria-label": "Events",
      "aria-colcount": 4,
      "aria-readonly": "true",
    };
    this.list = el("div", { class: "rtnb-ev-list", ...grid }, this.space);
    this.turn = el("div", { class: "rtnb-ev-sticky rtnb-hidden", "aria-hidden": "true" });
    this.where = el("span", { class: "rtnb-ev-where", "aria-hidden": "true" }); // where the tab would hide words
    this.news = el("button", { class: "rtnb-ev-news rtnb-hidden" });
    this.empty = el("p", { class: "rtnb-ev-empty", role: "status" });
    this.count = el("span", { class: "rtnb-num" });
    this.note = el("span", { role: "status" });
    const help = el("span", { class: "rtnb-ev-help" }, EVENT_HELP);
    this.node = el(
      "div",
      { class: "rtnb rtnb-events", role: "group", "aria-label": "Event log" },
      this.tools.node,
      el(
        "div",
        { class: "rtnb-ev-body" },
        el("div", { class: "rtnb-ev-left" }, this.turn, this.list, this.empty, this.news),
        this.pane.node,
      ),
      this.sound.node,
      el(
        "div",
        { class: "rtnb-row rtnb-ev-foot rtnb-dim" },
        this.count,
        this.where,
        this.note,
        el("span", { class: "rtnb-grow" }),
        help,
      ),
    );
    const { signal } = this.ends;
    this.list.addEventListener("scroll", () => this.#scrolled(), { signal, passive: true });
    this.list.addEventListener("keydown", (event) => this.#key(event), { signal });
    // A followed list moves on under the pointer: what was pressed is meant, not what is there when it is let go.
    this.list.addEventListener(
      "pointerdown",
      (event) => (this.pressed = event.target.closest("[data-line]")?.dataset.line),
      { signal },
    );
    this.list.addEventListener("click", () => this.#click(), { signal });
    // A kernel that heard nothing from any page for long tells none of what is new.
    document.addEventListener("visibilitychange", () => document.hidden || this.ask(), { signal });
    this.news.addEventListener("click", () => this.#toEnd(), { signal });
    this.pane.node.addEventListener("keydown", (event) => event.key === "Escape" && this.#close(event), {
      signal,
    });
  }

  // Asking and hearing.

  /** Ask for what is seen and not known. */
  ask(extra = {}) {
    if (extra.find === undefined && !this.feed.free) return;
    const { first, count, view } = this.scroll;
    let question = { start: 0, stop: 0 };
    if (this.follow) question = { start: 0, stop: Math.ceil(view / EVENT_ROW) + 8, tail: true };
    else if (!this.store.total) question = { start: 0, stop: 64 };
    else {
      const range = this.store.missing(first - 4, count + 8);
      if (range) question = { start: range[0], stop: range[1] };
    }
    this.feed.ask({ want: this.tools.want, version: this.version, ...question, ...extra });
  }

  #lines(message) {
    if (this.note.textContent.startsWith("Waiting")) this.#note("");
    if (message.version !== this.version) {
      this.ask();
      return;
    }
    this.facts = message;
    this.store.take(message);
    this.resize();
    if (message.at >= 0) this.#found(message);
    if (this.follow) {
      this.seen = message.total;
      this.scroll.go(Infinity);
    }
    this.draw();
    const unknown = !message.error && this.store.missing(this.scroll.first, this.scroll.count) !== null;
    if (this.feed.again || unknown || message.whole === false) this.ask();
  }

  #found({ at, find }) {
    if (this.selected?.event === find) this.selected.line = at;
    this.follow = false;
    this.scroll.reveal(at);
  }

  #note(words, bad = false) {
    setText(this.note, words);
    this.note.classList.toggle("rtnb-error", bad);
  }

  /** Something else is wanted: begin anew, with what was selected in sight if it still is there. */
  #want() {
    this.version += 1;
    this.feed.forget();
    this.store.clear();
    this.seen = 0;
    if (!this.follow) this.scroll.go(0);
    const event = this.selected?.event;
    this.selected = event === null || event === undefined ? null : { line: -1, event };
    this.ask(this.selected ? { find: event } : {});
    this.draw();
  }

  // Scrolling.

  /** Take the lines there are, and the list's height, which is asked for only where it may have changed. */
  resize(measure = false) {
    if (measure || !this.tall) this.tall = this.list.clientHeight;
    this.scroll.resize(this.store.total, this.tall);
  }

  #scrolled() {
    const { scrollTop } = this.list;
    const own = this.quiet !== undefined && Math.abs(scrollTop - this.quiet) < 1;
    this.quiet = undefined;
    if (own) {
      this.scroll.at = scrollTop;
      return;
    }
    const to = this.scroll.moved(scrollTop);
    this.#stick();
    if (to !== null) this.#put(to);
    // The scroll bar is left alone until it rests: to set it would end the move.
    this.moving = true;
    clearTimeout(this.settling);
    this.settling = setTimeout(() => {
      this.moving = false;
      this.draw();
    }, EVENT_SETTLE);
    this.draw();
  }

  /** The reader stays at the end by being there, and leaves it by leaving. */
  #stick() {
    if (!this.scroll.maxTop) return; // a search may leave few lines: that is no leaving, and no coming
    const before = this.follow;
    this.follow = this.follows && this.scroll.atEnd;
    if (before && !this.follow) this.seen = this.store.total;
  }

  #put(place) {
    if (Math.abs(this.list.scrollTop - place) < 1) return;
    this.list.scrollTop = place;
    this.quiet = this.list.scrollTop;
    this.scroll.at = this.list.scrollTop;
  }

  #toEnd() {
    this.follow = this.follows;
    this.scroll.go(Infinity);
    this.ask();
    this.draw();
    this.list.focus({ preventScroll: true });
  }

  // Selecting and opening.

  #click() {
    if (this.pressed === undefined) return;
    this.select(Number(this.pressed));
    this.open();
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(this.scroll.view / EVENT_ROW) - 1);
    const back = ["ArrowUp", "PageUp", "End"].includes(event.key);
    const to = lineKey(event.key, this.#from(back), page, this.store.total);
    if (to !== null) this.select(to, back ? -1 : 1);
    else if (event.key === "Enter") this.open();
    else if (event.key === "Escape" && this.opened !== null) this.#close();
    else if (event.key === "/") this.tools.focus();
    else if (event.key === " " && this.sound.track) this.sound.toggle();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Where a key moves from: the selection, or else the edge of what is seen. */
  #from(back) {
    if (this.selected && this.selected.line >= 0) return this.selected.line;
    const { first, count } = this.scroll;
    return back || this.follow ? first + count : first - 1;
  }

  /** Select a line, or the next one that is no heading; what is not here yet is asked for first. */
  select(line, step = 1) {
    let to = line;
    if (this.store.get(to)?.heading) to += to + step < 0 || to + step >= this.store.total ? -step : step;
    const known = this.store.get(to);
    this.selected = {
      line: to,
      event: known && !known.heading ? known.event : null,
      open: this.opened !== null,
    };
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

  /** Open an event. Holding an arrow key down opens where it stops, and not all between. */
  #look(event) {
    const now = performance.now();
    const held = this.looked !== undefined && now - this.looked < EVENT_HOLD;
    this.looked = now;
    this.opened = event;
    clearTimeout(this.looking);
    this.looking = setTimeout(() => this.feed.send({ type: "look", event }), held ? EVENT_HOLD : 0);
  }

  #close(event) {
    event?.stopPropagation();
    this.opened = null;
    this.pane.hide();
    this.node.classList.remove("rtnb-ev-open");
    this.draw();
    this.list.focus({ preventScroll: true });
  }

  #looked(message) {
    if (message.event !== this.opened) return;
    this.sound.look(message.event, message.track);
    this.pane.show(message, this.tools.regex ? "" : this.tools.query);
    this.node.classList.add("rtnb-ev-open");
    ownKeys(this.node);
    this.resize(true);
    if (this.selected?.line >= 0) this.scroll.reveal(this.selected.line);
    this.draw();
  }

  async #copied({ text, form }) {
    const done = await copyText(text, this.node);
    this.#note(
      done
        ? `Copied as ${form === "python" ? "Python" : "JSON"}.`
        : "The browser does not let this page copy.",
      !done,
    );
    clearTimeout(this.copying);
    this.copying = setTimeout(() => this.note.textContent.startsWith("Copied") && this.#note(""), 2500);
  }

  // Sound.

  #play(message) {
    if (!message.track) {
      this.#note("This sound cannot be played: it is damaged.", true);
      return;
    }
    this.sound.look(message.event, message.track);
    this.sound.play();
  }

  /** The event of a line that plays; -1 for none. */
  #sounding(what) {
    return what ? (this.tools.each ? what.event : what.lead) : -1;
  }

  #heard(what) {
    const before = this.#sounding(this.playing);
    this.playing = what;
    const now = this.#sounding(what);
    if (before === now) return;
    const shown = this.rows.some((row) => row.playing);
    this.draw();
    if (now < 0 || !shown) return;
    // Who looks on goes along: the line that plays next may be below what is seen.
    const { first, count } = this.scroll;
    for (let line = first; line < first + count; line += 1) if (this.store.get(line)?.event === now) return;
    this.ask({ find: now });
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
    const { scroll, store } = this;
    if (!scroll.view) return;
    if (this.follow) scroll.go(Infinity);
    this.#resolve();
    const size = `${scroll.height} ${scroll.view}`;
    if (this.size !== size) {
      this.size = size;
      this.space.style.height = `${scroll.height}px`;
      this.window.style.height = `${Math.min(scroll.height, scroll.view)}px`;
    }
    this.sheet.style.transform = `translateY(${(scroll.first * EVENT_ROW - scroll.top).toFixed(1)}px)`;
    const { first, count } = scroll;
    while (this.rows.length < count) {
      const row = new EventRow(this.feed.name, this.rows.length);
      this.rows.push(row);
      this.sheet.append(row.node);
    }
    const sounding = this.#sounding(this.playing);
    this.rows.forEach((row, i) => {
      const line = first + i;
      row.show(i < count ? line : -1, store.get(line), {
        selected: this.selected?.line === line,
        playing: sounding,
      });
    });
    if (!this.moving) this.#put(scroll.place); // after all else: it has the list laid out
    const active =
      this.selected && this.selected.line < first + count ? this.rows[this.selected.line - first] : null;
    if (active) this.list.setAttribute("aria-activedescendant", active.node.id);
    else this.list.removeAttribute("aria-activedescendant");
    this.#say();
    if (store.missing(first, count)) this.ask();
  }

  /** Learn which event was selected, where its line had not come yet. */
  #resolve() {
    if (!this.selected || this.selected.event !== null) return;
    const known = this.store.get(this.selected.line);
    if (known?.heading) this.select(this.selected.line);
    else if (known) {
      this.selected.event = known.event;
      if (this.selected.open) this.#look(known.event);
    }
  }

  #say() {
    const { facts, store, scroll, tools } = this;
    this.list.setAttribute("aria-rowcount", store.total);
    const top = store.get(scroll.first);
    setText(this.turn, top && !top.heading && top.turn >= 0 && scroll.top > 0 ? `Turn ${top.turn}` : "");
    this.turn.classList.toggle("rtnb-hidden", !this.turn.textContent);
    setText(this.where, this.turn.textContent);
    const words = [manyOf(facts.size ?? 0, "event")];
    if (tools.narrow || tools.each) words.push(manyOf(store.total, "line"));
    if (facts.whole === false) {
      const done = tools.query ? facts.searched : facts.taken;
      words.push(`${tools.query ? "searched" : "read"} ${Math.floor((100 * done) / (facts.size || 1))} %`);
    }
    setText(this.count, words.join(" · "));
    tools.count(facts.counts);
    const more = this.follows && !this.follow ? store.total - this.seen : 0;
    setText(this.news, more > 0 ? `${more.toLocaleString("en-US")} new ↓` : "");
    this.news.classList.toggle("rtnb-hidden", more <= 0);
    const none =
      store.total || facts.whole === false ? "" : tools.narrow ? "No event fits." : "No events yet.";
    setText(this.empty, facts.error || none);
    this.empty.classList.toggle("rtnb-error", Boolean(facts.error));
  }

  close() {
    this.ended = true;
    this.ends.abort();
    for (const timer of [this.settling, this.looking, this.copying]) clearTimeout(timer);
    for (const part of [this.feed, this.tools, this.sound]) part.close();
  }
}

function render({ model, el: root }) {
  const view = new EventLogView(model);
  root.append(ownKeys(view.node));
  const resized = new ResizeObserver(() => {
    view.resize(true);
    view.draw();
  });
  resized.observe(view.list);
  view.draw();
  view.ask();
  return () => {
    resized.disconnect();
    view.close();
  };
}

export default { render };
