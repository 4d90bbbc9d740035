// The transcript as the page keeps it: lines that grow, each identified by its key, in the order of the conversation.
import { el } from "./dom.js";

const ANNOUNCED = 4;

/** @typedef {"user" | "assistant"} Speaker */
/** @typedef {{ key: string, turn: number, who: Speaker, text: string, final: boolean, note: string }} Caption */
/** @typedef {{ key: unknown, turn?: number, who?: string, text?: unknown, final?: unknown, note?: unknown }} CaptionMessage */

/**
 * Return the lines after one message. A line with a known key is replaced.
 * @param {Caption[]} lines
 * @param {CaptionMessage} message
 * @returns {Caption[]}
 */
export function captionsAfter(lines, message) {
  /** @type {Caption} */
  const line = {
    key: String(message.key),
    turn: message.turn ?? 0,
    who: message.who === "user" ? "user" : "assistant",
    text: String(message.text ?? ""),
    final: Boolean(message.final),
    note: String(message.note ?? ""),
  };
  const at = lines.findIndex((other) => other.key === line.key);
  if (at < 0) {
    const next = lines.findIndex((other) => compareCaptions(line, other) < 0);
    return next < 0 ? [...lines, line] : [...lines.slice(0, next), line, ...lines.slice(next)];
  }
  const old = lines[at];
  if (old.text === line.text && old.final === line.final && old.note === line.note) return lines;
  return [...lines.slice(0, at), line, ...lines.slice(at + 1)];
}

/**
 * Order by turn, the user before the assistant: a transcript of speech may arrive after the answer to it.
 * @param {Caption} a
 * @param {Caption} b
 */
function compareCaptions(a, b) {
  return a.turn - b.turn || Number(a.who === "assistant") - Number(b.who === "assistant");
}

/**
 * Return the lines that became final between `before` and `after`.
 * @param {Caption[]} before
 * @param {Caption[]} after
 */
export function newlyFinal(before, after) {
  const done = new Set(before.filter((line) => line.final).map((line) => line.key));
  return after.filter((line) => line.final && line.text && !done.has(line.key));
}

/**
 * Append the lines that became final to a live region. They are appended, since text that is replaced at once may
 * never be read out.
 * @param {Element} region
 * @param {Caption[]} before
 * @param {Caption[]} after
 */
export function announceFinal(region, before, after) {
  for (const line of newlyFinal(before, after))
    region.append(el("p", {}, `${speakerName(line.who)}: ${line.text}`));
  while (region.children.length > ANNOUNCED) region.children[0].remove();
}

/** @param {Speaker} who */
export function speakerName(who) {
  return who === "user" ? "You" : "Assistant";
}
