// The page's loudspeaker: one AudioContext for all widgets, one node for each, and exact counts of what was heard.
import { pcm16ToFloat } from "./dom.js";
import { PlayQueue, registerPlayer } from "./player_worklet.js";

const PLAYER_RATE = 24000;
const PREBUFFER_SECONDS = 0.1;

/** Return what all rtnb widgets of this page share, whichever module they come from. */
export function sharedPage() {
  const key = Symbol.for("rtnb.page.1");
  globalThis[key] ??= { id: pageId(), context: null, ready: null, players: new Set() };
  return globalThis[key];
}

/** Name this tab: the same after a reload, another one in another tab. */
function pageId() {
  const fresh = globalThis.crypto?.randomUUID?.() ?? String(Math.random()).slice(2);
  try {
    const reloaded = performance.getEntriesByType("navigation")[0]?.type === "reload";
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
  if (!page.context) {
    page.context = new AudioContext({ sampleRate: PLAYER_RATE, latencyHint: "interactive" });
  }
  if (!page.ready) {
    const code = `${PlayQueue.toString()}\n(${registerPlayer.toString()})(PlayQueue);`;
    const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
    page.ready = page.context.audioWorklet.addModule(url).finally(() => URL.revokeObjectURL(url));
    page.ready.catch(() => {
      page.ready = null; // the next widget tries again
    });
  }
  await page.ready;
  return page.context;
}

/** Turn the worklet's counts of samples into milliseconds: what was played, and what has left the loudspeaker. */
export function heardCounts(counts, latencyMs, rate = PLAYER_RATE) {
  const items = {};
  for (const [id, { played, over }] of Object.entries(counts)) {
    const ms = (played * 1000) / rate;
    items[id] = { played_ms: ms, heard_ms: over ? ms : Math.max(0, ms - latencyMs), over };
  }
  return items;
}

/**
 * One widget's loudspeaker. `report(message)` gets {kind: "played" | "flushed", items, playing, blocked, …}.
 * Nothing is lost before the audio thread is ready: what comes earlier waits in order.
 */
export class Player {
  constructor(report) {
    this.report = report;
    this.playing = false;
    this.blocked = false;
    this.underruns = 0;
    this.muted = false;
    this.closed = false;
    this.items = {};
    this.waiting = [];
    this.node = null;
    this.onchange = () => {};
    this.statechange = () => this.look();
    this.start().catch((error) => {
      if (!this.closed) this.report({ kind: "failed", name: error.name, message: error.message });
    });
  }

  async start() {
    sharedPage().players.add(this);
    this.context = await audioContext();
    if (this.closed) return;
    this.context.addEventListener("statechange", this.statechange);
    this.gain = new GainNode(this.context, { gain: this.muted ? 0 : 1 });
    this.node = new AudioWorkletNode(this.context, "rtnb-player", {
      numberOfInputs: 0,
      outputChannelCount: [1],
      processorOptions: { prebuffer: PREBUFFER_SECONDS * PLAYER_RATE },
    });
    this.node.port.onmessage = ({ data }) => this.heard(data);
    this.node.connect(this.gain).connect(this.context.destination);
    for (const message of this.waiting) this.node.port.postMessage(message);
    this.waiting = [];
    this.resume();
  }

  post(message) {
    if (this.node) this.node.port.postMessage(message);
    else this.waiting.push(message);
  }

  /** Ask the browser for sound. Without a gesture of the user it may refuse; then `blocked` is true. */
  resume() {
    if (!this.context) return;
    this.context.resume().catch(() => {});
    setTimeout(() => this.look(), 150);
  }

  look() {
    const blocked = !this.closed && this.context?.state === "suspended";
    if (blocked === this.blocked) return;
    this.blocked = blocked;
    this.report({ kind: "played", items: {}, ...this.state() });
    this.onchange();
  }

  get latencyMs() {
    return (this.context?.outputLatency || this.context?.baseLatency || 0) * 1000;
  }

  state() {
    const { playing, blocked, underruns } = this;
    return {
      playing,
      blocked,
      underruns,
      latency_ms: this.latencyMs,
      wall: performance.timeOrigin + performance.now(),
    };
  }

  heard(data) {
    if (this.closed) return;
    this.underruns = data.underruns;
    const items = heardCounts(data.counts, this.latencyMs);
    if (data.kind === "flushed") {
      this.playing = false;
      this.items = { ...this.items, ...items };
      this.report({ kind: "flushed", id: data.id, items, ...this.state() });
    } else {
      this.playing = data.playing;
      this.items = { ...this.items, ...items };
      this.report({ kind: "played", moment: data.kind, items, ...this.state() });
    }
    this.onchange();
  }

  /** Begin an item of which `playedMs` were played in another page or before. */
  begin(item, playedMs) {
    this.post({ kind: "begin", item, played: Math.round((playedMs * PLAYER_RATE) / 1000) });
  }

  /** Play little-endian PCM16 at 24 kHz (a DataView) after all that came before. */
  sound(item, view) {
    if (this.context?.state === "suspended" && !this.blocked) this.resume();
    this.post({ kind: "sound", item, samples: pcm16ToFloat(view) });
  }

  end(item) {
    this.post({ kind: "end", item });
  }

  /** Be silent at once; a "flushed" report with this id tells what was heard. */
  flush(id) {
    this.post({ kind: "flush", id });
  }

  mute(muted) {
    this.muted = muted;
    if (this.gain) this.gain.gain.value = muted ? 0 : 1;
    this.onchange();
  }

  close() {
    this.closed = true;
    const page = sharedPage();
    page.players.delete(this);
    this.context?.removeEventListener("statechange", this.statechange);
    this.node?.port.postMessage({ kind: "close" });
    this.node?.disconnect();
    this.gain?.disconnect();
    if (page.players.size === 0) page.context?.suspend().catch(() => {});
  }
}
