// Choosing a run, and words for its state: shared by the tabs.

import { el, fill } from "../page/shared/elements.js";
import { clock, newId, short } from "./dom.js";

/** A badge with the state of a run. */
export function stateBadge(state) {
  return el("span", { class: `badge ${state}` }, state);
}

/** What a run is, in a line: preset, steps, time left. */
export function runLine(run) {
  const steps = run.steps ? `step ${short(run.step)} of ${short(run.steps)}` : `step ${short(run.step)}`;
  const left =
    run.state === "training" && run.seconds_left !== null && run.seconds_left !== undefined
      ? `${clock(run.seconds_left)} left`
      : "";
  return [run.preset, steps, left].filter(Boolean).join(" · ");
}

/** A promise that ends once the runs were read from the server. */
export function runsKnown(app) {
  return new Promise(resolve => app.subscribe(state => state.version && resolve()));
}

/**
 * A field that chooses one of the runs, kept up to date. `changed(id)` is called when another is chosen later, by the
 * user or since the chosen one is gone; `suits(run)` says which are offered; by default those that have a model.
 * Returns {element, value(), set(id), focus()}: `value` is null without runs, and `set` chooses without `changed`.
 */
export function runPicker(app, { label = "Run", changed = () => {}, suits = run => run.has_model } = {}) {
  const id = newId();
  const select = el("select", { id, on: { change: () => changed(select.value) } });
  const element = el("div", { class: "field" }, el("label", { for: id }, label), select);
  let wanted = null,
    drawn = "",
    ready = false;
  const draw = runs => {
    const offered = runs.filter(suits),
      key = JSON.stringify(offered.map(run => [run.id, run.name, run.step]));
    if (key === drawn) return;
    const before = wanted ?? select.value;
    drawn = key;
    fill(
      select,
      offered.length
        ? offered.map(run => el("option", { value: run.id }, `${run.name} (step ${short(run.step)})`))
        : el("option", { value: "" }, "no run has a model yet"),
    );
    select.disabled = !offered.length;
    const chosen = offered.find(run => run.id === before) ?? offered[0];
    if (chosen) select.value = chosen.id;
    if (chosen && chosen.id === wanted) wanted = null;
    if (ready && chosen && chosen.id !== before) changed(chosen.id);
  };
  app.subscribe(state => draw(state.runs));
  ready = true;
  return {
    element,
    value: () => select.value || null,
    set(run) {
      if ([...select.options].some(option => option.value === run)) select.value = run;
      else wanted = run;
    },
    focus: () => select.focus(),
  };
}
