/* The theory for browsers: schedules, targets, denoisers, guidance, samplers and random numbers of the Python package.
 * Everything is computed in float64. Nothing in this file touches a page, so that Workers use it too.
 *
 * A batch of B items of D elements is one array of B·D numbers, item after item; points in the plane are x_1, y_1, x_2,
 * y_2, ... A denoiser is an object {schedule, size, predict(x, t, condition) -> {x0, eps, fraction}}, with D as `size`.
 * Names are those of the package: `ancestral.schedules`, `.targets`, `.oracle.Empirical`, `.guidance`, `.samplers`,
 * `.randomness`, `.reverse.prior`.
 */

import { crc32 } from "./shared/crc32.js";

// Schedules: x_t = a_t x_0 + b_t ε, with tables for t = 0..T -------------------------------------------------------

function makeSchedule(name, signal, noise, priorStd = 1) {
  const at = (t) => [signal[t], noise[t]];
  /** β_ts, the variance of q(x_t | x_s) for s < t. */
  const forwardVariance = (t, s) => noise[t] ** 2 - (signal[t] / signal[s]) ** 2 * noise[s] ** 2;
  /** β̃_ts, the variance of q(x_s | x_t, x_0) for s < t. */
  const posteriorVariance = (t, s) => (forwardVariance(t, s) * noise[s] ** 2) / noise[t] ** 2;
  const snr = (t) => (signal[t] / noise[t]) ** 2;
  return { name, T: signal.length - 1, signal, noise, priorStd, at, snr, forwardVariance, posteriorVariance };
}

/** The schedule with a² + b² = 1 of log ᾱ_1..log ᾱ_T. b comes from ᾱ itself, which keeps small b exact. */
function variancePreserving(name, logAlphaBar) {
  const table = Float64Array.from([0, ...logAlphaBar]);
  return makeSchedule(name, table.map((l) => Math.exp(l / 2)), table.map((l) => Math.sqrt(-Math.expm1(l))));
}

function varianceExploding(name, sigma) {
  const ones = new Float64Array(sigma.length + 1).fill(1);
  return makeSchedule(name, ones, Float64Array.from([0, ...sigma]), sigma.at(-1));
}

/** log ᾱ_1..log ᾱ_T of the curve ᾱ(t), t = 0..T, with each β_t at most `maxBeta`. */
function capped(T, alphaBar, maxBeta) {
  let sum = 0;
  return range(T, (i) => (sum += Math.log1p(-Math.min(1 - alphaBar(i + 1) / alphaBar(i), maxBeta))));
}

const range = (count, f) => Array.from({ length: count }, (_, i) => f(i));
const unit = (T, i) => (T > 1 ? i / (T - 1) : 1);

export const SCHEDULES = {
  linear: {
    label: "linear (DDPM)",
    make(T, { beta_start = 1e-4, beta_end = 0.02 } = {}) {
      const curve = [0];
      for (let i = 0; i < 1000; i++) {
        curve.push(curve[i] + Math.log1p(-(beta_start + ((beta_end - beta_start) * i) / 999)));
      }
      return variancePreserving("linear", range(T, (i) => {
        const position = ((i + 1) * 1000) / T;
        const below = Math.min(Math.floor(position), 999);
        return curve[below] + (position - below) * (curve[below + 1] - curve[below]);
      }));
    },
  },
  cosine: {
    label: "cosine (iDDPM)",
    make(T, { offset = 0.008, max_beta = 0.999 } = {}) {
      const alphaBar = (t) => Math.cos(((t / T + offset) / (1 + offset)) * (Math.PI / 2)) ** 2;
      return variancePreserving("cosine", capped(T, alphaBar, max_beta));
    },
  },
  sigmoid: {
    label: "sigmoid",
    make(T, { start = -3, end = 3, max_beta = 0.999 } = {}) {
      const fall = (t) => 1 / (1 + Math.exp(start + ((end - start) * t) / T));
      const alphaBar = (t) => (fall(t) - fall(T)) / (fall(0) - fall(T));
      return variancePreserving("sigmoid", capped(T, alphaBar, max_beta));
    },
  },
  flow: {
    label: "flow (straight lines)",
    make(T) {
      const u = Float64Array.from(range(T + 1, (t) => t / T));
      return makeSchedule("flow", u.map((value) => 1 - value), u);
    },
  },
  geometric: {
    label: "geometric (NCSN)",
    make(T, { sigma_min = 0.01, sigma_max = 50 } = {}) {
      return varianceExploding("geometric", range(T, (i) => sigma_min ** (1 - unit(T, i)) * sigma_max ** unit(T, i)));
    },
  },
  karras: {
    label: "karras (EDM)",
    make(T, { sigma_min = 0.002, sigma_max = 80, rho = 7 } = {}) {
      const low = sigma_min ** (1 / rho), high = sigma_max ** (1 / rho);
      return varianceExploding("karras", range(T, (i) => ((1 - unit(T, i)) * low + unit(T, i) * high) ** rho));
    },
  },
};

