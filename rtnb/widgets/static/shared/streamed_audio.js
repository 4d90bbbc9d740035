// Feeds an <audio> element with parts of a long recording, asked for as the playhead comes near them.

const FEED_TYPE = 'audio/webm; codecs="opus"';
const FEED_AHEAD = 12;
const FEED_ASK_AGAIN = 4000;

/** Return the numbers of the parts that cover `at` and the next `ahead` seconds. */
export function partsAhead(at, ahead, part, seconds) {
  const found = [];
  for (
    let n = Math.floor(Math.min(at, seconds - 0.001) / part);
    n * part < Math.min(at + ahead, seconds);
    n += 1
  ) {
    found.push(n);
  }
  return found;
}

/** Return whether buffered ranges, as [start, end] pairs, hold the whole of one part but for a rounding. */
export function holdsPart(ranges, n, part, seconds) {
  const [from, to] = [n * part + 0.1, Math.min((n + 1) * part, seconds) - 0.1];
  const at = to > from ? [from, to] : [(from + to) / 2, (from + to) / 2];
  return ranges.some(([start, end]) => start <= at[0] && end >= at[1]);
}

/** `ask(part)` is to bring `give(part, begin, bytes)` about; `told(word)` hears "" or what is wrong. */
export class SoundFeed {
  constructor(audio, { seconds, part, ask, told }) {
    Object.assign(this, { audio, seconds, part, ask, told });
    this.asked = new Map();
    this.queue = [];
    this.buffer = null;
    this.last = Math.ceil(seconds / part) - 1;
  }

  static get able() {
    return globalThis.MediaSource?.isTypeSupported?.(FEED_TYPE) ?? false;
  }

  open() {
    if (this.source) return;
    this.source = new MediaSource();
    this.url = URL.createObjectURL(this.source);
    this.source.addEventListener("sourceopen", () => this.#opened(), { once: true });
    this.audio.src = this.url;
  }

  #opened() {
    this.source.duration = this.seconds;
    this.buffer = this.source.addSourceBuffer(FEED_TYPE);
    this.buffer.mode = "segments";
    this.buffer.addEventListener("updateend", () => this.#next());
    this.look();
  }

  get ranges() {
    const ranges = this.buffer?.buffered;
    return Array.from({ length: ranges?.length ?? 0 }, (_, i) => [ranges.start(i), ranges.end(i)]);
  }

  /** Ask for what the playhead needs next. */
  look(at = this.audio.currentTime) {
    if (!this.buffer) return;
    const now = performance.now();
    const ranges = this.ranges;
    let waiting = false;
    for (const n of partsAhead(
      at,
      FEED_AHEAD * Math.max(1, this.audio.playbackRate),
      this.part,
      this.seconds,
    )) {
      if (holdsPart(ranges, n, this.part, this.seconds) || this.queue.some((each) => each.n === n)) continue;
      const asked = this.asked.get(n) ?? -Infinity;
      if (now - asked > 700 && asked > 0) waiting = true;
      if (now - asked < FEED_ASK_AGAIN) continue;
      this.asked.set(n, now);
      this.ask(n);
    }
    this.told(waiting && this.audio.readyState < 3 ? "Waiting for the kernel …" : "");
  }

  give(n, begin, bytes) {
    if (!this.asked.delete(n)) return;
    this.queue.push({ n, begin, bytes });
    this.#next();
  }

  #next() {
    const { buffer, source } = this;
    if (!buffer || buffer.updating || source.readyState === "closed") return;
    const part = this.queue.shift();
    if (!part) {
      const end = this.ranges.at(-1)?.[1] ?? 0;
      const all = end >= this.seconds - 0.1;
      if (
        all &&
        this.audio.currentTime > this.last * this.part - FEED_AHEAD &&
        source.readyState === "open"
      ) {
        source.endOfStream();
      }
      this.told("");
      return;
    }
    try {
      buffer.appendWindowStart = 0;
      buffer.appendWindowEnd = Math.min((part.n + 1) * this.part, this.seconds);
      buffer.appendWindowStart = part.n * this.part;
      buffer.timestampOffset = part.begin;
      buffer.appendBuffer(part.bytes);
    } catch (error) {
      if (error.name !== "QuotaExceededError") throw error;
      this.queue.unshift(part);
      this.#makeRoom();
    }
  }

  #makeRoom() {
    const at = this.audio.currentTime;
    const [first] = this.ranges;
    const end = this.ranges.at(-1)[1];
    if (first[0] < at - 10) this.buffer.remove(0, at - 10);
    else if (end > at + 60) this.buffer.remove(at + 60, end);
    else this.queue.shift();
  }

  close() {
    if (!this.source) return;
    this.audio.pause();
    this.audio.removeAttribute("src");
    this.audio.load();
    URL.revokeObjectURL(this.url);
  }
}
