// Buttons beside conditions that make them an axis of the table: the first one its columns, the second one its rows.

import { el } from "../page/shared/elements.js";
import { AXES, axisName } from "./table_axes.js";

const TITLE = "Make a table, with a column or a row for each of its values";

const axisOf = field => axisName(field.value());

export class VaryButtons {
  /** `table` is the form of the axes, of which `axes` are those of the model; `opened()` is called once one is set. */
  constructor(table, axes, opened) {
    Object.assign(this, { table, axes, opened, buttons: new Map() });
    table.element.addEventListener("input", () => this.draw());
  }

  /** The button of a condition; null if it cannot be an axis. */
  button(name) {
    if (!this.axes.some(axis => axis.name === name)) return null;
    const attributes = { type: "button", class: "chip vary", "aria-pressed": "false", title: TITLE };
    const one = el("button", { ...attributes, "aria-label": `Table of ${name}` }, "Table");
    one.addEventListener("click", () => this.press(name));
    this.buttons.set(name, one);
    return one;
  }

  press(name) {
    const fields = AXES.map(axis => this.table.field(axis));
    const texts = fields.map(field => field.value() ?? "");
    const place = fields.findIndex(field => axisOf(field) === name);
    const to = texts[0] ? 1 : 0,
      { values } = this.axes.find(axis => axis.name === name);
    if (place >= 0) texts.splice(place, 1); // what was the rows is the columns then
    else texts.splice(to, 1, values ? `${name}=${values}` : name);
    fields.forEach((field, number) => field.set(texts[number]));
    this.table.element.dispatchEvent(new Event("input", { bubbles: true }));
    if (place < 0) this.opened(fields[to]);
  }

  draw() {
    const chosen = AXES.map(axis => axisOf(this.table.field(axis)));
    for (const [name, one] of this.buttons) one.setAttribute("aria-pressed", String(chosen.includes(name)));
  }
}
