// The event log: a virtual list of any length with filters, the details of one event, and its audio.

import { el, setText, setVisible } from "../shared/dom.js";
import { countOf, formatCount, turnNumber } from "../shared/format.js";
import { suppressShortcuts } from "../shared/shortcuts.js";
import { copyText, EventDetails } from "./details.js";
import { EventPlayer } from "./event_player.js";
import { FilterBar } from "./filter_bar.js";
import { EventRequests } from "./requests.js";
import { EventRow } from "./row.js";
import { LineStore, lineKey, ROW_HEIGHT, ScrollMap } from "./virtual_list.js";

/** @typedef {import("./event_player.js").PlayingEvent} PlayingEvent */
/** @typedef {import("./requests.js").CopyMessage} CopyMessage */
/** @typedef {import("./requests.js").EventLogModel} EventLogModel */
/** @typedef {import("./requests.js").EventMessage} EventMessage */
/** @typedef {import("./requests.js").LinesMessage} LinesMessage */
/** @typedef {import("./requests.js").LogFacts} LogFacts */
/**
 * The selected line, -1 while it is unknown, and its event, null until the line is loaded. `open` opens it then.
 * @typedef {{ line: number, event: number | null, open?: boolean }} Selection
 */

const SETTLE_MS = 160;
const KEY_REPEAT_MS = 80;
const COPIED_MS = 2500;
const KEYS_HELP =
  "Arrow keys, Page Up/Down, Home, End: move. Enter: open. Esc: close. /: search. Space: play.";
const WAITING = "Waiting for the kernel …";

class EventLogView {
  /** @param {EventLogModel} model */
  constructor(model) {
    this.live = model.get("follows");
    this.follow = this.live; // the reader is at the end, and stays there as events arrive
    this.scroll = new ScrollMap();
    this.store = new LineStore();
    this.version = 0; // of the filter: answers to earlier ones are ignored
    this.seen = 0; // number of lines when the reader left the end
    /** @type {Selection | null} */
    this.selected = null;
    /** @type {number | null} */
    this.opened = null; // the event in the details
    /** @type {PlayingEvent | null} */
    this.playing = null;
    /** @type {EventRow[]} */
    this.rows = [];
    /** @type {Partial<LogFacts>} */
    this.facts = {};
    this.listeners = new AbortController();
    this.listHeight = 0;
    this.size = "";
    this.pending = false;
    this.closed = false;
    this.scrolling = false;
    /** @type {number | undefined} */
    this.ownScroll = undefined; // the position that this view set, to distinguish it from the reader's scrolling
    /** @type {string | undefined} */
    this.pressed = undefined;
    this.openedAt = -Infinity;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.settleTimer = undefined;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.openTimer = undefined;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.copyTimer = undefined;

    this.requests = new EventRequests(model, {
      onLines: (message) => this.#onLines(message),
      onEvent: (message) => this.#onEvent(message),
      onCopy: (message) => this.#onCopy(message),
      onAudio: (message, bytes) => this.player.load(message, bytes),
      onGrown: () => {
        this.store.invalidate();
        this.request();
      },
      onSlow: () => {
        this.#setNote(WAITING);
        this.request();
      },
      onDisconnect: () => this.#setNote("The kernel is gone: run the cell again.", true),
    });
    this.filters = new FilterBar({
      onChange: () => this.#onFilter(),
      onLeave: () => this.#focusList(),
    });
    this.details = new EventDetails({
      open: (event) => this.#openEvent(event),
      copy: (event, form) => this.requests.send({ type: "copy", event, form }),
      play: (message) => this.#play(message),
      close: () => this.#closeDetails(),
    });
    this.player = new EventPlayer({
      request: (event) => this.requests.send({ type: "audio", event }),
      onProgress: (playing) => this.#onProgress(playing),
      onNote: (note) => this.#setNote(note),
    });

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
    this.footTurn = el("span", { class: "rtnb-ev-where", "aria-hidden": "true" }); // in place of `turn` if narrow
    this.newEvents = el("button", { class: "rtnb-ev-news rtnb-hidden" });
    this.empty = el("p", { class: "rtnb-ev-empty", role: "status" });
    this.count = el("span", { class: "rtnb-num" });
    this.note = el("span", { role: "status" });
    this.node = el(
      "div",
      { class: "rtnb rtnb-events", role: "group", "aria-label": "Event log" },
      this.filters.node,
      el(
        "div",
        { class: "rtnb-ev-body" },
        el("div", { class: "rtnb-ev-left" }, this.turn, this.list, this.empty, this.newEvents),
        this.details.node,
      ),
      this.player.node,
      el(
        "div",
        { class: "rtnb-row rtnb-ev-foot rtnb-dim" },
        this.count,
        this.footTurn,
        this.note,
        el("span", { class: "rtnb-grow" }),
        el("span", { class: "rtnb-ev-help" }, KEYS_HELP),
      ),
    );
    this.#listen();
    const first = model.get("first");
    if (first?.lines) this.#onLines(/** @type {LinesMessage} */ ({ ...first, version: 0 }));
  }

