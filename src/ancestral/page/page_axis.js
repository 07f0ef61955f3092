/* The axis of the page: the class, a condition or the guidance, of which each sample has another value. All have the
 * noise of one sample, so that what differs comes of the value.
 */

import { el } from "./shared/elements.js";
import { linesOf, wordsField } from "./shared/words_field.js";

const GUIDANCE = [0, 4]; // the first and the last scale
const REFUSED = "The picture is a table that this page does not have.";

/** What can be varied: {name, values} of names, {name, ends} of numbers, {name, field} of texts, one a line;
 *  `item(value, inputs)` is what changes.
 */
function axesOf({ classes, conditions, guidance, settings }) {
  const axes = [];
  if (classes.length) {
    const item = (value, inputs) => ({ inputs: { ...inputs, labels: classes.indexOf(value) } });
    axes.push({ name: "label", text: "class", values: classes, item });
  }
  for (const [name, condition] of Object.entries(conditions)) {
    const { kind, names, mean, std, low, high } = condition;
    if (settings.includes(name)) continue; // a sweep means the setting of this name
    const given = (input) => (value, inputs) => ({ inputs: { ...inputs, [name]: input(value) } });
    if (kind === "Classes") axes.push({ name, text: name, values: names, item: given((value) => names.indexOf(value)) });
    if (kind === "Vector" && mean.length === 1) {
      const item = given((value) => Float32Array.of((value - mean[0]) / std[0], 1));
      axes.push({ name, text: name, ends: low ? [low[0], high[0]] : [mean[0] - 2 * std[0], mean[0] + 2 * std[0]], item });
    }
    if (kind === "Words") {
      const field = wordsField(name, condition, { rows: 4, "aria-label": `${name}, a text on each line` }, { lines: true });
      axes.push({ name, text: name, field, item: given((value) => field.read(value).tokens) });
    }
  }
  const scaled = (value, inputs) => ({ inputs, guidance: value });
  if (guidance) axes.push({ name: "guidance", text: "guidance", ends: GUIDANCE, item: scaled });
  return axes;
}

export class AxisControl {
  /** `box`: the fieldset; `model`: what the page knows of the model. */
  constructor(box, model) {
    this.axes = model.isPoints ? [] : axesOf(model);
    this.select = el("select", { name: "axis", "aria-label": "Vary" }, new Option("nothing", ""));
    this.select.append(...this.axes.map(({ name, text }) => new Option(text, name)));
    this.ends = ["from", "to"].map((text) => el("input", { type: "number", step: "any", "aria-label": text }));
    const pair = this.ends.map((input) => el("label", { class: "grow" }, `${input.getAttribute("aria-label")} `, input));
    this.row = el("div", { class: "row", hidden: true }, pair);
    const fields = this.axes.flatMap(({ field }) => field ?? []);
    box.append(this.select, this.row, ...fields.map(({ element }) => element));
    box.hidden = !this.axes.length;
    this.kept = null; // values of a picture, until another choice
    this.select.onchange = () => this.choose();
    for (const input of [...this.ends, ...fields.map((field) => field.input)]) {
      input.addEventListener("input", () => (this.kept = null));
    }
    this.choose();
  }

  get axis() {
    return this.axes.find(({ name }) => name === this.select.value);
  }

  choose() {
    const { axis } = this;
    this.kept = null;
    this.row.hidden = !axis?.ends;
    for (const one of this.axes) if (one.field) one.field.element.hidden = one !== axis;
    axis?.ends?.forEach((value, i) => (this.ends[i].value = Number(value.toPrecision(4))));
  }

  /** The values of `count` samples, {name, values, item}; null where nothing is varied. */
  value(count) {
    const { axis } = this;
    if (!axis) return null;
    if (this.kept || axis.values) return { ...axis, values: this.kept ?? axis.values };
    if (axis.field) {
      const values = linesOf(axis.field.input.value);
      if (!values.length) throw new Error(`Write some texts of ${axis.text}, each on a line.`);
      values.forEach(axis.field.read);
      return { ...axis, values };
    }
    const [low, high] = this.ends.map(({ value }) => (value === "" ? NaN : Number(value)));
    if (!Number.isFinite(low) || !Number.isFinite(high)) throw new Error(`${axis.text} goes from a number to a number.`);
    const at = (i) => (count > 1 ? low + (i * (high - low)) / (count - 1) : low);
    return { ...axis, values: Array.from({ length: count }, (_, i) => at(i)) };
  }

  /** What restore() needs of the sweep of a recipe, null for none; an error where it is none of these axes. */
  read(sweep) {
    if (!sweep) return null;
    const [[name, values], ...others] = Object.entries(sweep), axis = this.axes.find((one) => one.name === name);
    const known = (value) => (axis.values ? axis.values.includes(value)
      : axis.field ? typeof value === "string" : Number.isFinite(value));
    if (others.length || !axis || !values.every(known)) throw new Error(REFUSED);
    return { name, values };
  }

  restore(read) {
    this.select.value = read ? read.name : "";
    this.choose();
    if (!read) return;
    if (this.axis.ends) this.ends.forEach((input, i) => (input.value = read.values.at(-i)));
    this.axis.field?.set(read.values.join("\n"));
    this.kept = read.values;
  }
}
