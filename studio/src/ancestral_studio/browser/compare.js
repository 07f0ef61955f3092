// Compare: runs measured alike on the same data, or the samplers of one run.

import { el, fill } from "../page/shared/elements.js";
import { CommandTab, resultSection } from "./command_tab.js";
import { button } from "./dom.js";
import { pictureList, resultParts } from "./process_view.js";
import { runLine } from "./runs.js";

const FIRST = ["samples", "samplers", "metrics", "sampler", "steps", "seed"];
const HINT = "Choose two runs or more, measured alike on the same data; or one run and several samplers.";

export async function open(root, app) {
  const { options } = await app.api("GET", "/api/forms/compare");
  const tab = new CompareTab(root, app, options);
  const processes = await tab.drawEarlier();
  if (processes.length) tab.follow(processes[0].id);
  return tab;
}

class CompareTab extends CommandTab {
  constructor(root, app, options) {
    super(root, app, { command: "compare", title: "Compare", options, leave: ["runs"], first: FIRST });
    Object.assign(this, { runs: new Set(), shown: null, drawn: "" });
    this.list = el("ul", { class: "list compared", "aria-label": "Runs" });
    this.empty = el("p", { class: "empty" }, "No run has a model yet.");
    this.result = el("div", { class: "stack" });
    this.earlier = el("ul", { class: "list" });
    this.hint = el("p", { class: "empty" }, HINT);
    const summary = el("summary", {}, "Comparisons");
    this.before = el("details", { class: "panel", open: true, hidden: true }, summary, this.earlier);
    this.build(
      el("fieldset", { class: "stack tight" }, el("legend", {}, el("h3", {}, "Runs")), this.list, this.empty),
      [this.hint, this.followed, this.result, this.before],
    );
    app.subscribe(state => this.drawRuns(state));
    app.subscribe(state => this.followJobs(state.jobs));
  }

  /** Draw the comparisons anew when one begins, is to stop, or ends. */
  followJobs(jobs) {
    const key = JSON.stringify(jobs.filter(job => job.command === "compare").map(job => [job.id, job.stopping]));
    if (this.jobs !== undefined && key !== this.jobs) this.drawEarlier();
    this.jobs = key;
  }

  places() {
    return [...this.runs].map(id => this.app.run(id)?.path ?? id);
  }

  chosen() {
    return { runs: [...this.runs] };
  }

  drawRuns(state) {
    const offered = state.runs.filter(run => run.has_model),
      key = JSON.stringify(offered.map(run => [run.id, run.name, run.step]));
    if (key === this.drawn) return;
    this.drawn = key;
    for (const id of this.runs) if (!offered.some(run => run.id === id)) this.runs.delete(id);
    fill(
      this.list,
      offered.map(run => this.row(run)),
    );
    this.empty.hidden = Boolean(offered.length);
    this.drawLine();
  }

  row(run) {
    const box = el("input", { type: "checkbox", checked: this.runs.has(run.id) });
    box.addEventListener("change", () => {
      if (box.checked) this.runs.add(run.id);
      else this.runs.delete(run.id);
      this.drawLine();
    });
    const words = el(
      "span",
      { class: "stack tight" },
      el("span", { class: "name" }, run.name),
      el("span", { class: "small soft number" }, runLine(run)),
    );
    return el("li", {}, el("label", { class: "item check" }, box, words));
  }

  follow(id) {
    const before = this.shown;
    this.shown = id;
    super.follow(id);
    if (before !== id) this.drawEarlier();
  }

  changed(process) {
    const { state, parts, pictures, line } = process;
    this.followed.hidden = state === "finished";
    const shown = pictures.map(url => ({ name: "samples side by side", url }));
    fill(
      this.result,
      parts?.length
        ? resultSection("Comparison", el("code", { class: "command" }, line), resultParts(parts))
        : null,
      shown.length && state !== "running" ? el("section", { class: "panel" }, pictureList(shown)) : null,
    );
    if (state !== "running") this.drawEarlier();
  }

  async drawEarlier() {
    const processes = await this.app.api("GET", "/api/processes?command=compare").catch(() => []);
    this.before.hidden = !processes.length;
    this.hint.hidden = Boolean(processes.length);
    const focused = [...this.earlier.children].findIndex(item => item.contains(document.activeElement));
    fill(
      this.earlier,
      processes.map(process => el("li", {}, this.earlierButton(process))),
    );
    if (focused >= 0) this.earlier.children[focused]?.querySelector("button").focus();
    return processes;
  }

  earlierButton({ id, line, state: end, stopping, started, mine }) {
    const state = stopping ? "stopping" : end,
      other = end === "running" && !mine ? " · another visitor's" : "";
    const words = [
      el(
        "span",
        { class: "row apart" },
        el("code", { class: "wrap" }, line),
        el("span", { class: `badge ${state}` }, state),
      ),
      el("span", { class: "small soft" }, new Date(started).toLocaleString(), other),
    ];
    return button(words, () => this.follow(id), { class: "item", "aria-pressed": String(id === this.shown) });
  }

  show(route) {
    for (const id of route.path) this.runs.add(id);
    if (route.path.length) this.drawn = "";
    this.app.refresh();
  }
}
