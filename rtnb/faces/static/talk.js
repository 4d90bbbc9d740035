// Talking in one cell: microphone, captions, who speaks, push to talk, what it costs.
import { Capture, microphoneProblem } from "./capture.js";
import { newlyFinal, speakerName } from "./captions.js";
import { el } from "./common.js";
import { ownKeys } from "./keys.js";
import { howCaptured, MicrophoneSettings } from "./microphone.js";
import { PAGE_LINKS, PageLink } from "./page.js";
import { TalkGate, contextWords, gateOpen, talkWords } from "./talk-gate.js";

const CHUNK_SECONDS = 0.04;

/** The microphone of one talk in this page. It lives as long as the widget, not as its views. */
class TalkMic {
  constructor(link) {
    this.link = link;
    this.gate = new TalkGate();
    this.capture = null;
    this.problem = "";
    this.opening = false;
    this.muted = false;
    this.held = false;
    this.releasing = null;
    this.half = null;
    this.chosen = null;
    this.attempt = 0;
    this.level = 0;
    this.onlevel = new Set();
  }

  get on() {
    return this.capture !== null;
  }

  /** What to capture with: what was chosen in this page, else what the kernel has. */
  get settings() {
    return this.chosen ?? this.link.facts.capture ?? {};
  }

  /** Change one of the settings; a microphone that is open is opened anew. */
  async choose(name, value) {
    this.chosen = { ...this.settings, [name]: value };
    this.link.tell({ kind: "capture", ...this.chosen });
    if (!this.on) return;
    const before = this.capture;
    this.release();
    this.capture = null;
    this.opening = true;
    this.link.changed();
    await before.stop();
    this.opening = false;
    await this.start();
  }

  state() {
    const { facts, player } = this.link;
    return {
      live: facts.state === "live" && this.link.owns,
      push: Boolean(facts.push),
      held: this.held || this.releasing !== null,
      muted: this.muted,
      half: this.half ?? Boolean(facts.half),
      playing: Boolean(player?.playing),
    };
  }

  /** Open the microphone within a gesture, and tell the kernel how that went. */
  async start(listenOnly = false) {
    if (this.opening) return;
    this.opening = true;
    this.problem = "";
    this.link.loudspeaker().resume();
    this.link.changed();
    if (!listenOnly && !this.capture) {
      const capture = new Capture({
        onchunk: (samples, { peak }) => this.chunk(samples, peak),
        onend: (sentence) => this.lost(sentence),
      });
      this.attempt += 1;
      const attempt = this.attempt;
      try {
        await capture.start(this.settings);
        if (attempt === this.attempt) this.capture = capture;
        else capture.stop(); // it ended while the browser asked
      } catch (error) {
        this.problem = microphoneProblem(error);
      }
    }
    this.opening = false;
    this.link.tell({ kind: "start", mic: this.on, problem: this.problem, info: this.capture?.info ?? null });
    this.link.changed();
  }

  lost(sentence) {
    this.stop();
    this.problem = sentence;
    this.link.tell({ kind: "start", mic: false, problem: sentence });
    this.link.changed();
  }

  chunk(samples, peak) {
    const state = this.state();
    this.level = gateOpen(state) ? peak : 0;
    for (const show of this.onlevel) show(this.level);
    const seconds = samples.length / (this.capture?.info?.rate ?? 24000);
    const decision = this.gate.decide(state, seconds);
    if (decision !== "drop") {
      const data = decision === "send" ? samples : new Int16Array(samples.length);
      this.link.tell({ kind: "sound" }, [data.buffer]);
    }
    if (this.releasing) this.release(true);
  }

  press() {
    const { live, push } = this.state();
    if (!live || !push || this.held || !this.on) return;
    clearTimeout(this.releasing);
    this.releasing = null;
    this.held = true;
    this.link.tell({ kind: "press" });
    this.link.changed();
  }

  /** Let go: the chunk that is being gathered still belongs to what was said. */
  release(now = false) {
    if (!now) {
      if (!this.held) return;
      this.held = false;
      this.releasing = setTimeout(() => this.release(true), CHUNK_SECONDS * 3000);
      this.link.changed();
      return;
    }
    clearTimeout(this.releasing);
    this.releasing = null;
    this.link.tell({ kind: "release" });
  }

  stop() {
    this.attempt += 1;
    this.capture?.stop();
    this.capture = null;
    this.level = 0;
    for (const show of this.onlevel) show(0);
  }
}

const TALK_MICS = new Map();

