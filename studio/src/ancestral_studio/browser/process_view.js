// A command that runs as a process: its progress, what it prints, and how it ended.

import { el } from "../page/shared/elements.js";
import { api } from "./api.js";
import { clock, write } from "./dom.js";

const SECONDS = 1;

/** Follow a process: `changed(process)` is called until it ended, and once then. Returns a function that ends it. */
export function followProcess(id, changed) {
  let timer = 0,
    over = false;
  async function read() {
    try {
      const process = await api("GET", `/api/processes/${id}`);
      if (over) return;
      changed(process);
      if (process.state !== "running") return;
    } catch (error) {
      if (over || error.status === 404) return;
    }
    timer = setTimeout(read, SECONDS * 1000);
  }
  read();
  return () => {
    over = true;
    clearTimeout(timer);
  };
}

/** How much of a task is done, and how long the rest takes. */
function doneLine({ task, done, total, unit, seconds }) {
  const left = seconds === null ? "" : `, ${clock(seconds)} left`;
  return `${task}: ${done.toLocaleString("en")} of ${total.toLocaleString("en")} ${unit}${left}`;
}

/** A view of a process: {element, show(process), hide()}. */
export function processView(app, { title = true } = {}) {
  let id = null;
  const badge = el("span", { class: "badge" }),
    other = el("span", { class: "badge warning", hidden: true }, "another visitor's"),
    name = el("code", { class: "wrap grow" });
  const stop = el("button", { type: "button", class: "danger" }, "Stop");
  const task = el("span", { class: "small soft number" }),
    bar = el("progress", { "aria-label": "Progress" });
  const error = el("p", { class: "error", role: "alert" });
  const log = el("pre", { class: "log", tabindex: 0, "aria-label": "What the command prints" });
  const element = el(
    "div",
    { class: "stack tight", hidden: true },
    el("div", { class: "row apart" }, title ? name : null, badge, other, stop),
    el("div", { class: "work" }, bar, task),
    error,
    log,
  );
  stop.addEventListener("click", async () => {
    stop.disabled = true;
    write(badge, "stopping");
    try {
      await app.api("POST", `/api/processes/${id}/stop`);
    } catch (refusal) {
      app.toast(refusal.message);
      stop.disabled = false;
    }
    app.refresh();
  });
  return {
    element,
    show(process) {
      if (process.id !== id) stop.disabled = false;
      id = process.id;
      element.hidden = false;
      write(name, process.line);
      const state = process.stopping ? "stopping" : process.state;
      badge.className = `badge ${state}`;
      write(badge, state);
      other.hidden = process.mine || process.state !== "running";
      const running = process.state === "running",
        work = process.progress;
      stop.hidden = !running || !process.may_stop;
      stop.disabled ||= process.stopping;
      element.querySelector(".work").hidden = !running;
      if (work?.total) {
        bar.max = work.total;
        bar.value = work.done;
      } else bar.removeAttribute("value");
      write(task, work ? doneLine(work) : "working");
      error.hidden = !process.error;
      write(error, process.error ?? "");
      const text = process.lines.join("\n"),
        below = log.scrollHeight - log.scrollTop - log.clientHeight < 30;
      log.hidden = !text;
      if (log.textContent !== text) {
        log.textContent = text;
        if (below) log.scrollTop = log.scrollHeight;
      }
    },
    hide() {
      element.hidden = true;
    },
  };
}

/** The tables and lines of a result, as the command line prints them. */
export function resultParts(parts) {
  return el(
    "div",
    { class: "stack tight" },
    parts.map(part => {
      if (part.text !== undefined) return part.text.trim() ? el("p", { class: "wrap" }, part.text) : null;
      const head = part.columns.length
        ? el(
            "thead",
            {},
            el(
              "tr",
              {},
              part.columns.map((title, index) => el("th", { scope: "col", class: index ? "number" : null }, title)),
            ),
          )
        : null;
      const numeric = Boolean(part.columns.length);
      const rows = part.rows.map(row =>
        el(
          "tr",
          {},
          row.map((text, index) =>
            el(index ? "td" : "th", { scope: index ? null : "row", class: index && numeric ? "number" : null }, text),
          ),
        ),
      );
      return el(
        "div",
        { class: "scroll", tabindex: 0, role: "region", "aria-label": part.columns[0] || "Table" },
        el("table", { class: "result" }, head, el("tbody", {}, rows)),
      );
    }),
  );
}

/** Pictures with their names; each opens in full size. */
export function pictureList(pictures) {
  return el(
    "div",
    { class: "pictures" },
    pictures.map(({ name, url }) =>
      el(
        "figure",
        { class: "stack tight" },
        el("figcaption", { class: "small soft" }, name),
        el(
          "a",
          { href: url, target: "_blank", rel: "noreferrer" },
          el("img", { src: url, alt: name, loading: "lazy" }),
        ),
      ),
    ),
  );
}

/** Write down an error of a request: at its option in a form, or as a message. */
export function refused(app, form, error) {
  if (form) form.fail(error.option ?? null, error.message);
  else app.toast(error.message);
}
