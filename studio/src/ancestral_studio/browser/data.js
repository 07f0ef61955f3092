// Data: choose a folder or a built-in data set, see what doctor says of it, and train on it. #data?source=PATH

import { el, fill } from "../page/shared/elements.js";
import { DataBrowser } from "./data_browser.js";
import { dataReport } from "./data_report.js";
import { button, write } from "./dom.js";
import { optionForm } from "./form.js";
import { followProcess, processView, refused } from "./process_view.js";

const FIRST_OPTIONS = ["image_size", "channels", "fit", "given", "steps"];
const OF_THE_INSPECTION = ["steps", "threads", "device"]; // which training has with another meaning
const HINT = "Choose data on this page: what is wrong with them, and what training on them takes, is shown here.";

export async function open(root, app) {
  const { options } = await app.api("GET", "/api/forms/doctor");
  const tab = new DataTab(root, app, options);
  await tab.browser.begin();
  return tab;
}

class DataTab {
  constructor(root, app, options) {
    Object.assign(this, { app, options });
    this.source = null;
    this.processId = null;
    this.end = null; // ends the following of a process
    this.browser = new DataBrowser(app, name => this.select(name));
    this.form = optionForm(options, {}, { leave: ["source"], first: FIRST_OPTIONS });
    this.title = el("h2", { class: "wrap grow" });
    this.inspect = el("button", { type: "submit" }, "Inspect");
    this.view = processView(app, { title: false });
    this.report = el("div", { class: "stack", "aria-live": "polite" });
    this.fold = el("details", {}, el("summary", {}, "Options of the data"), this.form.element);
    const train = button("Train on this", () => this.train(), { class: "primary" });
    this.chosen = el(
      "form",
      { class: "panel stack", hidden: true, novalidate: true, on: { submit: event => this.submit(event) } },
      el("div", { class: "row apart" }, this.title, el("div", { class: "row" }, this.inspect, train)),
      this.fold,
      this.view.element,
    );
    this.hint = el("p", { class: "empty" }, HINT);
    root.append(
      el(
        "div",
        { class: "workbench" },
        el("div", { class: "stack" }, el("h1", {}, "Data"), this.browser.elements),
        el("div", { class: "stack" }, this.hint, this.chosen, this.report),
      ),
    );
  }

  async select(name) {
    this.app.remember(`#data?source=${encodeURIComponent(name)}`);
    if (name === this.source) return;
    this.source = name;
    this.browser.mark(name);
    write(this.title, name);
    this.hint.hidden = true;
    this.chosen.hidden = false;
    this.view.hide();
    fill(this.report);
    this.end?.();
    this.processId = null;
    this.form.fail(null, "");
    const before = await this.app.api("GET", "/api/processes?command=doctor").catch(() => []);
    const last = before.find(one => one.source === name && one.state !== "failed");
    if (this.source !== name) return;
    if (last) this.follow(last.id);
    else this.chosen.requestSubmit();
  }

  // -- the inspection ---------------------------------------------------------------------------------------------

  async submit(event) {
    event.preventDefault();
    const { app, form, source } = this;
    if (!source) return;
    form.fail(null, "");
    fill(this.report);
    this.inspect.disabled = true;
    try {
      const options = { ...form.values(), source };
      this.follow((await app.api("POST", "/api/jobs", { command: "doctor", options })).id);
    } catch (error) {
      this.fail(error);
    }
    this.inspect.disabled = false;
  }

  fail(error) {
    const known = Boolean(this.form.field(error.option));
    if (known) this.fold.open = true;
    refused(this.app, known ? this.form : null, error);
  }

  follow(id) {
    this.end?.();
    this.processId = id;
    this.end = followProcess(id, process => {
      if (process.id !== this.processId) return;
      this.view.show(process);
      if (process.report) {
        this.view.hide();
        fill(
          this.report,
          dataReport(process, this.options, (name, value) => this.set(name, value)),
        );
      } else if (process.state === "failed") this.fail({ option: process.option, message: process.error });
    });
  }

  /** Follow an advice: its option has this value when the data are inspected again, or trained on. */
  set(name, value) {
    const field = this.form.field(name);
    const before = [field.value() ?? []].flat();
    field.set(field.element.querySelector("textarea") ? [...new Set([...before, value])] : value);
    field.mark();
    this.fold.open = true;
    this.app.toast("Set. Inspect looks at the data with it; Train on this trains with it.");
  }

  train() {
    const settings = Object.entries(this.form.values()).filter(([name]) => !OF_THE_INSPECTION.includes(name));
    const values = JSON.stringify({ ...Object.fromEntries(settings), data: this.source });
    this.app.navigate(`#train/new?values=${encodeURIComponent(values)}`);
  }

  show(route) {
    if (route.query.source) this.select(route.query.source);
  }
}
