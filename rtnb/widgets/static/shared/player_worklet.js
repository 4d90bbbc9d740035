// What plays, and how much of it was played: the queue that the audio thread reads, and the processor around it.
// Both travel to that thread as their own source text, so neither may use anything from outside of itself.

/** A queue of sound by item, read gaplessly, with an exact count of what was played of each item. */
export class PlayQueue {
  /**
   * `prebuffer` is in samples: so much must be there (or the end be known) before playing begins. Each time the
   * sound runs dry it doubles, up to four times: where the way from the kernel is uneven, one gap is better than many.
   */
  constructor(prebuffer) {
    this.prebuffer = prebuffer;
    this.most = prebuffer * 4;
    this.chunks = [];
    this.offset = 0;
    this.buffered = 0;
    this.items = new Map();
    this.running = false;
    this.underruns = 0;
  }

  /** Make an item known; `played` samples of it were played elsewhere before. */
  begin(id, played = 0) {
    if (!this.items.has(id)) {
      this.items.set(id, { played, received: played, ended: false });
    }
    return this.items.get(id);
  }

  /** Add samples (Float32Array) to the end of the queue. */
  push(id, samples) {
    const item = this.begin(id);
    item.received += samples.length;
    if (samples.length === 0) return;
    this.chunks.push({ item, samples });
    this.buffered += samples.length;
  }

  /** Say that nothing more comes for an item. */
  end(id) {
    this.begin(id).ended = true;
  }

  /** Tell whether something more is expected. */
  get expecting() {
    for (const item of this.items.values()) if (!item.ended) return true;
    return false;
  }

  /** Fill `out` with what is next and return how many samples were sound; the rest is silence. */
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
      item.played += count;
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
        this.prebuffer = Math.min(this.most, this.prebuffer * 2);
      }
    }
    return done;
  }

  /** Forget all sound that was not played; return the last counts. */
  flush() {
    const counts = this.counts();
    this.chunks = [];
    this.offset = 0;
    this.buffered = 0;
    this.running = false;
    this.items.clear();
    return counts;
  }

  /** Forget items that were played to their end. */
  tidy() {
    for (const [id, item] of this.items) {
      if (item.ended && item.played >= item.received) this.items.delete(id);
    }
  }

  /** Tell of each item: samples played, and whether that is all there will be. */
  counts() {
    const counts = {};
    for (const [id, item] of this.items) {
      counts[id] = { played: item.played, over: item.ended && item.played >= item.received };
    }
    return counts;
  }
}

/** Register the processor in the audio thread. It reports about 20 times a second while it plays, and at changes. */
export function registerPlayer(Queue) {
  class RtnbPlayer extends AudioWorkletProcessor {
    constructor(options) {
      super();
      this.queue = new Queue(options.processorOptions.prebuffer);
      this.every = Math.round(sampleRate / 20);
      this.since = 0;
      this.sounding = false;
      this.alive = true;
      this.port.onmessage = ({ data }) => this.take(data);
    }

    take(data) {
      if (data.kind === "sound") this.queue.push(data.item, data.samples);
      else if (data.kind === "begin") this.queue.begin(data.item, data.played);
      else if (data.kind === "end") {
        this.queue.end(data.item);
        if (!this.sounding) this.report("count");
      } else if (data.kind === "flush") {
        const counts = this.queue.flush();
        this.sounding = false;
        this.port.postMessage({ kind: "flushed", id: data.id, counts, underruns: this.queue.underruns });
      } else if (data.kind === "close") this.alive = false;
    }

    report(kind) {
      this.since = 0;
      const counts = this.queue.counts();
      this.port.postMessage({ kind, counts, playing: this.sounding, underruns: this.queue.underruns });
      this.queue.tidy();
    }

    process(_inputs, outputs) {
      const channels = outputs[0];
      const played = this.queue.read(channels[0]);
      for (let i = 1; i < channels.length; i += 1) channels[i].set(channels[0]);
      this.since += channels[0].length;
      if (played > 0 && !this.sounding) {
        this.sounding = true;
        this.report("started");
      } else if (this.sounding && !this.queue.running) {
        this.sounding = false;
        this.report("stopped");
      } else if (this.sounding && this.since >= this.every) this.report("count");
      return this.alive;
    }
  }
  registerProcessor("rtnb-player", RtnbPlayer);
}
