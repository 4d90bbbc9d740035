// The talk panel: microphone, captions, who is speaking, push to talk, cost and context.
import { announceFinal, speakerName } from "../shared/captions.js";
import { el, keepFocus, setText, setVisible } from "../shared/dom.js";
import { KernelLink } from "../shared/kernel_link.js";
import { describeCapture, MicrophoneSettings } from "../shared/microphone_settings.js";
import { suppressShortcuts } from "../shared/shortcuts.js";
import { contextUsage, talkStatus } from "./gate.js";
import { TalkMicrophone } from "./talk_microphone.js";

/** @typedef {import("../shared/captions.js").Caption} Caption */
/** @typedef {import("../shared/capture.js").CaptureSettings} CaptureSettings */
/**
 * What the kernel says about the talk.
 * @typedef {object} TalkFacts
 * @property {string} state  "live" while the talk runs, "stopped" while it ends
 * @property {string} phase  "user_speaking", "thinking", "answering" or ""
 * @property {string} note  a problem
 * @property {boolean} push  push to talk
 * @property {boolean} half  half duplex
 * @property {boolean} muted
 * @property {CaptureSettings} capture
 * @property {string} used  the running cost
 * @property {[number, number | null]} context  tokens used, and the model's window
 */
/** @typedef {KernelLink<TalkFacts>} TalkLink */
/** @typedef {import("../shared/kernel_link.js").LinkModel<TalkFacts>} TalkModel */
/** @typedef {{ node: HTMLElement, said: HTMLElement, note: HTMLElement }} CaptionRow */

const INTRODUCTION = "Talk with the model. The microphone turns on when you press Start.";

/**
 * The talks of this page by their widget's uid: initialize creates them, render finds them.
 * @type {Map<string, { link: TalkLink, microphone: TalkMicrophone }>}
 */
const talks = new Map();

/**
 * @param {string} label
 * @param {() => unknown} onclick
 * @param {ElementAttributes} attributes
 */
function talkButton(label, onclick, attributes = {}) {
  return el("button", { type: "button", onclick, ...attributes }, label);
}

/** The transcript of the talk, with a live region for what became final. */
class CaptionList {
  constructor() {
    const attributes = { tabindex: "0", role: "log", "aria-live": "off", "aria-label": "Captions" };
    this.node = el("div", { class: "rtnb-talk-lines", ...attributes });
    this.announcements = el("div", { class: "rtnb-sr", "aria-live": "polite" });
    /** @type {Map<string, CaptionRow>} */
    this.rows = new Map();
    /** @type {Caption[]} */
    this.announced = [];
  }

  /** @param {Caption[]} lines */
  update(lines) {
    const { node } = this;
    const atEnd = node.scrollHeight - node.scrollTop - node.clientHeight < 40;
    for (const [at, line] of lines.entries()) {
      const row = this.#row(line);
      if (node.children[at] !== row.node) node.insertBefore(row.node, node.children[at] ?? null);
      setText(row.said, line.text);
      setText(row.note, line.note);
      setVisible(row.said, Boolean(line.text));
      setVisible(row.node, Boolean(line.text || line.note));
      row.node.dataset.final = String(line.final);
    }
    announceFinal(this.announcements, this.announced, lines);
    this.announced = lines;
    setVisible(node, lines.length > 0);
    if (atEnd) node.scrollTop = node.scrollHeight;
  }

  /** @param {Caption} line */
  #row(line) {
    let row = this.rows.get(line.key);
    if (!row) {
      const said = el("span", { class: "rtnb-said", dir: "auto" });
      const note = el("span", { class: "rtnb-dim" });
      const who = el("span", { class: "rtnb-who" }, speakerName(line.who));
      row = {
        node: el("div", { class: `rtnb-talk-line rtnb-talk-${line.who}` }, who, said, note),
        said,
        note,
      };
      this.rows.set(line.key, row);
    }
    return row;
  }
}

/**
 * Build the panel in `root`.
 * @param {TalkLink} link
 * @param {TalkMicrophone} mic
 * @param {HTMLElement} root
 * @returns {Cleanup}
 */
