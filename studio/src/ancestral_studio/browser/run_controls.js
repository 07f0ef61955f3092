// What can be done with a run: stop its training, resume it, and open it in other tabs.

import { el, fill } from "../page/shared/elements.js";
import { write } from "./dom.js";
import { reportButton } from "./inner_page.js";
import { RunPage } from "./run_page.js";

/**
 * Make the row. `stopped()` is called once a stop was asked for, `resumed(process)` once a training was resumed.
 * Returns {element, stopping, open(id), show(data, details), hide(), links(answer)}.
 */
export function runControls(app, { stopped, resumed }) {
  let id = null,
    shown = null; // what the server says of the run
  const stop = el("button", { type: "button", class: "danger" }, "Stop");
  const resume = el("button", { type: "button", class: "primary" }, "Resume");
  const more = el("input", {
    type: "text",
    inputmode: "numeric",
    "aria-label": "to step",
    title: "Step to which training goes on",
    class: "steps",
  });
  const moreLabel = el("span", { class: "soft small" }, "to step");
  const links = el("div", { class: "row" }),
    page = new RunPage(app);
  const element = el("div", { class: "row" }, stop, resume, moreLabel, more, links);
  let linksKey = ""; // the links that are drawn: one that has the focus of the keyboard stays
  const drawLinks = answer => {
    const key = JSON.stringify([id, answer.name, answer.has_model, answer.report]);
    if (key !== linksKey) fill(links, linksOf(id, answer), answer.has_model ? page.button : null);
    linksKey = key;
  };
  const controls = { element, stopping: null, open, show, hide, links: drawLinks };

  stop.addEventListener("click", async () => {
    controls.stopping = id;
    stop.disabled = true;
    stopped();
    try {
      await app.api("POST", `/api/runs/${id}/stop`);
      app.toast("Stopping after this step; the run is saved and can be resumed.");
    } catch (error) {
      controls.stopping = null;
      stop.disabled = false;
      app.toast(error.message);
      stopped();
    }
    app.refresh();
  });
  more.addEventListener("input", () => {
    more.dataset.touched = "yes";
  });
  resume.addEventListener("click", async () => {
    resume.disabled = true;
    try {
      const steps = more.value.trim() ? Number(more.value) : null;
      if (steps !== null && !Number.isInteger(steps)) throw new Error("the number of steps must be whole");
      const body = steps === null || steps === shown?.steps ? {} : { steps };
      const process = await app.api("POST", `/api/runs/${id}/resume`, body);
      delete more.dataset.touched;
      resumed(process);
      app.refresh();
    } catch (error) {
      app.toast(error.message);
    }
    resume.disabled = false;
  });

  function open(run) {
    id = run;
    delete more.dataset.touched;
    linksKey = "";
    fill(links);
    page.open(run);
  }

  function hide() {
    stop.hidden = resume.hidden = more.hidden = moreLabel.hidden = true;
  }

  /** Show what suits a run; `details` are the answer of /api/runs, or null. */
  function show(data, details) {
    shown = data;
    const training = data.state === "training",
      over = data.step >= data.steps,
      resumable = !training && data.state !== "model" && details?.resumable;
    if (!training && controls.stopping === id) controls.stopping = null;
    stop.disabled = data.stopping || controls.stopping === id;
    stop.hidden = !training || !data.process || !data.may_stop;
    resume.hidden = more.hidden = moreLabel.hidden = !resumable;
    write(resume, over ? "Train further" : "Resume");
    if (document.activeElement !== more && !more.dataset.touched) more.value = over ? data.steps * 2 : data.steps;
  }

  return controls;
}

/** Where a run can be used: the tabs that take its model, and its report. */
function linksOf(id, { name, has_model: hasModel, report }) {
  const tabs = { sample: "Sample", edit: "Edit", evaluate: "Evaluate" };
  const link = ([tab, text]) => el("a", { class: "button quiet", href: `#${tab}/${id}` }, text);
  return [hasModel ? Object.entries(tabs).map(link) : null, report ? reportButton(name, report) : null];
}
