/* Workers that share the samples of a job: each has a network of its own, so that they compute side by side without
 * shared memory, also in a page of the file system. What is sampled does not depend on their number.
 */

export class Workers {
  /** `source`: the text of the script of a Worker. `parts`: what it is started with. */
  constructor(source, parts) {
    this.url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    this.parts = parts;
    this.workers = [];
    this.number = 0;
    this.handle = () => {};
  }

  /** Starts one Worker, then the others; those that cannot be started (memory) are left out. Resolves to its times. */
  async start(count) {
    const times = await this.add();
    this.others = Promise.allSettled(Array.from({ length: count - 1 }, () => this.add()));
    return times;
  }

  add() {
    return new Promise((resolve, reject) => {
      const worker = new Worker(this.url);
      worker.onerror = (event) => reject(new Error(event.message || "the page cannot start a Worker"));
      worker.onmessage = ({ data }) => {
        if (data.type === "failed") return reject(new Error(data.text));
        worker.onmessage = (message) => this.handle(message.data);
        this.workers.push(worker);
        resolve(data);
      };
      worker.postMessage({ type: "start", ...this.parts });
    });
  }

  /**
   * Samples the items of a job, {index, inputs} each; `onState` gets each state. Resolves to {evaluations,
   * milliseconds, workers}, or to null if it was stopped.
   */
  async run(job, items, onState) {
    this.stop();
    const number = ++this.number;
    await this.others;
    if (number !== this.number) return null;
    const used = this.workers.slice(0, items.length);
    const total = { evaluations: 0, milliseconds: 0, workers: used.length };
    return new Promise((resolve, reject) => {
      let left = used.length;
      this.end = () => resolve(null);
      this.handle = (message) => {
        if (message.type === "failed") return reject(new Error(message.text));
        if (message.job !== this.number) return; // of a job that was stopped
        if (message.type === "state") return onState(message);
        total.evaluations += message.evaluations;
        total.milliseconds += message.milliseconds;
        if (--left === 0) resolve(total);
      };
      used.forEach((worker, i) => {
        const share = items.map((item, position) => ({ ...item, position })).filter((_, k) => k % used.length === i);
        worker.postMessage({ type: "sample", ...job, number, items: share });
      });
    });
  }

  /** Stops the job that runs, within one step of the sampler. */
  stop() {
    this.number++;
    for (const worker of this.workers) worker.postMessage({ type: "stop" });
    if (this.end) this.end();
    this.end = null;
  }
}
