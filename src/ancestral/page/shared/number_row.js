// A number and a slider that follow each other.

import { el } from "./elements.js";

const REACH = 3; // standard deviations of the data to each side of the mean, where their range is not known
const NOTCHES = 300;
let rows = 0; // for their ids

/**
 * Make the row of a number of a vector of conditions, which begins at the mean and says the range of the data.
 * `caption` stands before it; `slider` and `number` are further attributes of the two; `changed()` is called after each
 * change by the user.
 * Returns {element, number, set(value)}.
 */
export function numberRow({ mean, std, low, high }, place, { caption, slider, number, changed }) {
  const reach = REACH * (std[place] || 1);
  const min = low?.[place] ?? mean[place] - reach; // a model may not say the range of the data
  const max = high?.[place] ?? mean[place] + reach;
  const notch = (max - min) / NOTCHES;
  const short = value => Number(Number(value).toPrecision(4));
  const marks = el("datalist", { id: `mean-${++rows}` }, el("option", { value: mean[place] }));
  const settings = { type: "range", min, max, step: notch, value: mean[place], list: marks.id, ...slider };
  const range = el("input", settings);
  const note = el("p", { class: "hint small soft range-note" });
  const field = el("input", { type: "number", step: "any", value: short(mean[place]), ...number });
  const say = () => {
    const outside = low && field.value !== "" && (field.value < short(min) || field.value > short(max));
    const reached = low ? `from ${short(min)} to ${short(max)}` : "";
    note.classList.toggle("outside", Boolean(outside));
    note.textContent = outside
      ? `outside of the data, which are ${reached}`
      : `data: ${[reached, `mean ${short(mean[place])}`].filter(Boolean).join(", ")}`;
  };
  range.addEventListener("input", () => {
    field.value = short(range.value);
    say();
    changed();
  });
  field.addEventListener("input", () => {
    range.value = field.value;
    say();
    changed();
  });
  say();
  return {
    element: el("div", {}, el("div", { class: "row vector" }, caption, range, field, marks), note),
    number: field,
    set(value) {
      field.value = value;
      range.value = value;
      say();
    },
  };
}
