// What was said, as the page keeps it: lines that grow, each known by its key, in the order they came.
import { el } from "./dom.js";

const ANNOUNCED = 4;

/** Return the lines after one message: {key, who, text, final, note, status}. A line that is known is replaced. */
export function captionsAfter(lines, message) {
  const line = {
    key: String(message.key),
    turn: message.turn ?? 0,
    who: message.who === "user" ? "user" : "assistant",
    text: String(message.text ?? ""),
    final: Boolean(message.final),
    note: String(message.note ?? ""),
  };
  const at = lines.findIndex((known) => known.key === line.key);
  if (at < 0) {
    const place = lines.findIndex((known) => captionOrder(line, known) < 0);
    return place < 0 ? [...lines, line] : [...lines.slice(0, place), line, ...lines.slice(place)];
  }
  const known = lines[at];
  if (known.text === line.text && known.final === line.final && known.note === line.note) return lines;
  return [...lines.slice(0, at), line, ...lines.slice(at + 1)];
}

/** By turn, and the user before the assistant: a transcript of speech may come after the answer to it. */
function captionOrder(a, b) {
  return a.turn - b.turn || Number(a.who === "assistant") - Number(b.who === "assistant");
}

/** Return what a screen reader is told when `after` follows `before`: the lines that became final. */
export function newlyFinal(before, after) {
  const done = new Set(before.filter((line) => line.final).map((line) => line.key));
  return after.filter((line) => line.final && line.text && !done.has(line.key));
}

/** Add the lines that became final to a live region, since one that is replaced at once may never be read. */
export function announceFinal(region, before, after) {
  for (const line of newlyFinal(before, after))
    region.append(el("p", {}, `${speakerName(line.who)}: ${line.text}`));
  while (region.children.length > ANNOUNCED) region.children[0].remove();
}

/** Name who speaks. */
export function speakerName(who) {
  return who === "user" ? "You" : "Assistant";
}
