// Playback on the audio thread: the queue that it reads, and the processor around it.
// Both reach that thread as their source text, so neither may use anything outside itself.

/** @typedef {{ rendered: number, received: number, complete: boolean }} QueuedItem  samples rendered and received */
/** @typedef {Record<string, { rendered: number, done: boolean }>} RenderedSamples  by item */
/**
 * What the page sends to the audio thread.
 * @typedef {{ kind: "audio", item: string, samples: Float32Array }
 *   | { kind: "begin", item: string, rendered: number }
 *   | { kind: "end", item: string }
 *   | { kind: "flush", id: string }
 *   | { kind: "close" }} PlayerCommand
 */
/**
 * What the audio thread reports.
 * @typedef {{ counts: RenderedSamples, underruns: number } & (
 *   { kind: "started" | "stopped" | "count", playing: boolean } | { kind: "flushed", id: string }
 * )} PlayerEvent
 */

/** A gapless queue of audio by item, with an exact count of the samples rendered of each item. */
export class SampleQueue {
  /**
   * @param {number} prebuffer  samples that must be buffered (or the end be known) before playback starts. It doubles
   *   with each underrun, up to four times: on a jittery connection one gap is better than many.
   */
  constructor(prebuffer) {
    this.prebuffer = prebuffer;
    this.maxPrebuffer = prebuffer * 4;
    /** @type {{ item: QueuedItem, samples: Float32Array }[]} */
    this.chunks = [];
    this.offset = 0;
    this.buffered = 0;
    /** @type {Map<string, QueuedItem>} */
    this.items = new Map();
    this.running = false;
    this.underruns = 0;
  }

  /**
   * Add an item, unless it is known; `rendered` samples of it were rendered elsewhere before.
   * @param {string} id
   */
  begin(id, rendered = 0) {
    let item = this.items.get(id);
    if (!item) {
      item = { rendered, received: rendered, complete: false };
      this.items.set(id, item);
    }
    return item;
  }

  /**
   * Add samples to the end of the queue.
   * @param {string} id
   * @param {Float32Array} samples
   */
  push(id, samples) {
    const item = this.begin(id);
    item.received += samples.length;
    if (samples.length === 0) return;
    this.chunks.push({ item, samples });
    this.buffered += samples.length;
  }

  /**
   * Mark an item as complete.
   * @param {string} id
   */
  end(id) {
    this.begin(id).complete = true;
  }

  /** Whether more audio is expected. */
  get expecting() {
    for (const item of this.items.values()) if (!item.complete) return true;
    return false;
  }

  /**
   * Fill `out` with the next samples and return their number; the rest is silence.
   * @param {Float32Array} out
   */
  read(out) {
    if (!this.running) {
      const enough = this.buffered >= this.prebuffer || (this.buffered > 0 && !this.expecting);
      if (!enough) {
        out.fill(0);
        return 0;
      }
      this.running = true;
    }
    let done = 0;
    while (done < out.length && this.chunks.length > 0) {
      const { item, samples } = this.chunks[0];
      const count = Math.min(out.length - done, samples.length - this.offset);
      out.set(samples.subarray(this.offset, this.offset + count), done);
      item.rendered += count;
      done += count;
      this.offset += count;
      if (this.offset === samples.length) {
        this.chunks.shift();
        this.offset = 0;
      }
    }
    out.fill(0, done);
    this.buffered -= done;
    if (done < out.length || (this.buffered === 0 && !this.expecting)) {
      this.running = false;
      if (this.expecting) {
        this.underruns += 1;
        this.prebuffer = Math.min(this.maxPrebuffer, this.prebuffer * 2);
      }
    }
    return done;
  }

  /** Drop all audio that was not rendered; return the final counts. */
  flush() {
    const counts = this.counts();
    this.chunks = [];
    this.offset = 0;
    this.buffered = 0;
    this.running = false;
    this.items.clear();
    return counts;
  }

  /** Forget items that were rendered to the end. */
  tidy() {
    for (const [id, item] of this.items) {
      if (item.complete && item.rendered >= item.received) this.items.delete(id);
    }
  }

  /** Return for each item the samples rendered, and whether that is all of it. */
  counts() {
    /** @type {RenderedSamples} */
    const counts = {};
    for (const [id, item] of this.items) {
      counts[id] = { rendered: item.rendered, done: item.complete && item.rendered >= item.received };
    }
    return counts;
  }
}

/**
 * Register the processor on the audio thread. It reports about 20 times a second during playback, and at changes.
 * @param {typeof SampleQueue} Queue
 */
export function registerPlayer(Queue) {
  class RtnbPlayer extends AudioWorkletProcessor {
    /** @param {AudioWorkletNodeOptions} options */
    constructor(options) {
      super();
      this.queue = new Queue(options.processorOptions.prebuffer);
      this.interval = Math.round(sampleRate / 20);
      this.sinceReport = 0;
      this.playing = false;
      this.alive = true;
      this.port.onmessage = ({ data }) => this.receive(data);
    }

    /** @param {PlayerCommand} data */
    receive(data) {
      if (data.kind === "audio") this.queue.push(data.item, data.samples);
      else if (data.kind === "begin") this.queue.begin(data.item, data.rendered);
      else if (data.kind === "end") {
        this.queue.end(data.item);
        if (!this.playing) this.report("count");
      } else if (data.kind === "flush") {
        const counts = this.queue.flush();
        this.playing = false;
        this.port.postMessage({ kind: "flushed", id: data.id, counts, underruns: this.queue.underruns });
      } else if (data.kind === "close") this.alive = false;
    }

    /** @param {"started" | "stopped" | "count"} kind */
    report(kind) {
      this.sinceReport = 0;
      const counts = this.queue.counts();
      this.port.postMessage({ kind, counts, playing: this.playing, underruns: this.queue.underruns });
      this.queue.tidy();
    }

    /**
     * @param {Float32Array[][]} _inputs
     * @param {Float32Array[][]} outputs
     */
    process(_inputs, outputs) {
      const channels = outputs[0];
      const count = this.queue.read(channels[0]);
      for (let i = 1; i < channels.length; i += 1) channels[i].set(channels[0]);
      this.sinceReport += channels[0].length;
      if (count > 0 && !this.playing) {
        this.playing = true;
        this.report("started");
      } else if (this.playing && !this.queue.running) {
        this.playing = false;
        this.report("stopped");
      } else if (this.playing && this.sinceReport >= this.interval) this.report("count");
      return this.alive;
    }
  }
  registerProcessor("rtnb-player", RtnbPlayer);
}
