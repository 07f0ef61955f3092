/* Numbers of items and pixels of pictures, both ways.
 *
 * An item is an array in PyTorch's order (C, H, W): as the network has it (about in [−1, 1]), or in the units of the
 * data, which a codec describes: {kind: "uint8" | "uint16" | "float", limits: [low, high], ranges}. Floats whose
 * channels have ranges of their own have [low, high] of each channel in `ranges`, which else is empty. A `scaling` has
 * the scale of all channels, or of each, where it is not the range to [−1, 1]: x = (f(v) − middle)/half.
 */
import { luma, pictureOf, pixelsOf } from "./shared/pixels.js";

const MOST_PIXELS = 5e7; // of an image that is read

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const isFloat = (codec) => codec.kind === "float";
const halfRange = ([low, high]) => (high - low) / 2;
const middle = ([low, high]) => (low + high) / 2;

/** The limits of number i of an item of some numbers. */
function limitsAt({ limits, ranges }, i, count) {
  return ranges.length ? ranges[Math.floor((i * ranges.length) / count)] : limits;
}

/** The line through knots, from their numbers at one place to those at another, which goes on beyond the ends. */
function interpolated(v, knots, from, to) {
  let k = 0;
  while (k < knots.length - 2 && v > knots[k + 1][from]) k++;
  const [one, next] = [knots[k], knots[k + 1]];
  return one[to] + ((v - one[from]) * (next[to] - one[to])) / (next[from] - one[from]);
}

/** The curves of scales, f and its inverse, as in the package's scaling.py. */
const CURVES = {
  standard: [(v) => v, (f) => f],
  log1p: [
    (v, { unit }) => Math.sign(v) * Math.log1p(Math.abs(v) / unit),
    (f, { unit }) => Math.sign(f) * Math.expm1(Math.abs(f)) * unit,
  ],
  asinh: [(v, { unit }) => Math.asinh(v / unit), (f, { unit }) => Math.sinh(f) * unit],
  quantile: [(v, { knots }) => interpolated(v, knots, 0, 1), (f, { knots }) => interpolated(f, knots, 1, 0)],
};

/** The scale of number i of an item of some numbers; undefined where it is a range. */
function scaleAt({ scaling = [] }, i, count) {
  return scaling[Math.floor((i * scaling.length) / count)];
}

/** An item in the units of the data. */
export function decode(x, codec) {
  if (isFloat(codec)) {
    if (codec.scaling?.length) {
      return Float32Array.from(x, (value, i) => {
        const scale = scaleAt(codec, i, x.length);
        return CURVES[scale.name][1](value * scale.half + scale.middle, scale);
      });
    }
    return Float32Array.from(x, (value, i) => {
      const limits = limitsAt(codec, i, x.length);
      return value * halfRange(limits) + middle(limits);
    });
  }
  const [low, high] = codec.limits, scale = halfRange(codec.limits);
  const kind = codec.kind === "uint8" ? Uint8Array : Uint16Array;
  return kind.from(x, (value) => clamp(Math.round((value + 1) * scale), low, high));
}

/** Values in the units of the data as the network has them. */
export function encode(values, codec) {
  if (!isFloat(codec)) return Float32Array.from(values, (value) => value / halfRange(codec.limits) - 1);
  return Float32Array.from(values, (value, i) => {
    const limits = limitsAt(codec, i, values.length), scale = scaleAt(codec, i, values.length);
    if (scale) return scale.half ? (CURVES[scale.name][0](value, scale) - scale.middle) / scale.half : 0;
    return halfRange(limits) ? (value - middle(limits)) / halfRange(limits) : 0;
  });
}

/** Values in the units of the data in 8 bits. */
export function toBytes(values, codec) {
  if (codec.kind === "uint8") return values;
  if (codec.kind === "uint16") return Uint8Array.from(values, (value) => Math.floor((value + 128) / 257));
  return Uint8Array.from(values, (value, i) => {
    const [low, high] = limitsAt(codec, i, values.length);
    return clamp(Math.round(((value - low) * 255) / (high - low || 1)), 0, 255);
  });
}

/** Bytes (C, H, W) as the pixels of a canvas: grey, grey with alpha, colours, or colours with alpha. */
export function toPixels(bytes, [channels, height, width]) {
  const image = new ImageData(width, height), count = width * height, colours = channels >= 3 ? 3 : 1;
  for (let i = 0; i < count; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = bytes[(colours === 3 ? c * count : 0) + i];
    image.data[4 * i + 3] = channels > colours ? bytes[colours * count + i] : 255;
  }
  return image;
}

/** Pixels of a canvas as bytes (C, H, W); grey is the luma of ITU-R 601, and what is transparent lies on white. */
export function fromPixels({ data, width, height }, channels) {
  const count = width * height, bytes = new Uint8Array(channels * count), colours = channels >= 3 ? 3 : 1;
  for (let i = 0; i < count; i++) {
    let rgb = [data[4 * i], data[4 * i + 1], data[4 * i + 2]];
    const alpha = data[4 * i + 3];
    if (channels > colours) bytes[colours * count + i] = alpha;
    else rgb = rgb.map((value) => Math.floor((value * alpha + 255 * (255 - alpha) + 127) / 255));
    if (colours === 1) bytes[i] = luma(rgb);
    else for (let c = 0; c < 3; c++) bytes[c * count + i] = rgb[c];
  }
  return bytes;
}

