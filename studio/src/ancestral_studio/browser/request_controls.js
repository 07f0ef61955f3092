// The controls of a request for a run: the main options of its command, the conditions of its model, the rest folded.

import { el } from "../page/shared/elements.js";
import { conditionControls } from "./conditions.js";
import { optionForm } from "./form.js";
import { dice } from "./seed.js";
import { axisField } from "./sweep_field.js";
import { AXES, axisName } from "./table_axes.js";
import { VaryButtons } from "./vary.js";

/** Make a function that reads {options, model} of a run: the options of the command, and what its model takes. */
export function modelReader(app, command) {
  const models = new Map();
  let options = null;
  return async run => {
    options ??= (await app.api("GET", `/api/forms/${command}`)).options;
    if (!models.has(run)) models.set(run, await app.api("GET", `/api/runs/${encodeURIComponent(run)}/model`));
    return { options, model: models.get(run) };
  };
}

export class RequestControls {
  /**
   * `command`: sample or edit. `names`: the main options. `further`: those that stand first where the rest is unfolded. `leave`: those that
   * something else on the page sets. `labelDefault`: what no label means.
   * `main`, `more` and `table` are forms of options, `conditions` the controls of the conditions.
   */
  constructor(app, { options, model }, { command, names, further = [], leave, labelDefault, changed }) {
    this.model = model;
    this.optionNames = new Set(options.map(option => option.name));
    this.main = optionForm(options, {}, { only: names, changed });
    const elsewhere = [...names, ...further, ...leave, ...AXES];
    const rest = options.map(option => option.name).filter(name => !elsewhere.includes(name));
    this.table = optionForm(options, {}, { only: AXES, changed });
    for (const name of AXES) axisField(this.table, name, model.axes[command], model.conditions);
    this.more = optionForm(options, {}, { only: [...further, ...rest], changed });
    this.vary = new VaryButtons(this.table, model.axes[command], field => {
      this.sweep.open = true;
      field.focus();
    });
    this.conditions = conditionControls(app, model, { labelDefault, changed, vary: name => this.vary.button(name) });
    this.fold = el("details", {}, el("summary", {}, "More options"), this.more.element);
    this.sweep = el("details", {}, el("summary", {}, "Compare settings in a table"), this.table.element);
    this.element = el("div", { class: "stack" }, this.conditions.element, this.main.element, this.sweep, this.fold);
    const seed = this.main.field("seed").input;
    const row = el("div", { class: "row tight-row" });
    seed.replaceWith(row);
    row.append(seed, dice(this.main));
  }

  /** The field of an option; null if there is none among these controls. */
  field(name) {
    return this.main.field(name) ?? this.more.field(name);
  }

  /** Whether the command has an option of this name. */
  has(name) {
    return this.optionNames.has(name);
  }

  /** The options that are given. What a table has a value of in each cell is not given beside it. */
  values() {
    const values = Object.assign({}, ...[this.main, this.table, this.more, this.conditions].map(part => part.values()));
    const swept = AXES.map(axis => axisName(values[axis]));
    for (const name of swept) delete values[name]; // a setting, or the label
    const conditions = swept.map(name => name.replace(/^given\./, ""));
    const given = values.given?.filter(word => !conditions.includes(word.split("=")[0]));
    if (given?.length) values.given = given;
    else delete values.given;
    return values;
  }

  set(values) {
    for (const part of [this.main, this.table, this.more, this.conditions]) part.set(values);
    this.vary.draw();
    if (values.sweep) this.sweep.open = true;
    if (Object.keys(values).some(name => values[name] !== null && this.more.field(name))) this.fold.open = true;
  }

  /** Show an error at its option. Returns false if the option is elsewhere. */
  fail(option, message) {
    const part = [this.main, this.table, this.more].find(one => one.field(option));
    if (!part) return false;
    const fold = part.element.closest("details");
    if (fold) fold.open = true;
    part.fail(option, message);
    return true;
  }

  clearErrors() {
    for (const part of [this.main, this.table, this.more]) part.fail(null, "");
  }
}
