// A number and a slider that follow each other.

import { el } from "./elements.js";

const REACH = 3; // standard deviations of the data to each side of the mean, where their range is not known
const NOTCHES = 300;

/**
 * Make the row of a number of a vector of conditions, which begins at the mean. `caption` stands before it; `slider` and
 * `number` are further attributes of the two; `changed()` is called after each change by the user.
 * Returns {element, number, set(value)}.
 */
export function numberRow({ mean, std, low, high }, place, { caption, slider, number, changed }) {
  const reach = REACH * (std[place] || 1);
  const min = low?.[place] ?? mean[place] - reach; // older model files do not say the range of the data
  const max = high?.[place] ?? mean[place] + reach;
  const notch = (max - min) / NOTCHES;
  const range = el("input", { type: "range", min, max, step: notch, value: mean[place], ...slider });
  const short = value => Number(Number(value).toPrecision(4));
  const field = el("input", { type: "number", step: "any", value: short(mean[place]), ...number });
  range.addEventListener("input", () => {
    field.value = short(range.value);
    changed();
  });
  field.addEventListener("input", () => {
    range.value = field.value;
    changed();
  });
  return {
    element: el("div", { class: "row vector" }, caption, range, field),
    number: field,
    set(value) {
      field.value = value;
      range.value = value;
    },
  };
}
