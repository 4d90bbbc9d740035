// A live turn: captions as they arrive, a growing waveform, playback from the first delta, and its controls.
import { colourOf, prepareCanvas } from "../shared/canvas.js";
import { announceFinal, speakerName } from "../shared/captions.js";
import { el, keepFocus, setText, setVisible } from "../shared/dom.js";
import { formatTime } from "../shared/format.js";
import { KernelLink } from "../shared/kernel_link.js";
import { suppressShortcuts } from "../shared/shortcuts.js";

/** @typedef {import("../shared/captions.js").Caption} Caption */
/** @typedef {"queued" | "held" | "waiting" | "tools" | "approval" | "output" | "answering" | "done" | "interrupted"} LivePhase */
/**
 * A function call that waits; `runs` means that its approval runs a function.
 * @typedef {{ id: string, text: string, runs: boolean }} WaitingCall
 */
/**
 * What the kernel says about the turn; `silent` means that another widget plays it.
 * @typedef {{ phase: LivePhase, foot: string, seconds: number, scale: number, silent: boolean, calls?: WaitingCall[] }} LiveFacts
 */
/** @typedef {KernelLink<LiveFacts>} LiveLink */
/** @typedef {import("../shared/kernel_link.js").LinkModel<LiveFacts>} LiveModel */

/** @type {Record<LivePhase, string>} */
const PHASE_LABELS = {
  queued: "Queued behind the previous turn",
  held: "Queued behind the previous turn",
  waiting: "Waiting for the answer",
  tools: "Calling a tool",
  approval: "Waiting for your approval",
  output: "Waiting for the output of a call",
  answering: "Answering",
  done: "Done",
  interrupted: "Interrupted",
};

/**
 * The links of this page by their widget's uid: initialize creates them, render finds them.
 * @type {Map<string, LiveLink>}
 */
export const liveLinks = new Map();

/**
 * Return the status line.
 * @param {{ phase?: LivePhase, owned?: boolean, silent?: boolean, blocked?: boolean, playing?: boolean, disconnected?: boolean }} state
 */
export function liveStatus({ phase, owned, silent, blocked, playing, disconnected }) {
  if (disconnected) return "The kernel is gone: run the cell again";
  if (!owned) return "Live in another tab";
  if (phase === "interrupted") return PHASE_LABELS.interrupted;
  if (blocked) return "Click Play (autoplay is blocked)";
  if (silent && phase !== "done") return "Answering in the talk panel";
  if (playing) return phase === "done" ? "Playing the rest" : "Speaking";
  return phase ? PHASE_LABELS[phase] : "Connecting to the kernel";
}

/**
 * Return the bars of a waveform for columns of (min, max).
 * @param {Int8Array} columns
 * @param {number} width
 * @param {number} height
 */
export function waveformBars(columns, width, height) {
  const count = columns.length >> 1;
  return Array.from({ length: count }, (_, i) => {
    const [low, high] = [columns[2 * i] / 127, columns[2 * i + 1] / 127];
    const tall = Math.max(1.5, (height / 2) * (high - low));
    const top = Math.min((height / 2) * (1 - high), height - tall);
    return { x: (i * width) / count, top, height: tall };
  });
}

/**
 * Draw the waveform so far, what was played of it in the accent colour, and a line for what may come.
 * @param {HTMLCanvasElement} canvas
 * @param {Int8Array} columns
 * @param {{ seconds: number, scale: number, played: number }} times  `scale` is the canvas's width in seconds
 */