  #listen() {
    const { list } = this;
    const { signal } = this.listeners;
    list.addEventListener("scroll", () => this.#onScroll(), { signal, passive: true });
    list.addEventListener("keydown", (event) => this.#onKey(event), { signal });
    // A list that follows moves under the pointer: the row that was pressed counts, not where the button is released.
    const onPress = (/** @type {PointerEvent} */ { target }) => {
      const row = target instanceof Element ? target.closest("[data-line]") : null;
      this.pressed = row instanceof HTMLElement ? row.dataset.line : undefined;
    };
    list.addEventListener("pointerdown", onPress, { signal });
    list.addEventListener("click", () => this.#onClick(), { signal });
    // A kernel that no page has asked for long stops announcing new events.
    const onVisible = () => {
      if (!document.hidden) this.request();
    };
    document.addEventListener("visibilitychange", onVisible, { signal });
    this.newEvents.addEventListener("click", () => this.#scrollToEnd(), { signal });
    const onEscape = (/** @type {KeyboardEvent} */ event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      this.#closeDetails();
    };
    this.details.node.addEventListener("keydown", onEscape, { signal });
  }

  // Requests and answers.

  /**
   * Request the visible lines that are missing. With `find`, the answer says in which line that event is.
   * @param {number | null} find
   */
  request(find = null) {
    if (find === null && !this.requests.ready) return;
    const { first, count, view } = this.scroll;
    const common = { filter: this.filters.filter, version: this.version, ...(find === null ? {} : { find }) };
    if (this.follow) {
      const stop = Math.ceil(view / ROW_HEIGHT) + 8;
      this.requests.requestLines({ ...common, start: 0, stop, tail: true });
      return;
    }
    const missing = this.store.total ? this.store.missing(first - 4, count + 8) : [0, 64];
    const [start, stop] = missing ?? [0, 0];
    this.requests.requestLines({ ...common, start, stop });
  }

  /** @param {LinesMessage} message */
  #onLines(message) {
    if (this.note.textContent === WAITING) this.#setNote("");
    if (message.version !== this.version) {
      this.request();
      return;
    }
    this.facts = message;
    this.store.put(message);
    this.resize();
    if (message.at !== undefined && message.at >= 0) this.#showFound(message.at, message.find);
    if (this.follow) {
      this.seen = message.total;
      this.scroll.go(Infinity);
    }
    this.draw();
    const missing = !message.error && this.store.missing(this.scroll.first, this.scroll.count) !== null;
    if (this.requests.again || missing || message.whole === false) this.request();
  }

  /**
   * @param {number} line
   * @param {number | undefined} event
   */
  #showFound(line, event) {
    if (this.selected && this.selected.event === event) this.selected.line = line;
    this.follow = false;
    this.scroll.reveal(line);
  }

  /** @param {string} note */
  #setNote(note, bad = false) {
    setText(this.note, note);
    this.note.classList.toggle("rtnb-error", bad);
  }

