// The microphone as 24 kHz PCM16 in small chunks, for the recorder and the talk panel.

export const CAPTURE_RATE = 24000;

/**
 * What to ask of the browser; `device` is an id or a part of a label, "" for the default microphone.
 * @typedef {{ device?: string, echoCancellation?: boolean, noiseSuppression?: boolean, autoGainControl?: boolean }} CaptureSettings
 */
/**
 * What the browser really set; null where it does not report a setting.
 * @typedef {object} CaptureInfo
 * @property {string} device
 * @property {number} rate
 * @property {boolean | null} echoCancellation
 * @property {boolean | null} noiseSuppression
 * @property {boolean | null} autoGainControl
 */
/** @typedef {{ deviceId: string, label: string }} Microphone */
/** @typedef {{ samples: Int16Array<ArrayBuffer>, peak: number, rms: number, flushed?: undefined }} CapturedChunk */
/**
 * @typedef {object} CaptureOptions
 * @property {(samples: Int16Array<ArrayBuffer>, level: { seq: number, peak: number, rms: number }) => void} onchunk
 * @property {(problem: string) => void} [onend]  called when the device disappears
 * @property {number} [chunkMs]
 */

/**
 * The worklet's side, a function that reaches the audio thread as source text. It gathers `size` samples a chunk and
 * posts { samples: Int16Array, peak, rms }, full scale 1. It obeys { paused } and { flush }: the rest is posted, then
 * { flushed: true }.
 * @param {{ AudioWorkletProcessor: typeof AudioWorkletProcessor, registerProcessor: typeof registerProcessor }} scope
 */
export function captureProcessor(scope) {
  class Processor extends scope.AudioWorkletProcessor {
    /** @param {AudioWorkletNodeOptions} options */
    constructor(options) {
      super();
      /** @type {number} */
      this.size = options.processorOptions.size;
      this.chunk = new Int16Array(this.size);
      this.filled = 0;
      this.peak = 0;
      this.power = 0;
      this.paused = false;
      this.ended = false;
      this.port.onmessage = ({ data }) => {
        if (data.paused !== undefined) {
          if (data.paused) this.post();
          this.paused = data.paused;
        }
        if (data.flush) {
          this.post();
          this.ended = true;
          this.port.postMessage({ flushed: true });
        }
      };
    }

    post() {
      if (!this.filled) return;
      const samples = this.chunk.slice(0, this.filled);
      const rms = Math.sqrt(this.power / this.filled);
      this.port.postMessage({ samples, peak: this.peak, rms }, [samples.buffer]);
      this.filled = 0;
      this.peak = 0;
      this.power = 0;
    }

    /** @param {Float32Array[][]} inputs */
    process(inputs) {
      const input = inputs[0]?.[0];
      if (this.ended || this.paused || !input) return !this.ended;
      for (let i = 0; i < input.length; i += 1) {
        const value = input[i];
        const size = Math.abs(value);
        if (size > this.peak) this.peak = size;
        this.power += value * value;
        this.chunk[this.filled] = Math.max(-32768, Math.min(32767, Math.round(value * 32768)));
        this.filled += 1;
        if (this.filled === this.size) this.post();
      }
      return true;
    }
  }
  scope.registerProcessor("rtnb-capture", Processor);
}

/**
 * Explain why there is no microphone; `error` is what getUserMedia threw.
 * @param {{ name: string, message: string }} error
 */
export function microphoneProblem(error, secure = globalThis.isSecureContext) {
  if (!secure) {
    return "Browsers allow the microphone only on localhost and https, and this page is on neither.";
  }
  switch (error.name) {
    case "NotAllowedError":
    case "SecurityError":
      return "The browser did not allow the microphone. Allow it in the site settings next to the address, then try again.";
    case "NotFoundError":
    case "OverconstrainedError":
      return "No microphone was found. Plug one in or choose another device, then try again.";
    case "NotReadableError":
    case "AbortError":
      return "The microphone cannot be read; another program may be using it. Close that program, then try again.";
    default:
      return `The microphone cannot be used: ${error.message || error.name || "unknown reason"}.`;
  }
}

/**
 * Return the device that `wanted` names by its id or by a part of its label.
 * @template {Microphone} Device
 * @param {Device[]} devices
 * @param {string} wanted
 */
export function findDevice(devices, wanted) {
  if (!wanted) return undefined;
  const name = wanted.toLowerCase();
  return (
    devices.find((device) => device.deviceId === wanted) ??
    devices.find((device) => device.label.toLowerCase().includes(name))
  );
}

/** List the microphones. Labels are empty until the page was once allowed to use one. */
export async function microphones() {
  const devices = (await globalThis.navigator?.mediaDevices?.enumerateDevices?.()) ?? [];
  return devices.filter((device) => device.kind === "audioinput" && device.deviceId);
}

/**
 * One capture, from start to stop; a stopped one cannot be restarted.
 *
 * start() rejects with the browser's error, for microphoneProblem(), or with an AbortError if stop() came first; no
 * device stays open then. The rate is 24000, or the device's own where the browser cannot resample (Firefox).
 */
