// Talking in one cell: microphone, captions, who speaks, push to talk, what it costs.
import { announceFinal, speakerName } from "../shared/captions.js";
import { el, keepFocus, setText } from "../shared/dom.js";
import { PAGE_LINKS, PageLink } from "../shared/kernel_link.js";
import { howCaptured, MicrophoneSettings } from "../shared/microphone_settings.js";
import { ownKeys } from "../shared/shortcuts.js";
import { contextWords, talkWords } from "./gate.js";
import { TalkMic } from "./talk_microphone.js";

const TALK_MICS = new Map();

function talkView(link, mic, root) {
  const status = el("strong", { class: "rtnb-status", role: "status" });
  const level = el("meter", { class: "rtnb-talk-level", min: 0, max: 1, "aria-label": "Microphone level" });
  const button = (label, action, extra = {}) =>
    el("button", { type: "button", onclick: action, ...extra }, label);
  const start = button("Start", () => mic.start(), {
    class: "rtnb-main",
    "aria-label": "Start talking with the microphone",
  });
  const listen = button("Start without a microphone", () => mic.start(true));
  const again = button("Turn the microphone on", () => mic.start());
  const play = button("Play", () => link.resume(), { class: "rtnb-main" });
  const take = button("Take over here", () => {
    link.takeOver();
    mic.start();
  });
  const hold = button("Hold to talk", () => {}, {
    class: "rtnb-main rtnb-talk-hold",
    "aria-keyshortcuts": "Space",
  });
  const mute = button("Mute", () => mic.wish("muted", !mic.muted));
  const interrupt = () => link.tell({ kind: "interrupt", hush: link.hush() });
  const quiet = button("Interrupt", interrupt, { "aria-label": "Interrupt the assistant" });
  const stop = button("Stop", () => mic.finish(), { "aria-label": "End the talk" });
  const mode = el(
    "select",
    {
      "aria-label": "How your turns are found",
      onchange: () => link.tell({ kind: "mode", push: mode.value === "push" }),
    },
    el("option", { value: "free" }, "Hands-free"),
    el("option", { value: "push" }, "Push to talk"),
  );
  const half = el("input", { type: "checkbox", onchange: () => mic.wish("half", half.checked) });
  const halfLabel = el(
    "label",
    { class: "rtnb-talk-half", title: "For loudspeakers whose echo the browser does not cancel" },
    half,
    " Mute the microphone while the assistant speaks",
  );
  const settings = new MicrophoneSettings({
    read: () => mic.settings,
    change: (name, value) => mic.choose(name, value),
  });
  const how = el("p", { class: "rtnb-dim" });
  settings.node.append(how);
  const lines = el("div", {
    class: "rtnb-talk-lines",
    tabindex: "0",
    role: "log",
    "aria-live": "off",
    "aria-label": "Captions",
  });
  const told = el("div", { class: "rtnb-sr", "aria-live": "polite" });
  const note = el("p", { class: "rtnb-error", role: "alert" });
  const used = el("span", { class: "rtnb-dim rtnb-num" });
  const bar = el("meter", { class: "rtnb-talk-context", min: 0, max: 1, high: 0.8 });
  const room = el("span", { class: "rtnb-dim rtnb-num" });
  root.append(
    el(
      "div",
      { class: "rtnb-row" },
      status,
      level,
      el("span", { class: "rtnb-actions" }, start, listen, again, play, take, hold, quiet, mute, stop),
    ),
    note,
    lines,
    el("div", { class: "rtnb-row rtnb-folds rtnb-talk-settings" }, mode, halfLabel, settings.node),
    el("div", { class: "rtnb-row rtnb-talk-foot" }, used, el("span", { class: "rtnb-talk-room" }, bar, room)),
    told,
  );

  const press = (event) => {
    event.preventDefault();
    hold.setPointerCapture?.(event.pointerId);
    mic.press();
  };
  hold.addEventListener("pointerdown", press);
  for (const name of ["pointerup", "pointercancel", "lostpointercapture"])
    hold.addEventListener(name, () => mic.release());
  const talks = (event) =>
    event.code === "Space" &&
    link.facts.push &&
    (event.target === root || event.target === hold || event.target === lines);
  root.addEventListener("keydown", (event) => {
    if (event.key === "Escape") interrupt();
    if (!talks(event)) return;
    event.preventDefault();
    event.stopPropagation();
    if (!event.repeat) mic.press();
  });
  root.addEventListener("keyup", (event) => {
    if (!talks(event)) return;
    event.preventDefault();
    event.stopPropagation();
    mic.release();
  });
  root.addEventListener("focusout", (event) => {
    if (!root.contains(event.relatedTarget)) mic.release();
  });

  const rows = new Map();
  let before = [];
  const drawLines = () => {
    const low = lines.scrollHeight - lines.scrollTop - lines.clientHeight < 40;
    for (const [at, line] of link.lines.entries()) {
      let row = rows.get(line.key);
      if (!row) {
        row = {
          node: el("div", { class: `rtnb-talk-line rtnb-talk-${line.who}` }),
          said: el("span", { class: "rtnb-said", dir: "auto" }),
          note: el("span", { class: "rtnb-dim" }),
        };
        row.node.append(el("span", { class: "rtnb-who" }, speakerName(line.who)), row.said, row.note);
        rows.set(line.key, row);
      }
      if (lines.children[at] !== row.node) lines.insertBefore(row.node, lines.children[at] ?? null);
      setText(row.said, line.text);
      setText(row.note, line.note);
      row.said.classList.toggle("rtnb-hidden", !line.text);
      row.node.classList.toggle("rtnb-hidden", !line.text && !line.note);
      row.node.dataset.final = String(line.final);
    }
    announceFinal(told, before, link.lines);
    before = link.lines;
    lines.classList.toggle("rtnb-hidden", link.lines.length === 0);
    if (low) lines.scrollTop = lines.scrollHeight;
  };
  let heard = false;
  const show = (node, wanted) => {
    if (!wanted) keepFocus(root, node);
    node.classList.toggle("rtnb-hidden", !wanted);
  };
  const draw = () => {
    const { facts, player } = link;
    const owned = !link.lost && (link.owner === "" || link.owns);
    const live = facts.state === "live";
    const push = Boolean(facts.push);
    const words = talkWords({
      lost: link.lost,
      state: facts.state,
      phase: facts.phase,
      owned,
      push,
      muted: mic.muted,
      mic: mic.on,
      playing: player?.playing,
      blocked: player?.blocked,
      half: mic.half && !push,
    });
    setText(status, words);
    root.dataset.phase = !live ? "ready" : player?.playing ? "speaking" : (facts.phase ?? "");
    const ready = owned && !live && facts.state !== "stopped" && !mic.opening;
    show(start, ready);
    show(listen, ready);
    show(again, owned && live && !mic.on && !mic.opening);
    show(play, owned && live && Boolean(player?.blocked));
    show(take, !owned && !link.lost);
    show(hold, owned && live && push && mic.on);
    hold.textContent = mic.held ? "Listening: let go to send" : "Hold to talk (Space)";
    hold.setAttribute("aria-pressed", String(mic.held));
    show(quiet, owned && live);
    const idle = !player?.playing && facts.phase !== "thinking" && facts.phase !== "answering";
    if (idle) keepFocus(root, quiet);
    quiet.disabled = idle;
    show(mute, owned && live && mic.on && !push);
    mute.setAttribute("aria-pressed", String(mic.muted));
    mute.textContent = mic.muted ? "Unmute" : "Mute";
    mute.setAttribute("aria-label", mic.muted ? "Unmute the microphone" : "Mute the microphone");
    show(stop, owned && live);
    show(level, owned && live && mic.on);
    show(mode, owned);
    show(halfLabel, owned && !push);
    mode.value = push ? "push" : "free";
    half.checked = mic.half;
    const wrong = mic.problem || facts.note || link.problem || "";
    setText(note, wrong);
    show(note, Boolean(wrong));
    settings.update(!owned || mic.opening || mic.held);
    const captured = howCaptured(mic.capture?.info);
    how.textContent = captured;
    show(how, Boolean(captured));
    if (mic.on !== heard) {
      heard = mic.on;
      settings.refresh();
    }
    used.textContent = live
      ? (facts.used ?? "")
      : "Speak, and be spoken to. The microphone opens when you press Start.";
    const context = contextWords(facts.context ?? [0, null]);
    room.textContent = live ? context.text : "";
    show(bar, live && context.share !== null);
    bar.value = context.share ?? 0;
    bar.setAttribute("aria-label", context.text);
    drawLines();
  };
  const onlevel = (peak) => {
    level.value = Math.min(1, Math.sqrt(peak));
  };
  mic.onlevel.add(onlevel);
  const unwatch = link.watch(draw);
  draw();
  return () => {
    mic.onlevel.delete(onlevel);
    settings.close();
    unwatch();
  };
}

export default {
  initialize({ model }) {
    const link = new PageLink(model, {
      onowner: (owned) => {
        if (!owned) mic.forget();
      },
      onfacts: () => {
        if (link.facts.state === "stopped") mic.stop();
      },
      onrefused: () => mic.stop(),
      onunseen: () => {
        if (mic.on || (link.owns && link.facts.state === "live")) mic.finish();
        else mic.stop();
      },
    });
    const mic = new TalkMic(link);
    TALK_MICS.set(link, mic);
    return () => {
      mic.stop();
      TALK_MICS.delete(link);
      link.close();
    };
  },
  render({ model, el: host }) {
    const link = PAGE_LINKS.get(model.get("uid"));
    return link.show(host, () => {
      const root = el("div", { class: "rtnb rtnb-talk", role: "group", tabindex: "0", "aria-label": "Talk" });
      const done = talkView(link, TALK_MICS.get(link), root);
      return { root: ownKeys(root), done };
    });
  },
};