/** Bytes in the units of the data: of 8 bits as they are; 255 is 65535 of 16 bits, and the upper limit of floats. */
export function fromBytes(bytes, codec) {
  if (codec.kind === "uint8") return bytes;
  if (codec.kind === "uint16") return Uint16Array.from(bytes, (byte) => 257 * byte);
  return Float32Array.from(bytes, (byte, i) => {
    const [low, high] = limitsAt(codec, i, bytes.length);
    return low + (byte / 255) * (high - low);
  });
}

/** The pixels of a file. */
export async function pixelsOfFile(file) {
  const tooLarge = "The image has over 50 million pixels: make it smaller.";
  const head = new DataView(await file.slice(0, 24).arrayBuffer()); // of a PNG, before it takes memory to read it
  const isPng = head.byteLength === 24 && head.getUint32(0) === 0x89504e47;
  if (isPng && head.getUint32(16) * head.getUint32(20) > MOST_PIXELS) throw new Error(tooLarge);
  const bitmap = await pictureOf(file).catch(() => null);
  if (!bitmap) throw new Error(`${file.name || "The file"} is no image that the browser can read.`);
  if (bitmap.width * bitmap.height > MOST_PIXELS) throw new Error(tooLarge);
  return pixelsOf(bitmap, bitmap.width, bitmap.height);
}

/** Bytes (C, h, w) cut to the proportions of H×W around the middle, and resized, as images of the data are. */
export function fitted(bytes, [channels, height, width], [toHeight, toWidth]) {
  let [h, w] = [height, width];
  if (height * toWidth > width * toHeight) h = Math.max(1, Math.round((width * toHeight) / toWidth));
  else w = Math.max(1, Math.round((height * toWidth) / toHeight));
  const top = Math.floor((height - h) / 2), left = Math.floor((width - w) / 2);
  const cut = new Uint8Array(channels * h * w);
  for (let c = 0; c < channels; c++) {
    for (let y = 0; y < h; y++) {
      const start = (c * height + top + y) * width + left;
      cut.set(bytes.subarray(start, start + w), (c * h + y) * w);
    }
  }
  if (h === toHeight && w === toWidth) return cut;
  const values = resized(cut, [channels, h, w], [toHeight, toWidth], cubic, 2);
  return Uint8Array.from(values, (value) => clamp(Math.round(value), 0, 255));
}

const linear = (d) => Math.max(0, 1 - Math.abs(d));
function cubic(d) {
  const x = Math.abs(d);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

/** Values (C, h, w) on another grid: PyTorch's interpolation with antialias, by a kernel and its reach. */
function resized(values, [channels, height, width], [toHeight, toWidth], kernel = linear, reach = 1) {
  const across = weightsOf(width, toWidth, kernel, reach), down = weightsOf(height, toHeight, kernel, reach);
  const rows = new Float64Array(channels * height * toWidth), out = new Float64Array(channels * toHeight * toWidth);
  for (let line = 0; line < channels * height; line++) {
    across.forEach(({ first, weights }, x) => {
      rows[line * toWidth + x] = weights.reduce((sum, w, k) => sum + w * values[line * width + first + k], 0);
    });
  }
  for (let c = 0; c < channels; c++) {
    down.forEach(({ first, weights }, y) => {
      for (let x = 0; x < toWidth; x++) {
        out[(c * toHeight + y) * toWidth + x] =
          weights.reduce((sum, w, k) => sum + w * rows[(c * height + first + k) * toWidth + x], 0);
      }
    });
  }
  return out;
}

function weightsOf(from, to, kernel, reach) {
  const scale = from / to, wide = Math.max(scale, 1);
  return Array.from({ length: to }, (_, i) => {
    const centre = (i + 0.5) * scale, first = Math.max(Math.floor(centre - reach * wide + 0.5), 0);
    const last = Math.min(Math.floor(centre + reach * wide + 0.5), from);
    const weights = Array.from({ length: last - first }, (_, k) => kernel((first + k - centre + 0.5) / wide));
    const total = weights.reduce((sum, w) => sum + w, 0);
    return { first, weights: weights.map((w) => w / total) };
  });
}

/** The values of a masked image with 0 where nothing is known. */
export function knownPart(values, { channels, codec }) {
  const count = values.length / channels, last = values.length - count;
  const half = middle(limitsAt(codec, last, values.length));
  return values.map((value, i) => (values[last + (i % count)] > half ? value : 0));
}

/** What a network gets of an image condition: in [−1, 1] on the grid of x, then a channel of ones. */
export function conditionInput(values, condition, [height, width], sides) {
  const { channels, codec, masked } = condition, own = condition.sides.length ? condition.sides : [height, width];
  let x = resized(encode(values, codec), [channels, height, width], own);
  const count = own[0] * own[1], last = (channels - 1) * count;
  if (masked) {
    x = x.map((value, i) => {
      const known = x[last + (i % count)] > 0;
      return i >= last ? (known ? 1 : -1) : known ? value : 0;
    });
  }
  const placed = resized(x, [channels, ...own], sides), input = new Float32Array(placed.length + sides[0] * sides[1]);
  input.set(placed);
  return input.fill(1, placed.length);
}
