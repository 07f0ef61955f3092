// A job of the compute queue: started, followed and stopped, with what it does, its progress and what it says.

import { el, fill } from "../page/shared/elements.js";
import { button, write } from "./dom.js";
import { stateLine, waitLine, workLine } from "./job_words.js";
import { plainWords } from "./plain_words.js";

/**
 * Make the panel. `handlers` are those of `events`, besides what the panel itself shows; `state(running)` is called
 * when a job begins or ends. Returns {element, start(command, options), follow(id), stop(), running, id}.
 */
export function jobPanel(app, handlers, state = () => {}) {
  return new JobPanel(app, handlers, state);
}

class JobPanel {
  constructor(app, handlers, state) {
    Object.assign(this, { app, handlers, state });
    this.id = null;
    this.running = false;
    this.waiting = false;
    this.text = ""; // what the job does
    this.leave = null; // ends the stream of its events
    this.bar = el("progress", { hidden: true, "aria-label": "Progress" });
    this.line = el("span", { class: "small number grow" });
    this.spoken = el("span", { class: "hidden", role: "status" });
    this.stopButton = button("Stop now", () => this.stop(), {
      class: "danger",
      hidden: true,
      title: "Stop now and keep what there is (Escape)",
    });
    this.problem = el("p", { class: "error", role: "alert", hidden: true });
    this.messages = el("ul", { class: "small soft stack tight messages" });
    this.element = el(
      "div",
      { class: "stack tight job", data: { state: "idle" } },
      el("div", { class: "row" }, this.line, this.stopButton),
      this.bar,
      this.problem,
      this.messages,
      this.spoken,
    );
    app.subscribe(({ jobs = [] }) => this.wait(jobs.find(job => job.id === this.id)));
  }

  /** Say how the job stands, and read it out where this is new. */
  tell(status, aloud = true) {
    const text = [this.text, status].filter(Boolean).join(" · ");
    write(this.line, text);
    if (aloud) write(this.spoken, text);
  }

  fail(text) {
    this.problem.hidden = !text;
    write(this.problem, plainWords(text ?? ""));
  }

  /** The times until a job begins change while it waits. */
  wait(job) {
    if (this.running && this.waiting && job) this.tell(stateLine(job), false);
  }

  /** What an event of the job changes here. */
  shown = {
    queued: ({ text, ahead, seconds }) => {
      this.text = text;
      this.waiting = true;
      this.tell(waitLine({ ahead, seconds }));
    },
    started: ({ text }) => {
      this.text = text;
      this.waiting = false;
      this.tell("reading the model");
    },
    planned: ({ text }) => {
      this.text = text;
      this.tell("starting", false);
    },
    stopping: () => {
      this.stopButton.disabled = true;
      this.tell("stopping");
      this.app.refresh();
    },
    message: ({ text }) => this.messages.append(el("li", { class: "wrap" }, plainWords(text))),
    work: ({ task, done, total, seconds_left: seconds }) => {
      this.bar.hidden = !total;
      this.bar.max = total || 1;
      this.bar.value = done;
      if (!this.stopButton.disabled) this.tell(workLine({ task, done, total, seconds }), false);
    },
    done: () => this.end("done", "done"),
    cancelled: ({ entry } = {}) => this.end("cancelled", entry ? "stopped; what there was is kept" : "stopped"),
    failed: ({ error }) => {
      this.end("failed", "");
      this.fail(error);
    },
  };

  end(kind, status) {
    if (kind === "failed" || kind === "lost") this.text = "";
    this.running = this.waiting = false;
    this.element.dataset.state = kind;
    this.stopButton.hidden = this.bar.hidden = true;
    this.stopButton.disabled = false;
    this.tell(status);
    this.state(false);
    this.app.refresh();
  }

  /** Start a job. Throws the Refusal of the server. */
  async start(command, options) {
    this.fail("");
    const job = await this.app.api("POST", "/api/jobs", { command, options });
    this.follow(job.id);
    this.app.refresh();
    return job.id;
  }

  /** Follow a job from its first event on. */
  follow(id) {
    this.leave?.();
    Object.assign(this, { id, running: true, waiting: false, text: "" });
    Object.assign(this.element.dataset, { state: "running", job: id });
    fill(this.messages);
    this.fail("");
    this.stopButton.hidden = this.stopButton.disabled = false;
    this.bar.hidden = true;
    this.tell("starting");
    this.state(true);
    const calls = {};
    for (const kind of new Set([...Object.keys(this.shown), ...Object.keys(this.handlers)])) {
      calls[kind] = data => {
        if (this.id !== id) return;
        this.shown[kind]?.(data);
        this.handlers[kind]?.(data);
      };
    }
    calls.lost = () => {
      if (this.id !== id) return;
      this.end("lost", "");
      this.handlers.lost?.();
    };
    this.leave = this.app.events(id, calls);
  }

  async stop() {
    if (!this.running || this.stopButton.disabled) return;
    this.stopButton.disabled = true;
    this.tell("stopping");
    try {
      await this.app.api("POST", `/api/jobs/${encodeURIComponent(this.id)}/cancel`, { keep: true });
    } catch (error) {
      this.fail(error.message);
      this.stopButton.disabled = false;
    }
    this.app.refresh();
  }
}