/** A schedule whose tables for t = 0..T Python made: exact for every schedule, also a custom one. */
export const tabulated = (signal, noise, priorStd) =>
  makeSchedule("tables", Float64Array.from(signal), Float64Array.from(noise), priorStd);

export function schedule(name, T, options) {
  if (!SCHEDULES[name]) throw new Error(`unknown schedule ${name}`);
  if (!Number.isInteger(T) || T < 1) throw new Error(`T must be a whole number of at least 1, not ${T}`);
  return SCHEDULES[name].make(T, options);
}

// Targets: what a network predicts, p x_0 + q ε --------------------------------------------------------------------

const deviation = (a, b) => Math.sqrt(b ** 2 + 0.25 * a ** 2); // of x_t, for data of standard deviation ½
export const TARGETS = {
  x0: { label: "x0: clean point", equation: "x̂_0", p: () => 1, q: () => 0 },
  eps: { label: "eps: noise", equation: "ε̂ = (x_t − a_t x̂_0)/b_t", p: () => 0, q: () => 1 },
  v: { label: "v: velocity", equation: "v̂ = a_t ε̂ − b_t x̂_0", p: (a, b) => -b, q: (a) => a },
  score: { label: "score: gradient of log p", equation: "∇ log p_t = −ε̂/b_t", p: () => 0, q: (a, b) => -1 / b },
  flow: { label: "flow: velocity of flow matching", equation: "u = ε̂ − x̂_0", p: () => -1, q: () => 1 },
  edm: {
    label: "edm: output F of EDM",
    equation: "F = (b_t x̂_0/σ_d − σ_d a_t ε̂)/√(b_t² + σ_d² a_t²); σ_d = ½",
    p: (a, b) => b / (0.5 * deviation(a, b)),
    q: (a, b) => (-0.5 * a) / deviation(a, b),
  },
  skip: {
    label: "skip: x0 beside a skip connection",
    equation: "x̂_0 − s² a_t ε̂/b_t; s = 0.03",
    p: () => 1,
    q: (a, b) => (-(0.03 ** 2) * a) / b,
  },
};

/** The target `name` of a batch with clean points x0 and noise eps at the scales a, b. */
export function target(name, x0, eps, a, b) {
  return combine([TARGETS[name].p(a, b), x0], [TARGETS[name].q(a, b), eps]);
}

/** x̂_0 and ε̂ of the estimate `output` of the target p x_0 + q ε at the scales a, b. */
function solve(x, output, a, b, p, q) {
  const d = a * q - b * p;
  return { x0: combine([q / d, x], [-b / d, output]), eps: combine([a / d, output], [-p / d, x]) };
}

/** The ε̂ that agrees with x_t and x̂_0. */
const noiseOf = (x, x0, a, b) => combine([1 / b, x], [-a / b, x0]);

/** Σ c v over pairs [c, v] of a number and an array. */
export function combine(...terms) {
  const sum = new Float64Array(terms[0][1].length);
  for (const [c, v] of terms) for (let i = 0; i < sum.length; i++) sum[i] += c * v[i];
  return sum;
}

// Denoisers: the exact one of a finite data set, and networks ------------------------------------------------------

/**
 * E[x_0 | x_t] and E[ε | x_t] where x_0 is one of K points, all equally likely, and log p_t(x_t) in nats.
 * x̂_0 is the mean of the points with weights softmax(−‖x_t − a x_0‖²/2b²).
 */
