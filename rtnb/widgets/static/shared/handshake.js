// A page's first message to the kernel.
import { uniqueId } from "./dom.js";

const FIRST_RETRY_MS = 250;
const LONGEST_RETRY_MS = 5000;

/**
 * Sends the first message at once and again, at growing intervals, until it is acknowledged. JupyterLab sends what a
 * page says to its first widget to the main shell, where it waits for the running cell; a moment later there is a
 * subshell for it. The id stays the same, so that the kernel recognizes a repetition.
 */
export class Handshake {
  /** @param {(id: string) => void} send */
  constructor(send) {
    this.id = uniqueId();
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    let delay = FIRST_RETRY_MS;
    const attempt = () => {
      this.timer = setTimeout(attempt, delay);
      delay = Math.min(2 * delay, LONGEST_RETRY_MS);
      send(this.id);
    };
    attempt();
  }

  /** Stop sending: the kernel has answered, or is gone. */
  stop() {
    clearTimeout(this.timer);
  }
}
