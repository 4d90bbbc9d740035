// Views of the binary data that comes with a message.

/**
 * View a buffer as signed bytes, without copying it.
 * @param {DataView | undefined} view
 */
export function int8View(view) {
  return view ? new Int8Array(view.buffer, view.byteOffset, view.byteLength) : new Int8Array();
}

/**
 * Copy the bytes of a buffer that may be part of a larger one.
 * @param {DataView} view
 * @returns {ArrayBuffer}
 */
export function copyBytes(view) {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength).slice().buffer;
}

/**
 * Convert little-endian PCM16 to floats in [-1, 1).
 * @param {DataView} view
 */
export function pcm16ToFloat(view) {
  const samples = new Float32Array(view.byteLength >> 1);
  for (let i = 0; i < samples.length; i += 1) samples[i] = view.getInt16(i * 2, true) / 32768;
  return samples;
}
