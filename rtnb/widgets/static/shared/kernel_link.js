// A widget's link to the kernel: owner, captions, facts and loudspeaker, kept beyond any one view of it.
import { captionsAfter } from "./captions.js";
import { UNSEEN_MS } from "./dom.js";
import { Greeting } from "./handshake.js";
import { Player, sharedPage } from "./player.js";
import { cardNodes } from "./static_card.js";

const REPORT_MS = 200;

/** The links of this page by their widget's uid: initialize makes them, render finds them. */
export const PAGE_LINKS = new Map();

/**
 * One widget's link. Views subscribe with watch(). Of `hooks`, `onowner(owned)` hears whether this page plays and
 * listens, `onfacts()` that there are new facts, `onrefused()` that the kernel does not begin what the page asked for,
 * and `onunseen()` that nothing has shown the widget here for a moment: it was cleared away, not moved.
 */
export class PageLink {
  constructor(model, hooks = {}) {
    this.model = model;
    this.hooks = hooks;
    this.page = sharedPage().id;
    this.load = globalThis.crypto?.randomUUID?.() ?? String(Math.random()).slice(2);
    this.owner = "";
    this.lines = [];
    this.facts = {};
    this.columns = new Int8Array(0);
    this.player = null;
    this.problem = "";
    this.muted = false;
    this.greeting = null;
    this.lost = false;
    this.views = new Set();
    this.shown = 0;
    this.unseen = null;
    this.hushes = 0;
    this.hushed = "";
    this.reported = 0;
    this.onmessage = (message, buffers) => this.take(message, buffers ?? []);
    model.on("msg:custom", this.onmessage);
    this.onlive = () => this.tell({ kind: "here" }); // which fails where no kernel is left
    model.on("comm_live_update", this.onlive);
    this.oncard = () => this.quit();
    model.on("change:card", this.oncard);
    PAGE_LINKS.set(model.get("uid"), this);
  }

  /** Tell the kernel that somebody sees the widget here. */
  hello() {
    if (this.greeting) return;
    this.greeting = new Greeting(() => this.tell({ kind: "hello" }));
  }

  /**
   * Send to the kernel, which knows by `page` who speaks, and by `load` whether that page was loaded again. Where the
   * kernel is gone, as after a restart, the page falls silent and says so.
   */
  tell(message, buffers) {
    if (this.lost) return;
    try {
      this.model.send({ ...message, page: this.page, load: this.load }, undefined, buffers);
    } catch {
      this.lost = true;
      this.greeting?.answered();
      this.quit();
      this.changed();
    }
  }

  /** Play and listen no more. */
  quit() {
    this.silence();
    this.hooks.onowner?.(false);
  }

  /**
   * Show the widget in `host` until it is over, then its static card; return the end of that. `build()` makes the
   * live view: { root, done }.
   */
  show(host, build) {
    let done = () => {};
    const put = () => {
      done();
      const card = this.model.get("card");
      const view = card ? { root: cardNodes(card), done: () => {} } : build();
      host.replaceChildren(view.root);
      done = view.done;
      if (!card) this.hello();
    };
    this.model.on("change:card", put);
    put();
    this.shown += 1;
    clearTimeout(this.unseen);
    return () => {
      this.model.off("change:card", put);
      done();
      host.replaceChildren();
      this.shown -= 1;
      if (this.shown === 0) this.unseen = setTimeout(() => this.hooks.onunseen?.(), UNSEEN_MS);
    };
  }

  get owns() {
    return this.owner === this.page;
  }

  take(message, buffers) {
    if (message.page && message.page !== this.page) return;
    switch (message.kind) {
      case "line":
        this.lines = captionsAfter(this.lines, message);
        break;
      case "facts":
        this.facts = message;
        this.hooks.onfacts?.();
        if (buffers[0])
          this.columns = new Int8Array(
            buffers[0].buffer.slice(buffers[0].byteOffset, buffers[0].byteOffset + buffers[0].byteLength),
          );
        break;
      case "owner":
        this.greeting?.answered();
        this.owner = message.owner;
        if (!this.owns) this.silence();
        this.hooks.onowner?.(this.owns);
        break;
      case "refused":
        this.hooks.onrefused?.();
        break;
      case "begin":
        if (!this.hushed) this.loudspeaker().begin(message.item, message.played_ms);
        return;
      case "sound":
        if (!this.hushed) this.loudspeaker().sound(message.item, buffers[0]);
        return;
      case "end":
        if (!this.hushed) this.player?.end(message.item);
        return;
      case "hushed":
        if (message.id === this.hushed) this.hushed = "";
        return;
      case "flush":
        if (this.player) this.player.flush(message.id);
        else this.tell({ kind: "flushed", id: message.id, items: {} });
        return;
      default:
        return;
    }
    this.changed();
  }

  loudspeaker() {
    if (!this.player) {
      this.player = new Player((report) => this.report(report));
      this.player.onchange = () => this.changed();
      this.player.mute(this.muted);
    }
    return this.player;
  }

  /** Pass on what was played: at once at changes, and a few times a second in between. */
  report(report) {
    if (report.kind === "failed") {
      this.failed(report);
      return;
    }
    this.problem = "";
    const now = performance.now();
    const over = Object.values(report.items ?? {}).some((item) => item.over);
    if (report.moment === "count" && !over && now - this.reported < REPORT_MS) return;
    this.reported = now;
    this.tell(report);
    this.changed();
  }

  /** Say that nothing can be heard. What is on its way here is lost; what comes after the kernel knows is tried again. */
  failed(report) {
    this.problem = `This page cannot play sound: ${report.message}.`;
    this.silence();
    this.hushed = this.nextHush();
    this.tell({ ...report, hush: this.hushed });
    this.changed();
  }

  /** Ask for sound within a gesture of the user. */
  resume() {
    this.player?.resume();
  }

  mute(muted) {
    this.muted = muted;
    this.player?.mute(muted);
    this.changed();
  }

  takeOver() {
    this.tell({ kind: "take" });
  }

  /**
   * Be silent at once, before the kernel knows, and return a name for that which it is told. The counts of what was
   * played follow under this name. Until the kernel answers, what it sent before it knew is not played.
   */
  hush() {
    if (!this.player) return "";
    this.hushed = this.nextHush();
    this.player.flush(this.hushed);
    return this.hushed;
  }

  nextHush() {
    this.hushes += 1;
    return `page-${this.hushes}`;
  }

  silence() {
    this.player?.close();
    this.player = null;
    this.hushed = "";
  }

  /** How much of all sound was played here, in seconds. */
  get playedSeconds() {
    const items = Object.values(this.player?.items ?? {});
    return items.reduce((sum, item) => sum + item.played_ms, 0) / 1000;
  }

  watch(view) {
    this.views.add(view);
    return () => this.views.delete(view);
  }

  changed() {
    for (const view of this.views) view();
  }

  close() {
    clearTimeout(this.unseen);
    this.greeting?.answered();
    this.model.off("msg:custom", this.onmessage);
    this.model.off("comm_live_update", this.onlive);
    this.model.off("change:card", this.oncard);
    PAGE_LINKS.delete(this.model.get("uid"));
    this.silence();
    this.views.clear();
  }
}
