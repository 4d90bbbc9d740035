// A page's first word to the kernel.

const GREETING_FIRST = 250;
const GREETING_LONGEST = 5000;

/**
 * Calls `say(id)` at once, and again, ever more rarely, until it is answered. What a page says to its first widget
 * JupyterLab sends to the main shell, where it waits for the running cell; a moment later there is a subshell for it.
 * The id is the same each time, so that the kernel knows what it has heard.
 */
export class Greeting {
  constructor(say) {
    this.id = globalThis.crypto?.randomUUID?.() ?? String(Math.random()).slice(2);
    this.timer = null;
    let pause = GREETING_FIRST;
    const greet = () => {
      this.timer = setTimeout(greet, pause);
      pause = Math.min(2 * pause, GREETING_LONGEST);
      say(this.id);
    };
    greet();
  }

  answered() {
    clearTimeout(this.timer);
  }
}
