/* The theory of the playground: schedules, targets, the exact denoiser, samplers and random numbers of the Python
 * package, for points in the plane. Everything is computed in float64. Nothing in this file touches the page.
 *
 * A batch of B points is one array of 2B numbers, x_1, y_1, x_2, y_2, ... Names are those of the package:
 * `ancestral.schedules`, `.targets`, `.oracle.Empirical`, `.samplers`, `.randomness`, `.reverse.prior`.
 */
(function (root) {
  "use strict";

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

  const SCHEDULES = {
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

  function schedule(name, T, options) {
    if (!SCHEDULES[name]) throw new Error(`unknown schedule ${name}`);
    if (!Number.isInteger(T) || T < 1) throw new Error(`T must be a whole number of at least 1, not ${T}`);
    return SCHEDULES[name].make(T, options);
  }

  // Targets: what a network predicts, p x_0 + q ε --------------------------------------------------------------------

  const deviation = (a, b) => Math.sqrt(b ** 2 + 0.25 * a ** 2); // of x_t, for data of standard deviation ½
  const TARGETS = {
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
  function target(name, x0, eps, a, b) {
    return combine([TARGETS[name].p(a, b), x0], [TARGETS[name].q(a, b), eps]);
  }

  /** Σ c v over pairs [c, v] of a number and an array. */
  function combine(...terms) {
    const sum = new Float64Array(terms[0][1].length);
    for (const [c, v] of terms) for (let i = 0; i < sum.length; i++) sum[i] += c * v[i];
    return sum;
  }

  // The exact denoiser of a finite data set --------------------------------------------------------------------------

  /**
   * E[x_0 | x_t] and E[ε | x_t] where x_0 is one of K points, all equally likely, and log p_t(x_t) in nats.
   * x̂_0 is the mean of the points with weights softmax(−‖x_t − a x_0‖²/2b²).
   */
  function denoise(points, a, b, x) {
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

  // Random numbers: a function of (seed, stream, step, index). 64-bit integers are pairs of 32 bits, [high, low] ------

  function multiply([ah, al], [bh, bl]) {
    const a0 = al & 0xffff, a1 = al >>> 16, b0 = bl & 0xffff, b1 = bl >>> 16;
    const p01 = a0 * b1, p10 = a1 * b0, p00 = a0 * b0;
    const middle = (p00 >>> 16) + (p01 & 0xffff) + (p10 & 0xffff);
    const carried = (p01 >>> 16) + (p10 >>> 16) + (middle >>> 16);
    const high = (a1 * b1 + carried + Math.imul(ah, bl) + Math.imul(al, bh)) >>> 0;
    return [high, ((middle << 16) | (p00 & 0xffff)) >>> 0];
  }

  const xor = ([ah, al], [bh, bl]) => [(ah ^ bh) >>> 0, (al ^ bl) >>> 0];
  const shifted = ([h, l], bits) => [h >>> bits, ((h << (32 - bits)) | (l >>> bits)) >>> 0];

  function plusGamma([h, l]) {
    const low = l + 0x7f4a7c15;
    return [(h + 0x9e3779b9 + (low > 0xffffffff ? 1 : 0)) >>> 0, low >>> 0];
  }

  /** SplitMix64's finaliser. */
  function mix(z) {
    z = multiply(xor(z, shifted(z, 30)), [0xbf58476d, 0x1ce4e5b9]);
    z = multiply(xor(z, shifted(z, 27)), [0x94d049bb, 0x133111eb]);
    return xor(z, shifted(z, 31));
  }

  function crc32(text) {
    let crc = 0xffffffff;
    for (const character of text) {
      crc ^= character.charCodeAt(0);
      for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc >>> 0;
  }

  const pair = (number) => [Math.floor(number / 2 ** 32), number >>> 0];

  /** N(0, 1) for points 0..count−1, rounded to float32: the numbers of `ancestral.randomness.normal((2,), ...)`. */
  function normal(seed, stream, step, count, draw = 0) {
    const prefix = [pair(seed), [0, crc32(draw ? `${stream} ${draw}` : stream)], pair(step)].reduce(
      (before, word) => mix(plusGamma(xor(before, word))), [0, 0]);
    const z = new Float64Array(2 * count);
    for (let i = 0; i < count; i++) {
      const [high, low] = mix(mix(plusGamma(xor(pair(i), prefix))));
      const radius = Math.sqrt(-2 * Math.log(Math.fround(high + 1) * 2 ** -32)); // Box-Muller; u is float32
      const angle = low * (2 ** -32 * 2 * Math.PI);
      z[2 * i] = Math.fround(radius * Math.cos(angle));
      z[2 * i + 1] = Math.fround(radius * Math.sin(angle));
    }
    return z;
  }

  /** x_T of points 0..count−1 of a seed. */
  function prior(schedule, count, seed) {
    return normal(seed, "prior", 0, count).map((z) => Math.fround(Math.fround(schedule.priorStd) * z));
  }

  // Samplers: rules that move x from time t to an earlier time s -----------------------------------------------------

  /** The step of DDPM: μ̃_t(x_t, x̂_0), and noise unless s = 0. */
  function ancestralStep({ schedule, t, s, x, x0, z }, { variance }) {
    const [a_t, b_t] = schedule.at(t), [a_s, b_s] = schedule.at(s);
    const beta = schedule.forwardVariance(t, s);
    const mean = combine([(a_s * beta) / b_t ** 2, x0], [((a_t / a_s) * b_s ** 2) / b_t ** 2, x]);
    const sigma = Math.sqrt(variance === "large" ? beta : schedule.posteriorVariance(t, s));
    return s ? combine([1, mean], [sigma, z(0)]) : mean;
  }

  /** DPM-Solver++ of order 2. With η = 0 it solves the ODE, with η = 1 the SDE. `memory` is the estimate before. */
  function dpmStep({ schedule, t, s, x, x0, z, memory }, { eta }) {
    const [a_t, b_t] = schedule.at(t), [a_s, b_s] = schedule.at(s);
    const decay = (a_t * b_s) / (b_t * a_s); // e^−h
    const kept = decay ** eta;
    const noise = b_s * Math.sqrt(Math.max(1 - kept ** 2, 0));
    const terms = [[(b_s / b_t) * kept, x], [a_s - a_s * decay * kept, extrapolated(schedule, memory, t, s, x0)]];
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
  const SAMPLERS = {
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

  /** The times that a sampler visits: `steps` times out of 1..T, falling, then 0. */
  function times(schedule, sampler, steps) {
    const { T } = schedule;
    if (!SAMPLERS[sampler]) throw new Error(`unknown sampler ${sampler}`);
    if (!Number.isInteger(steps) || steps < 1 || steps > T) throw new Error(`choose 1 to ${T} steps, not ${steps}`);
    if (SAMPLERS[sampler].spacing === "trailing") return [...range(steps, (i) => roundEven(T - i * (T / steps))), 0];
    return evenTimes(range(T, (i) => (schedule.noise[i + 1] / schedule.signal[i + 1]) ** (1 / 7)), steps);
  }

  /** Rounds halves to even, as Python does. */
  function roundEven(value) {
    const low = Math.floor(value);
    return value - low === 0.5 ? low + (low % 2) : Math.round(value);
  }

  /** The times whose values on the rising curve of t = 1..T are nearest to even spacing: "karras" of the package. */
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
   * points, x_T: arrays of 2K and 2B numbers. schedule: of `schedule`. sampler: a name. steps: 1..T.
   * seed: of the reverse noise. noise(t, draw): replaces that noise. options: of the sampler.
   * clip: x̂_0 is clipped to [−clip, clip], as samplers by name do in the package; null: it is not.
   * visited: times that replace the sampler's own.
   */
  function* trajectory({ points, schedule, sampler, steps, x_T, seed = 0, noise, options = {}, clip = 1, visited }) {
    visited = visited || times(schedule, sampler, steps);
    const settings = { ...SAMPLERS[sampler].options, ...options };
    let x = Float64Array.from(x_T), memory, evaluations = 0;

    function predict(x, t) {
      const [a, b] = schedule.at(t), { x0, eps } = denoise(points, a, b, x);
      evaluations++;
      if (clip === null || x0.every((value) => Math.abs(value) <= clip)) return { x0, eps };
      const clipped = x0.map((value) => Math.min(Math.max(value, -clip), clip));
      return { x0: clipped, eps: combine([1 / b, x], [-a / b, clipped]) };
    }

    for (let index = 0; index + 1 < visited.length; index++) {
      const [t, s] = [visited[index], visited[index + 1]];
      const z = (draw) => (noise ? noise(t, draw) : normal(seed, "reverse", t, x.length / 2, draw));
      const { x0, eps } = predict(x, t);
      yield { index, t, x, x0, evaluations };
      const next = SAMPLERS[sampler].step({ schedule, t, s, x, x0, eps, predict, z, memory }, settings);
      ({ x, memory } = next.x ? next : { x: next, memory: undefined });
    }
    yield { index: visited.length - 1, t: 0, x, x0: x, evaluations };
  }

  root.AncestralPlayground = {
    SCHEDULES, TARGETS, SAMPLERS, schedule, target, combine, denoise, normal, prior, times, trajectory,
  };
})(typeof window === "undefined" ? globalThis : window);
