/* The Worker of the page: it builds the network once, and samples the items that it is sent, a step of each in turn.
 *
 * Messages in: start {kernels, programs, weights, model}, sample {number, items, ...}, stop. Messages out: ready
 * {milliseconds of an evaluation, and of decoding}, state {position, index, t, x, x0}, done {evaluations, milliseconds},
 * failed {text}. A state that is not shown has no x. x and x0 are on the scale of items; latents are decoded for that.
 */

import { guided, inpainting, networkNoise, prior, tabulated, trained, trajectory as reverse } from "./diffusion.js";
import { network } from "./network.js";

let networks, evaluate, model, schedule, current = null, evaluations = 0, milliseconds = 0;

/** Lets the messages that have arrived be handled: a stop, or the next job. */
const channel = new MessageChannel(), waiting = [];
channel.port1.onmessage = () => waiting.shift()();
const turn = () => new Promise((resolve) => {
  waiting.push(resolve);
  channel.port2.postMessage(0);
});

const actions = {
  async start({ kernels, programs, weights, model: description }) {
    networks = {};
    for (const [name, program] of Object.entries(programs)) {
      networks[name] = await network(kernels, program, weights.subarray(...program.weights));
    }
    evaluate = (inputs) => {
      const start = performance.now(), output = networks.denoiser.evaluate(inputs);
      evaluations++;
      milliseconds += performance.now() - start;
      return output;
    };
    model = description;
    schedule = tabulated(model.signal, model.noise, model.prior_std);
    const probe = { x: new Float32Array(model.size), index: 0 };
    evaluate(probe); // compiles
    toItem(probe.x);
    milliseconds = 0;
    evaluate(probe);
    const start = performance.now();
    toItem(probe.x);
    postMessage({ type: "ready", milliseconds, decoding: performance.now() - start });
  },

  async sample(job) {
    current = job.number;
    evaluations = milliseconds = 0;
    const edit = job.edit && networks.encoder ? knownLatents(job.edit) : job.edit;
    let runs = job.items.map((item) => ({ ...item, states: trajectory(item, job, edit) }));
    while (runs.length) {
      for (const run of runs) {
        const { value: state, done } = run.states.next();
        run.done = done;
        if (!done) report(run.position, state, job);
        await turn();
        if (current !== job.number) return;
      }
      runs = runs.filter((run) => !run.done);
    }
    postMessage({ type: "done", job: job.number, evaluations, milliseconds });
  },

  stop() {
    current = null;
  },
};

/** What is shown of x: the same, or the item that latents decode to. */
const toItem = (x) => (networks.decoder ? networks.decoder.evaluate({ z: x }) : Float32Array.from(x));

/** Of an image y in [−1, 1], known where `known` is 1, the latents that depend on nothing unknown. */
function knownLatents({ y, known }) {
  const [, height, width] = model.shape, [, rows, columns] = model.x_shape, { factor } = model;
  const count = height * width;
  const total = known.reduce((sum, one) => sum + one, 0), latents = new Uint8Array(rows * columns).fill(1);
  const mean = (c) => known.reduce((sum, one, i) => sum + (one && y[c * count + i]), 0) / total;
  const means = Array.from({ length: y.length / count }, (_, c) => mean(c));
  const top = Math.floor((rows * factor - height) / 2), left = Math.floor((columns * factor - width) / 2);
  known.forEach((one, i) => {
    if (one) return;
    const row = Math.floor((Math.floor(i / width) + top) / factor);
    const column = Math.floor(((i % width) + left) / factor);
    for (let r = Math.max(row - 1, 0); r <= Math.min(row + 1, rows - 1); r++) {
      latents.fill(0, r * columns + Math.max(column - 1, 0), r * columns + Math.min(column + 2, columns));
    }
  });
  if (!latents.includes(1)) throw new Error("too little of the image is known for latents; paint less of it");
  const filled = y.map((value, i) => (known[i % count] ? value : means[Math.floor(i / count)]));
  return { y: networks.encoder.evaluate({ x: filled }), known: latents };
}

function trajectory({ index, inputs, guidance }, job, edit) {
  const { sampler, steps, spacing, options, seed } = job, size = model.size;
  let denoiser = trained({ schedule, evaluate, size, tables: model.tables });
  const draw = model.network_noise ? (time) => ({ noise: drawn(seed, index, time, options?.noise ?? 1) }) : undefined;
  denoiser = guided(denoiser, guidance ?? job.guidance, [{ ...job.absent, draw }], job.rescale);
  if (edit) denoiser = inpainting(denoiser, edit.y, edit.known, job.clip);
  const clip = edit ? null : job.clip; // what agrees with the image is not clipped any more
  const x_T = prior(schedule, size, seed, [index]);
  return reverse({
    denoiser, condition: [{ ...inputs, draw }], sampler, steps, spacing, options, clip, x_T, seed, indices: [index],
  });
}

/** The noise that the network draws for an item, times the factor of the sampler. */
const drawn = (seed, index, time, factor) =>
  networkNoise(model.network_noise, seed, index, time).map((value) => factor * value);

function report(position, { index, t, x, x0 }, job) {
  const message = { type: "state", job: job.number, position, index, t };
  if (!job.shown.includes(index)) return postMessage(message);
  const scale = Math.max(1, Math.hypot(...schedule.at(t))); // exploding ones are drawn as large as data
  Object.assign(message, { x: toItem(scale === 1 ? x : x.map((value) => value / scale)), x0: toItem(x0) });
  postMessage(message, [message.x.buffer, message.x0.buffer]);
}

self.onmessage = async ({ data }) => {
  try {
    await actions[data.type](data);
  } catch (error) {
    postMessage({ type: "failed", text: String(error.message) });
  }
};