export function denoise(points, a, b, x) {
  const K = points.length / 2, B = x.length / 2;
  const x0 = new Float64Array(2 * B), eps = new Float64Array(2 * B), logDensity = new Float64Array(B);
  const logits = new Float64Array(K), constant = -Math.log(K) - Math.log(2 * Math.PI * b * b);
  for (let i = 0; i < B; i++) {
    const u = x[2 * i], v = x[2 * i + 1];
    let largest = -Infinity;
    for (let k = 0; k < K; k++) {
      const du = (u - a * points[2 * k]) / b, dv = (v - a * points[2 * k + 1]) / b;
      logits[k] = -0.5 * (du * du + dv * dv);
      if (logits[k] > largest) largest = logits[k];
    }
    let total = 0, sumU = 0, sumV = 0;
    for (let k = 0; k < K; k++) {
      const weight = Math.exp(logits[k] - largest); // at most 1, and 1 for the nearest point: no overflow, no 0/0
      total += weight;
      sumU += weight * points[2 * k];
      sumV += weight * points[2 * k + 1];
    }
    x0[2 * i] = sumU / total;
    x0[2 * i + 1] = sumV / total;
    logDensity[i] = largest + Math.log(total) + constant;
  }
  for (let i = 0; i < 2 * B; i++) eps[i] = (x[i] - a * x0[i]) / b;
  return { x0, eps, logDensity };
}

/** The exact denoiser of points in the plane. */
export const exact = (schedule, points) => ({
  schedule, size: 2, predict: (x, t) => denoise(points, ...schedule.at(t), x),
});

/**
 * The denoiser of a network.
 *
 * evaluate({x, index, ...inputs}): the output of the network for one item x (Float32Array) at index t − 1.
 * size: the number of elements of an item; the output may have as many more, the fraction of a learned variance.
 * tables: target_x0 (p), target_eps (q), input_scale and output_scale for t = 1..T, as ONNX files have them.
 * The condition of `predict` is an array with the inputs of each item; `draw`, a function of the index, makes those that
 * differ from time to time.
 */
export function trained({ schedule, evaluate, size, tables }) {
  const estimate = (x, t, inputs) => {
    const [a, b] = schedule.at(t), [p, q, scaleIn, scaleOut] = [
      tables.target_x0, tables.target_eps, tables.input_scale, tables.output_scale].map((table) => table[t - 1]);
    const { draw = () => ({}), ...given } = inputs ?? {};
    const output = evaluate({ ...given, ...draw(t - 1), x: Float32Array.from(x, (value) => scaleIn * value), index: t - 1 });
    const answer = Float64Array.from(output.subarray(0, size), (value) => scaleOut * value);
    const fraction = output.length > size && Float64Array.from(output.subarray(size), (value) => (value + 1) / 2);
    return { ...solve(x, answer, a, b, p, q), fraction: fraction || undefined };
  };
  const predict = (x, t, condition = []) => {
    const items = range(x.length / size, (i) => estimate(x.subarray(i * size, (i + 1) * size), t, condition[i]));
    return joined(items);
  };
  return { schedule, size, predict };
}

/** The estimates of several items as one batch. */
function joined(items) {
  if (items.length === 1) return items[0];
  const together = (name) => {
    const all = new Float64Array(items.length * items[0][name].length);
    items.forEach((item, i) => all.set(item[name], i * item[name].length));
    return all;
  };
  return { x0: together("x0"), eps: together("eps"), fraction: items[0].fraction && together("fraction") };
}

// Denoisers around denoisers ---------------------------------------------------------------------------------------

/** A denoiser whose x̂_0 is clipped to [−limit, limit], with the ε̂ that then agrees with x_t; null: as it is. */
export function clipped(denoiser, limit) {
  if (limit === null) return denoiser;
  return { ...denoiser, predict(x, t, condition) {
    const estimate = denoiser.predict(x, t, condition);
    if (estimate.x0.every((value) => Math.abs(value) <= limit)) return estimate;
    const x0 = estimate.x0.map((value) => Math.min(Math.max(value, -limit), limit));
    return { ...estimate, x0, eps: noiseOf(x, x0, ...denoiser.schedule.at(t)) };
  } };
}

