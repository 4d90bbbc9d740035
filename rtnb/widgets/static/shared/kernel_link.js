// The connection of a live widget to the kernel: owner, captions, facts and playback, kept beyond any one view.
import { int8View } from "./buffers.js";
import { captionsAfter } from "./captions.js";
import { REMOVED_AFTER_MS, uniqueId } from "./dom.js";
import { Handshake } from "./handshake.js";
import { Player, sharedPage } from "./player.js";
import { attachPlayers, cardNodes } from "./static_card.js";

/** @typedef {import("./captions.js").Caption} Caption */
/** @typedef {import("./captions.js").CaptionMessage} CaptionMessage */
/** @typedef {import("./player.js").PlaybackFailure} PlaybackFailure */
/** @typedef {import("./player.js").PlaybackReport} PlaybackReport */
/** @typedef {{ uid: string, card: string, question?: string }} LinkTraits */
/**
 * What the kernel sends; `page` is the only page that it is for.
 * @template Facts
 * @typedef {{ page?: string } & (
 *   { kind: "line" } & CaptionMessage
 *   | { kind: "facts" } & Facts
 *   | { kind: "owner", owner: string }
 *   | { kind: "refused" }
 *   | { kind: "begin", item: string, rendered_ms: number }
 *   | { kind: "audio", item: string }
 *   | { kind: "end", item: string }
 *   | { kind: "playback_stopped", id: string }
 *   | { kind: "flush", id: string }
 * )} KernelMessage
 */
/**
 * @template {object} Facts
 * @typedef {WidgetModel<LinkTraits, KernelMessage<Facts>>} LinkModel
 */
/**
 * @typedef {object} LinkHooks
 * @property {(owned: boolean) => void} [onOwner]  this page now plays and listens, or no longer does
 * @property {() => void} [onFacts]
 * @property {() => void} [onRefused]  the kernel does not begin what this page asked for
 * @property {() => void} [onRemoved]  the widget has had no view here for a while: it was cleared, not moved
 */
/** @typedef {{ root: Node, close: Cleanup }} LinkView */

const REPORT_INTERVAL_MS = 200;

/**
 * One widget's link. Views subscribe with watch().
 * @template {object} Facts
 */
export class KernelLink {
  /**
   * @param {LinkModel<Facts>} model
   * @param {LinkHooks} hooks
   */
  constructor(model, hooks = {}) {
    this.model = model;
    this.hooks = hooks;
    this.page = sharedPage().id;
    this.load = uniqueId();
    this.owner = "";
    /** @type {Caption[]} */
    this.lines = [];
    /** @type {Partial<Facts>} */
    this.facts = {};
    this.columns = new Int8Array(0);
    /** @type {Player | null} */
    this.player = null;
    this.problem = "";
    this.muted = false;
    /** @type {Handshake | null} */
    this.handshake = null;
    this.disconnected = false;
    /** @type {Set<() => void>} */
    this.watchers = new Set();
    this.shown = 0;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.removal = undefined;
    this.stops = 0;
    this.pendingStop = "";
    this.reported = 0;
    /** @type {(message: KernelMessage<Facts>, buffers: DataView[]) => void} */
    this.onMessage = (message, buffers) => this.receive(message, buffers ?? []);
    this.onLive = () => this.send({ kind: "here" }); // it fails if no kernel is left
    this.onCard = () => this.release();
    model.on("msg:custom", this.onMessage);
    model.on("comm_live_update", this.onLive);
    model.on("change:card", this.onCard);
  }

  /** Notify the kernel that the widget is shown here. */
  greet() {
    this.handshake ??= new Handshake(() => this.send({ kind: "hello" }));
  }

  /**
   * Send to the kernel, which knows by `page` who speaks, and by `load` whether that page was reloaded. If the kernel
   * is gone, as after a restart, the page stops playing and says so.
   * @param {object} message
   * @param {ArrayBuffer[]} [buffers]
   */
  send(message, buffers) {
    if (this.disconnected) return;
    try {
      this.model.send({ ...message, page: this.page, load: this.load }, undefined, buffers);
    } catch {
      this.disconnected = true;
      this.handshake?.stop();
      this.release();
      this.changed();
    }
  }

  /** Stop playing and listening. */
  release() {
    this.closePlayer();
    this.hooks.onOwner?.(false);
  }

