/* The Worker of the page: it builds the network once, and samples the items that it is sent, a step of each in turn.
 *
 * Messages in: start {kernels, program, weights, model}, sample {number, items, ...}, stop. Messages out: ready, state
 * {position, index, t, x, x0}, done {evaluations, milliseconds}, failed {text}. A state that is not shown has no x.
 */
(function () {
  "use strict";

  const A = globalThis.Ancestral;
  let evaluate, model, schedule, current = null, evaluations = 0, milliseconds = 0;

  /** Lets the messages that have arrived be handled: a stop, or the next job. */
  const channel = new MessageChannel(), waiting = [];
  channel.port1.onmessage = () => waiting.shift()();
  const turn = () => new Promise((resolve) => {
    waiting.push(resolve);
    channel.port2.postMessage(0);
  });

  const actions = {
    async start({ kernels, program, weights, model: description }) {
      const network = await A.network(kernels, program, weights);
      evaluate = (inputs) => {
        const start = performance.now(), output = network.evaluate(inputs);
        evaluations++;
        milliseconds += performance.now() - start;
        return output;
      };
      model = description;
      schedule = A.tabulated(model.signal, model.noise, model.prior_std);
      const probe = { x: new Float32Array(model.size), index: 0 };
      evaluate(probe); // compiles
      milliseconds = 0;
      evaluate(probe);
      postMessage({ type: "ready", milliseconds });
    },

    async sample(job) {
      current = job.number;
      evaluations = milliseconds = 0;
      let runs = job.items.map((item) => ({ ...item, states: trajectory(item, job) }));
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

  function trajectory({ index, inputs }, job) {
    const { sampler, steps, spacing, options, seed, edit } = job, size = model.size;
    let denoiser = A.trained({ schedule, evaluate, size, tables: model.tables });
    denoiser = A.guided(denoiser, job.guidance, [{}], job.rescale);
    if (edit) denoiser = A.inpainting(denoiser, edit.y, edit.known, job.clip);
    const clip = edit ? null : job.clip; // what agrees with the image is not clipped any more
    const x_T = A.prior(schedule, size, seed, [index]);
    return A.trajectory({
      denoiser, condition: [inputs], sampler, steps, spacing, options, clip, x_T, seed, indices: [index],
    });
  }

  function report(position, { index, t, x, x0 }, job) {
    const message = { type: "state", job: job.number, position, index, t };
    if (!job.shown.includes(index)) return postMessage(message);
    Object.assign(message, { x: Float32Array.from(x), x0: Float32Array.from(x0) });
    postMessage(message, [message.x.buffer, message.x0.buffer]);
  }

  self.onmessage = async ({ data }) => {
    try {
      await actions[data.type](data);
    } catch (error) {
      postMessage({ type: "failed", text: String(error.message) });
    }
  };
})();
