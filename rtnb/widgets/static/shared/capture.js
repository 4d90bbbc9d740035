// The microphone as 24 kHz PCM16 in small chunks. Used by whatever listens: the recorder, and talking.

export const CAPTURE_RATE = 24000;

/**
 * The worklet's side, as a function that is handed to the audio thread as text. It gathers `size` samples a
 * chunk and posts { samples: Int16Array, peak, rms }, full scale 1. It obeys { paused } and { flush }: what is
 * left is posted, then { flushed: true }.
 */
export function captureProcessor(scope) {
  class Processor extends scope.AudioWorkletProcessor {
    constructor(options) {
      super();
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

/** Say in a sentence why there is no microphone; `error` is what getUserMedia threw. */
export function microphoneProblem(error, secure = globalThis.isSecureContext) {
  if (!secure) {
    return "The browser offers no microphone here, because this page is neither on localhost nor on https. Open it in one of these ways.";
  }
  switch (error?.name) {
    case "NotAllowedError":
    case "SecurityError":
      return "The browser did not allow the microphone. Allow it in the site settings beside the address, then try again.";
    case "NotFoundError":
    case "OverconstrainedError":
      return "No microphone was found. Plug one in, or choose another device, then try again.";
    case "NotReadableError":
    case "AbortError":
      return "The microphone cannot be read; another program may hold it. Close that program, then try again.";
    default:
      return `The microphone cannot be used here: ${error?.message || error?.name || "unknown reason"}.`;
  }
}

/** Return the device that `wanted` names by id or by a part of its label, or undefined. */
export function findDevice(devices, wanted) {
  if (!wanted) return undefined;
  const name = wanted.toLowerCase();
  return (
    devices.find((device) => device.deviceId === wanted) ??
    devices.find((device) => device.label.toLowerCase().includes(name))
  );
}

/** List the microphones: [{ deviceId, label }]. Labels are empty until the page was once allowed to listen. */
export async function microphones() {
  const devices = (await globalThis.navigator?.mediaDevices?.enumerateDevices?.()) ?? [];
  return devices.filter((device) => device.kind === "audioinput" && device.deviceId);
}

/**
 * One capture, from start to stop; a stopped one is not started again.
 *
 * onchunk(samples: Int16Array, { seq, peak, rms }) is called every `chunkMs`; onend(sentence) when the device goes
 * away by itself. start() takes { device, echoCancellation, noiseSuppression, autoGainControl } and returns what the
 * browser really set: { device, rate, echoCancellation, noiseSuppression, autoGainControl }. It throws the browser's
 * error, for microphoneProblem; where stop() comes before it is done, an AbortError, and no device stays open.
 * `rate` is 24000, or the device's own where the browser cannot convert (Firefox).
 */
export class Capture {
  constructor({ onchunk, onend = () => {}, chunkMs = 40 }) {
    this.onchunk = onchunk;
    this.onend = onend;
    this.chunkMs = chunkMs;
    this.chunks = 0;
    this.info = null;
    this.stopped = false;
  }

  async start({
    device = "",
    echoCancellation = true,
    noiseSuppression = true,
    autoGainControl = true,
  } = {}) {
    if (!globalThis.navigator?.mediaDevices?.getUserMedia)
      throw new DOMException("no media devices", "NotSupportedError");
    const flags = { echoCancellation, noiseSuppression, autoGainControl };
    const found = findDevice(await microphones(), device);
    const audio = { ...flags, channelCount: { ideal: 1 } };
    if (found) audio.deviceId = { exact: found.deviceId };
    try {
      await this.#open(audio);
      if (!found && device) await this.#switchTo(device, audio);
      await this.#listen();
    } catch (error) {
      await this.#release();
      throw error;
    }
    const [track] = this.stream.getAudioTracks();
    const settings = track.getSettings();
    track.addEventListener("ended", () => {
      if (!this.stopped) this.onend("The microphone went away while it was recording.");
    });
    this.info = { device: track.label, rate: this.context.sampleRate };
    for (const name of Object.keys(flags)) this.info[name] = settings[name] ?? null;
    return this.info;
  }

  /** Open a microphone. The reader may take minutes to allow it. */
  async #open(audio) {
    this.#goOn();
    this.stream = await navigator.mediaDevices.getUserMedia({ audio });
    this.#goOn();
  }

  /** Throw where stop() came while start() waited for the browser. */
  #goOn() {
    if (this.stopped) throw new DOMException("stopped before it began", "AbortError");
  }

  /** Labels are told only once a microphone is open, so a device named by its label is found in a second step. */
  async #switchTo(device, audio) {
    const found = findDevice(await microphones(), device);
    if (!found) throw new DOMException(`no device is called ${device}`, "NotFoundError");
    for (const track of this.stream.getTracks()) track.stop();
    await this.#open({ ...audio, deviceId: { exact: found.deviceId } });
  }

  async #listen() {
    let source;
    try {
      this.context = new AudioContext({ sampleRate: CAPTURE_RATE, latencyHint: "interactive" });
      source = this.context.createMediaStreamSource(this.stream);
    } catch {
      await this.context?.close();
      this.context = new AudioContext({ latencyHint: "interactive" });
      source = this.context.createMediaStreamSource(this.stream);
    }
    const url = URL.createObjectURL(
      new Blob([`(${captureProcessor})(globalThis);`], { type: "text/javascript" }),
    );
    try {
      await this.context.audioWorklet.addModule(url);
    } finally {
      URL.revokeObjectURL(url);
    }
    this.#goOn();
    this.node = new AudioWorkletNode(this.context, "rtnb-capture", {
      channelCount: 1,
      channelCountMode: "explicit",
      processorOptions: { size: Math.round((this.context.sampleRate * this.chunkMs) / 1000) },
    });
    this.node.port.onmessage = ({ data }) => {
      if (data.flushed) this.flushed?.();
      else if (!this.stopped || this.flushed)
        this.onchunk(data.samples, { seq: this.chunks++, peak: data.peak, rms: data.rms });
    };
    // Connected to the loudspeaker, where it says nothing, since a node that leads nowhere may never be asked.
    source.connect(this.node).connect(this.context.destination);
    await this.context.resume();
    this.#goOn();
  }

  pause() {
    this.node?.port.postMessage({ paused: true });
  }

  resume() {
    this.node?.port.postMessage({ paused: false });
  }

  /** Stop, deliver what is left, and let go of the device. */
  async stop() {
    if (this.stopped) return;
    this.stopped = true;
    if (this.node && this.context?.state === "running") {
      await new Promise((resolve) => {
        this.flushed = resolve;
        setTimeout(resolve, 500);
        this.node.port.postMessage({ flush: true });
      });
    }
    this.flushed = null;
    await this.#release();
  }

  async #release() {
    this.stopped = true;
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    const { context } = this;
    this.context = null; // which can be closed only once
    await context?.close();
  }
}
