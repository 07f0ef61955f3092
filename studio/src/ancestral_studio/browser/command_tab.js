// What the tabs Evaluate and Compare share: a form of a command that runs as a process, its line, and the process.

import { el } from "../page/shared/elements.js";
import { write } from "./dom.js";
import { commandLine, optionForm } from "./form.js";
import { followProcess, processView, refused } from "./process_view.js";

/** A section of results with a heading; null where nothing is in it. */
export const resultSection = (title, ...parts) =>
  el("section", { class: "panel stack", "aria-label": title }, el("h2", {}, title), parts);

/**
 * A tab of a command. What its subclasses define: `places()`, the words of the line before the options; `chosen()`, the
 * options that the form does not have, or null where there is nothing to start; `changed(process)`, called while it
 * runs and once it has ended.
 */
export class CommandTab {
  /** `options` are those of the server; `leave` and `first` are names of options, as of `optionForm`. */
  constructor(root, app, { command, title, options, leave, first }) {
    Object.assign(this, { root, app, command, end: null });
    this.form = optionForm(options, {}, { leave, first, changed: () => this.drawLine() });
    this.line = el("code", { class: "command", "aria-label": "The same as a command" });
    this.start = el("button", { type: "submit", class: "primary" }, title);
    this.view = processView(app);
    this.followed = el("div", { class: "panel", hidden: true }, this.view.element);
    this.title = title;
  }

  /** Put the form, with what is chosen above it, and the results into the tab. */
  build(above, results) {
    const sheet = el(
      "form",
      { class: "panel stack", novalidate: true, on: { submit: event => this.submit(event) } },
      above,
      this.form.element,
      el("div", { class: "row bottom" }, this.line, this.start),
    );
    this.root.append(
      el(
        "div",
        { class: "workbench wide-side" },
        el("div", { class: "stack" }, el("h1", {}, this.title), sheet),
        el("div", { class: "stack" }, results),
      ),
    );
  }

  drawLine() {
    write(this.line, commandLine(this.command, [...this.places(), ...this.form.words()]));
  }

  follow(id) {
    this.end?.();
    this.followed.hidden = false;
    this.end = followProcess(id, process => {
      this.view.show(process);
      if (process.state === "failed" && process.option) {
        refused(this.app, this.form, { option: process.option, message: process.error });
      }
      this.changed(process);
    });
  }

  async submit(event) {
    event.preventDefault();
    const { app, command, form, start } = this,
      chosen = this.chosen();
    if (!chosen) return;
    form.fail(null, "");
    start.disabled = true;
    try {
      const { id } = await app.api("POST", "/api/jobs", { command, options: { ...form.values(), ...chosen } });
      this.follow(id);
    } catch (error) {
      refused(app, form, error);
    }
    start.disabled = false;
  }
}
