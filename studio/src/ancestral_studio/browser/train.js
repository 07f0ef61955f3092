// Train: start runs, watch them, stop and resume them. #train/new is the form, #train/RUN a run.

import { el, fill } from "../page/shared/elements.js";
import { write } from "./dom.js";
import { newRun } from "./new_run.js";
import { runDetail } from "./run_detail.js";
import { runLine, stateBadge } from "./runs.js";

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
  const form = newRun(app, process => {
    app.refresh();
    app.navigate(`#train/${process.run}`);
  });
  const beside = new Set();
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
    if (rows.has(run.id)) return rows.get(run.id);
    const name = el("span", { class: "name" }),
      line = el("span", { class: "small soft number" }),
      badge = el("span");
    const bar = el("progress", { max: 1, value: 0, "aria-hidden": "true" });
    const picture = el("img", { class: "thumb", alt: "", hidden: true });
    const link = el(
      "a",
      { class: "item run", href: `#train/${run.id}` },
      picture,
      el("span", { class: "stack tight" }, el("span", { class: "row apart" }, name, badge), line, bar),
    );
    const box = el("input", { type: "checkbox" });
    const label = el(
      "label",
      { class: "small row beside", title: "Draw its curve and previews beside those of the run that is open" },
      box,
      el("span", {}, "beside"),
    );
    box.addEventListener("change", () => {
      if (box.checked) beside.add(run.id);
      else beside.delete(run.id);
      if (shown) detail.open(shown, [...beside]);
    });
    const row = {
      element: el("li", {}, link, label),
      link,
      label,
      box,
      draw(now) {
        write(name, now.name);
        write(line, now.problem || runLine(now));
        fill(badge, stateBadge(now.state));
        bar.max = Math.max(1, now.steps);
        bar.value = Math.min(now.step, bar.max);
        bar.hidden = now.state !== "training";
        const url = now.preview?.url ?? "";
        picture.hidden = !url;
        if (url && picture.getAttribute("src") !== url) picture.src = url;
        link.toggleAttribute("aria-current", now.id === shown);
        if (now.id === shown) link.setAttribute("aria-current", "true");
        label.hidden = !shown || now.id === shown;
        box.setAttribute("aria-label", `Beside: ${now.name}`);
      },
    };
    rows.set(run.id, row);
    return row;
  }

  function draw() {
    const runs = app.state.runs,
      wanted = runs.map(run => rowOf(run).element);
    if (wanted.length !== list.children.length || wanted.some((element, index) => list.children[index] !== element))
      fill(list, wanted);
    for (const run of runs) rowOf(run).draw(run);
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
      if (shown) detail.open(shown, [...beside]);
      else {
        detail.close();
        detail.element.hidden = true;
      }
      draw();
    },
  };
}