function drawWaveform(canvas, columns, { seconds, scale, played }) {
  const prepared = prepareCanvas(canvas);
  if (!prepared) return;
  const { context, width, height } = prepared;
  const filled = scale > 0 ? (width * seconds) / scale : 0;
  const playhead = scale > 0 ? (width * Math.min(played, seconds)) / scale : 0;
  const step = columns.length ? filled / (columns.length >> 1) : 1;
  const barWidth = Math.max(1, step * 0.7);
  const [accent, dim] = [colourOf(canvas, "--rtnb-accent"), colourOf(canvas, "--rtnb-dim")];
  for (const bar of waveformBars(columns, filled, height)) {
    context.fillStyle = bar.x < playhead ? accent : dim;
    context.fillRect(bar.x, bar.top, barWidth, bar.height);
  }
  context.fillStyle = colourOf(canvas, "--rtnb-line");
  context.fillRect(filled, height / 2 - 0.5, Math.max(0, width - filled), 1);
  if (playhead > 0 && playhead < filled) {
    context.fillStyle = colourOf(canvas, "--rtnb-fg");
    context.fillRect(playhead - 0.5, 0, 1, height);
  }
}

/** @param {LiveLink} link */
function stopTurn(link) {
  link.send({ kind: "stop", stop_id: link.stopPlayback() });
}

/** @param {"user" | "assistant"} who */
function transcript(who) {
  const said = el("p", { class: "rtnb-said", dir: "auto" });
  const note = el("p", { class: "rtnb-dim", dir: "auto" });
  const side = el("div", { class: who === "user" ? "rtnb-side rtnb-user" : "rtnb-side" });
  side.append(el("p", { class: "rtnb-who" }, speakerName(who)), said, note);
  return { side, said, note };
}

/**
 * Return the rows of the calls that wait: their text, and buttons to approve or refuse them.
 * @param {LiveLink} link
 * @param {WaitingCall[]} calls
 */
function callRows(link, calls) {
  return calls.map(({ id, text, runs }) => {
    /** @param {"approve" | "refuse"} kind */
    const decide = (kind) => () => link.send({ kind, call: id });
    const label = { approve: "Approve", refuse: "Refuse" };
    /** @param {"approve" | "refuse"} kind */
    const button = (kind) =>
      el(
        "button",
        {
          class: kind === "approve" ? "rtnb-main" : "",
          type: "button",
          "aria-label": `${label[kind]} ${text}`,
          onclick: decide(kind),
        },
        label[kind],
      );
    const hint = runs ? [] : [el("span", { class: "rtnb-dim" }, "answer it with turn.answer(…)")];
    const buttons = runs ? [button("approve"), button("refuse")] : [button("refuse")];
    return el(
      "div",
      { class: "rtnb-row rtnb-live-call" },
      el("code", { dir: "auto" }, text),
      ...hint,
      el("span", { class: "rtnb-actions" }, ...buttons),
    );
  });
}

/**
 * Build the live view in `root`.
 * @param {LiveLink} link
 * @param {HTMLElement} root
 * @returns {Cleanup}
 */
