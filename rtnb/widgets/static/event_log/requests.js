// The way to the kernel and back: one question for lines at a time, so that a slow kernel is never flooded.

const EVENT_PATIENCE = 3000;

/** `heard` has a function for each kind of answer; `slow()` and `gone()` tell of the kernel. */
export class EventFeed {
  constructor(model, heard) {
    this.model = model;
    this.heard = heard;
    this.name = `rtnb-ev-${Math.random().toString(36).slice(2)}`; // another tab has views of the same widget
    this.serial = 0;
    this.waiting = null;
    this.again = false;
    this.dead = false;
    this.onmessage = (message, buffers) => this.#hear(message, buffers?.[0]);
    this.onend = () => this.#gone();
    model.on("msg:custom", this.onmessage);
    for (const name of ["comm:close", "comm_live_update"]) model.on(name, this.onend);
  }

  send(message) {
    if (this.dead) return;
    try {
      this.model.send({ ...message, view: this.name });
    } catch {
      this.#gone();
    }
  }

  /** Whether a question may be asked now; if not, `again` notes that one is due. */
  get free() {
    if (this.waiting && performance.now() - this.waiting.since < EVENT_PATIENCE) {
      this.again = true;
      return false;
    }
    return true;
  }

  ask(question) {
    this.again = false;
    this.serial += 1;
    this.waiting = { serial: this.serial, since: performance.now() };
    clearTimeout(this.patience);
    this.patience = setTimeout(() => {
      if (this.waiting && !this.dead) this.heard.slow();
    }, EVENT_PATIENCE);
    this.send({ type: "lines", serial: this.serial, ...question });
  }

  /** Wait for nothing any more: something else is wanted. */
  forget() {
    this.waiting = null;
    clearTimeout(this.patience);
  }

  #hear(message, data) {
    if (this.dead) return;
    if (message.type === "grown") this.heard.grown();
    if (message.view !== this.name) return;
    if (message.type === "lines" && message.serial === this.waiting?.serial) this.forget();
    const bytes = data ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice() : null;
    this.heard[message.type]?.(message, bytes);
  }

  #gone() {
    if (this.model.comm_live === true) return;
    this.close();
    this.heard.gone();
  }

  close() {
    this.dead = true;
    this.forget();
    this.model.off("msg:custom", this.onmessage);
    for (const name of ["comm:close", "comm_live_update"]) this.model.off(name, this.onend);
  }
}
