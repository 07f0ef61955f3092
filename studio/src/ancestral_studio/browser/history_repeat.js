// Make entries of the history again by another run, with their own settings.

import { el } from "../page/shared/elements.js";
import { button, write } from "./dom.js";
import { titleOf } from "./history_card.js";
import { runPicker } from "./runs.js";

/** Make the window. `changed()` is called when a job has begun or ended. Returns {element, open(entries)}. */
export function repeatWindow(app, changed) {
  let entries = [];
  const picker = runPicker(app, { label: "Run" });
  const text = el("p", { class: "small soft wrap" });
  const problem = el("p", { class: "error", role: "alert", hidden: true });
  const start = el("button", { type: "submit", class: "primary" }, "Make again");
  const cancel = button("Cancel", () => element.close());
  const form = el(
    "form",
    { class: "stack", on: { submit: event => (event.preventDefault(), begin()) } },
    el("h2", {}, "Repeat on another run"),
    text,
    picker.element,
    problem,
    el("div", { class: "row" }, start, cancel),
  );
  const element = el("dialog", { class: "window narrow-window", "aria-label": "Repeat on another run" }, form);

  async function begin() {
    const run = picker.value();
    problem.hidden = true;
    start.disabled = true;
    try {
      while (entries.length) {
        const { id } = await app.api("POST", `/api/history/${encodeURIComponent(entries[0].id)}/repeat`, { run });
        follow(id, entries.shift(), run);
      }
      element.close();
      app.refresh();
      changed();
    } catch (error) {
      problem.hidden = false;
      write(problem, entries.length > 1 ? `${titleOf(entries[0])}: ${error.message}` : error.message);
    }
    start.disabled = false;
  }

  /** Say how a job ended: nobody looks at its tab. */
  function follow(id, entry, run) {
    const name = app.run(run)?.name ?? "the run";
    const open = { label: "Open", run: () => app.navigate(`#${entry.command}/${run}?entry=${id}`) };
    app.events(id, {
      done() {
        app.toast(`${titleOf(entry)} was made again by ${name}`, { action: open });
        changed();
      },
      cancelled: changed,
      failed({ error }) {
        app.toast(`Not made again by ${name}: ${error}`, { seconds: 12 });
        changed();
      },
    });
  }

  return {
    element,
    open(selected) {
      entries = [...selected];
      problem.hidden = true;
      const what = entries.length === 1 ? titleOf(entries[0]) : `${entries.length} entries`;
      write(text, `${what}: the same seed and settings, with the weights of the run that you choose.`);
      element.showModal();
      picker.focus();
    },
  };
}