/**
 * Classifier-free guidance: x̂ = x̂(∅) + scale (x̂(c) − x̂(∅)); `absent` is what stands for ∅ in the place of c.
 * `rescale` is the share in which the standard deviation of x̂_0 is brought back to that of x̂(c).
 */
export function guided(denoiser, scale, absent, rescale = 0) {
  if (scale === 1) return denoiser;
  const { schedule, size } = denoiser;
  return { ...denoiser, predict(x, t, condition) {
    const plain = denoiser.predict(x, t, condition), nothing = denoiser.predict(x, t, absent);
    const [x0, eps] = ["x0", "eps"].map((name) => combine([1 - scale, nothing[name]], [scale, plain[name]]));
    if (!rescale) return { ...plain, x0, eps };
    for (let start = 0; start < x0.length; start += size) {
      const item = x0.subarray(start, start + size), deviation = std(item);
      const ratio = deviation > 0 ? std(plain.x0.subarray(start, start + size)) / deviation : 1;
      for (let i = 0; i < size; i++) item[i] *= rescale * ratio + 1 - rescale;
    }
    return { ...plain, x0, eps: noiseOf(x, x0, ...schedule.at(t)) };
  } };
}

function std(values) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
}

/**
 * DDNM for a mask: x̂_0 is `y` wherever `known` is 1 (both of one item), and the denoiser's, clipped, elsewhere. The
 * sampler must not clip once more, as in the package.
 */
export function inpainting(denoiser, y, known, clip) {
  const inner = clipped(denoiser, clip);
  return { ...inner, predict(x, t, condition) {
    const estimate = inner.predict(x, t, condition);
    const x0 = estimate.x0.map((value, i) => (known[i % known.length] ? y[i % y.length] : value));
    return { ...estimate, x0, eps: noiseOf(x, x0, ...denoiser.schedule.at(t)) };
  } };
}

// Random numbers: a function of (seed, stream, step, index). 64-bit integers are pairs of 32 bits, [high, low] ------

const xor = ([ah, al], [bh, bl]) => [(ah ^ bh) >>> 0, (al ^ bl) >>> 0];

function plusGamma([h, l]) {
  const low = l + 0x7f4a7c15;
  return [(h + 0x9e3779b9 + (low > 0xffffffff ? 1 : 0)) >>> 0, low >>> 0];
}

/** The upper half of the product of two numbers of 32 bits. */
function upperHalf(a, b) {
  const a0 = a & 0xffff, a1 = a >>> 16, b0 = b & 0xffff, b1 = b >>> 16;
  const p01 = a0 * b1, p10 = a1 * b0;
  const middle = ((a0 * b0) >>> 16) + (p01 & 0xffff) + (p10 & 0xffff);
  return a1 * b1 + (p01 >>> 16) + (p10 >>> 16) + (middle >>> 16);
}

/** SplitMix64's finaliser. */
function mix([h, l]) {
  for (const [bits, bh, bl] of [[30, 0xbf58476d, 0x1ce4e5b9], [27, 0x94d049bb, 0x133111eb]]) {
    l ^= (h << (32 - bits)) | (l >>> bits);
    h ^= h >>> bits;
    h = upperHalf(l >>> 0, bl) + Math.imul(h, bl) + Math.imul(l, bh);
    l = Math.imul(l, bl);
  }
  return [(h ^ (h >>> 31)) >>> 0, (l ^ ((h << 1) | (l >>> 31))) >>> 0];
}

const pair = (number) => [Math.floor(number / 2 ** 32), number >>> 0];

/** The word of a step: the number itself, or of a time between the integers the 64 bits of the float. */
const stepWord = (step) => (Number.isInteger(step) ? pair(step) : floatBits(step));

function floatBits(number) {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, number);
  return [view.getUint32(0), view.getUint32(4)];
}

/** mix(j γ) for j = 0..count−1. */
function counters(count) {
  let word = [0, 0];
  return range(count, (j) => mix((word = j ? plusGamma(word) : word)));
}