function talkView(link, mic, root) {
  const status = el("strong", { class: "rtnb-status", role: "status" });
  const level = el("meter", { class: "rtnb-talk-level", min: 0, max: 1, "aria-label": "Microphone level" });
  const interrupt = () => link.send({ kind: "interrupt", stop_id: link.stopPlayback() });
  const takeOver = () => {
    link.takeOver();
    mic.start();
  };
  const buttons = {
    start: talkButton("Start", () => mic.start(), {
      class: "rtnb-main",
      "aria-label": "Start talking with the microphone",
    }),
    listen: talkButton("Start without a microphone", () => mic.start(true)),
    turnOn: talkButton("Turn the microphone on", () => mic.start()),
    play: talkButton("Play", () => link.resume(), { class: "rtnb-main" }),
    takeOver: talkButton("Take over here", takeOver),
    hold: talkButton("Hold to talk", () => {}, {
      class: "rtnb-main rtnb-talk-hold",
      "aria-keyshortcuts": "Space",
    }),
    interrupt: talkButton("Interrupt", interrupt, { "aria-label": "Interrupt the assistant" }),
    mute: talkButton("Mute", () => mic.setMode("muted", !mic.muted)),
    stop: talkButton("Stop", () => mic.finish(), { "aria-label": "End the talk" }),
  };
  const { hold, mute } = buttons;
  const mode = el("select", { "aria-label": "Turn detection" });
  mode.append(el("option", { value: "free" }, "Hands-free"), el("option", { value: "push" }, "Push to talk"));
  mode.addEventListener("change", () => link.send({ kind: "mode", push: mode.value === "push" }));
  const half = el("input", { type: "checkbox" });
  half.addEventListener("change", () => mic.setMode("half", half.checked));
  const halfLabel = el(
    "label",
    { class: "rtnb-talk-half", title: "For loudspeakers whose echo the browser does not cancel" },
    half,
    " Mute the microphone while the assistant speaks",
  );
  const settings = new MicrophoneSettings({
    read: () => mic.settings,
    onChange: (name, value) => mic.choose(name, value),
  });
  const captured = el("p", { class: "rtnb-dim" });
  settings.node.append(captured);
  const captions = new CaptionList();
  const problem = el("p", { class: "rtnb-error", role: "alert" });
  const cost = el("span", { class: "rtnb-dim rtnb-num" });
  const contextBar = el("meter", { class: "rtnb-talk-context", min: 0, max: 1, high: 0.8 });
  const contextText = el("span", { class: "rtnb-dim rtnb-num" });
  root.append(
    el(
      "div",
      { class: "rtnb-row" },
      status,
      level,
      el("span", { class: "rtnb-actions" }, ...Object.values(buttons)),
    ),
    problem,
    captions.node,
    el("div", { class: "rtnb-row rtnb-folds rtnb-talk-settings" }, mode, halfLabel, settings.node),
    el(
      "div",
      { class: "rtnb-row rtnb-talk-foot" },
      cost,
      el("span", { class: "rtnb-talk-room" }, contextBar, contextText),
    ),
    captions.announcements,
  );

  hold.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    hold.setPointerCapture?.(event.pointerId);
    mic.press();
  });
  for (const name of ["pointerup", "pointercancel", "lostpointercapture"])
    hold.addEventListener(name, () => mic.release());
  /** @param {KeyboardEvent} event */
  const isTalkKey = ({ code, target }) =>
    code === "Space" && link.facts.push && (target === root || target === hold || target === captions.node);
  root.addEventListener("keydown", (event) => {
    if (event.key === "Escape") interrupt();
    if (!isTalkKey(event)) return;
    event.preventDefault();
    event.stopPropagation();
    if (!event.repeat) mic.press();
  });
  root.addEventListener("keyup", (event) => {
    if (!isTalkKey(event)) return;
    event.preventDefault();
    event.stopPropagation();
    mic.release();
  });
  root.addEventListener("focusout", ({ relatedTarget }) => {
    if (!(relatedTarget instanceof Node && root.contains(relatedTarget))) mic.release();
  });

  let wasOn = false;
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
    const owned = !disconnected && (link.owner === "" || link.owns);
    const live = facts.state === "live";
    const running = owned && live;
    const push = Boolean(facts.push);
    const { muted, on } = mic;
    const { playing, blocked } = player ?? {};
    const { state, phase } = facts;
    const halfDuplex = mic.half && !push;
    setText(
      status,
      talkStatus({
        disconnected,
        state,
        phase,
        owned,
        push,
        muted,
        mic: on,
        playing,
        blocked,
        half: halfDuplex,
      }),
    );
    root.dataset.phase = !live ? "ready" : playing ? "speaking" : (phase ?? "");
    const ready = owned && !live && state !== "stopped" && !mic.opening;
    show(buttons.start, ready);
    show(buttons.listen, ready);
    show(buttons.turnOn, running && !on && !mic.opening);
    show(buttons.play, running && Boolean(blocked));
    show(buttons.takeOver, !owned && !disconnected);
    show(hold, running && push && on);
    hold.textContent = mic.held ? "Listening: release to send" : "Hold to talk (Space)";
    hold.setAttribute("aria-pressed", String(mic.held));
    show(buttons.interrupt, running);
    const idle = !playing && phase !== "thinking" && phase !== "answering";
    if (idle) keepFocus(root, buttons.interrupt);
    buttons.interrupt.disabled = idle;
    show(mute, running && on && !push);
    mute.setAttribute("aria-pressed", String(muted));
    mute.textContent = muted ? "Unmute" : "Mute";
    mute.setAttribute("aria-label", muted ? "Unmute the microphone" : "Mute the microphone");
    show(buttons.stop, running);
    show(level, running && on);
    show(mode, owned);
    show(halfLabel, owned && !push);
    mode.value = push ? "push" : "free";
    half.checked = mic.half;
    const problems = mic.problem || facts.note || link.problem || "";
    setText(problem, problems);
    show(problem, Boolean(problems));
    settings.update(!owned || mic.opening || mic.held);
    captured.textContent = describeCapture(mic.capture?.info);
    show(captured, Boolean(captured.textContent));
    if (on !== wasOn) {
      wasOn = on;
      settings.refresh();
    }
    cost.textContent = live ? (facts.used ?? "") : INTRODUCTION;
    const context = contextUsage(facts.context ?? [0, null]);
    contextText.textContent = live ? context.text : "";
    show(contextBar, live && context.share !== null);
    contextBar.value = context.share ?? 0;
    contextBar.setAttribute("aria-label", context.text);
    captions.update(link.lines);
  };
  /** @param {number} peak */
  const onLevel = (peak) => {
    level.value = Math.min(1, Math.sqrt(peak));
  };
  mic.levelListeners.add(onLevel);
  const unwatch = link.watch(draw);
  draw();
  return () => {
    mic.levelListeners.delete(onLevel);
    settings.close();
    unwatch();
  };
}

/**
 * @param {InitializeProps<TalkModel>} props
 * @returns {Cleanup}
 */
function initialize({ model }) {
  /** @type {TalkLink} */
  const link = new KernelLink(model, {
    onOwner: (owned) => {
      if (!owned) microphone.reset();
    },
    onFacts: () => {
      if (link.facts.state === "stopped") microphone.stop();
    },
    onRefused: () => microphone.stop(),
    onRemoved: () => {
      if (microphone.on || (link.owns && link.facts.state === "live")) microphone.finish();
      else microphone.stop();
    },
  });
  const microphone = new TalkMicrophone(link);
  talks.set(model.get("uid"), { link, microphone });
  return () => {
    microphone.stop();
    talks.delete(model.get("uid"));
    link.close();
  };
}

/**
 * @param {RenderProps<TalkModel>} props
 * @returns {Cleanup | undefined}
 */
function render({ model, el: host }) {
  const talk = talks.get(model.get("uid"));
  return talk?.link.show(host, () => {
    const root = el("div", { class: "rtnb rtnb-talk", role: "group", tabindex: "0", "aria-label": "Talk" });
    const close = talkView(talk.link, talk.microphone, root);
    return { root: suppressShortcuts(root), close };
  });
}

export default { initialize, render };
