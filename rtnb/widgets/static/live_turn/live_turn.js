// A live turn: captions as they arrive, a growing waveform, playback from the first delta, and its controls.
import { colourOf, prepareCanvas } from "../shared/canvas.js";
import { announceFinal, speakerName } from "../shared/captions.js";
import { el, keepFocus, setText, setVisible } from "../shared/dom.js";
import { formatTime } from "../shared/format.js";
import { KernelLink } from "../shared/kernel_link.js";
import { suppressShortcuts } from "../shared/shortcuts.js";
import { attachPlayers, cardNodes } from "../shared/static_card.js";

/** @typedef {import("../shared/captions.js").Caption} Caption */
/** @typedef {"queued" | "held" | "waiting" | "tools" | "approval" | "output" | "answering" | "done" | "interrupted"} LivePhase */
/**
 * A function call that waits; `runs` means that its approval runs a function.
 * @typedef {{ id: string, text: string, runs: boolean }} WaitingCall
 */
/** @typedef {{ name: string, arguments: string, lead: string, output: string, failed: boolean, folded: boolean }} ShownCall */
/** @typedef {{ texts: [string, boolean][], note: string, failed: boolean }} Said  each text, and whether it is a preamble */
/** @typedef {{ call: ShownCall } | Said} AnswerLine */
/**
 * What the kernel says about the turn; `silent` means that another widget plays it.
 * @typedef {object} LiveFacts
 * @property {LivePhase} phase
 * @property {number} seconds
 * @property {number} scale
 * @property {boolean} silent
 * @property {WaitingCall[]} [calls]
 * @property {string} [by]  who answers
 * @property {boolean} [embedded]
 * @property {AnswerLine[]} [answer]
 * @property {[string, string, string][]} [foot]  figures, each between its words
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
 * Draw the waveform so far, as the card does: what was played in full colour, and a line for what may come.
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
  const barWidth = Math.max(1, (columns.length ? filled / (columns.length >> 1) : 1) * 0.6);
  context.fillStyle = colourOf(canvas, "--rtnb-voice");
  for (const bar of waveformBars(columns, filled, height)) {
    context.globalAlpha = bar.x < playhead ? 1 : 0.42;
    context.beginPath();
    context.roundRect(bar.x + barWidth / 3, bar.top, barWidth, bar.height, barWidth / 2);
    context.fill();
  }
  context.globalAlpha = 1;
  context.fillStyle = colourOf(canvas, "--rtnb-line");
  context.fillRect(filled, height / 2 - 0.5, Math.max(0, width - filled), 1);
  if (playhead > 0 && playhead < filled) {
    context.fillStyle = colourOf(canvas, "--rtnb-fg");
    context.fillRect(playhead - 1, 0, 2, height);
  }
}

/** @param {LiveLink} link */
function stopTurn(link) {
  link.send({ kind: "stop", stop_id: link.stopPlayback() });
}

/**
 * A line of the card: who, and what.
 * @param {string} kind
 * @param {string} who
 * @param {(Node | string)[]} parts
 */
function lineOf(kind, who, ...parts) {
  const content = el("div", {}, ...parts);
  const name = el("p", { class: "rtnb-who" }, el("b", {}, who));
  return { node: el("div", { class: `rtnb-line rtnb-${kind}` }, name, content), content };
}

/** @param {ShownCall} call */
function callLine({ name, arguments: given, lead, output, failed, folded }) {
  const head = el("code", { dir: "auto" }, el("b", {}, name), `(${given})`);
  const shown = el("span", { class: failed ? "rtnb-bad" : "rtnb-none" }, lead);
  if (!folded) return lineOf("tool", "Tool", el("p", {}, head, " ", shown, " ", el("code", {}, output))).node;
  const start = el("code", {}, `${output.slice(0, 80).trimEnd()}…`);
  const size = ` (${output.length.toLocaleString("en-US")} characters)`;
  const fold = el("details", {}, el("summary", {}, shown, " ", start, size), el("code", {}, output));
  return lineOf("tool", "Tool", el("p", {}, head), fold).node;
}

