// What of the microphone goes to the kernel. Pure logic, for talk.js.

const TAIL_SECONDS = 1.2;

/**
 * Decides for each chunk: "send" it, send "silence" of its length, or "drop" it. When it closes, silence goes on for a
 * moment, so that a detector of speech hears the end of what was said; after that nothing is sent.
 */
export class TalkGate {
  constructor() {
    this.closedFor = Infinity;
  }

  /** `state` is { live, push, held, muted, half, playing }; `seconds` is the chunk's length. */
  decide(state, seconds) {
    if (gateOpen(state)) {
      this.closedFor = 0;
      return "send";
    }
    const tail = state.live && !state.push && this.closedFor < TAIL_SECONDS;
    this.closedFor += seconds;
    return tail ? "silence" : "drop";
  }
}

/** Tell whether the microphone is heard. */
export function gateOpen({ live, push, held, muted, half, playing }) {
  if (!live) return false;
  if (push) return held; // which says enough: there is no button to unmute it
  return !muted && !(half && playing);
}

/** Say in words what goes on. */
export function talkWords({ state, phase, owned, push, muted, mic, playing, blocked, half, lost }) {
  if (lost) return "The kernel is gone: run the cell again";
  if (!owned) return "Live in another tab";
  if (state === "stopped") return "Ending: the sound is compressed for the notebook";
  if (state !== "live") return "Ready";
  if (blocked) return "The browser holds the sound back";
  if (phase === "hearing") return "You are speaking";
  if (playing) return half ? "The assistant speaks; the microphone waits" : "The assistant speaks";
  if (phase === "thinking") return "Thinking";
  if (phase === "answering") return "Answering";
  if (!mic) return "No microphone";
  if (push) return "Hold to talk";
  return muted ? "Muted" : "Listening";
}

/** Say how much of the model's window is used: { text, share } with share in 0…1, or null where it is unknown. */
export function contextWords([used, most]) {
  const count = (n) => n.toLocaleString("en-US");
  if (!most) return { text: used ? `${count(used)} tokens of context` : "context unknown", share: null };
  const share = Math.min(1, used / most);
  return { text: `context ${count(used)} of ${count(most)} tokens`, share };
}
