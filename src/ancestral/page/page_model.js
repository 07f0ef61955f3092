/* The model of the page, which is packed into it, and the Workers that sample it. */

import { $ } from "./page_messages.js";
import { Workers } from "./page_workers.js";
import { fromBase64, inflated } from "./shared/bytes.js";

const FRAMES = 61; // states of a sample that are kept for the slider
const DECODED = 13; // the same of latents, each of which is decoded
const MOST_WORKERS = 8, MOST_BYTES = 6e8; // of the memories of all Workers

/** The bytes of a part of the page: gzip in base64. */
function unpacked(id) {
  const packed = fromBase64($(id).textContent);
  $(id).textContent = ""; // it is not needed a second time
  return inflated(packed, "gzip");
}

/** Unpacks the model, and starts the Workers. Resolves to both. */
export async function load() {
  const read = async (id) => JSON.parse(new TextDecoder().decode(await unpacked(id)));
  const model = await read("model"), { signal, noise, prior_std, tables, shape, x_shape, factor, network_noise } = model;
  const sizeOf = (sides) => sides.reduce((product, side) => product * side, 1);
  const kernels = await unpacked("kernels"), weights = await unpacked("weights"), programs = await read("programs");
  const source = ["theory", "worker"].map((id) => $(id).textContent).join("\n");
  const sent = { signal, noise, prior_std, tables, shape, x_shape, factor, network_noise, size: sizeOf(x_shape) };
  const workers = new Workers(source, { kernels, programs, weights, model: sent });
  const memory = Object.values(programs).reduce((sum, program) => sum + program.memory, 0);
  const fit = Math.max(1, Math.floor(MOST_BYTES / (memory + weights.length)));
  const count = Math.min(navigator.hardwareConcurrency || 1, MOST_WORKERS, fit);
  const { milliseconds, decoding } = await workers.start(count);
  Object.assign(model, {
    size: sizeOf(shape), isImage: shape.length === 3, isPoints: shape.length === 1,
    workers: count, frames: factor > 1 ? DECODED : FRAMES, milliseconds, decoding,
  });
  return [model, workers];
}
