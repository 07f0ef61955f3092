// Bytes packed and unpacked, and as text.

async function piped(bytes, stream, most = Infinity) {
  const parts = [];
  const reader = new Blob([bytes]).stream().pipeThrough(stream).getReader();
  for (let size = 0, part = await reader.read(); !part.done; part = await reader.read()) {
    parts.push(part.value);
    size += part.value.length;
    if (size <= most) continue;
    await reader.cancel();
    throw new Error("what is packed is too large");
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/** What is packed in a format of CompressionStream; an error where it has more than `most` bytes. */
export const inflated = (bytes, format, most) => piped(bytes, new DecompressionStream(format), most);
export const deflated = (bytes, format) => piped(bytes, new CompressionStream(format));

export const toBase64 = bytes => btoa(Array.from(bytes, byte => String.fromCharCode(byte)).join(""));

export function fromBase64(text) {
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = letters.charCodeAt(i);
  return bytes;
}