/** The keys of items of a seed, a function of their indices. */
function keysOf(seed, stream, step) {
  const words = [pair(seed), [0, crc32(new TextEncoder().encode(stream))], stepWord(step)];
  const prefix = words.reduce((before, word) => mix(plusGamma(xor(before, word))), [0, 0]);
  return (index) => mix(plusGamma(xor(pair(index), prefix)));
}

/** N(0, 1) of a key, rounded to float32, with the constants of `counters`. */
function gaussian(key, size, each) {
  const half = each.length, z = new Float64Array(size);
  for (let j = 0; j < half; j++) {
    const [high, low] = mix(xor(key, each[j]));
    const radius = Math.sqrt(-2 * Math.log(Math.fround(high + 1) * 2 ** -32)); // Box-Muller; u is float32
    const angle = low * (2 ** -32 * 2 * Math.PI);
    z[j] = Math.fround(radius * Math.cos(angle)); // first all cosines, then all sines
    if (half + j < size) z[half + j] = Math.fround(radius * Math.sin(angle));
  }
  return z;
}

/** The noise that a network draws for an item at time index t − 1: the numbers of `ancestral.conditions.Noise`. */
export function networkNoise(size, seed, item, index) {
  const key = keysOf(seed, "keys", 0)(item), draw = mix(plusGamma(floatBits(index)));
  return gaussian(mix(plusGamma(xor(key, draw))), size, counters(Math.ceil(size / 2)));
}

/**
 * N(0, 1) for items of `size` elements, rounded to float32: the numbers of `ancestral.randomness.normal`.
 *
 * indices: the items' indices within the seed. draw: the number of the draw at the same step; 0 is the first.
 */
export function normal(size, seed, stream, step, indices, draw = 0) {
  const key = keysOf(seed, draw ? `${stream} ${draw}` : stream, step), each = counters(Math.ceil(size / 2));
  const z = new Float64Array(size * indices.length);
  indices.forEach((index, i) => z.set(gaussian(key(index), size, each), i * size));
  return z;
}

/** x_T of the items `indices` of a seed. */
export function prior(schedule, size, seed, indices) {
  return normal(size, seed, "prior", 0, indices).map((z) => Math.fround(Math.fround(schedule.priorStd) * z));
}

// Samplers: rules that move x from time t to an earlier time s -----------------------------------------------------

/** The step of DDPM: μ̃_t(x_t, x̂_0), and noise unless s = 0. A learned variance lies between β̃ and β. */
function ancestralStep({ schedule, t, s, x, x0, fraction, z }, { variance }) {
  const [a_t, b_t] = schedule.at(t), [a_s, b_s] = schedule.at(s);
  const beta = schedule.forwardVariance(t, s);
  const mean = combine([(a_s * beta) / b_t ** 2, x0], [((a_t / a_s) * b_s ** 2) / b_t ** 2, x]);
  if (!s) return mean;
  const least = schedule.posteriorVariance(t, s);
  if (variance !== "learned") return combine([1, mean], [Math.sqrt(variance === "large" ? beta : least), z(0)]);
  if (!fraction) throw new Error("this model did not learn its variance: choose large or small");
  const sigma = fraction.map((f) => Math.exp((f * Math.log(beta) + (1 - f) * Math.log(least)) / 2));
  return combine([1, mean], [1, z(0).map((value, i) => sigma[i] * value)]);
}

/** DPM-Solver++ of order 1 or 2: the ODE with η = 0, the SDE with η = 1. `memory` is the estimate before. */
function dpmStep({ schedule, t, s, x, x0, z, memory }, { eta, order = 2 }) {
  const [a_t, b_t] = schedule.at(t), [a_s, b_s] = schedule.at(s);
  const line = order === 2 ? extrapolated(schedule, memory, t, s, x0) : x0;
  const decay = (a_t * b_s) / (b_t * a_s); // e^−h
  const kept = decay ** eta;
  const noise = b_s * Math.sqrt(Math.max(1 - kept ** 2, 0));
  const terms = [[(b_s / b_t) * kept, x], [a_s - a_s * decay * kept, line]];
  return { x: combine(...terms, ...(noise > 0 ? [[noise, z(0)]] : [])), memory: { t, x0 } };
}

