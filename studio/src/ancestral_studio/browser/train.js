// Train: start runs, watch them, stop and resume them. #train/new is the form, #train/RUN a run.

import { el, fill } from "../page/shared/elements.js";
import { NewRun } from "./new_run.js";
import { runDetail } from "./run_detail.js";
import { runRow } from "./run_row.js";

export function open(root, app) {
  const list = el("ul", { class: "list runs" });
  const empty = el("p", { class: "empty" }, "No run yet. Start one: digits takes some minutes on a laptop.");
  const fresh = el("a", { class: "button", href: "#train/new" }, "New run");
  const detail = runDetail(app, {
    async changeOptions(process) {
      app.navigate("#train/new");
      await form.fail(process.option, process.error);
    },
  });
  const form = new NewRun(app, process => {
    app.refresh();
    app.navigate(`#train/${process.run}`);
  });
  const drawnBeside = new Set();
  let shown = null;
  root.append(
    el(
      "div",
      { class: "workbench" },
      el("div", { class: "stack side" }, el("div", { class: "row apart" }, el("h1", {}, "Train"), fresh), list, empty),
      el("div", { class: "stack" }, form.element, detail.element),
    ),
  );

  const rows = new Map();

  /** The row of a run is made once, so that the focus stays where it is. */
  function rowOf(run) {
    if (!rows.has(run.id)) {
      const beside = on => {
        if (on) drawnBeside.add(run.id);
        else drawnBeside.delete(run.id);
        if (shown) detail.open(shown, [...drawnBeside]);
      };
      rows.set(run.id, runRow(run, beside));
    }
    return rows.get(run.id);
  }

  function draw() {
    const runs = app.state.runs,
      wanted = runs.map(run => rowOf(run).element);
    if (wanted.length !== list.children.length || wanted.some((element, index) => list.children[index] !== element))
      fill(list, wanted);
    for (const run of runs) rowOf(run).draw(run, shown);
    empty.hidden = Boolean(runs.length);
    fresh.toggleAttribute("aria-current", !shown);
  }

  app.subscribe(draw);
  return {
    show(route) {
      const first = route.path[0] ?? app.state.runs.find(run => run.state === "training")?.id ?? "new";
      shown = first === "new" ? null : first;
      form.element.hidden = Boolean(shown);
      if (route.query.values) {
        form.set(JSON.parse(route.query.values));
        app.remember("#train/new");
      }
      if (shown) detail.open(shown, [...drawnBeside]);
      else {
        detail.close();
        detail.element.hidden = true;
      }
      draw();
    },
  };
}
