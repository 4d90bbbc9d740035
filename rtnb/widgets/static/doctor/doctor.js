// The environment check: what the page finds out about itself, and how fast the kernel answers.

import { el, setText, setVisible } from "../shared/dom.js";
import { countOf } from "../shared/format.js";
import { suppressShortcuts } from "../shared/shortcuts.js";

/** @typedef {"ok" | "note" | "problem" | "unknown"} CheckState */
/** @typedef {{ name: string, found: string, state: CheckState, advice: string }} Check */
/** @typedef {{ type: "pong", n: number }} Pong */
/** @typedef {WidgetModel<{ rows: Check[], text: string }, Pong>} DoctorModel */

const PINGS = 9;
const PING_BYTES = 4800; // 100 ms of audio
const PING_TIMEOUT_MS = 3000;
/** @type {Record<CheckState, [sign: string, label: string]>} */
const CHECK_STATES = {
  ok: ["✓", "ok"],
  note: ["•", "note"],
  problem: ["✗", "problem"],
  unknown: ["…", "checking"],
};

/**
 * Return the front end's name by what identifies its page.
 * @param {{ hostname?: string, dataset?: DOMStringMap, app?: string, vscode?: boolean }} page
 */
export function frontEndOf({ hostname = "", dataset = {}, app = "", vscode = false }) {
  if (vscode || dataset.vscodeThemeKind || dataset.vscodeThemeName) return "Visual Studio Code";
  if (/(^|\.)(colab\.research\.google\.com|googleusercontent\.com)$/.test(hostname)) return "Google Colab";
  if (/notebook/i.test(app) || dataset.notebook) return "Notebook";
  if (/lab/i.test(app) || dataset.jpThemeName) return "JupyterLab";
  return "an unknown front end";
}

/**
 * Return the browser's name and major version from its user agent string, or "".
 * @param {string} agent
 */
export function browserOf(agent) {
  /** @type {[RegExp, string][]} */
  const browsers = [
    [/\bEdg\/(\d+)/, "Edge"],
    [/\bFirefox\/(\d+)/, "Firefox"],
    [/Chrom(?:e|ium)\/(\d+)/, "Chromium"],
    [/\bVersion\/(\d+).*Safari/, "Safari"],
  ];
  for (const [pattern, name] of browsers) {
    const found = pattern.exec(agent);
    if (found) return `${name} ${found[1]}`;
  }
  return "";
}

/**
 * Read the configuration that Jupyter's front ends put into their page.
 * @returns {{ appName?: string, appVersion?: string }}
 */
function pageConfig() {
  try {
    return JSON.parse(document.getElementById("jupyter-config-data")?.textContent ?? "{}");
  } catch {
    return {};
  }
}

/** Check audio output. */
async function audioFacts() {
  /** @type {{ worklet: boolean, autoplay?: string, latency_ms?: number }} */
  const facts = { worklet: false };
  if (!globalThis.AudioContext) return facts;
  const context = new AudioContext({ sampleRate: 24000 });
  try {
    facts.worklet = Boolean(context.audioWorklet);
    // A context that may run says so shortly after its creation.
    for (let i = 0; i < 10 && context.state !== "running"; i += 1)
      await new Promise((done) => setTimeout(done, 20));
    facts.autoplay = context.state;
    if (Number.isFinite(context.outputLatency)) facts.latency_ms = context.outputLatency * 1000;
  } finally {
    await context.close();
  }
  return facts;
}

/** Check the microphone, without asking for permission. */
async function microphoneFacts() {
  /** @type {{ media: boolean, permission?: string, microphones?: number }} */
  const facts = { media: Boolean(navigator.mediaDevices?.getUserMedia) };
  if (!facts.media) return facts;
  try {
    facts.permission = (await navigator.permissions.query({ name: "microphone" })).state;
  } catch {
    // Not every browser reveals the permission before it is requested.
  }
  try {
    facts.microphones = (await navigator.mediaDevices.enumerateDevices()).filter(
      (device) => device.kind === "audioinput",
    ).length;
  } catch {
    // Without a list, a microphone may still be requested.
  }
  return facts;
}

/**
 * Measure round trips to the kernel.
 * @param {DoctorModel} model
 */
async function kernelFacts(model) {
  const trips = [];
  for (let n = 0; n < PINGS; n += 1) {
    const trip = await ping(model, n);
    if (trip === null) break;
    trips.push(trip);
  }
  // The first one includes the time to open the channel.
  return { round_trips_ms: trips.length > 1 ? trips.slice(1) : trips };
}