/** The line through the last two estimates at the middle of the step, in λ = log a/b. */
function extrapolated(schedule, memory, t, s, x0) {
  if (!memory || s === 0 || schedule.signal[memory.t] === 0) return x0;
  const [before, now, late] = [memory.t, t, s].map((time) => logRatio(schedule, time));
  const slope = (late - now) / (2 * (now - before));
  return combine([1 + slope, x0], [-slope, memory.x0]);
}

const logRatio = (schedule, t) => Math.log(schedule.signal[t] / schedule.noise[t]);

/** The exact step t → s for a constant x̂_0. */
function constantStep(schedule, t, s, x, x0) {
  const [a_t, b_t] = schedule.at(t), [a_s, b_s] = schedule.at(s);
  return combine([b_s / b_t, x], [a_s - (a_t * b_s) / b_t, x0]);
}

/** UniPC's corrector: the constant x̂_0 for the step memory.t → s, from estimates before, at and after memory.t. */
function corrected(schedule, memory, s, x0) {
  if (!memory.before || schedule.signal[memory.before.t] === 0) return combine([0.5, memory.x0], [0.5, x0]);
  const [before, now, late] = [memory.before.t, memory.t, s].map((time) => logRatio(schedule, time));
  const h = late - now, r = (before - now) / h, B = Math.expm1(-h);
  const phi2 = B / -h - 1, phi3 = phi2 / -h - 0.5;
  const total = phi2 / B, moment = (2 * phi3) / B;
  const rho = (moment - total) / (r - 1);
  return combine([1 - rho / r - (total - rho), memory.x0], [rho / r, memory.before.x0], [total - rho, x0]);
}

const langevinStep = (x, eps, b, alpha, z) => combine([1, x], [(-0.5 * alpha) / b, eps], [Math.sqrt(alpha), z]);

/* `noisy` samplers draw z in each step. `step` gets the move (schedule, t, s, x, the estimates x0 and eps, predict,
 * z, memory) and the options. It returns x at time s, or {x, memory} where the next step needs some of this one. */
