/* A small network for points in the plane, trained in the page: forward pass, gradient, Adam; and the exact denoiser of
 * labelled points. Adds to Ancestral (diffusion.js). Everything is computed in float64; tests/docs/test_playground.py
 * compares the output, the gradient, Adam's steps and samples with PyTorch.
 */
(function (root) {
  "use strict";

  const A = root.Ancestral;
  const OF_TIME = 4, OF_PLACE = 3; // frequencies: sin and cos of 2^k π t/T, and of 2^k of each coordinate
  const FEATURES = 2 + 2 * OF_TIME + 4 * OF_PLACE;
  const BETA1 = 0.9, BETA2 = 0.999, EPSILON = 1e-8; // of Adam, the defaults of torch.optim.Adam

  /** Two independent uniform numbers in [0, 1] from two of a normal distribution: the angle and the radius. */
  const uniforms = (u, v) => [Math.atan2(v, u) / (2 * Math.PI) + 0.5, Math.exp(-0.5 * (u * u + v * v))];

  /**
   * A multilayer perceptron with SiLU between its linear layers, and PyTorch's initial weights U(−1/√in, 1/√in).
   *
   * weights: all parameters, layer after layer: the matrix (out, in), row after row, then the bias, as in nn.Linear.
   */
  function mlp(widths, seed) {
    const layers = [];
    let count = 0;
    for (let i = 0; i + 1 < widths.length; i++) {
      layers.push({ start: count, inputs: widths[i], outputs: widths[i + 1] });
      count += (widths[i] + 1) * widths[i + 1];
    }
    const weights = new Float64Array(count), z = A.normal(2 * count, seed, "weights", 0, [0]);
    for (const { start, inputs, outputs } of layers) {
      for (let i = start; i < start + (inputs + 1) * outputs; i++) {
        weights[i] = (2 * uniforms(z[2 * i], z[2 * i + 1])[0] - 1) / Math.sqrt(inputs);
      }
    }
    return { layers, weights };
  }

  /** Where the rows i..i+3 of a matrix begin; rows beyond the last are the last once more. */
  const four = (i, rows, columns) => [0, 1, 2, 3].map((j) => columns * Math.min(i + j, rows - 1));

  /** The inputs of each layer and the output last, for a batch of inputs; `before` holds the sums that SiLU takes. */
  function activations({ layers, weights }, input) {
    const values = [input], before = [], B = input.length / layers[0].inputs;
    layers.forEach(({ start, inputs, outputs }, number) => {
      const x = values[number], sums = new Float64Array(B * outputs), bias = start + inputs * outputs;
      for (let b = 0; b < B; b += 4) { // four items at a time: the loop waits less for its own sums
        const [i0, i1, i2, i3] = four(b, B, inputs);
        for (let o = 0; o < outputs; o++) {
          const row = start + o * inputs;
          let s0 = weights[bias + o], s1 = s0, s2 = s0, s3 = s0;
          for (let i = 0; i < inputs; i++) {
            const w = weights[row + i];
            s0 += w * x[i0 + i];
            s1 += w * x[i1 + i];
            s2 += w * x[i2 + i];
            s3 += w * x[i3 + i];
          }
          sums[b * outputs + o] = s0;
          if (b + 1 < B) sums[(b + 1) * outputs + o] = s1;
          if (b + 2 < B) sums[(b + 2) * outputs + o] = s2;
          if (b + 3 < B) sums[(b + 3) * outputs + o] = s3;
        }
      }
      before.push(sums);
      values.push(number + 1 < layers.length ? sums.map((s) => s / (1 + Math.exp(-s))) : sums);
    });
    return { values, before };
  }

  const output = (net, input) => activations(net, input).values.at(-1);

  /** The mean squared error of the output to `target`, and its gradient in the order of the weights. */
  function gradient(net, input, target) {
    const { layers, weights } = net, { values, before } = activations(net, input);
    const answer = values.at(-1), result = new Float64Array(weights.length);
    let loss = 0, delta = answer.map((value, i) => {
      loss += (value - target[i]) ** 2 / answer.length;
      return (2 * (value - target[i])) / answer.length;
    });
    for (let number = layers.length - 1; number >= 0; number--) {
      const { start, inputs, outputs } = layers[number], x = values[number], bias = start + inputs * outputs;
      const B = x.length / inputs, below = new Float64Array(x.length);
      for (let b = 0; b < B; b += 4) {
        const [i0, i1, i2, i3] = four(b, B, inputs);
        for (let o = 0; o < outputs; o++) {
          const row = start + o * inputs, at = b * outputs + o;
          const d0 = delta[at], d1 = b + 1 < B ? delta[at + outputs] : 0;
          const d2 = b + 2 < B ? delta[at + 2 * outputs] : 0, d3 = b + 3 < B ? delta[at + 3 * outputs] : 0;
          result[bias + o] += d0 + d1 + d2 + d3;
          for (let i = 0; i < inputs; i++) {
            result[row + i] += d0 * x[i0 + i] + d1 * x[i1 + i] + d2 * x[i2 + i] + d3 * x[i3 + i];
          }
        }
      }
      for (let b = 0; number && b < B; b++) {
        const item = b * inputs;
        for (let o = 0; o < outputs; o += 4) {
          const [r0, r1, r2, r3] = four(o, outputs, inputs), at = b * outputs + o;
          const d0 = delta[at], d1 = o + 1 < outputs ? delta[at + 1] : 0;
          const d2 = o + 2 < outputs ? delta[at + 2] : 0, d3 = o + 3 < outputs ? delta[at + 3] : 0;
          for (let i = 0; i < inputs; i++) {
            below[item + i] += d0 * weights[start + r0 + i] + d1 * weights[start + r1 + i] +
              d2 * weights[start + r2 + i] + d3 * weights[start + r3 + i];
          }
        }
      }
      if (number) {
        const sums = before[number - 1];
        for (let i = 0; i < below.length; i++) {
          const s = 1 / (1 + Math.exp(-sums[i]));
          below[i] *= s * (1 + sums[i] * (1 - s)); // the derivative of SiLU
        }
      }
      delta = below;
    }
    return { loss, gradient: result };
  }

  /** Adam (Kingma and Ba 2015, algorithm 1): moves `weights` in place. `state` is {} at first. */
  function adam(weights, slope, state, rate) {
    if (!state.step) Object.assign(state, { step: 0, m: new Float64Array(weights.length), v: new Float64Array(weights.length) });
    state.step++;
    const { m, v, step } = state, c1 = 1 - BETA1 ** step, c2 = 1 - BETA2 ** step;
    for (let i = 0; i < weights.length; i++) {
      m[i] = BETA1 * m[i] + (1 - BETA1) * slope[i];
      v[i] = BETA2 * v[i] + (1 - BETA2) * slope[i] ** 2;
      weights[i] -= (rate * (m[i] / c1)) / (Math.sqrt(v[i] / c2) + EPSILON);
    }
  }

  const waves = (angle) => [Math.sin(angle), Math.cos(angle)];

  /** The network's inputs for x_t at the times t, one for each item: x_t at a standard deviation of about 1, t, and waves. */
  function inputs(schedule, x, t) {
    const features = new Float64Array((FEATURES * x.length) / 2);
    for (let b = 0; 2 * b < x.length; b++) {
      const time = typeof t === "number" ? t : t[b], [a, noise] = schedule.at(time);
      const scale = 1 / Math.sqrt(0.25 * a * a + noise * noise); // data of standard deviation ½
      const place = [scale * x[2 * b], scale * x[2 * b + 1]], row = [...place];
      for (let k = 0; k < OF_TIME; k++) row.push(...waves((2 ** k * Math.PI * time) / schedule.T));
      for (let k = 0; k < OF_PLACE; k++) for (const p of place) row.push(...waves(2 ** (k + 1) * p));
      features.set(row, FEATURES * b);
    }
    return features;
  }

  /** The batch of a training step, a function of (seed, step): the times t, x_t, and the targets. */
  function batch({ schedule, points, predicts, seed, size }, step) {
    const K = points.length / 2, t = [], x = new Float64Array(2 * size), target = new Float64Array(2 * size);
    const z = A.normal(4, seed, "training", step, Array.from({ length: size }, (_, i) => i));
    for (let i = 0; i < size; i++) {
      const [first, second] = uniforms(z[4 * i + 2], z[4 * i + 3]);
      const k = Math.min(Math.floor(K * first), K - 1);
      t.push(1 + Math.min(Math.floor(schedule.T * second), schedule.T - 1));
      const [a, b] = schedule.at(t[i]), p = A.TARGETS[predicts].p(a, b), q = A.TARGETS[predicts].q(a, b);
      for (let j = 0; j < 2; j++) {
        x[2 * i + j] = a * points[2 * k + j] + b * z[4 * i + j];
        target[2 * i + j] = p * points[2 * k + j] + q * z[4 * i + j];
      }
    }
    return { t, x, target };
  }

  /** The denoiser of a network that predicts the target `predicts`. */
  function learned(net, schedule, predicts) {
    return { schedule, size: 2, predict(x, t) {
      const [a, b] = schedule.at(t), p = A.TARGETS[predicts].p(a, b), q = A.TARGETS[predicts].q(a, b);
      const answer = output(net, inputs(schedule, x, t)), d = a * q - b * p;
      return { x0: A.combine([q / d, x], [-b / d, answer]), eps: A.combine([a / d, answer], [-p / d, x]) };
    } };
  }

  /**
   * A training run, of which `advance` computes one step. The learning rate falls linearly to 0.
   *
   * settings: {schedule, points, predicts, seed, width, size (of a batch), rate, steps}.
   */
  function training(settings) {
    const all = { predicts: "v", seed: 0, width: 48, size: 64, rate: 0.01, steps: 3000, ...settings };
    const net = mlp([FEATURES, all.width, all.width, 2], all.seed), state = {}, losses = [];
    return {
      settings: all, net, losses,
      advance() {
        const { t, x, target } = batch(all, losses.length);
        const { loss, gradient: slope } = gradient(net, inputs(all.schedule, x, t), target);
        adam(net.weights, slope, state, all.rate * (1 - losses.length / all.steps));
        losses.push(loss);
      },
      /** The denoiser of the weights as they are now; later steps do not change it. */
      denoiser: () => learned({ ...net, weights: net.weights.slice() }, all.schedule, all.predicts),
    };
  }

  /** The loss of the exact denoiser on the batches of some steps: the least that any network can have on average. */
  function exactLoss(settings, steps) {
    const { schedule, points, predicts } = settings;
    let sum = 0, count = 0;
    for (let step = 0; step < steps; step++) {
      const { t, x, target } = batch(settings, step);
      t.forEach((time, i) => {
        const [a, b] = schedule.at(time), { x0, eps } = A.denoise(points, a, b, x.subarray(2 * i, 2 * i + 2));
        A.target(predicts, x0, eps, a, b).forEach((value, j) => (sum += (value - target[2 * i + j]) ** 2));
        count += 2;
      });
    }
    return sum / count;
  }

  /** The exact denoiser of points with a class each; without a condition, or with null, that of all points. */
  function labelled(schedule, points, labels) {
    const ofClass = (label) => points.filter((_, i) => labels[Math.floor(i / 2)] === label);
    const classes = new Map([...new Set(labels)].map((label) => [label, ofClass(label)]));
    return { schedule, size: 2, predict(x, t, condition = null) {
      return A.denoise(classes.get(condition) || points, ...schedule.at(t), x);
    } };
  }

  /** The energy distance 2E|X − Y| − E|X − X′| − E|Y − Y′| of two sets of points (Székely and Rizzo 2013). */
  function energyDistance(X, Y) {
    const mean = (U, V) => {
      let sum = 0;
      for (let i = 0; i < U.length; i += 2) {
        for (let k = 0; k < V.length; k += 2) sum += Math.sqrt((U[i] - V[k]) ** 2 + (U[i + 1] - V[k + 1]) ** 2);
      }
      return (4 * sum) / (U.length * V.length);
    };
    return 2 * mean(X, Y) - mean(X, X) - mean(Y, Y);
  }

  Object.assign(A, { mlp, output, gradient, adam, inputs, batch, learned, training, exactLoss, labelled, energyDistance });
})(globalThis);
