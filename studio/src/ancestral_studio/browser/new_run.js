// The form that starts a training run. What was filled in stays when the page is loaded again.

import { el, fill } from "../page/shared/elements.js";
import { button, write } from "./dom.js";
import { commandLine, offer, optionForm } from "./form.js";
import { refused } from "./process_view.js";

const KEPT = "ancestral.train";

/** The form in `element`. `started(process)` is called when a training run was started. */
export class NewRun {
  constructor(app, started) {
    Object.assign(this, { app, started, form: null, shown: null, suggestions: null });
    this.values = JSON.parse(sessionStorage.getItem(KEPT) ?? "null") ?? {};
    this.line = el("code", { class: "command", "aria-label": "The same as a command" });
    this.start = el("button", { type: "submit", class: "primary" }, "Start training");
    const clear = button("Clear", () => this.clear(), { class: "quiet" });
    // once a name is typed to its end
    const changed = event => ["config", "data"].includes(event.target.name) && this.build();
    this.place = el("div", { on: { change: changed } });
    this.element = el(
      "form",
      { class: "panel stack", novalidate: true, on: { submit: event => this.submit(event) } },
      el("div", { class: "row apart" }, el("h2", {}, "New run"), clear),
      this.place,
      el("div", { class: "row bottom" }, this.line, this.start),
    );
    this.ready = this.begin();
  }

  async begin() {
    await this.build();
    this.suggestions = await this.app.api("GET", "/api/data").catch(() => null);
    this.offerNames();
  }

  /** Replace all values. */
  async set(values) {
    this.element.inert = true; // what is typed before the values are there would be lost
    try {
      await this.ready;
      this.form.set({ ...values });
      this.changed();
      await this.build();
    } finally {
      this.element.inert = false;
    }
  }

  /** Show an error at an option. */
  async fail(option, text) {
    await this.ready;
    this.form.fail(option, text);
  }

  changed() {
    this.values = this.form.values();
    sessionStorage.setItem(KEPT, JSON.stringify(this.values));
    this.drawLine();
  }

  drawLine() {
    write(this.line, commandLine("train", this.form.words()));
  }

  clear() {
    if (!this.form) return;
    this.form.set({});
    this.changed();
  }

  /** The defaults that the form shows are those of the preset, or for the data. */
  async build() {
    const { config = "", data = "" } = this.values;
    const wanted = new URLSearchParams({ preset: config, data }).toString();
    if (wanted === this.shown) return;
    this.shown = wanted;
    let answer;
    try {
      answer = await this.app.api("GET", `/api/forms/train?${wanted}`);
    } catch (error) {
      if (this.form) return void this.form.fail(config ? "config" : "data", error.message);
      answer = await this.app.api("GET", "/api/forms/train");
    }
    if (wanted === this.shown) this.replace(answer.options);
  }

  /** Put another form in the place of the one before, with its values, its fold and the focus of the keyboard. */
  replace(options) {
    const focus = document.activeElement,
      focused = focus?.closest?.("[data-option]")?.dataset.option,
      cursor = focus?.selectionStart,
      open = this.place.querySelector("details")?.open;
    const values = this.form ? this.form.values() : this.values;
    this.form = optionForm(options, values, { changed: () => this.changed(), leave: ["resume", "verbose"] });
    fill(this.place, this.form.element);
    if (open) this.place.querySelector("details").open = true;
    this.drawLine();
    this.offerNames();
    const field = focused && this.form.field(focused);
    field?.focus();
    if (field && Number.isInteger(cursor)) field.input.setSelectionRange?.(cursor, cursor);
  }

  offerNames() {
    const lists = { config: this.suggestions?.presets, data: this.suggestions?.builtins };
    for (const [name, list] of Object.entries(lists)) {
      const field = this.form.field(name);
      if (list && field) offer(field.input, list);
    }
  }

  async submit(event) {
    event.preventDefault();
    const { app, form, start } = this;
    if (!form) return;
    start.disabled = true;
    form.fail(null, "");
    try {
      const { id } = await app.api("POST", "/api/jobs", { command: "train", options: form.values() });
      this.started(await app.api("GET", `/api/processes/${id}`));
    } catch (error) {
      refused(app, form, error);
    } finally {
      start.disabled = false;
    }
  }
}