export const SAMPLERS = {
  ddpm: {
    label: "DDPM", spacing: "trailing", noisy: true, options: { variance: "large" },
    equation: "x_s = μ̃(x_t, x̂_0) + σ z; σ² = {variance}",
    step: ancestralStep,
  },
  ddim: {
    label: "DDIM", spacing: "trailing", options: { eta: 0 },
    equation: "x_s = a_s x̂_0 + √(b_s² − η²β̃_{ts}) ε̂ + η√β̃_{ts} z; η = {eta}",
    step({ schedule, t, s, x0, eps, z }, { eta }) {
      const [a, b] = schedule.at(s), variance = eta ** 2 * schedule.posteriorVariance(t, s);
      const x = combine([a, x0], [Math.sqrt(Math.max(b ** 2 - variance, 0)), eps]);
      return variance > 0 ? combine([1, x], [Math.sqrt(variance), z(0)]) : x;
    },
  },
  euler: {
    label: "Euler", spacing: "trailing", options: {},
    equation: "x_s = x_t + (a_s − a_t) x̂_0 + (b_s − b_t) ε̂",
    step({ schedule, t, s, x, x0, eps }) {
      const [a_t, b_t] = schedule.at(t), [a_s, b_s] = schedule.at(s);
      return combine([1, x], [a_s - a_t, x0], [b_s - b_t, eps]);
    },
  },
  "euler-ancestral": {
    label: "Euler, ancestral", spacing: "trailing", noisy: true, options: {},
    equation: "x_s = x_t + (a_s − a_t) x̂_0 + (√(b_s² − β̃_{ts}) − b_t) ε̂ + √β̃_{ts} z",
    step({ schedule, t, s, x, x0, eps, z }) {
      const [a_t, b_t] = schedule.at(t), [a_s, b_s] = schedule.at(s);
      const up = schedule.posteriorVariance(t, s), down = ((a_t / a_s) * b_s ** 2) / b_t; // √(b_s² − β̃)
      const terms = [[1, x], [a_s - a_t, x0], [down - b_t, eps]];
      return combine(...terms, ...(up > 0 ? [[Math.sqrt(up), z(0)]] : []));
    },
  },
  heun: {
    label: "Heun (EDM)", spacing: "karras", options: {},
    equation: "x_s = x_t + (a_s − a_t) (x̂_0 + x̂_0′)/2 + (b_s − b_t) (ε̂ + ε̂′)/2",
    step({ schedule, t, s, x, x0, eps, predict }) {
      const [a_t, b_t] = schedule.at(t), [a_s, b_s] = schedule.at(s), da = a_s - a_t, db = b_s - b_t;
      const end = combine([1, x], [da, x0], [db, eps]);
      if (s === 0) return end;
      const there = predict(end, s);
      return combine([1, x], [da / 2, x0], [da / 2, there.x0], [db / 2, eps], [db / 2, there.eps]);
    },
  },
  dpm: {
    label: "DPM-Solver++ 2M", spacing: "trailing", options: { eta: 0 },
    equation: "x_s = (b_s/b_t) x_t + (a_s − a_t b_s/b_t) D; D = x̂_0 + h/(2h′) (x̂_0 − x̂_0′)",
    step: dpmStep,
  },
  "dpm-sde": {
    label: "DPM-Solver++ 2M SDE", spacing: "trailing", noisy: true, options: { eta: 1 },
    equation: "x_s = (b_s/b_t) e^{−h} x_t + a_s (1 − e^{−2h}) D + b_s √(1 − e^{−2h}) z; " +
      "D = x̂_0 + h/(2h′) (x̂_0 − x̂_0′)",
    step: dpmStep,
  },
  unipc: {
    label: "UniPC", spacing: "trailing", options: {},
    equation: "x_s = (b_s/b_t) x_t + (a_s − a_t b_s/b_t) D; and the step before once more with x̂_0 at its end",
    step({ schedule, t, s, x, x0, memory }) {
      const here = memory ? constantStep(schedule, memory.t, t, memory.x, corrected(schedule, memory, t, x0)) : x;
      const there = constantStep(schedule, t, s, here, extrapolated(schedule, memory, t, s, x0));
      return { x: there, memory: { t, x: here, x0, before: memory && { t: memory.t, x0: memory.x0 } } };
    },
  },
  langevin: {
    label: "annealed Langevin (NCSN)", spacing: "trailing", noisy: true,
    options: { steps_per_level: 5, step_size: 2e-5 },
    equation: "x ← x − α/(2b_t) ε̂ + √α z; 5 times at each level; α = min(2·10^{−5}/b_1², ½) b_t²",
    step({ schedule, t, s, x, eps, predict, z }, { steps_per_level, step_size }) {
      const b = schedule.noise[t], alpha = Math.min(step_size / schedule.noise[1] ** 2, 0.5) * b ** 2;
      for (let number = 0; number < steps_per_level; number++) {
        x = langevinStep(x, number ? predict(x, t).eps : eps, b, alpha, z(number));
      }
      return s ? x : predict(x, t).x0;
    },
  },
  consistency: {
    label: "consistency", spacing: "trailing", noisy: true, options: {},
    equation: "x_s = a_s x̂_0 + b_s z",
    step({ schedule, s, x0, z }) {
      const [a, b] = schedule.at(s);
      return combine([a, x0], [b, z(0)]);
    },
  },
  pc: {
    label: "predictor-corrector", spacing: "trailing", noisy: true,
    options: { variance: "large", corrections: 1, snr: 0.16 },
    equation: "step of DDPM with σ² = {variance}; then x ← x − α/(2b_s) ε̂ + √α z; α = 4 (0.16 b_s)²",
    step(move, options) {
      const { schedule, s, predict, z } = move, b = schedule.noise[s];
      let x = ancestralStep(move, options);
      for (let number = 0; s && number < options.corrections; number++) {
        x = langevinStep(x, predict(x, s).eps, b, 4 * (options.snr * b) ** 2, z(1 + number));
      }
      return x;
    },
  },
};

