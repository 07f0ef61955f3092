// Several images that are edited alike: each is a job of its own, and one that fails leaves the others alone.

import { el, fill } from "../page/shared/elements.js";
import { button, write } from "./dom.js";
import { allFiles, isSeveral, shownFiles } from "./dropped_files.js";
import { upload } from "./image_drop.js";
import { stateLine } from "./job_words.js";

const MOST_WAITING = 8, // jobs that wait at once: the queue has room for something else
  BUSY = 429;

/** An image of the batch, as a row: `state` is ready, sent, ended, done or failed; `asked` is what was asked of it. */
class BatchRow {
  constructor(file) {
    Object.assign(this, { file, image: null, job: null, asked: null, state: "ready" });
    this.name = el("span", { class: "name wrap" }, file.name);
    this.line = el("span", { class: "small soft wrap" });
    this.link = el("a", { class: "small", hidden: true }, "Open");
    this.element = el("li", { class: "batch-row", data: { state: "ready" } }, this.name, this.line, this.link);
  }

  say(state, text) {
    this.state = this.element.dataset.state = state;
    write(this.line, text);
    this.link.hidden = state !== "done";
    if (state === "done") this.link.href = `#edit?entry=${encodeURIComponent(this.job)}`;
  }

  /** Forget the job before: the next one says how it stands. */
  restart() {
    this.job = null;
    this.say("ready", "");
  }

  /** Say why it failed. The server may know the image by the name of an equal one. */
  fail(text) {
    this.say("failed", this.image ? text.replaceAll(this.image.file, this.file.name) : text);
  }
}

export class EditBatch {
  /**
   * `settings()` returns a function that gives the options of an image: those of the controls as they are now; `asked()`
   * is a text of them.
   */
  constructor(app, root, { settings, asked }) {
    Object.assign(this, { app, settings, asked, rows: [], running: false, wake: () => {} });
    const pick = (text, attributes) => {
      const hidden = { class: "hidden", tabindex: "-1", "aria-hidden": "true", type: "file", multiple: true };
      const input = el("input", { ...hidden, ...attributes });
      input.addEventListener("change", () => {
        this.take(shownFiles([...input.files]));
        input.value = "";
      });
      return [button(text, () => input.click(), { class: "quiet" }), input];
    };
    this.list = el("ul", { class: "batch-list", "aria-label": "Images of the batch" });
    this.count = el("p", { class: "small number", role: "status" });
    this.start = button("Edit all", () => this.run());
    this.stop = button("Stop the rest", () => this.end(), { class: "danger" });
    this.remove = button("Remove the list", () => this.clear(), { class: "quiet" });
    this.shown = el(
      "div",
      { class: "stack tight", hidden: true },
      this.list,
      this.count,
      el("div", { class: "row" }, this.start, this.stop, this.remove),
    );
    this.element = el(
      "div",
      { class: "stack tight", role: "group", "aria-label": "Several images" },
      el("div", { class: "row" }, pick("Several images", { accept: "image/*,.npy,.npz" }), pick("A folder", { webkitdirectory: true })),
      this.shown,
    );
    root.addEventListener("drop", event => this.drop(event), true);
    app.subscribe(state => this.follow(state));
  }

  /** Take several files that are dropped anywhere on the tab; a single one is left to others. */
  async drop(event) {
    if (this.element.hidden || !isSeveral(event)) return;
    event.preventDefault();
    event.stopPropagation();
    for (const one of document.querySelectorAll(".dropping, .over")) one.classList.remove("dropping", "over");
    this.take(await allFiles(event));
  }

  take(files) {
    const rows = files.map(file => new BatchRow(file));
    for (const row of rows) row.say("ready", "");
    this.rows.push(...rows);
    this.list.append(...rows.map(row => row.element));
    this.draw();
    this.shown.scrollIntoView({ block: "nearest" });
  }

  clear() {
    this.rows = [];
    fill(this.list);
    this.draw();
  }

  number(state) {
    return this.rows.filter(row => row.state === state).length;
  }

  /** The rows that are edited next: those that are not done as the controls are now. */
  due() {
    const asked = this.asked();
    return this.rows.filter(row => ["ready", "failed"].includes(row.state) || (row.state === "done" && row.asked !== asked));
  }

  draw() {
    const [sent, done, failed] = ["sent", "done", "failed"].map(state => this.number(state));
    const counts = [`${done} of ${this.rows.length} done`, failed && `${failed} failed`, sent && `${sent} in the queue`];
    write(this.count, counts.filter(Boolean).join(", "));
    const due = this.rows.length ? this.due().length : 0;
    write(this.start, `Edit all ${due}`);
    this.shown.hidden = !this.rows.length;
    this.start.hidden = this.running || Boolean(sent) || !due;
    this.stop.hidden = !this.running && !sent;
    this.remove.hidden = this.running || Boolean(sent);
  }

  /** Send all that are due, a few at a time, with the settings that are there now. */
  async run() {
    this.running = true;
    for (const row of this.due()) row.restart();
    this.draw();
    const asked = this.asked();
    try {
      const options = await this.settings();
      for (const row of this.rows) {
        while (this.running && this.number("sent") >= MOST_WAITING) await this.change();
        if (this.running && row.state === "ready") {
          row.asked = asked;
          await this.send(row, options);
        }
        this.draw();
      }
    } catch (error) {
      this.app.toast(error.message);
    }
    this.running = false;
    this.draw();
  }

  /** A promise of a new state of the server. */
  change() {
    return new Promise(resolve => {
      this.wake = resolve;
    });
  }

  async send(row, options) {
    row.say("sent", "sending");
    this.draw();
    try {
      row.image = await upload(this.app, row.file);
      const job = await this.begin({ command: "edit", options: await options(row.image) });
      if (!job) return row.say("ready", "");
      await this.app.refresh(); // now the server's list of jobs has it, or it has ended
      row.job = job;
      this.follow(this.app.state);
    } catch (error) {
      row.fail(error.message);
    }
    return undefined;
  }

  /** Start a job, once there is room in the queue. Returns its id, or null if the batch was stopped. */
  async begin(body) {
    while (this.running) {
      try {
        return (await this.app.api("POST", "/api/jobs", body)).id;
      } catch (error) {
        if (error.status !== BUSY) throw error;
        await this.change();
      }
    }
    return null;
  }

  /** Say how the jobs stand. */
  follow({ jobs = [] }) {
    this.wake();
    for (const row of this.rows.filter(({ state, job }) => state === "sent" && job)) {
      const job = jobs.find(({ id }) => id === row.job);
      if (job) row.say("sent", stateLine(job));
      else this.settle(row);
    }
    this.draw();
  }

  /** Say how a job ended: its events are there as long as the server is, and what it made is in the history. */
  settle(row) {
    const ended = say => {
      say();
      this.draw();
      this.wake();
    };
    const failed = text => ended(() => row.fail(text));
    const job = row.job;
    row.say("ended", "");
    this.app.events(job, {
      done: () => ended(() => row.say("done", "done")),
      failed: ({ error }) => failed(error),
      cancelled: () => failed("stopped"),
      lost: () => failed("the studio was started anew: look into the history"),
    });
  }

  /** Send no more, and cancel what waits. */
  async end() {
    this.running = false;
    this.wake();
    const jobs = this.rows.filter(({ state, job }) => state === "sent" && job).map(({ job }) => job);
    const cancel = id => this.app.api("POST", `/api/jobs/${encodeURIComponent(id)}/cancel`, { keep: true });
    await Promise.all(jobs.map(id => cancel(id).catch(error => this.app.toast(error.message))));
    this.app.refresh();
  }
}