function liveView(link, root) {
  const status = el("span", { class: "rtnb-status", role: "status" });
  const time = el("span", { class: "rtnb-dim rtnb-num" });
  const play = el("button", { class: "rtnb-main", type: "button", onclick: () => link.resume() }, "Play");
  const mute = el(
    "button",
    { type: "button", "aria-pressed": "false", onclick: () => link.mute(!link.muted) },
    "Mute",
  );
  const stop = el(
    "button",
    { type: "button", "aria-label": "Stop the answer", onclick: () => stopTurn(link) },
    "Stop",
  );
  const playHere = () => {
    link.takeOver();
    link.resume();
  };
  const takeOver = el("button", { type: "button", onclick: playHere }, "Play here");
  const texts = { user: transcript("user"), assistant: transcript("assistant") };
  const canvas = el("canvas", { role: "img", class: "rtnb-live-wave" });
  texts.assistant.said.before(canvas);
  const announcements = el("div", { class: "rtnb-sr", "aria-live": "polite" });
  const calls = el("div", { role: "group", "aria-label": "Function calls that wait" });
  const foot = el("p", { class: "rtnb-foot rtnb-num" });
  const problem = el("p", { class: "rtnb-error", role: "alert" });
  root.append(
    el(
      "div",
      { class: "rtnb-row rtnb-live-head" },
      status,
      time,
      el("span", { class: "rtnb-actions" }, play, takeOver, mute, stop),
    ),
    el("div", { class: "rtnb-sides" }, texts.user.side, texts.assistant.side),
    calls,
    problem,
    foot,
    announcements,
  );
  let shownCalls = "";
  /** @type {Caption[]} */
  let announced = [];
  /**
   * @param {HTMLElement} node
   * @param {boolean} visible
   */
  const show = (node, visible) => {
    if (!visible) keepFocus(root, node);
    setVisible(node, visible);
  };
  const draw = () => {
    const { facts, player, disconnected } = link;
    const owned = link.owner === "" || link.owns;
    const { phase, silent } = facts;
    const { blocked, playing } = player ?? {};
    setText(status, liveStatus({ disconnected, phase, owned, silent, blocked, playing }));
    root.dataset.phase = playing ? "speaking" : (phase ?? "");
    for (const line of link.lines) {
      setText(texts[line.who].said, line.text);
      setText(texts[line.who].note, line.note);
    }
    announceFinal(announcements, announced, link.lines);
    announced = link.lines;
    const seconds = facts.seconds ?? 0;
    const played = Math.min(link.playedSeconds, seconds);
    time.textContent = seconds ? `${formatTime(played, true)} of ${formatTime(seconds, true)}` : "";
    setVisible(canvas, !silent);
    canvas.setAttribute("aria-label", `Waveform of the answer, ${seconds.toFixed(1)} seconds so far`);
    drawWaveform(canvas, link.columns, { seconds, scale: facts.scale ?? 0, played });
    foot.textContent = facts.foot ?? "";
    const waiting = facts.calls ?? [];
    const ids = waiting.map(({ id }) => id).join();
    if (ids !== shownCalls) {
      keepFocus(root, calls);
      calls.replaceChildren(...callRows(link, waiting));
      shownCalls = ids;
    }
    setVisible(calls, waiting.length > 0 && owned && !disconnected);
    setText(problem, link.problem);
    show(problem, Boolean(link.problem));
    show(play, owned && Boolean(blocked));
    show(takeOver, !owned && !disconnected);
    show(mute, owned && !disconnected && !silent);
    show(stop, owned && !disconnected);
    mute.setAttribute("aria-pressed", String(link.muted));
    mute.textContent = link.muted ? "Unmute" : "Mute";
    const interrupted = phase === "interrupted";
    if (interrupted) keepFocus(root, stop);
    stop.disabled = interrupted;
  };
  root.addEventListener("keydown", (event) => {
    if (event.key === "Escape") stopTurn(link);
  });
  const observer = new ResizeObserver(draw);
  observer.observe(canvas);
  const unwatch = link.watch(draw);
  draw();
  return () => {
    observer.disconnect();
    unwatch();
  };
}

/**
 * @param {InitializeProps<LiveModel>} props
 * @returns {Cleanup}
 */
function initialize({ model }) {
  /** @type {LiveLink} */
  const link = new KernelLink(model, {
    onRemoved: () => {
      if (link.owns && !link.facts.silent) stopTurn(link);
    },
  });
  liveLinks.set(model.get("uid"), link);
  return () => {
    liveLinks.delete(model.get("uid"));
    link.close();
  };
}

/**
 * @param {RenderProps<LiveModel>} props
 * @returns {Cleanup | undefined}
 */
function render({ model, el: host }) {
  const link = liveLinks.get(model.get("uid"));
  return link?.show(host, () => {
    const attributes = { class: "rtnb rtnb-live", role: "group", tabindex: "-1", "aria-label": "Live turn" };
    const root = el("div", attributes);
    const close = liveView(link, root);
    return { root: suppressShortcuts(root), close };
  });
}

export default { initialize, render };
