// What part of the microphone's audio is sent to the kernel, and the talk panel's texts. No DOM.

import { formatCount } from "../shared/format.js";

const TAIL_SECONDS = 1.2;

/**
 * @typedef {object} GateState
 * @property {boolean} live
 * @property {boolean} push  push to talk
 * @property {boolean} held  the talk button is held
 * @property {boolean} muted
 * @property {boolean} half  half duplex: muted while the assistant speaks
 * @property {boolean} playing
 */
/**
 * @typedef {object} TalkStatus
 * @property {boolean} [disconnected]
 * @property {string} [state]
 * @property {string} [phase]
 * @property {boolean} [owned]
 * @property {boolean} [push]
 * @property {boolean} [muted]
 * @property {boolean} [mic]
 * @property {boolean} [playing]
 * @property {boolean} [blocked]
 * @property {boolean} [half]
 */

/**
 * Decides what happens to each chunk. When the gate closes, silence is sent for a moment, so that turn detection finds
 * the end of the utterance; after that nothing is sent.
 */
export class TalkGate {
  constructor() {
    this.closedFor = Infinity;
  }

  /**
   * Return "send" for the chunk, "silence" for silence of its length, or "drop".
   * @param {GateState} state
   * @param {number} seconds  the chunk's length
   */
  decide(state, seconds) {
    if (isGateOpen(state)) {
      this.closedFor = 0;
      return "send";
    }
    const tail = state.live && !state.push && this.closedFor < TAIL_SECONDS;
    this.closedFor += seconds;
    return tail ? "silence" : "drop";
  }
}

/**
 * Whether the microphone's audio is sent.
 * @param {GateState} state
 */
export function isGateOpen({ live, push, held, muted, half, playing }) {
  if (!live) return false;
  if (push) return held; // whatever `muted` says: push to talk has no mute button
  return !muted && !(half && playing);
}

/**
 * Return the status line.
 * @param {TalkStatus} status
 */
export function talkStatus({ state, phase, owned, push, muted, mic, playing, blocked, half, disconnected }) {
  if (disconnected) return "The kernel is gone: run the cell again";
  if (!owned) return "Live in another tab";
  if (state === "stopped") return "Ending: compressing the audio for the notebook";
  if (state !== "live") return "Ready";
  if (blocked) return "Click Play (autoplay is blocked)";
  if (phase === "user_speaking") return "You are speaking";
  if (playing)
    return half ? "The assistant is speaking; the microphone is muted" : "The assistant is speaking";
  if (phase === "thinking") return "Thinking";
  if (phase === "answering") return "Answering";
  if (!mic) return "No microphone";
  if (push) return "Hold to talk";
  return muted ? "Muted" : "Listening";
}

/**
 * Describe how much of the model's context window is used; `share` is null if the window is unknown.
 * @param {readonly [number, number | null]} context  tokens used, and the window
 */
export function contextUsage([used, size]) {
  if (!size) return { text: used ? `context ${formatCount(used)} tokens` : "context unknown", share: null };
  const text = `context ${formatCount(used)} of ${formatCount(size)} tokens`;
  return { text, share: Math.min(1, used / size) };
}