/**
 * Return how long the kernel took to echo a message of 100 ms of audio, in ms; null if it did not.
 * @param {DoctorModel} model
 * @param {number} n
 * @returns {Promise<number | null>}
 */
function ping(model, n) {
  return new Promise((resolve) => {
    const sent = performance.now();
    const finish = (/** @type {number | null} */ ms) => {
      clearTimeout(timer);
      model.off("msg:custom", onMessage);
      resolve(ms);
    };
    const onMessage = (/** @type {Pong} */ message, /** @type {DataView[]} */ buffers) => {
      const own = message.type === "pong" && message.n === n;
      if (own && buffers?.[0]?.byteLength === PING_BYTES) finish(performance.now() - sent);
    };
    const timer = setTimeout(() => finish(null), PING_TIMEOUT_MS);
    model.on("msg:custom", onMessage);
    model.send({ type: "ping", n }, undefined, [new ArrayBuffer(PING_BYTES)]);
  });
}

/**
 * Check everything and send the results to the kernel.
 * @param {DoctorModel} model
 */
async function check(model) {
  const config = pageConfig();
  const facts = {
    frontend: frontEndOf({
      hostname: location.hostname,
      dataset: { ...document.body.dataset },
      app: config.appName ?? "",
      vscode: "acquireVsCodeApi" in globalThis,
    }),
    frontend_version: config.appVersion ?? "",
    browser: browserOf(navigator.userAgent),
    host: location.host,
    secure: globalThis.isSecureContext,
    ...(await audioFacts()),
    ...(await microphoneFacts()),
    ...(await kernelFacts(model)),
  };
  model.send({ type: "facts", facts });
}

/**
 * @param {RenderProps<DoctorModel>} props
 * @returns {Cleanup}
 */
function render({ model, el: root }) {
  const body = el("tbody");
  const summary = el("b", { role: "status" });
  const again = el("button", {}, "Check again");
  const allow = el("button", { class: "rtnb-hidden" }, "Request the microphone");
  const copy = el("button", {}, "Copy as text");
  const head = el(
    "tr",
    {},
    ...["", "Check", "Result and advice"].map((name) => el("th", { scope: "col" }, name)),
  );
  const table = el("table", { class: "rtnb-doctor-table" }, el("thead", { class: "rtnb-sr" }, head), body);
  const node = el(
    "div",
    { class: "rtnb rtnb-doctor", role: "group", "aria-label": "Environment check" },
    el("div", { class: "rtnb-row" }, summary, el("span", { class: "rtnb-grow" }), allow, again, copy),
    table,
  );
  const show = () => {
    const rows = model.get("rows");
    body.replaceChildren(...rows.map(checkRow));
    const count = (/** @type {CheckState} */ state) => rows.filter((row) => row.state === state).length;
    const problems = count("problem") ? countOf(count("problem"), "problem") : "No problems";
    const notes = count("note") ? `, ${countOf(count("note"), "note")}` : "";
    summary.textContent = count("unknown") ? "Checking …" : problems + notes;
    setVisible(allow, rows.find((row) => row.name === "Microphone")?.state === "note");
  };
  const run = async () => {
    again.disabled = true;
    try {
      await check(model);
    } finally {
      again.disabled = false;
    }
  };
  again.addEventListener("click", run);
  allow.addEventListener("click", async () => {
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
      for (const track of stream.getTracks()) track.stop();
    } catch {
      // The check that follows shows the outcome.
    }
    await run();
  });
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(model.get("text"));
      copy.textContent = "Copied";
    } catch {
      copy.textContent = "The browser blocked copying";
    }
    setTimeout(() => setText(copy, "Copy as text"), 2000);
  });
  model.on("change:rows", show);
  show();
  root.append(suppressShortcuts(node));
  run();
  return () => model.off("change:rows", show);
}

/** @param {Check} check */
function checkRow({ name, found, state, advice }) {
  const [sign, label] = CHECK_STATES[state] ?? CHECK_STATES.unknown;
  const mark = el("td", { class: `rtnb-doctor-state rtnb-doctor-${state}` }, `${sign} ${label}`);
  const result = el("td", {}, el("span", { class: "rtnb-num" }, found));
  if (advice) result.append(el("div", { class: "rtnb-dim rtnb-doctor-advice" }, advice));
  return el("tr", {}, mark, el("th", { scope: "row" }, name), result);
}

export default { render };
