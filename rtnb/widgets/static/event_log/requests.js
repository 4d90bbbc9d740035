// Requests to the kernel for lines, events and audio. One request for lines at a time: a slow kernel is never flooded.

import { copyBytes } from "../shared/buffers.js";
import { uniqueId } from "../shared/dom.js";

/** @typedef {import("./json_tree.js").JsonPath} JsonPath */
/** @typedef {import("./virtual_list.js").LineAnswer} LineAnswer */
/** @typedef {{ chips: string[], query: string, regex: boolean, each: boolean }} EventFilter */
/**
 * @typedef {object} LogFacts
 * @property {number} size  events in the log
 * @property {number} read  events that were read
 * @property {number} searched
 * @property {boolean} whole  whether all of it was read and searched
 * @property {Record<string, number>} counts  by chip
 * @property {string} error
 */
/** @typedef {{ key: string, label: string, seconds: number, at: number }} Track  the audio of an item; `at` is the event's place */
/** @typedef {LineAnswer & LogFacts & { type: "lines", version: number, serial: number, at?: number, find?: number }} LinesMessage */
/**
 * An event in full.
 * @typedef {object} EventMessage
 * @property {"event"} type
 * @property {number} event
 * @property {number} index
 * @property {string} when
 * @property {number} wall
 * @property {"client" | "server"} side
 * @property {string} kind
 * @property {boolean} bad
 * @property {number} turn
 * @property {number} bytes
 * @property {string} json
 * @property {JsonPath[]} audio_paths
 * @property {number} at  among the deltas that share its line
 * @property {number} count
 * @property {number} before  the previous of them; -1 for none
 * @property {number} after
 * @property {Track | null} track
 */
/** @typedef {{ type: "copy", text: string, form: "json" | "python" }} CopyMessage */
/** @typedef {{ type: "audio", track?: Track, events: number[], starts: number[], leads: number[], kind: string, error: string }} AudioMessage */
/** @typedef {LinesMessage | EventMessage | CopyMessage | AudioMessage} Answer */
/** @typedef {{ uid: string, first: Partial<LinesMessage>, follows: boolean }} EventLogTraits */
/** @typedef {{ type: "grown" } | (Answer & { view: string })} LogMessage */
/** @typedef {WidgetModel<EventLogTraits, LogMessage>} EventLogModel */
/**
 * @typedef {object} RequestHandlers
 * @property {(message: LinesMessage) => void} onLines
 * @property {(message: EventMessage) => void} onEvent
 * @property {(message: CopyMessage) => void} onCopy
 * @property {(message: AudioMessage, bytes: ArrayBuffer) => void} onAudio
 * @property {() => void} onGrown  there are new events
 * @property {() => void} onSlow  the kernel has not answered for a while
 * @property {() => void} onDisconnect
 */

const ANSWER_TIMEOUT_MS = 3000;

export class EventRequests {
  /**
   * @param {EventLogModel} model
   * @param {RequestHandlers} handlers
   */
  constructor(model, handlers) {
    this.model = model;
    this.handlers = handlers;
    this.name = `rtnb-ev-${uniqueId()}`; // another tab has views of the same widget
    this.serial = 0;
    /** @type {{ serial: number, since: number } | null} */
    this.waiting = null;
    this.again = false;
    this.closed = false;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timeout = undefined;
    /** @type {(message: LogMessage, buffers?: DataView[]) => void} */
    this.onMessage = (message, buffers) => this.#receive(message, buffers?.[0]);
    this.onLive = () => this.#checkConnection();
    model.on("msg:custom", this.onMessage);
    for (const name of ["comm:close", "comm_live_update"]) model.on(name, this.onLive);
  }

  /** @param {object} message */
  send(message) {
    if (this.closed) return;
    try {
      this.model.send({ ...message, view: this.name });
    } catch {
      this.#checkConnection();
    }
  }

  /** Whether lines may be requested now; if not, `again` notes that a request is due. */
  get ready() {
    if (this.waiting && performance.now() - this.waiting.since < ANSWER_TIMEOUT_MS) {
      this.again = true;
      return false;
    }
    return true;
  }

  /**
   * Request lines.
   * @param {object} request
   */
  requestLines(request) {
    this.again = false;
    this.serial += 1;
    this.waiting = { serial: this.serial, since: performance.now() };
    clearTimeout(this.timeout);
    this.timeout = setTimeout(() => {
      if (this.waiting && !this.closed) this.handlers.onSlow();
    }, ANSWER_TIMEOUT_MS);
    this.send({ type: "lines", serial: this.serial, ...request });
  }

  /** Stop waiting for lines: others are wanted. */
  cancel() {
    this.waiting = null;
    clearTimeout(this.timeout);
  }

  /**
   * @param {LogMessage} message
   * @param {DataView | undefined} data
   */
  #receive(message, data) {
    if (this.closed) return;
    if (message.type === "grown") {
      this.handlers.onGrown();
      return;
    }
    if (message.view !== this.name) return;
    switch (message.type) {
      case "lines":
        if (message.serial === this.waiting?.serial) this.cancel();
        this.handlers.onLines(message);
        break;
      case "event":
        this.handlers.onEvent(message);
        break;
      case "copy":
        this.handlers.onCopy(message);
        break;
      case "audio":
        this.handlers.onAudio(message, data ? copyBytes(data) : new ArrayBuffer());
    }
  }

  #checkConnection() {
    if (this.model.comm_live === true) return;
    this.close();
    this.handlers.onDisconnect();
  }

  close() {
    this.closed = true;
    this.cancel();
    this.model.off("msg:custom", this.onMessage);
    for (const name of ["comm:close", "comm_live_update"]) this.model.off(name, this.onLive);
  }
}
