// Compare: runs measured alike on the same data, or the samplers of one run.

import { el, fill } from "../page/shared/elements.js";
import { button, write } from "./dom.js";
import { commandLine, optionForm } from "./form.js";
import { followProcess, pictureList, processView, refused, resultParts } from "./process_view.js";
import { runLine } from "./runs.js";

export async function open(root, app) {
  const { options } = await app.api("GET", "/api/forms/compare");
  const chosen = new Set();
  let end = null,
    shown = null,
    drawn = "";
  const list = el("ul", { class: "list compared", "aria-label": "Runs" });
  const empty = el("p", { class: "empty" }, "No run has a model yet.");
  const form = optionForm(
    options,
    {},
    {
      leave: ["runs"],
      first: ["samples", "samplers", "metrics", "sampler", "steps", "seed"],
      changed: () => drawLine(),
    },
  );
  const line = el("code", { class: "command", "aria-label": "The same as a command" });
  const start = el("button", { type: "submit", class: "primary" }, "Compare");
  const sheet = el(
    "form",
    { class: "panel stack", novalidate: true },
    el("fieldset", { class: "stack tight" }, el("legend", {}, el("h3", {}, "Runs")), list, empty),
    form.element,
    el("div", { class: "row bottom" }, line, start),
  );
  const view = processView(app),
    result = el("div", { class: "stack" });
  const followed = el("div", { class: "panel", hidden: true }, view.element),
    earlier = el("ul", { class: "list" });
  const hint = el(
    "p",
    { class: "empty" },
    "Choose two runs or more, measured alike on the same data; or one run and its --samplers.",
  );
  const before = el("details", { class: "panel", open: true, hidden: true }, el("summary", {}, "Comparisons"), earlier);
  root.append(
    el(
      "div",
      { class: "workbench wide-side" },
      el("div", { class: "stack" }, el("h1", {}, "Compare"), sheet),
      el("div", { class: "stack" }, hint, followed, result, before),
    ),
  );

  const drawLine = () =>
    write(line, commandLine("compare", [...[...chosen].map(id => app.run(id)?.path ?? id), ...form.words()]));

  app.subscribe(state => {
    const runs = state.runs.filter(run => run.has_model),
      key = JSON.stringify(runs.map(run => [run.id, run.name, run.step]));
    if (key === drawn) return;
    drawn = key;
    for (const id of chosen) if (!runs.some(run => run.id === id)) chosen.delete(id);
    fill(
      list,
      runs.map(run => {
        const box = el("input", {
          type: "checkbox",
          checked: chosen.has(run.id),
          on: {
            change: () => {
              if (box.checked) chosen.add(run.id);
              else chosen.delete(run.id);
              drawLine();
            },
          },
        });
        return el(
          "li",
          {},
          el(
            "label",
            { class: "item check" },
            box,
            el(
              "span",
              { class: "stack tight" },
              el("span", { class: "name" }, run.name),
              el("span", { class: "small soft number" }, runLine(run)),
            ),
          ),
        );
      }),
    );
    empty.hidden = Boolean(runs.length);
    drawLine();
  });

  function follow(id) {
    end?.();
    shown = id;
    end = followProcess(id, process => {
      followed.hidden = process.state === "finished";
      view.show(process);
      if (process.state === "failed" && process.option)
        refused(app, form, { option: process.option, message: process.error });
      fill(
        result,
        process.parts?.length
          ? el(
              "section",
              { class: "panel stack", "aria-label": "Comparison" },
              el("h2", {}, "Comparison"),
              el("code", { class: "command" }, process.line),
              resultParts(process.parts),
            )
          : null,
        process.pictures.length && process.state !== "running"
          ? el(
              "section",
              { class: "panel" },
              pictureList(process.pictures.map(url => ({ name: "samples side by side", url }))),
            )
          : null,
      );
      if (process.state !== "running") drawEarlier();
    });
  }

  async function drawEarlier() {
    const processes = await app.api("GET", "/api/processes?command=compare").catch(() => []);
    before.hidden = !processes.length;
    hint.hidden = Boolean(processes.length);
    fill(
      earlier,
      processes.map(process =>
        el(
          "li",
          {},
          button(
            [
              el(
                "span",
                { class: "row apart" },
                el("code", { class: "wrap" }, process.line),
                el("span", { class: `badge ${process.state}` }, process.state),
              ),
              el("span", { class: "small soft" }, new Date(process.started).toLocaleString()),
            ],
            () => {
              follow(process.id);
              drawEarlier();
            },
            { class: "item", "aria-pressed": String(process.id === shown) },
          ),
        ),
      ),
    );
    return processes;
  }

  sheet.addEventListener("submit", async event => {
    event.preventDefault();
    form.fail(null, "");
    start.disabled = true;
    try {
      const { id } = await app.api("POST", "/api/jobs", {
        command: "compare",
        options: { ...form.values(), runs: [...chosen] },
      });
      follow(id);
      drawEarlier();
    } catch (error) {
      refused(app, form, error);
    }
    start.disabled = false;
  });

  const processes = await drawEarlier();
  if (processes.length) follow(processes[0].id);
  return {
    show(route) {
      for (const id of route.path) chosen.add(id);
      if (route.path.length) drawn = "";
      app.refresh();
    },
  };
}