export class Capture {
  /** @param {CaptureOptions} options */
  constructor({ onchunk, onend = () => {}, chunkMs = 40 }) {
    this.onchunk = onchunk;
    this.onend = onend;
    this.chunkMs = chunkMs;
    this.chunks = 0;
    /** @type {CaptureInfo | null} */
    this.info = null;
    this.stopped = false;
    /** @type {MediaStream | null} */
    this.stream = null;
    /** @type {AudioContext | null} */
    this.context = null;
    /** @type {AudioWorkletNode | null} */
    this.node = null;
    /** @type {(() => void) | null} */
    this.flushed = null;
  }

  /**
   * @param {CaptureSettings} settings
   * @returns {Promise<CaptureInfo>}
   */
  async start({
    device = "",
    echoCancellation = true,
    noiseSuppression = true,
    autoGainControl = true,
  } = {}) {
    if (!globalThis.navigator?.mediaDevices?.getUserMedia)
      throw new DOMException("the browser has no media devices", "NotSupportedError");
    /** @type {MediaTrackConstraints} */
    const constraints = { echoCancellation, noiseSuppression, autoGainControl, channelCount: { ideal: 1 } };
    const found = findDevice(await microphones(), device);
    let stream;
    let context;
    try {
      stream = await this.#open(constraints, found);
      if (!found && device) stream = await this.#switchTo(device, constraints, stream);
      context = await this.#connect(stream);
    } catch (error) {
      await this.#release();
      throw error;
    }
    const [track] = stream.getAudioTracks();
    const settings = track.getSettings();
    track.addEventListener("ended", () => {
      if (!this.stopped) this.onend("The microphone was disconnected.");
    });
    this.info = {
      device: track.label,
      rate: context.sampleRate,
      echoCancellation: flag(settings.echoCancellation),
      noiseSuppression: flag(settings.noiseSuppression),
      autoGainControl: flag(settings.autoGainControl),
    };
    return this.info;
  }

  /**
   * Open a microphone. The reader may take minutes to allow it.
   * @param {MediaTrackConstraints} constraints
   * @param {Microphone | undefined} device
   */
  async #open(constraints, device) {
    this.#throwIfStopped();
    const audio = device ? { ...constraints, deviceId: { exact: device.deviceId } } : constraints;
    this.stream = await navigator.mediaDevices.getUserMedia({ audio });
    this.#throwIfStopped();
    return this.stream;
  }

  /** Throw if stop() was called while start() waited for the browser. */
  #throwIfStopped() {
    if (this.stopped) throw new DOMException("stopped before it started", "AbortError");
  }

  /**
   * Open a device by its label. Labels are known only while a microphone is open, hence the second attempt.
   * @param {string} device
   * @param {MediaTrackConstraints} constraints
   * @param {MediaStream} open
   */
  async #switchTo(device, constraints, open) {
    const found = findDevice(await microphones(), device);
    if (!found) throw new DOMException(`no device is called ${device}`, "NotFoundError");
    for (const track of open.getTracks()) track.stop();
    return this.#open(constraints, found);
  }

  /** @param {MediaStream} stream */
  async #connect(stream) {
    const { context, source } = await this.#createSource(stream);
    const url = URL.createObjectURL(
      new Blob([`(${captureProcessor})(globalThis);`], { type: "text/javascript" }),
    );
    try {
      await context.audioWorklet.addModule(url);
    } finally {
      URL.revokeObjectURL(url);
    }
    this.#throwIfStopped();
    this.node = new AudioWorkletNode(context, "rtnb-capture", {
      channelCount: 1,
      channelCountMode: "explicit",
      processorOptions: { size: Math.round((context.sampleRate * this.chunkMs) / 1000) },
    });
    this.node.port.onmessage = ({ data }) => {
      if (data.flushed) this.flushed?.();
      else if (!this.stopped || this.flushed)
        this.onchunk(data.samples, { seq: this.chunks++, peak: data.peak, rms: data.rms });
    };
    // A node that leads nowhere may never be run, so it is connected to the output, where it stays silent.
    source.connect(this.node).connect(context.destination);
    await context.resume();
    this.#throwIfStopped();
    return context;
  }

  /** @param {MediaStream} stream */
  async #createSource(stream) {
    try {
      this.context = new AudioContext({ sampleRate: CAPTURE_RATE, latencyHint: "interactive" });
      return { context: this.context, source: this.context.createMediaStreamSource(stream) };
    } catch {
      await this.context?.close();
      this.context = new AudioContext({ latencyHint: "interactive" });
      return { context: this.context, source: this.context.createMediaStreamSource(stream) };
    }
  }

  pause() {
    this.node?.port.postMessage({ paused: true });
  }

  resume() {
    this.node?.port.postMessage({ paused: false });
  }

  /** Stop, deliver the remaining samples, and release the device. */
  async stop() {
    if (this.stopped) return;
    this.stopped = true;
    const { node } = this;
    if (node && this.context?.state === "running") {
      await /** @type {Promise<void>} */ (
        new Promise((resolve) => {
          this.flushed = resolve;
          setTimeout(resolve, 500);
          node.port.postMessage({ flush: true });
        })
      );
    }
    this.flushed = null;
    await this.#release();
  }

  async #release() {
    this.stopped = true;
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    const { context } = this;
    this.context = null; // it can be closed only once
    await context?.close();
  }
}

/**
 * A setting as a flag; browsers may also name a kind of echo cancellation.
 * @param {boolean | string | undefined} value
 */
function flag(value) {
  return value === undefined ? null : Boolean(value);
}
