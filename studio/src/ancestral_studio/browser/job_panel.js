// A job of the compute queue: started, followed and stopped, with its progress and what it says.

import { el, fill } from "../page/shared/elements.js";
import { button, clock, write } from "./dom.js";

/**
 * Make the panel. `handlers` are those of `events`, besides what the panel itself shows; `state(running)` is called
 * when a job begins or ends. Returns {element, start(command, options), follow(id), stop(), running, id}.
 */
export function jobPanel(app, handlers, state = () => {}) {
  let id = null,
    leave = null,
    running = false;
  const bar = el("progress", { hidden: true, "aria-label": "Progress" });
  const line = el("span", { class: "small number grow" });
  const spoken = el("span", { class: "hidden", role: "status" });
  const stop = button("Stop now", () => panel.stop(), {
    class: "danger",
    hidden: true,
    title: "Stop now and keep what there is (Escape)",
  });
  const problem = el("p", { class: "error", role: "alert", hidden: true });
  const messages = el("ul", { class: "small soft stack tight messages" });
  const element = el(
    "div",
    { class: "stack tight job", data: { state: "idle" } },
    el("div", { class: "row" }, line, stop),
    bar,
    problem,
    messages,
    spoken,
  );

  function tell(text, aloud = true) {
    write(line, text);
    if (aloud) write(spoken, text);
  }

  function fail(text) {
    problem.hidden = !text;
    write(problem, text ?? "");
  }

  function ended(kind, text) {
    running = false;
    element.dataset.state = kind;
    stop.hidden = bar.hidden = true;
    stop.disabled = false;
    tell(text);
    state(false);
    app.refresh();
  }

  const own = {
    queued: ({ position }) => tell(position ? `waiting, number ${position} in the queue` : "starting"),
    started: () => tell("reading the model"),
    message: ({ text }) => messages.append(el("li", { class: "wrap" }, text)),
    work({ task, done, total, seconds_left: left }) {
      bar.hidden = !total;
      bar.max = total || 1;
      bar.value = done;
      tell(
        [
          task,
          total ? `${Math.floor((100 * done) / total)} %` : "",
          left === null || left === undefined ? "" : `${clock(left)} left`,
        ]
          .filter(Boolean)
          .join(" · "),
        false,
      );
    },
    done: () => ended("done", "done"),
    cancelled: () => ended("cancelled", "stopped; what there was is kept"),
    failed({ error }) {
      ended("failed", "");
      fail(error);
    },
  };

  const panel = {
    element,
    get id() {
      return id;
    },
    get running() {
      return running;
    },
    fail,
    /** Start a job. Throws the Refusal of the server. */
    async start(command, options) {
      fail("");
      const job = await app.api("POST", "/api/jobs", { command, options });
      panel.follow(job.id);
      return job.id;
    },
    /** Follow a job from its first event on. */
    follow(newId) {
      leave?.();
      id = newId;
      running = true;
      Object.assign(element.dataset, { state: "running", job: newId });
      fill(messages);
      fail("");
      stop.hidden = false;
      bar.hidden = true;
      tell("starting");
      state(true);
      const calls = { ...handlers };
      for (const [kind, call] of Object.entries(own)) {
        calls[kind] = data => {
          if (id !== newId) return;
          call(data);
          handlers[kind]?.(data);
        };
      }
      for (const kind of ["step", "file"])
        calls[kind] = data => {
          if (id === newId) handlers[kind]?.(data);
        };
      calls.lost = () => {
        if (id !== newId) return;
        ended("lost", "");
        handlers.lost?.();
      };
      leave = app.events(newId, calls);
    },
    async stop() {
      if (!running) return;
      stop.disabled = true;
      tell("stopping");
      try {
        await app.api("POST", `/api/jobs/${encodeURIComponent(id)}/cancel`, { keep: true });
      } catch (error) {
        fail(error.message);
        stop.disabled = false;
      }
    },
    clear() {
      leave?.();
      leave = id = null;
      fill(messages);
      tell("", false);
      fail("");
    },
  };
  return panel;
}
