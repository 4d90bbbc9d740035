// Playback in the page: one AudioContext for all widgets, one node for each, and exact counts of what was played.
import { pcm16ToFloat } from "./buffers.js";
import { uniqueId } from "./dom.js";
import { describeError } from "./format.js";
import { registerPlayer, SampleQueue } from "./player_worklet.js";

/** @typedef {import("./player_worklet.js").RenderedSamples} RenderedSamples */
/** @typedef {import("./player_worklet.js").PlayerCommand} PlayerCommand */
/** @typedef {import("./player_worklet.js").PlayerEvent} PlayerEvent */
/** @typedef {Record<string, { rendered_ms: number, played_ms: number, done: boolean }>} PlayedItems */
/** @typedef {{ playing: boolean, blocked: boolean, underruns: number, latency_ms: number, wall: number }} PlayerState */
/** @typedef {{ kind: "failed", name: string, message: string }} PlaybackFailure */
/** @typedef {{ kind: "flushed", id: string, items: PlayedItems } & PlayerState} FlushReport */
/** @typedef {{ kind: "played", moment?: "started" | "stopped" | "count", items: PlayedItems } & PlayerState} PlayedReport */
/** @typedef {PlaybackFailure | FlushReport | PlayedReport} PlaybackReport */
/**
 * @typedef {object} SharedPage
 * @property {string} id
 * @property {AudioContext | null} context
 * @property {Promise<void> | null} ready
 * @property {Set<Player>} players
 */

const PLAYER_RATE = 24000;
const PREBUFFER_SECONDS = 0.1;
const SHARED_KEY = Symbol.for("rtnb.page.1");

/**
 * Return what all rtnb widgets of this page share, whichever module they come from.
 * @returns {SharedPage}
 */
export function sharedPage() {
  const page = /** @type {{ [SHARED_KEY]?: SharedPage }} */ (globalThis);
  page[SHARED_KEY] ??= { id: pageId(), context: null, ready: null, players: new Set() };
  return page[SHARED_KEY];
}

/** Identify this tab: the same after a reload, another one in another tab. */
function pageId() {
  const fresh = uniqueId();
  try {
    const [navigation] = performance.getEntriesByType("navigation");
    const reloaded = /** @type {PerformanceNavigationTiming} */ (navigation)?.type === "reload";
    const id = (reloaded && sessionStorage.getItem("rtnb-page")) || fresh;
    sessionStorage.setItem("rtnb-page", id);
    return id;
  } catch {
    return fresh;
  }
}

/** Return the page's AudioContext with the player's processor in it. */
async function audioContext() {
  const page = sharedPage();
  page.context ??= new AudioContext({ sampleRate: PLAYER_RATE, latencyHint: "interactive" });
  if (!page.ready) {
    const code = `const SampleQueue = ${SampleQueue};\n(${registerPlayer})(SampleQueue);`;
    const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
    page.ready = page.context.audioWorklet.addModule(url).finally(() => URL.revokeObjectURL(url));
    page.ready.catch(() => {
      page.ready = null; // the next widget tries again
    });
  }
  await page.ready;
  return page.context;
}

/**
 * Convert the worklet's counts of samples to milliseconds: what was rendered, and what has left the loudspeaker.
 * @param {RenderedSamples} counts
 * @param {number} latencyMs
 * @returns {PlayedItems}
 */
export function playedItems(counts, latencyMs, rate = PLAYER_RATE) {
  /** @type {PlayedItems} */
  const items = {};
  for (const [id, { rendered, done }] of Object.entries(counts)) {
    const ms = (rendered * 1000) / rate;
    items[id] = { rendered_ms: ms, played_ms: done ? ms : Math.max(0, ms - latencyMs), done };
  }
  return items;
}

/** One widget's playback. Commands given before the audio thread is ready wait in order. */
export class Player {
  /** @param {(report: PlaybackReport) => void} onReport */
  constructor(onReport) {
    this.onReport = onReport;
    this.playing = false;
    this.blocked = false;
    this.underruns = 0;
    this.muted = false;
    this.closed = false;
    /** @type {PlayedItems} */
    this.items = {};
    /** @type {PlayerCommand[]} */
    this.waiting = [];
    /** @type {AudioContext | null} */
    this.context = null;
    /** @type {AudioWorkletNode | null} */
    this.node = null;
    /** @type {GainNode | null} */
    this.gain = null;
    this.onChange = () => {};
    this.onStateChange = () => this.checkBlocked();
    this.start().catch((error) => {
      if (!this.closed) this.onReport({ kind: "failed", ...describeError(error) });
    });
  }