  /**
   * Show the live view that `build()` makes in `host`, and the static card once there is one.
   * @param {{ replaceChildren(...nodes: Node[]): void }} host
   * @param {() => LinkView} build
   * @returns {Cleanup}
   */
  show(host, build) {
    /** @type {Cleanup} */
    let close = () => {};
    const put = () => {
      close();
      const card = this.model.get("card");
      const view = card ? { root: cardNodes(card), close: () => {} } : build();
      host.replaceChildren(view.root);
      if (card) attachPlayers(document);
      close = view.close;
      if (!card) this.greet();
    };
    this.model.on("change:card", put);
    put();
    this.shown += 1;
    clearTimeout(this.removal);
    return () => {
      this.model.off("change:card", put);
      close();
      host.replaceChildren();
      this.shown -= 1;
      if (this.shown === 0) this.removal = setTimeout(() => this.hooks.onRemoved?.(), REMOVED_AFTER_MS);
    };
  }

  /** Whether this page plays and listens. */
  get owns() {
    return this.owner === this.page;
  }

  /**
   * @param {KernelMessage<Facts>} message
   * @param {DataView[]} buffers
   */
  receive(message, buffers) {
    if (message.page && message.page !== this.page) return;
    switch (message.kind) {
      case "line":
        this.lines = captionsAfter(this.lines, message);
        break;
      case "facts":
        this.facts = message;
        this.hooks.onFacts?.();
        if (buffers[0]) this.columns = int8View(buffers[0]).slice();
        break;
      case "owner":
        this.handshake?.stop();
        this.owner = message.owner;
        if (!this.owns) this.closePlayer();
        this.hooks.onOwner?.(this.owns);
        break;
      case "refused":
        this.hooks.onRefused?.();
        break;
      case "begin":
        if (!this.pendingStop) this.openPlayer().begin(message.item, message.rendered_ms);
        return;
      case "audio":
        if (!this.pendingStop) this.openPlayer().push(message.item, buffers[0]);
        return;
      case "end":
        if (!this.pendingStop) this.player?.end(message.item);
        return;
      case "playback_stopped":
        if (message.id === this.pendingStop) this.pendingStop = "";
        return;
      case "flush":
        if (this.player) this.player.flush(message.id);
        else this.send({ kind: "flushed", id: message.id, items: {} });
        return;
      default:
        return;
    }
    this.changed();
  }

  /** Return the player, created on first use. */
  openPlayer() {
    if (!this.player) {
      this.player = new Player((report) => this.report(report));
      this.player.onChange = () => this.changed();
      this.player.mute(this.muted);
    }
    return this.player;
  }

  /**
   * Pass on what was played: changes at once, progress a few times a second.
   * @param {PlaybackReport} report
   */
  report(report) {
    if (report.kind === "failed") {
      this.fail(report);
      return;
    }
    this.problem = "";
    const now = performance.now();
    const done = Object.values(report.items).some((item) => item.done);
    const progress = report.kind === "played" && report.moment === "count" && !done;
    if (progress && now - this.reported < REPORT_INTERVAL_MS) return;
    this.reported = now;
    this.send(report);
    this.changed();
  }

  /**
   * Report that playback failed. Audio already on its way is lost; what the kernel sends after it knows is tried again.
   * @param {PlaybackFailure} report
   */
  fail(report) {
    this.problem = `Playback failed: ${report.message}.`;
    this.closePlayer();
    this.pendingStop = this.#nextStop();
    this.send({ ...report, stop_id: this.pendingStop });
    this.changed();
  }

  /** Start the audio output, within a gesture of the user. */
  resume() {
    this.player?.resume();
  }

  /** @param {boolean} muted */
  mute(muted) {
    this.muted = muted;
    this.player?.mute(muted);
    this.changed();
  }

  takeOver() {
    this.send({ kind: "take_over" });
  }

  /**
   * Stop playback at once, before the kernel knows, and return the id of this stop for the message that reports it.
   * A report of what was played follows under this id. Until the kernel acknowledges it, what it sends is not played.
   */
  stopPlayback() {
    if (!this.player) return "";
    this.pendingStop = this.#nextStop();
    this.player.flush(this.pendingStop);
    return this.pendingStop;
  }

  #nextStop() {
    this.stops += 1;
    return `page-${this.stops}`;
  }

  closePlayer() {
    this.player?.close();
    this.player = null;
    this.pendingStop = "";
  }

  /** How much audio was played here, in seconds. */
  get playedSeconds() {
    const items = Object.values(this.player?.items ?? {});
    return items.reduce((sum, item) => sum + item.played_ms, 0) / 1000;
  }

  /**
   * Call `watcher` after every change.
   * @param {() => void} watcher
   * @returns {Cleanup}
   */
  watch(watcher) {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  }

  changed() {
    for (const watcher of this.watchers) watcher();
  }

  close() {
    clearTimeout(this.removal);
    this.handshake?.stop();
    this.model.off("msg:custom", this.onMessage);
    this.model.off("comm_live_update", this.onLive);
    this.model.off("change:card", this.onCard);
    this.closePlayer();
    this.watchers.clear();
  }
}
