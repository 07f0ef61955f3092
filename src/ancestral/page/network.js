/* A trained network in the browser: a loop over the calls of a program (page/network_program.py) and the kernels of
 * kernels.c. It needs WebAssembly SIMD alone: no download, no shared memory, no GPU; it runs in a page and in a worker.
 *
 *     const net = await network(kernels, program, weights);
 *     const output = net.evaluate({ x, index: 999, labels: 3 });
 *
 * `kernels` and `weights` are bytes (ArrayBuffer or Uint8Array), `program` the parsed JSON. An input is a number or an
 * array of numbers in PyTorch's order (C, *sides); `net.inputs` has the name, shape and dtype of each. `index` is
 * t − 1. What is left out is absent: −1 for integers, 0 for others (as `Condition.absent` of the package). The output
 * is a new Float32Array of `net.output.shape`, the prediction of the network.
 *
 *     net.times()   // milliseconds by kernel since the last call of times(), if options.profile
 */

export async function network(kernels, program, weights, options = {}) {
  const pages = Math.ceil(program.memory / 65536);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const { instance } = await WebAssembly.instantiate(kernels, { env: { memory } });
  const floats = new Float32Array(memory.buffer), integers = new Int32Array(memory.buffer);
  const data = weights instanceof ArrayBuffer ? new Uint8Array(weights) : weights;

  /** Unpack weights to float32: plain numbers (no rows), or the scale of each row, then integers of 18 bits, of which
   *  the upper 8, the next 8 and the lowest 2 lie apart. */
  function unpack(to, from, rows, columns) {
    const scales = new Float32Array(data.slice(from, from + 4 * (rows || columns)).buffer);
    if (!rows) return floats.set(scales, to / 4);
    const count = rows * columns, high = from + 4 * rows, middle = high + count, low = middle + count;
    for (let row = 0, i = 0, at = to / 4; row < rows; row++) {
      const scale = scales[row];
      for (let column = 0; column < columns; column++, i++) {
        const two = (data[low + (i >> 2)] >> (2 * (i & 3))) & 3;
        floats[at++] = ((data[high + i] << 10) + (data[middle + i] << 2) + two - 131071) * scale;
      }
    }
  }

  const pointwise = (f) => (to, from, count, more) => {
    for (let i = 0; i < count; i++) floats[to / 4 + i] = f(floats[from / 4 + i], more);
  };
  const run = {
    ...instance.exports,
    unpack,
    integers: (to, ...numbers) => integers.set(numbers, to / 4),
  };
  for (const name of [..."sin cos tan asin acos atan sinh cosh asinh acosh atanh".split(" "),
    ..."log log1p log2 log10 expm1 sign".split(" ")]) run[name] = pointwise(Math[name]);
  run.power = pointwise(Math.pow);
  const bound = (calls) => calls.map(([name, ...numbers]) => [run[name], numbers, name]);
  for (const [f, numbers] of bound(program.prepare)) f(...numbers);
  const calls = bound(program.calls);
  let times = {};

  function evaluate(values) {
    for (const name of Object.keys(values)) {
      if (!(name in program.inputs)) throw new Error(`the network has no input ${name}`);
    }
    for (const [name, { offset, shape, dtype }] of Object.entries(program.inputs)) {
      const count = shape.reduce((product, side) => product * side, 1), value = values[name];
      const part = floats.subarray(offset / 4, offset / 4 + count);
      if (value === undefined || value === null) part.fill(dtype === "int64" ? -1 : 0);
      else if (typeof value === "number") part.fill(value);
      else if (value.length === count) part.set(value);
      else throw new Error(`the input ${name} has ${value.length} numbers, not ${count}`);
    }
    if (options.profile) {
      for (const [f, numbers, name] of calls) {
        const start = performance.now();
        f(...numbers);
        times[name] = (times[name] || 0) + performance.now() - start;
      }
    } else {
      for (const [f, numbers] of calls) f(...numbers);
    }
    const { offset, shape } = program.output;
    return floats.slice(offset / 4, offset / 4 + shape.reduce((product, side) => product * side, 1));
  }

  return {
    inputs: program.inputs,
    output: program.output,
    evaluate,
    times() {
      const result = times;
      times = {};
      return result;
    },
  };
}