  async start() {
    sharedPage().players.add(this);
    const context = await audioContext();
    this.context = context;
    if (this.closed) return;
    context.addEventListener("statechange", this.onStateChange);
    this.gain = new GainNode(context, { gain: this.muted ? 0 : 1 });
    this.node = new AudioWorkletNode(context, "rtnb-player", {
      numberOfInputs: 0,
      outputChannelCount: [1],
      processorOptions: { prebuffer: PREBUFFER_SECONDS * PLAYER_RATE },
    });
    this.node.port.onmessage = ({ data }) => this.onPlayerEvent(data);
    this.node.connect(this.gain).connect(context.destination);
    for (const command of this.waiting) this.node.port.postMessage(command);
    this.waiting = [];
    this.resume();
  }

  /** @param {PlayerCommand} command */
  post(command) {
    if (this.node) this.node.port.postMessage(command);
    else this.waiting.push(command);
  }

  /** Start the audio output. Without a gesture of the user the browser may refuse; then `blocked` is true. */
  resume() {
    if (!this.context) return;
    this.context.resume().catch(() => {});
    setTimeout(() => this.checkBlocked(), 150);
  }

  checkBlocked() {
    const blocked = !this.closed && this.context?.state === "suspended";
    if (blocked === this.blocked) return;
    this.blocked = blocked;
    this.onReport({ kind: "played", items: {}, ...this.state() });
    this.onChange();
  }

  get latencyMs() {
    return (this.context?.outputLatency || this.context?.baseLatency || 0) * 1000;
  }

  /** @returns {PlayerState} */
  state() {
    const { playing, blocked, underruns } = this;
    const wall = performance.timeOrigin + performance.now();
    return { playing, blocked, underruns, latency_ms: this.latencyMs, wall };
  }

  /** @param {PlayerEvent} event */
  onPlayerEvent(event) {
    if (this.closed) return;
    this.underruns = event.underruns;
    const items = playedItems(event.counts, this.latencyMs);
    this.items = { ...this.items, ...items };
    this.playing = event.kind !== "flushed" && event.playing;
    if (event.kind === "flushed") this.onReport({ kind: "flushed", id: event.id, items, ...this.state() });
    else this.onReport({ kind: "played", moment: event.kind, items, ...this.state() });
    this.onChange();
  }

  /**
   * Begin an item of which `renderedMs` were rendered before, here or in another page.
   * @param {string} item
   * @param {number} renderedMs
   */
  begin(item, renderedMs) {
    this.post({ kind: "begin", item, rendered: Math.round((renderedMs * PLAYER_RATE) / 1000) });
  }

  /**
   * Queue little-endian PCM16 at 24 kHz.
   * @param {string} item
   * @param {DataView} view
   */
  push(item, view) {
    if (this.context?.state === "suspended" && !this.blocked) this.resume();
    this.post({ kind: "audio", item, samples: pcm16ToFloat(view) });
  }

  /** @param {string} item */
  end(item) {
    this.post({ kind: "end", item });
  }

  /**
   * Stop at once and clear the queue; a "flushed" report with this id says how much was played.
   * @param {string} id
   */
  flush(id) {
    this.post({ kind: "flush", id });
  }

  /** @param {boolean} muted */
  mute(muted) {
    this.muted = muted;
    if (this.gain) this.gain.gain.value = muted ? 0 : 1;
    this.onChange();
  }

  close() {
    this.closed = true;
    const page = sharedPage();
    page.players.delete(this);
    this.context?.removeEventListener("statechange", this.onStateChange);
    this.node?.port.postMessage({ kind: "close" });
    this.node?.disconnect();
    this.gain?.disconnect();
    if (page.players.size === 0) page.context?.suspend().catch(() => {});
  }
}