/** A line of the assistant, whose texts grow. */
function saidLine() {
  const { node, content } = lineOf("assistant", speakerName("assistant"));
  const note = el("p", { dir: "auto" });
  /** @type {HTMLElement[]} */
  const texts = [];
  content.append(note);
  /** @param {Said} said */
  const update = (said) => {
    const wanted = said.texts.flatMap(([text, preamble]) => [preamble ? "Preamble:" : "", text]);
    wanted.forEach((text, i) => {
      if (!texts[i]) {
        texts[i] = el("p", { class: i % 2 ? "rtnb-text" : "rtnb-none", dir: "auto" });
        note.before(texts[i]);
      }
      setText(texts[i], text);
      setVisible(texts[i], text !== "");
    });
    while (texts.length > wanted.length) texts.pop()?.remove();
    const [start, ...rest] = said.note.split(/(?<=^[^:]*:)/);
    if (note.textContent !== said.note) note.replaceChildren(el("strong", {}, start), ...rest);
    note.className = said.failed ? "rtnb-bad" : "rtnb-none";
    setVisible(note, said.note !== "");
  };
  return { node, content, update };
}

/**
 * Return the answer's lines and a function that brings them up to date; `player` is in the first of the assistant.
 * @param {HTMLElement} player
 */
function answerLines(player) {
  const node = el("div", {});
  /** @type {{ key: string, node: HTMLElement, content?: HTMLElement, update?: (said: Said) => void }[]} */
  const rows = [];
  /** @param {AnswerLine[]} lines */
  const update = (lines) => {
    lines.forEach((line, i) => {
      const key = "call" in line ? JSON.stringify(line) : "";
      if (rows[i]?.key !== key) {
        const row = "call" in line ? { key, node: callLine(line.call) } : { key, ...saidLine() };
        rows[i]?.node.remove();
        rows[i] = row;
        node.insertBefore(row.node, rows[i + 1]?.node ?? null);
      }
      if (!("call" in line)) rows[i].update?.(line);
    });
    while (rows.length > lines.length) rows.pop()?.node.remove();
    const first = rows.find(({ content }) => content)?.content;
    if (first && player.parentNode !== first) first.prepend(player);
  };
  return { node, update };
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
 * Return the figures at the foot; the room at the end is where the card has its details.
 * @param {[string, string, string][]} figures
 */
function footParts(figures) {
  const parts = figures.flatMap(([before, figure, after], i) => [
    i ? " · " : "",
    el(
      "span",
      { class: "rtnb-fact" },
      before ? `${before} ` : "",
      el("b", {}, figure),
      after ? ` ${after}` : "",
    ),
  ]);
  return [...parts, " ", el("span", { class: "rtnb-i", "aria-hidden": "true" })];
}

/**
 * Build the live view in `root`.
 * @param {LiveLink} link
 * @param {HTMLElement} root
 * @returns {Cleanup}
 */
function liveView(link, root) {
  const status = el("strong", { class: "rtnb-status", role: "status" });
  const by = el("span", { class: "rtnb-by" });
  const play = el("button", {
    class: "rtnb-play",
    type: "button",
    "aria-label": "Play",
    onclick: () => link.resume(),
  });
  const mute = el(
    "button",
    { type: "button", "aria-pressed": "false", onclick: () => link.mute(!link.muted) },
    "Mute",
  );
  const stopAttributes = { type: "button", "aria-label": "Stop the answer", onclick: () => stopTurn(link) };
  const stops = [
    el("button", stopAttributes, "Stop"),
    el("button", { ...stopAttributes, class: "rtnb-play rtnb-live-stop" }),
  ];
  const playHere = () => {
    link.takeOver();
    link.resume();
  };
  const takeOver = el("button", { type: "button", onclick: playHere }, "Play here");
  const canvas = el("canvas", { role: "img" });
  const time = el("span", { class: "rtnb-time" });
  const room = ["1×", "↓"].map((text) => el("span", { class: "rtnb-more", "aria-hidden": "true" }, text));
  const player = el(
    "div",
    { class: "rtnb-player rtnb-of-assistant" },
    el(
      "div",
      { class: "rtnb-controls" },
      play,
      stops[1],
      el("div", { class: "rtnb-seek" }, canvas),
      time,
      ...room,
    ),
  );
  const said = el("p", { class: "rtnb-text", dir: "auto" });
  const note = el("p", { class: "rtnb-none", dir: "auto" });
  const user = lineOf("user", speakerName("user"), said, note);
  const answer = answerLines(player);
  const announcements = el("div", { class: "rtnb-sr", "aria-live": "polite" });
  const calls = el("div", { role: "group", "aria-label": "Function calls that wait" });
  const foot = el("div", { class: "rtnb-foot" });
  const problem = el("p", { class: "rtnb-error", role: "alert" });
  root.append(
    el("div", { class: "rtnb-head" }, status, mute, takeOver, stops[0], by),
    user.node,
    answer.node,
    calls,
    problem,
    foot,
    announcements,
  );
  let shownFoot = "[]";
  let question = "";
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
    const { facts, disconnected } = link;
    const owned = link.owner === "" || link.owns;
    const { phase, silent } = facts;
    const { blocked, playing } = link.player ?? {};
    setText(status, liveStatus({ disconnected, phase, owned, silent, blocked, playing }));
    root.dataset.phase = playing ? "speaking" : (phase ?? "");
    const line = link.lines.find(({ who }) => who === "user");
    setText(said, line?.text ?? "");
    setText(note, line?.note ?? "");
    for (const text of [said, note]) setVisible(text, text.textContent !== "");
    const html = link.model.get("question") ?? "";
    if (html !== question) {
      question = html;
      user.content.prepend(cardNodes(html));
      attachPlayers(user.content);
    }
    answer.update(facts.answer ?? [{ texts: [], note: "", failed: false }]);
    announceFinal(announcements, announced, link.lines);
    announced = link.lines;
    const seconds = facts.seconds ?? 0;
    const played = Math.min(link.playedSeconds, seconds);
    time.textContent = `${formatTime(played, true)} / ${formatTime(seconds, true)}`;
    show(player, seconds > 0);
    canvas.setAttribute("aria-label", `Waveform of the answer, ${seconds.toFixed(1)} seconds so far`);
    drawWaveform(canvas, link.columns, { seconds, scale: facts.scale ?? 0, played });
    if (by.dataset.name !== facts.by) {
      by.dataset.name = facts.by ?? "";
      const chip = facts.embedded ? [" ", el("span", { class: "rtnb-chip" }, "embedded")] : [];
      by.replaceChildren(...(facts.by ? [facts.by, ...chip] : []));
    }
    const figures = JSON.stringify(facts.foot ?? []);
    if (figures !== shownFoot) {
      shownFoot = figures;
      foot.replaceChildren(...footParts(facts.foot ?? []));
    }
    setVisible(foot, shownFoot !== "[]" || (phase !== "done" && phase !== "interrupted"));
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
    const waits = owned && Boolean(blocked);
    show(play, waits);
    show(takeOver, !owned && !disconnected);
    show(mute, owned && !disconnected && !silent);
    show(stops[0], owned && !disconnected && seconds === 0);
    show(stops[1], !waits);
    mute.setAttribute("aria-pressed", String(link.muted));
    mute.textContent = link.muted ? "Unmute" : "Mute";
    const ended = phase === "interrupted" || !owned || disconnected;
    for (const stop of stops) {
      if (ended) keepFocus(root, stop);
      stop.disabled = ended;
    }
  };
  root.addEventListener("keydown", (event) => {
    if (event.key === "Escape") stopTurn(link);
  });
  const observer = new ResizeObserver(draw);
  observer.observe(canvas);
  const unwatch = link.watch(draw);
  link.model.on("change:question", draw);
  draw();
  return () => {
    observer.disconnect();
    link.model.off("change:question", draw);
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
    const attributes = {
      class: "rtnb rtnb-turn rtnb-live",
      role: "group",
      tabindex: "-1",
      "aria-label": "Live turn",
    };
    const root = el("div", attributes);
    const close = liveView(link, root);
    return { root: suppressShortcuts(root), close };
  });
}

export default { initialize, render };
