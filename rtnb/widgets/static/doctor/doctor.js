// What a page sees of itself: microphone, sound, and how long the kernel takes to answer.

import { el } from "../shared/dom.js";
import { ownKeys } from "../shared/shortcuts.js";

const DOCTOR_PINGS = 9;
const DOCTOR_STATES = {
  ok: ["✓", "ok"],
  note: ["•", "note"],
  problem: ["✗", "problem"],
  unknown: ["…", "looking"],
};

/** Return the name of the front end by what its page has. */
export function frontEndOf({ hostname = "", dataset = {}, app = "", vscode = false }) {
  if (vscode || dataset.vscodeThemeKind || dataset.vscodeThemeName) return "Visual Studio Code";
  if (/(^|\.)(colab\.research\.google\.com|googleusercontent\.com)$/.test(hostname)) return "Google Colab";
  if (/notebook/i.test(app) || dataset.notebook) return "Notebook";
  if (/lab/i.test(app) || dataset.jpThemeName) return "JupyterLab";
  return "an unknown front end";
}

/** Return the browser's name and main version from a user agent's text, or "". */
export function browserOf(agent) {
  const kinds = [
    [/\bEdg\/(\d+)/, "Edge"],
    [/\bFirefox\/(\d+)/, "Firefox"],
    [/Chrom(?:e|ium)\/(\d+)/, "Chromium"],
    [/\bVersion\/(\d+).*Safari/, "Safari"],
  ];
  for (const [pattern, name] of kinds) {
    const found = pattern.exec(agent);
    if (found) return `${name} ${found[1]}`;
  }
  return "";
}

function pageConfig() {
  try {
    return JSON.parse(document.getElementById("jupyter-config-data")?.textContent ?? "{}");
  } catch {
    return {};
  }
}

async function soundFacts() {
  const facts = { worklet: false };
  if (!globalThis.AudioContext) return facts;
  const context = new AudioContext({ sampleRate: 24000 });
  try {
    facts.worklet = Boolean(context.audioWorklet);
    // A context that may run tells so a moment after it was made.
    for (let i = 0; i < 10 && context.state !== "running"; i += 1)
      await new Promise((done) => setTimeout(done, 20));
    facts.autoplay = context.state;
    if (Number.isFinite(context.outputLatency)) facts.latency_ms = context.outputLatency * 1000;
  } finally {
    await context.close();
  }
  return facts;
}

async function microphoneFacts() {
  const facts = { media: Boolean(navigator.mediaDevices?.getUserMedia) };
  if (!facts.media) return facts;
  try {
    facts.permission = (await navigator.permissions.query({ name: "microphone" })).state;
  } catch {
    // Not every browser tells before it is asked.
  }
  try {
    facts.microphones = (await navigator.mediaDevices.enumerateDevices()).filter(
      (each) => each.kind === "audioinput",
    ).length;
  } catch {
    // What may not be listed may still be asked for.
  }
  return facts;
}

async function kernelFacts(model) {
  const trips = [];
  for (let n = 0; n < DOCTOR_PINGS; n += 1) {
    const trip = await ping(model, n);
    if (trip === null) break;
    trips.push(trip);
  }
  // The first one also opens the way.
  return { round_trips_ms: trips.length > 1 ? trips.slice(1) : trips };
}

function ping(model, n) {
  return new Promise((done) => {
    const began = performance.now();
    const finish = (value) => {
      clearTimeout(timer);
      model.off("msg:custom", hear);
      done(value);
    };
    const hear = (message, buffers) => {
      if (message.type === "pong" && message.n === n && buffers?.[0]?.byteLength === 4800)
        finish(performance.now() - began);
    };
    const timer = setTimeout(() => finish(null), 3000);
    model.on("msg:custom", hear);
    model.send({ type: "ping", n }, undefined, [new ArrayBuffer(4800)]);
  });
}

async function lookAround(model) {
  const config = pageConfig();
  const facts = {
    frontend: frontEndOf({
      hostname: location.hostname,
      dataset: { ...document.body.dataset },
      app: config.appName ?? "",
      vscode: typeof globalThis.acquireVsCodeApi === "function",
    }),
    frontend_version: config.appVersion ?? "",
    browser: browserOf(navigator.userAgent),
    host: location.host,
    secure: globalThis.isSecureContext,
    ...(await soundFacts()),
    ...(await microphoneFacts()),
    ...(await kernelFacts(model)),
  };
  model.send({ type: "facts", facts });
}

function render({ model, el: root }) {
  const body = el("tbody");
  const summary = el("b", { role: "status" });
  const again = el("button", { onclick: () => look() }, "Check again");
  const ask = el("button", { class: "rtnb-hidden", onclick: () => allow() }, "Ask for the microphone");
  const copy = el("button", { onclick: () => copied() }, "Copy as text");
  const head = el(
    "tr",
    {},
    ...["", "What", "Found and what to do"].map((name) => el("th", { scope: "col" }, name)),
  );
  const table = el("table", { class: "rtnb-doctor-table" }, el("thead", { class: "rtnb-sr" }, head), body);
  const node = el(
    "div",
    { class: "rtnb rtnb-doctor", role: "group", "aria-label": "Environment check" },
    el("div", { class: "rtnb-row" }, summary, el("span", { class: "rtnb-grow" }), ask, again, copy),
    table,
  );
  const show = () => {
    const rows = model.get("rows");
    body.replaceChildren(...rows.map(doctorRow));
    const count = (state) => rows.filter((row) => row.state === state).length;
    const [problems, waiting, notes] = [count("problem"), count("unknown"), count("note")];
    const many = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;
    summary.textContent = waiting
      ? "Looking around …"
      : [problems ? many(problems, "problem") : "No problems", notes ? many(notes, "note") : ""]
          .filter(Boolean)
          .join(", ");
    const microphone = rows.find((row) => row.name === "Microphone");
    ask.classList.toggle("rtnb-hidden", !(microphone?.state === "note"));
  };
  const look = async () => {
    again.disabled = true;
    try {
      await lookAround(model);
    } finally {
      again.disabled = false;
    }
  };
  const allow = async () => {
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
      for (const track of stream.getTracks()) track.stop();
    } catch {
      // The check that follows says what came of it.
    }
    await look();
  };
  const copied = async () => {
    await navigator.clipboard.writeText(model.get("text")).then(
      () => (copy.textContent = "Copied"),
      () => (copy.textContent = "The page may not copy"),
    );
    setTimeout(() => (copy.textContent = "Copy as text"), 2000);
  };
  model.on("change:rows", show);
  show();
  root.append(ownKeys(node));
  look();
  return () => model.off("change:rows", show);
}

function doctorRow({ name, found, state, advice }) {
  const [sign, word] = DOCTOR_STATES[state] ?? DOCTOR_STATES.unknown;
  const mark = el("td", { class: `rtnb-doctor-state rtnb-doctor-${state}` }, `${sign} ${word}`);
  const told = el("td", {}, el("span", { class: "rtnb-num" }, found));
  if (advice) told.append(el("div", { class: "rtnb-dim rtnb-doctor-advice" }, advice));
  return el("tr", {}, mark, el("th", { scope: "row" }, name), told);
}

export default { render };