  /** The filter changed: start over, with the selected event in view if it still matches. */
  #onFilter() {
    this.version += 1;
    this.requests.cancel();
    this.store.clear();
    this.seen = 0;
    if (!this.follow) this.scroll.go(0);
    const event = this.selected?.event ?? null;
    this.selected = event === null ? null : { line: -1, event };
    this.request(event);
    this.draw();
  }

  // Scrolling.

  /** Update the number of lines, and the list's height if it may have changed: reading it forces a layout. */
  resize(measure = false) {
    if (measure || !this.listHeight) this.listHeight = this.list.clientHeight;
    this.scroll.resize(this.store.total, this.listHeight);
  }

  #onScroll() {
    const { scrollTop } = this.list;
    const own = this.ownScroll !== undefined && Math.abs(scrollTop - this.ownScroll) < 1;
    this.ownScroll = undefined;
    if (own) {
      this.scroll.at = scrollTop;
      return;
    }
    const to = this.scroll.moved(scrollTop);
    this.#updateFollow();
    if (to !== null) this.#setScroll(to);
    // The scroll bar is left alone until it rests: setting it would end the reader's gesture.
    this.scrolling = true;
    clearTimeout(this.settleTimer);
    this.settleTimer = setTimeout(() => {
      this.scrolling = false;
      this.draw();
    }, SETTLE_MS);
    this.draw();
  }

  /** Follow new events while the reader is at the end. */
  #updateFollow() {
    if (!this.scroll.maxTop) return; // a search may leave too few lines to scroll
    const before = this.follow;
    this.follow = this.live && this.scroll.atEnd;
    if (before && !this.follow) this.seen = this.store.total;
  }

  /** @param {number} position */
  #setScroll(position) {
    if (Math.abs(this.list.scrollTop - position) < 1) return;
    this.list.scrollTop = position;
    this.ownScroll = this.list.scrollTop;
    this.scroll.at = this.list.scrollTop;
  }

  #scrollToEnd() {
    this.follow = this.live;
    this.scroll.go(Infinity);
    this.request();
    this.draw();
    this.#focusList();
  }

  #focusList() {
    this.list.focus({ preventScroll: true });
  }

  // Selecting and opening.

  #onClick() {
    if (this.pressed === undefined) return;
    this.select(Number(this.pressed));
    this.open();
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(this.scroll.view / ROW_HEIGHT) - 1);
    const back = ["ArrowUp", "PageUp", "End"].includes(event.key);
    const to = lineKey(event.key, this.#currentLine(back), page, this.store.total);
    if (to !== null) this.select(to, back ? -1 : 1);
    else if (event.key === "Enter") this.open();
    else if (event.key === "Escape" && this.opened !== null) this.#closeDetails();
    else if (event.key === "/") this.filters.focus();
    else if (event.key === " " && this.player.track) this.player.toggle();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /**
   * Return where a key moves from: the selection, or else an edge of the visible lines.
   * @param {boolean} back
   */
  #currentLine(back) {
    if (this.selected && this.selected.line >= 0) return this.selected.line;
    const { first, count } = this.scroll;
    return back || this.follow ? first + count : first - 1;
  }

  /**
   * Select a line, or if it is a heading the next one. A line that is not loaded is requested first.
   * @param {number} line
   */
  select(line, step = 1) {
    let to = line;
    if (this.store.get(to)?.heading) to += to + step < 0 || to + step >= this.store.total ? -step : step;
    const known = this.store.get(to);
    const event = known && !known.heading ? known.event : null;
    this.selected = { line: to, event, open: this.opened !== null };
    this.scroll.reveal(to);
    this.#updateFollow();
    this.draw();
    if (event === null) this.request();
    else if (this.opened !== null) this.#openEvent(event);
  }

  open() {
    if (!this.selected) return;
    if (this.selected.event === null) this.selected.open = true;
    else this.#openEvent(this.selected.event);
  }

  /**
   * Open an event. While an arrow key is held, only the event where it stops is opened.
   * @param {number} event
   */
  #openEvent(event) {
    const now = performance.now();
    const repeated = now - this.openedAt < KEY_REPEAT_MS;
    this.openedAt = now;
    this.opened = event;
    clearTimeout(this.openTimer);
    const delay = repeated ? KEY_REPEAT_MS : 0;
    this.openTimer = setTimeout(() => this.requests.send({ type: "event", event }), delay);
  }

  #closeDetails() {
    this.opened = null;
    this.details.hide();
    this.node.classList.remove("rtnb-ev-open");
    this.draw();
    this.#focusList();
  }

  /** @param {EventMessage} message */
  #onEvent(message) {
    if (message.event !== this.opened) return;
    this.player.open(message.event, message.track);
    this.details.show(message, this.filters.regex ? "" : this.filters.query);
    this.node.classList.add("rtnb-ev-open");
    suppressShortcuts(this.node);
    this.resize(true);
    if (this.selected && this.selected.line >= 0) this.scroll.reveal(this.selected.line);
    this.draw();
  }

  /** @param {CopyMessage} message */
  async #onCopy({ text, form }) {
    const done = await copyText(text, this.node);
    const copied = `Copied as ${form === "python" ? "Python" : "JSON"}.`;
    this.#setNote(done ? copied : "The browser blocked copying.", !done);
    clearTimeout(this.copyTimer);
    this.copyTimer = setTimeout(() => {
      if (this.note.textContent === copied) this.#setNote("");
    }, COPIED_MS);
  }

  // Audio.

  /** @param {EventMessage} message */
  #play(message) {
    if (!message.track) {
      this.#setNote("This audio is damaged and cannot be played.", true);
      return;
    }
    this.player.open(message.event, message.track);
    this.player.play();
  }

  /** The event whose row is marked as playing; -1 for none. */
  get playingRow() {
    if (!this.playing) return -1;
    return this.filters.each ? this.playing.event : this.playing.lead;
  }

  /** @param {PlayingEvent | null} playing */
  #onProgress(playing) {
    const before = this.playingRow;
    this.playing = playing;
    const now = this.playingRow;
    if (before === now) return;
    const wasVisible = this.rows.some((row) => row.playing);
    this.draw();
    if (now < 0 || !wasVisible) return;
    // If the playing row was in view, keep it there: the next one may be below the visible lines.
    const { first, count } = this.scroll;
    for (let number = first; number < first + count; number += 1) {
      const line = this.store.get(number);
      if (line && !line.heading && line.event === now) return;
    }
    this.request(now);
  }

  // Drawing, at most once a frame.

  draw() {
    if (this.pending || this.closed) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      if (!this.closed) this.#paint();
    });
  }

  #paint() {
    this.resize();
    const { scroll, store } = this;
    if (!scroll.view) return;
    if (this.follow) scroll.go(Infinity);
    this.#resolveSelection();
    const size = `${scroll.height} ${scroll.view}`;
    if (this.size !== size) {
      this.size = size;
      this.space.style.height = `${scroll.height}px`;
      this.window.style.height = `${Math.min(scroll.height, scroll.view)}px`;
    }
    const { first, count } = scroll;
    this.sheet.style.transform = `translateY(${(first * ROW_HEIGHT - scroll.top).toFixed(1)}px)`;
    while (this.rows.length < count) {
      const row = new EventRow(this.requests.name, this.rows.length);
      this.rows.push(row);
      this.sheet.append(row.node);
    }
    const playing = this.playingRow;
    for (const [i, row] of this.rows.entries()) {
      const number = first + i;
      const selected = this.selected?.line === number;
      row.show(i < count ? number : -1, store.get(number), { selected, playing });
    }
    if (!this.scrolling) this.#setScroll(scroll.place); // last, since it forces a layout of the list
    const line = this.selected?.line ?? -1;
    const active = line < first + count ? this.rows[line - first] : undefined;
    if (active) this.list.setAttribute("aria-activedescendant", active.node.id);
    else this.list.removeAttribute("aria-activedescendant");
    this.#updateLabels();
    if (store.missing(first, count)) this.request();
  }

  /** Learn which event is selected once its line is loaded. */
  #resolveSelection() {
    if (!this.selected || this.selected.event !== null) return;
    const line = this.store.get(this.selected.line);
    if (line?.heading) this.select(this.selected.line);
    else if (line) {
      this.selected.event = line.event;
      if (this.selected.open) this.#openEvent(line.event);
    }
  }

  #updateLabels() {
    const { facts, store, scroll, filters } = this;
    const { size = 0, whole, searched = 0, read = 0 } = facts;
    this.list.setAttribute("aria-rowcount", String(store.total));
    const top = store.get(scroll.first);
    const turn = top && !top.heading && top.turn >= 0 && scroll.top > 0 ? `Turn ${turnNumber(top.turn)}` : "";
    setText(this.turn, turn);
    setVisible(this.turn, turn !== "");
    setText(this.footTurn, turn);
    const counts = [countOf(size, "event")];
    if (filters.active || filters.each) counts.push(countOf(store.total, "line"));
    if (whole === false) {
      const [verb, done] = filters.query ? ["searched", searched] : ["read", read];
      counts.push(`${verb} ${Math.floor((100 * done) / (size || 1))} %`);
    }
    setText(this.count, counts.join(" · "));
    filters.showCounts(facts.counts);
    const added = this.live && !this.follow ? store.total - this.seen : 0;
    setText(this.newEvents, added > 0 ? `${formatCount(added)} new ↓` : "");
    setVisible(this.newEvents, added > 0);
    const none = filters.active ? "No matching events." : "No events yet.";
    setText(this.empty, facts.error || (store.total || whole === false ? "" : none));
    this.empty.classList.toggle("rtnb-error", Boolean(facts.error));
  }

  close() {
    this.closed = true;
    this.listeners.abort();
    for (const timer of [this.settleTimer, this.openTimer, this.copyTimer]) clearTimeout(timer);
    for (const part of [this.requests, this.filters, this.player]) part.close();
  }
}

/**
 * @param {RenderProps<EventLogModel>} props
 * @returns {Cleanup}
 */
function render({ model, el: root }) {
  const view = new EventLogView(model);
  root.append(suppressShortcuts(view.node));
  const observer = new ResizeObserver(() => {
    view.resize(true);
    view.draw();
  });
  observer.observe(view.list);
  view.draw();
  view.request();
  return () => {
    observer.disconnect();
    view.close();
  };
}

export default { render };
