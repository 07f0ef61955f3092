// Evaluate: measure a run, follow the measurement, and look at what was measured. #evaluate/RUN

import { el, fill } from "../page/shared/elements.js";
import { CommandTab, resultSection } from "./command_tab.js";
import { pictureList, resultParts } from "./process_view.js";
import { reportButton } from "./inner_page.js";
import { runPicker } from "./runs.js";

const FIRST = ["samples", "conditions", "members", "likelihood", "metrics", "sampler", "steps"];

export async function open(root, app) {
  const { options } = await app.api("GET", "/api/forms/evaluate");
  return new EvaluateTab(root, app, options);
}

class EvaluateTab extends CommandTab {
  constructor(root, app, options) {
    super(root, app, { command: "evaluate", title: "Evaluate", options, leave: ["model"], first: FIRST });
    this.run = null;
    this.picker = runPicker(app, {
      changed: id => {
        app.remember(`#evaluate/${id}`);
        this.select(id);
      },
    });
    this.results = el("div", { class: "stack" });
    this.build(this.picker.element, [this.followed, this.results]);
  }

  places() {
    return [this.app.run(this.run)?.path ?? "RUN"];
  }

  chosen() {
    return this.run && { model: this.run };
  }

  changed(process) {
    if (process.state !== "running") this.draw();
  }

  async select(id) {
    if (!id || id === this.run) return;
    this.run = id;
    this.drawLine();
    this.end?.();
    this.followed.hidden = true;
    this.form.fail(null, "");
    await this.draw();
    const before = await this.app.api("GET", "/api/processes?command=evaluate").catch(() => []);
    const last = before.find(one => one.runs.includes(id));
    if (this.run === id && last && last.state !== "finished") this.follow(last.id);
  }

  async draw() {
    const wanted = this.run;
    const found = await this.app.api("GET", `/api/runs/${wanted}/results`).catch(() => null);
    if (wanted !== this.run || !found) return;
    const { evaluation, samplers, pictures, report } = found;
    fill(
      this.results,
      evaluation.length
        ? resultSection("Results", resultParts(evaluation))
        : el("p", { class: "empty" }, "This run was not evaluated yet."),
      samplers.length ? resultSection("Samplers", resultParts(samplers)) : null,
      pictures.length ? resultSection("Pictures", pictureList(pictures)) : null,
      report ? el("p", {}, reportButton(this.app.run(wanted)?.name ?? "the run", report, "Report of the run")) : null,
    );
  }

  show(route) {
    if (route.path[0]) this.picker.set(route.path[0]);
    this.select(route.path[0] ?? this.picker.value());
  }
}
