// Evaluate: measure a run, follow the measurement, and look at what was measured. #evaluate/RUN

import { el, fill } from "../page/shared/elements.js";
import { write } from "./dom.js";
import { commandLine, optionForm } from "./form.js";
import { followProcess, pictureList, processView, refused, resultParts } from "./process_view.js";
import { runPicker } from "./runs.js";

export async function open(root, app) {
  const { options } = await app.api("GET", "/api/forms/evaluate");
  let run = null,
    end = null;
  const picker = runPicker(app, {
    changed: id => {
      app.remember(`#evaluate/${id}`);
      select(id);
    },
  });
  const form = optionForm(
    options,
    {},
    {
      leave: ["model"],
      first: ["samples", "conditions", "members", "likelihood", "metrics", "sampler", "steps"],
      changed: () => drawLine(),
    },
  );
  const line = el("code", { class: "command", "aria-label": "The same as a command" });
  const start = el("button", { type: "submit", class: "primary" }, "Evaluate");
  const view = processView(app);
  const results = el("div", { class: "stack" });
  const sheet = el(
    "form",
    { class: "panel stack", novalidate: true },
    picker.element,
    form.element,
    el("div", { class: "row bottom" }, line, start),
  );
  root.append(
    el(
      "div",
      { class: "workbench wide-side" },
      el("div", { class: "stack" }, el("h1", {}, "Evaluate"), sheet),
      el("div", { class: "stack" }, el("div", { class: "panel follow", hidden: true }, view.element), results),
    ),
  );
  const followed = root.querySelector(".follow");
  const drawLine = () => write(line, commandLine("evaluate", [app.run(run)?.path ?? "RUN", ...form.words()]));

  async function select(id) {
    if (!id || id === run) return;
    run = id;
    drawLine();
    end?.();
    followed.hidden = true;
    form.fail(null, "");
    await draw();
    const name = app.run(id)?.id;
    const before = await app.api("GET", "/api/processes?command=evaluate").catch(() => []);
    const last = before.find(one => one.runs.includes(name));
    if (run === id && last && last.state !== "finished") follow(last.id);
  }

  async function draw() {
    const wanted = run;
    const found = await app.api("GET", `/api/runs/${wanted}/results`).catch(() => null);
    if (wanted !== run || !found) return;
    fill(
      results,
      found.evaluation.length
        ? el(
            "section",
            { class: "panel stack", "aria-label": "Results" },
            el("h2", {}, "Results"),
            resultParts(found.evaluation),
          )
        : el("p", { class: "empty" }, "This run was not evaluated yet."),
      found.samplers.length
        ? el(
            "section",
            { class: "panel stack", "aria-label": "Samplers" },
            el("h2", {}, "Samplers"),
            resultParts(found.samplers),
          )
        : null,
      found.pictures.length
        ? el(
            "section",
            { class: "panel stack", "aria-label": "Pictures" },
            el("h2", {}, "Pictures"),
            pictureList(found.pictures),
          )
        : null,
      found.report
        ? el(
            "p",
            {},
            el("a", { class: "button", href: found.report, target: "_blank", rel: "noreferrer" }, "Report of the run"),
          )
        : null,
    );
  }

  function follow(id) {
    end?.();
    followed.hidden = false;
    end = followProcess(id, process => {
      view.show(process);
      if (process.state === "failed" && process.option)
        refused(app, form, { option: process.option, message: process.error });
      if (process.state !== "running") draw();
    });
  }

  sheet.addEventListener("submit", async event => {
    event.preventDefault();
    if (!run) return;
    form.fail(null, "");
    start.disabled = true;
    try {
      follow(
        (await app.api("POST", "/api/jobs", { command: "evaluate", options: { ...form.values(), model: run } })).id,
      );
    } catch (error) {
      refused(app, form, error);
    }
    start.disabled = false;
  });

  return {
    show(route) {
      if (route.path[0]) picker.set(route.path[0]);
      select(route.path[0] ?? picker.value());
    },
  };
}
