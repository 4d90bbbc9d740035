// A live turn: captions as they come, a waveform that grows, sound from the first delta, and two buttons.
import { announceFinal, speakerName } from "../shared/captions.js";
import { clock, el, keepFocus, setText } from "../shared/dom.js";
import { PAGE_LINKS, PageLink } from "../shared/kernel_link.js";
import { ownKeys } from "../shared/shortcuts.js";

/** Say in words what goes on. */
export function liveWords({ phase, owned, silent, blocked, playing, lost }) {
  if (lost) return "The kernel is gone: run the cell again";
  if (!owned) return "Live in another tab";
  if (phase === "interrupted") return "Interrupted";
  if (blocked) return "Ready to play: the browser waits for your click";
  if (silent && phase !== "done") return "Answering in the talk panel";
  if (playing) return phase === "done" ? "Playing the rest" : "Speaking";
  return (
    {
      queued: "Waits for the turn before it",
      held: "Waits until the turn before it was heard",
      waiting: "Waiting for the answer",
      tools: "Using a tool",
      answering: "Answering",
      done: "Over",
    }[phase] ?? "Connecting to the kernel"
  );
}

/** Return where the bars of a waveform stand: [{ x, top, height }] for columns of (min, max) within `width`. */
export function liveBars(columns, width, height) {
  const count = columns.length >> 1;
  const bars = [];
  for (let i = 0; i < count; i += 1) {
    const high = columns[2 * i + 1] / 127;
    const low = columns[2 * i] / 127;
    const top = (height / 2) * (1 - high);
    const tall = Math.max(1.5, (height / 2) * (high - low));
    bars.push({ x: (i * width) / count, top: Math.min(top, height - tall), height: tall });
  }
  return bars;
}

function drawLive(canvas, columns, { seconds, scale, played }) {
  const ratio = globalThis.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  if (!width || !height) return;
  if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
  if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
  const pen = canvas.getContext("2d");
  const style = getComputedStyle(canvas);
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  const room = scale > 0 ? (width * seconds) / scale : 0;
  const head = scale > 0 ? (width * Math.min(played, seconds)) / scale : 0;
  const step = columns.length ? room / (columns.length >> 1) : 1;
  const wide = Math.max(1, step * 0.7);
  for (const bar of liveBars(columns, room, height)) {
    pen.fillStyle = style.getPropertyValue(bar.x < head ? "--rtnb-accent" : "--rtnb-dim");
    pen.fillRect(bar.x, bar.top, wide, bar.height);
  }
  pen.fillStyle = style.getPropertyValue("--rtnb-line");
  pen.fillRect(room, height / 2 - 0.5, Math.max(0, width - room), 1);
  if (head > 0 && head < room) {
    pen.fillStyle = style.getPropertyValue("--rtnb-fg");
    pen.fillRect(head - 0.5, 0, 1, height);
  }
}

function stopTurn(link) {
  link.tell({ kind: "stop", hush: link.hush() });
}

function liveView(link, root) {
  const status = el("span", { class: "rtnb-status", role: "status" });
  const time = el("span", { class: "rtnb-dim rtnb-num" });
  const play = el("button", { class: "rtnb-main", type: "button", onclick: () => link.resume() }, "Play");
  const mute = el(
    "button",
    { type: "button", "aria-pressed": "false", onclick: () => link.mute(!link.muted) },
    "Mute",
  );
  const silence = () => stopTurn(link);
  const stop = el("button", { type: "button", onclick: silence }, "Stop");
  stop.setAttribute("aria-label", "Stop the answer");
  const take = el(
    "button",
    {
      type: "button",
      onclick: () => {
        link.takeOver();
        link.resume();
      },
    },
    "Play it here",
  );
  const sides = {
    user: el("div", { class: "rtnb-side rtnb-user" }),
    assistant: el("div", { class: "rtnb-side" }),
  };
  const texts = {};
  const canvas = el("canvas", { role: "img", class: "rtnb-live-wave" });
  for (const [who, side] of Object.entries(sides)) {
    side.append(el("p", { class: "rtnb-who" }, speakerName(who)));
    if (who === "assistant") side.append(canvas);
    texts[who] = {
      said: el("p", { class: "rtnb-said", dir: "auto" }),
      note: el("p", { class: "rtnb-dim", dir: "auto" }),
    };
    side.append(texts[who].said, texts[who].note);
  }
  const told = el("div", { class: "rtnb-sr", "aria-live": "polite" });
  const foot = el("p", { class: "rtnb-foot rtnb-num" });
  const problem = el("p", { class: "rtnb-error", role: "alert" });
  root.append(
    el(
      "div",
      { class: "rtnb-row rtnb-live-head" },
      status,
      time,
      el("span", { class: "rtnb-actions" }, play, take, mute, stop),
    ),
    el("div", { class: "rtnb-sides" }, sides.user, sides.assistant),
    problem,
    foot,
    told,
  );
  let before = [];
  const show = (node, wanted) => {
    if (!wanted) keepFocus(root, node);
    node.classList.toggle("rtnb-hidden", !wanted);
  };
  const draw = () => {
    const { facts, player } = link;
    const owned = link.owner === "" || link.owns;
    const words = liveWords({
      lost: link.lost,
      phase: facts.phase,
      owned,
      silent: facts.silent,
      blocked: player?.blocked,
      playing: player?.playing,
    });
    setText(status, words);
    root.dataset.phase = player?.playing ? "speaking" : (facts.phase ?? "");
    for (const line of link.lines) {
      const text = texts[line.who];
      setText(text.said, line.text);
      setText(text.note, line.note);
    }
    announceFinal(told, before, link.lines);
    before = link.lines;
    const seconds = facts.seconds ?? 0;
    time.textContent = seconds
      ? `${clock(Math.min(link.playedSeconds, seconds), true)} of ${clock(seconds, true)}`
      : "";
    canvas.classList.toggle("rtnb-hidden", Boolean(facts.silent));
    canvas.setAttribute("aria-label", `Waveform of the answer, ${seconds.toFixed(1)} seconds so far`);
    drawLive(canvas, link.columns, { seconds, scale: facts.scale ?? 0, played: link.playedSeconds });
    foot.textContent = facts.foot ?? "";
    setText(problem, link.problem);
    show(problem, Boolean(link.problem));
    show(play, owned && Boolean(player?.blocked));
    show(take, !owned && !link.lost);
    show(mute, owned && !link.lost && !facts.silent);
    show(stop, owned && !link.lost);
    mute.setAttribute("aria-pressed", String(link.muted));
    mute.textContent = link.muted ? "Unmute" : "Mute";
    const interrupted = facts.phase === "interrupted";
    if (interrupted) keepFocus(root, stop);
    stop.disabled = interrupted;
  };
  root.addEventListener("keydown", (event) => {
    if (event.key === "Escape") silence();
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

export default {
  initialize({ model }) {
    const link = new PageLink(model, {
      onunseen: () => {
        if (link.owns && !link.facts.silent) stopTurn(link);
      },
    });
    return () => link.close();
  },
  render({ model, el: host }) {
    const link = PAGE_LINKS.get(model.get("uid"));
    return link.show(host, () => {
      const root = el("div", {
        class: "rtnb rtnb-live",
        role: "group",
        tabindex: "-1",
        "aria-label": "Live turn",
      });
      const done = liveView(link, root);
      return { root: ownKeys(root), done };
    });
  },
};