/** The times that a sampler visits: `steps` times out of 1..T, falling, then 0; `spacing` is its own by default. */
export function times(schedule, sampler, steps, spacing) {
  const { T, signal, noise } = schedule;
  if (!SAMPLERS[sampler]) throw new Error(`unknown sampler ${sampler}`);
  if (!Number.isInteger(steps) || steps < 1 || steps > T) throw new Error(`choose 1 to ${T} steps, not ${steps}`);
  spacing = spacing || SAMPLERS[sampler].spacing;
  const sigma = (i) => noise[i + 1] / signal[i + 1], gap = (T - 1) / Math.max(steps - 1, 1);
  if (spacing === "trailing") return [...range(steps, (i) => roundEven(T - i * (T / steps))), 0];
  if (spacing === "leading") return [...range(steps, (i) => 1 + Math.floor(((steps - 1 - i) * T) / steps)), 0];
  if (spacing === "linspace") return [...range(steps, (i) => (i ? 1 + roundEven((steps - 1 - i) * gap) : T)), 0];
  if (spacing === "logsnr") return evenTimes(range(T, (i) => Math.log(sigma(i))), steps);
  if (spacing === "karras") return evenTimes(range(T, (i) => sigma(i) ** (1 / 7)), steps);
  throw new Error(`unknown spacing ${spacing}`);
}

/** Rounds halves to even, as Python does. */
function roundEven(value) {
  const low = Math.floor(value);
  return value - low === 0.5 ? low + (low % 2) : Math.round(value);
}

/** The times whose values on the rising curve of t = 1..T are nearest to even spacing, as in the package. */
function evenTimes(curve, count) {
  const finite = curve.filter(Number.isFinite).length;
  const visited = range(curve.length - finite, (i) => curve.length - i).slice(0, count);
  const rest = count - visited.length, high = curve[finite - 1], gap = (curve[0] - high) / Math.max(rest - 1, 1);
  for (let position = 0; position < rest; position++) {
    // From both ends, as torch.linspace does, so that ties are broken alike.
    const value = position < rest / 2 ? high + gap * position : curve[0] - gap * (rest - 1 - position);
    const first = curve.findIndex((c, i) => i >= finite || c >= value);
    const after = Math.min(Math.max(first < 0 ? finite : first, 1), Math.max(finite - 1, 1));
    const nearest = after + (value - curve[after - 1] > curve[Math.min(after, finite - 1)] - value ? 1 : 0);
    const below = (visited.length ? visited.at(-1) : curve.length + 1) - 1;
    visited.push(Math.max(Math.min(nearest, below), rest - position));
  }
  return [...visited, 0];
}

/**
 * The reverse process, as a generator of {index, t, x, x0, evaluations}: first x_T, last the sample, where t = 0.
 *
 * denoiser: any. condition: what its `predict` is given. x_T: the noise, an array of B·D numbers.
 * sampler: a name. steps: 1..T. spacing: of the times. options: of the sampler.
 * seed, indices: of the reverse noise; the items' indices within the seed. noise(t, draw): replaces that noise.
 * clip: x̂_0 is clipped to [−clip, clip], as samplers by name do in the package; null: it is not.
 * visited: times that replace the sampler's own; x_T is then the state at the first.
 */
export function* trajectory({
  denoiser, condition, sampler, steps, spacing, x_T, seed = 0, indices, noise, options = {}, clip = 1, visited,
}) {
  const { schedule, size } = denoiser, settings = { ...SAMPLERS[sampler].options, ...options };
  const items = indices || range(x_T.length / size, (i) => i), inner = clipped(denoiser, clip);
  let scale = 1, x = Float64Array.from(x_T), memory, evaluations = 0;
  if (!visited) {
    visited = times(schedule, sampler, steps, spacing);
    scale = schedule.noise[visited[0]] / schedule.noise[schedule.T]; // noise of time T becomes noise of the first
  }
  if (scale !== 1) x = combine([scale, x]);

  function predict(x, t) {
    evaluations++;
    return inner.predict(x, t, condition);
  }

  for (let index = 0; index + 1 < visited.length; index++) {
    const [t, s] = [visited[index], visited[index + 1]];
    const z = (draw) => (noise ? noise(t, draw) : normal(size, seed, "reverse", t, items, draw));
    const { x0, eps, fraction } = predict(x, t);
    yield { index, t, x, x0, evaluations };
    const next = SAMPLERS[sampler].step({ schedule, t, s, x, x0, eps, fraction, predict, z, memory }, settings);
    ({ x, memory } = next.x ? next : { x: next, memory: undefined });
  }
  yield { index: visited.length - 1, t: 0, x, x0: x, evaluations };
}
