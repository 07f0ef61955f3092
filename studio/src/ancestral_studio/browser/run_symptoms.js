// What goes wrong in a run, with what to do about it and where: those symptoms first and open that the run has.

import { el, fill } from "../page/shared/elements.js";
import { button, write } from "./dom.js";

const TABS = {
  sample: ["Sample", run => `#sample/${run.id}`],
  evaluate: ["Evaluate", run => `#evaluate/${run.id}`],
  data: ["Data", run => `#data?source=${encodeURIComponent(run.source)}`],
};

export class RunSymptoms {
  constructor(app) {
    this.app = app;
    this.summary = el("summary");
    this.list = el("ul", { class: "list symptoms" });
    this.others = el("ul", { class: "list symptoms" });
    this.rest = el("details", {}, el("summary", { class: "small" }, "Other symptoms"), this.others);
    this.element = el("details", { class: "panel", hidden: true }, this.summary, this.list, this.rest);
  }

  /** Show the symptoms of a run, which is an answer of /api/runs. */
  show(run) {
    const key = JSON.stringify([run.id, run.symptoms]);
    if (key === this.shown) return;
    this.shown = key;
    const item = one => this.item(one, run),
      has = run.symptoms.filter(one => one.evidence.length),
      others = run.symptoms.filter(one => !one.evidence.length);
    write(this.summary, has.length ? `What goes wrong, and what to do (${has.length})` : "If something goes wrong");
    fill(this.list, (has.length ? has : others).map(item));
    fill(this.others, others.map(item));
    this.rest.hidden = !has.length;
    this.element.open = Boolean(has.length);
    this.element.hidden = false;
  }

  hide() {
    this.element.hidden = true;
    this.shown = null;
  }

  item({ title, evidence, advice, page, tab, again }, run) {
    const [name, address] = TABS[tab];
    const train = values => this.app.navigate(`#train/new?values=${encodeURIComponent(JSON.stringify(values))}`);
    return el(
      "li",
      { class: "stack tight" },
      el("strong", {}, title),
      evidence.map(text => el("p", { class: "small wrap" }, text)),
      el("p", { class: "small soft wrap" }, `What to do: ${advice}.`),
      el(
        "div",
        { class: "row" },
        again ? button(`Train again with ${again.text}`, () => train(again.values)) : null,
        el("a", { class: "button quiet", href: address(run) }, `Look in ${name}`),
        el("span", { class: "small soft" }, "more: ", el("code", {}, `docs/${page}`)),
      ),
    );
  }
}
