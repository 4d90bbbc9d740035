// A browser's microphone for node: it is allowed when the test says so, and one can see whether it is on.

/** Put the fake in place, and return { asked, allow(), deny(), live, hear(samples), restore() }. */
export function fakeMicrophone() {
  const kept = ["navigator", "AudioContext", "AudioWorkletNode"].map((name) => [
    name,
    Object.getOwnPropertyDescriptor(globalThis, name),
  ]);
  const fake = { asked: 0, live: 0, ports: [] };
  const stream = () => {
    let on = true;
    fake.live += 1;
    const stop = () => {
      if (on) fake.live -= 1;
      on = false;
    };
    const track = { label: "Fake", stop, getSettings: () => ({}), addEventListener() {} };
    return { getTracks: () => [track], getAudioTracks: () => [track] };
  };
  const getUserMedia = () => {
    fake.asked += 1;
    return new Promise((resolve, reject) => {
      fake.allow = () => {
        resolve(stream());
        return settled();
      };
      fake.deny = () => {
        reject(new DOMException("no", "NotAllowedError"));
        return settled();
      };
    });
  };
  class AudioContext {
    sampleRate = 24000;
    state = "running";
    audioWorklet = { addModule: async () => {} };
    createMediaStreamSource = () => ({ connect: (node) => node });
    resume = async () => {};
    close = async () => {
      if (this.state === "closed") throw new DOMException("closed twice", "InvalidStateError");
      this.state = "closed";
    };
  }
  class AudioWorkletNode {
    constructor() {
      this.port = { postMessage: ({ flush }) => flush && this.port.onmessage({ data: { flushed: true } }) };
      fake.ports.push(this.port);
    }
    connect() {}
  }
  fake.hear = (samples) => fake.ports.at(-1).onmessage({ data: { samples, peak: 0.5, rms: 0.3 } });
  fake.restore = () => {
    for (const [name, descriptor] of kept) {
      if (descriptor) Object.defineProperty(globalThis, name, descriptor);
      else delete globalThis[name];
    }
  };
  const navigator = { mediaDevices: { getUserMedia, enumerateDevices: async () => [] } };
  for (const [name, value] of Object.entries({ navigator, AudioContext, AudioWorkletNode })) {
    Object.defineProperty(globalThis, name, { value, configurable: true });
  }
  return fake;
}

/** Let everything that waits for nothing but its turn have it. */
export async function settled() {
  for (let i = 0; i < 30; i += 1) await null;
  await new Promise((resolve) => setImmediate(resolve));
}