function talkView(link, mic, root) {
  const status = el("strong", { class: "rtnb-status", role: "status" });
  const level = el("meter", { class: "rtnb-talk-level", min: 0, max: 1, "aria-label": "Microphone level" });
  const button = (label, action, extra = {}) => el("button", { type: "button", onclick: action, ...extra }, label);
  const start = button("Start", () => mic.start(), { class: "rtnb-main", "aria-label": "Start talking with the microphone" });
  const listen = button("Start without a microphone", () => mic.start(true));
  const again = button("Turn the microphone on", () => mic.start());
  const play = button("Play", () => link.resume(), { class: "rtnb-main" });
  const take = button("Take over here", () => {
    link.takeOver();
    mic.start();
  });
  const hold = button("Hold to talk", () => {}, { class: "rtnb-main rtnb-talk-hold", "aria-keyshortcuts": "Space" });
  const mute = button("Mute", () => {
    mic.muted = !mic.muted;
    link.changed();
  });
  const quiet = button("Interrupt", () => link.tell({ kind: "interrupt" }), { "aria-label": "Interrupt the assistant" });
  const stop = button("Stop", () => {
    mic.stop();
    link.tell({ kind: "finish" });
  }, { "aria-label": "End the talk" });
  const mode = el(
    "select",
    { "aria-label": "How your turns are found", onchange: () => link.tell({ kind: "mode", push: mode.value === "push" }) },
    el("option", { value: "free" }, "Hands-free"),
    el("option", { value: "push" }, "Push to talk"),
  );
  const half = el("input", {
    type: "checkbox",
    onchange: () => {
      mic.half = half.checked;
      link.changed();
    },
  });
  const halfLabel = el(
    "label",
    { class: "rtnb-talk-half", title: "For loudspeakers whose echo the browser does not cancel" },
    half,
    " Mute the microphone while the assistant speaks",
  );
  const settings = new MicrophoneSettings({ read: () => mic.settings, change: (name, value) => mic.choose(name, value) });
  const how = el("p", { class: "rtnb-dim" });
  settings.node.append(how);
  const lines = el("div", { class: "rtnb-talk-lines", tabindex: "0", role: "log", "aria-live": "off", "aria-label": "Captions" });
  const told = el("div", { class: "rtnb-sr", "aria-live": "polite" });
  const note = el("p", { class: "rtnb-error", role: "alert" });
  const used = el("span", { class: "rtnb-dim rtnb-num" });
  const bar = el("meter", { class: "rtnb-talk-context", min: 0, max: 1, high: 0.8 });
  const room = el("span", { class: "rtnb-dim rtnb-num" });
  root.append(
    el("div", { class: "rtnb-row" }, status, level, el("span", { class: "rtnb-grow" }), start, listen, again, play, take, hold, quiet, mute, stop),
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
  for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) hold.addEventListener(name, () => mic.release());
  const talks = (event) => event.code === "Space" && link.facts.push && (event.target === root || event.target === hold || event.target === lines);
  root.addEventListener("keydown", (event) => {
    if (event.key === "Escape") link.tell({ kind: "interrupt" });
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
      if (row.said.textContent !== line.text) row.said.textContent = line.text;
      if (row.note.textContent !== line.note) row.note.textContent = line.note;
      row.said.classList.toggle("rtnb-hidden", !line.text);
      row.node.classList.toggle("rtnb-hidden", !line.text && !line.note);
      row.node.dataset.final = String(line.final);
    }
    for (const line of newlyFinal(before, link.lines)) told.textContent = `${speakerName(line.who)}: ${line.text}`;
    before = link.lines;
    lines.classList.toggle("rtnb-hidden", link.lines.length === 0);
    if (low) lines.scrollTop = lines.scrollHeight;
  };
  let heard = false;
  const show = (node, wanted) => node.classList.toggle("rtnb-hidden", !wanted);
  const draw = () => {
    const { facts, player } = link;
    const owned = !link.lost && (link.owner === "" || link.owns);
    const live = facts.state === "live";
    const push = Boolean(facts.push);
    const halved = mic.half ?? Boolean(facts.half);
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
      half: halved && !push,
    });
    if (status.textContent !== words) status.textContent = words;
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
    quiet.disabled = !player?.playing && facts.phase !== "thinking" && facts.phase !== "answering";
    show(mute, owned && live && mic.on && !push);
    mute.setAttribute("aria-pressed", String(mic.muted));
    mute.textContent = mic.muted ? "Unmute" : "Mute";
    mute.setAttribute("aria-label", mic.muted ? "Unmute the microphone" : "Mute the microphone");
    show(stop, owned && live);
    show(level, owned && live && mic.on);
    show(mode, owned);
    show(halfLabel, owned && !push);
    mode.value = push ? "push" : "free";
    half.checked = halved;
    const wrong = mic.problem || facts.note || link.problem || "";
    if (note.textContent !== wrong) note.textContent = wrong;
    show(note, Boolean(wrong));
    settings.update(!owned || mic.opening || mic.held);
    const captured = howCaptured(mic.capture?.info);
    how.textContent = captured;
    show(how, Boolean(captured));
    if (mic.on !== heard) {
      heard = mic.on;
      settings.refresh();
    }
    used.textContent = live ? (facts.used ?? "") : "Speak, and be spoken to. The microphone opens when you press Start.";
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
        if (!owned) mic.stop();
      },
      onfacts: () => {
        if (link.facts.state === "stopped") mic.stop();
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
