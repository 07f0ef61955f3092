// PNGs with texts in them, by which a picture can be made again. They are written without a canvas: some browsers add
// noise to what is read back from one.

import { deflated, inflated } from "./bytes.js";
import { crc32 } from "./crc32.js";

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const MOST_BYTES = 1e8; // of an unpacked text
const COLOUR_TYPES = { 1: 0, 2: 4, 3: 2, 4: 6 };

/** A PNG of bytes (C, H, W) with 1 to 4 channels, and texts by their keywords. */
export async function writePng(bytes, [channels, height, width], texts = {}) {
  const rows = new Uint8Array(height * (1 + channels * width)),
    count = height * width; // each begins with filter 0
  for (let c = 0; c < channels; c++) {
    for (let y = 0; y < height; y++) {
      for (let x = 0, to = y * (1 + channels * width) + 1 + c; x < width; x++, to += channels) {
        rows[to] = bytes[c * count + y * width + x];
      }
    }
  }
  const header = new Uint8Array(13),
    view = new DataView(header.buffer),
    encoder = new TextEncoder();
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([8, COLOUR_TYPES[channels], 0, 0, 0], 8);
  const text = Object.entries(texts).map(([keyword, content]) =>
    chunk("iTXt", [...encoder.encode(keyword), 0, 0, 0, 0, 0, ...encoder.encode(content)]),
  );
  const image = chunk("IDAT", await deflated(rows, "deflate"));
  return new Blob([Uint8Array.from(SIGNATURE), chunk("IHDR", header), ...text, image, chunk("IEND", [])], {
    type: "image/png",
  });
}

function chunk(name, data) {
  const bytes = new Uint8Array(12 + data.length),
    view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(new TextEncoder().encode(name), 4);
  bytes.set(data, 8);
  view.setUint32(8 + data.length, crc32(bytes.subarray(4, 8 + data.length)));
  return bytes;
}

/** The texts of a PNG by their keywords; none of another file. */
export async function pngTexts(file) {
  const bytes = new Uint8Array(await file.arrayBuffer()),
    view = new DataView(bytes.buffer),
    found = {};
  if (!SIGNATURE.every((byte, i) => bytes[i] === byte)) return found;
  for (let at = 8; at + 12 <= bytes.length;) {
    const length = view.getUint32(at),
      name = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    const data = bytes.subarray(at + 8, at + 8 + length),
      end = data.indexOf(0);
    if (name === "iTXt") {
      const start = data.indexOf(0, data.indexOf(0, end + 3) + 1) + 1,
        packed = data[end + 1] === 1;
      const content = packed
        ? await inflated(data.subarray(start), "deflate", MOST_BYTES).catch(() => new Uint8Array())
        : data.subarray(start);
      found[new TextDecoder().decode(data.subarray(0, end))] = new TextDecoder().decode(content);
    }
    at += 12 + length;
  }
  return found;
}
