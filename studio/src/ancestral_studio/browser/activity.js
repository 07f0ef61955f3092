// The header's activity: how much runs, and on a click what it is, how long it takes, whose it is, and how to stop it.

import { el, fill } from "../page/shared/elements.js";
import { block, button, write } from "./dom.js";
import { stateLine } from "./job_words.js";

/** The tabs of commands. */
const PLACES = { sample: "sample", edit: "edit", evaluate: "evaluate", compare: "compare", doctor: "data" };

/** Make the activity in the header; `place` is its element there. Returns a function that draws a state of the studio. */
export function activityPanel(app, place) {
  const text = el("span", { class: "number" });
  const toggle = button(text, () => show(panel.hidden), { class: "quiet", "aria-expanded": "false", hidden: true });
  const list = el("ul", { class: "list" });
  const panel = el("section", { class: "panel activity-panel", "aria-label": "What runs now", hidden: true }, list);
  const rows = new Map();
  fill(place, toggle);
  place.closest("header").append(panel);

  function show(on) {
    panel.hidden = !on;
    toggle.setAttribute("aria-expanded", String(on));
  }

  panel.closest("header").addEventListener("keydown", event => {
    if (event.key !== "Escape" || panel.hidden) return;
    event.stopPropagation(); // which stops the job of a tab
    show(false);
    toggle.focus();
  });
  document.addEventListener("click", event => {
    if (!panel.hidden && !panel.contains(event.target) && !toggle.contains(event.target)) show(false);
  });
  addEventListener("hashchange", () => show(false));

  return ({ jobs = [] }) => {
    const running = jobs.filter(job => job.state !== "waiting" && !job.stopping).length,
      stopping = jobs.filter(job => job.stopping).length,
      waiting = jobs.filter(job => job.state === "waiting").length;
    const counts = [
      [running, "running"],
      [stopping, "stopping"],
      [waiting, "waiting"],
    ];
    write(text, counts.flatMap(([number, word]) => (number ? [`${number} ${word}`] : [])).join(" · "));
    if (!jobs.length && panel.contains(document.activeElement)) document.getElementById("main").focus();
    toggle.hidden = !jobs.length;
    if (!jobs.length) show(false);
    for (const id of rows.keys()) if (!jobs.some(job => job.id === id)) rows.delete(id);
    const wanted = jobs.map(job => {
      if (!rows.has(job.id)) rows.set(job.id, jobRow(app, job));
      return rows.get(job.id).draw(job);
    });
    const focused = list.contains(document.activeElement);
    if (wanted.length !== list.children.length || wanted.some((element, index) => list.children[index] !== element))
      fill(list, wanted);
    if (focused && !list.contains(document.activeElement) && jobs.length) toggle.focus();
  };
}

/** The row of a job; `draw(job)` returns its element. */
function jobRow(app, { id, process, run, command }) {
  const tab = run && process ? "train" : PLACES[command],
    what = el(tab ? "a" : "span", { href: tab && `#${[tab, run].filter(Boolean).join("/")}`, class: "name wrap" });
  const line = el("span", { class: "small soft number" }),
    other = el("span", { class: "badge warning" });
  const stop = button("Stop", end, { class: "danger" });
  const element = el(
    "li",
    { class: "item job-row", data: { job: id } },
    el("span", { class: "stack tight grow" }, what, el("span", { class: "row" }, line, other)),
    stop,
  );

  async function end() {
    if (stop.getAttribute("aria-disabled") === "true") return;
    block(stop, true);
    write(line, "stopping");
    const path = process ? `/api/processes/${id}/stop` : `/api/jobs/${encodeURIComponent(id)}/cancel`;
    try {
      await app.api("POST", path, process ? undefined : { keep: true });
    } catch (error) {
      app.toast(error.message);
    }
    app.refresh();
  }

  return {
    draw(job) {
      write(what, job.text);
      write(line, stateLine(job));
      other.hidden = job.mine;
      write(other, job.outside ? "started in a terminal" : "another visitor's");
      stop.hidden = !job.may_stop;
      block(stop, job.stopping);
      write(stop, job.state === "waiting" ? "Cancel" : "Stop");
      stop.setAttribute("aria-label", `${stop.textContent}: ${job.text}`);
      return element;
    },
  };
}
