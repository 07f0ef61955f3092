// Guidance as sliders: one for each condition of the model, which are one number where they agree.

import { el } from "../page/shared/elements.js";
import { newId } from "./dom.js";

const MOST = 8, // of the slider; the number beside it may be larger
  STANDARD = "1";

function sliderRow(name, changed) {
  const id = newId();
  const range = { type: "range", min: 0, max: MOST, step: 0.1, value: STANDARD, "aria-label": `${name} by a slider` };
  const slider = el("input", range);
  const number = el("input", { id, type: "number", min: 0, step: "any", placeholder: STANDARD, class: "narrow" });
  slider.addEventListener("input", () => {
    number.value = slider.value;
    changed();
  });
  number.addEventListener("input", () => {
    slider.value = number.value || STANDARD;
    changed();
  });
  return {
    element: el("div", { class: "row vector" }, el("label", { for: id, class: "small" }, name), slider, number),
    number,
    set(value) {
      number.value = value ?? "";
      slider.value = number.value || STANDARD;
    },
  };
}

/** Put sliders of `names`, the conditions of a model, in the place of the text of the field of guidance. */
export function guidanceSliders(form, names) {
  const field = form.field("guidance"),
    { input, set } = field;
  const shown = names.length > 1 ? names.map(name => (name === "label" ? "class" : name)) : ["Strength"];
  const follow = () => {
    const values = rows.map(row => row.number.value);
    const same = values.every(value => value === values[0]);
    const words = names.map((name, place) => `${name}=${values[place] || STANDARD}`);
    input.value = same ? values[0] : words.map(word => (/\s/.test(word) ? `"${word}"` : word)).join(" ");
    input.dispatchEvent(new Event("input", { bubbles: true }));
  };
  const rows = shown.map(name => sliderRow(name, follow));
  field.set = value => {
    set(value);
    const words = [value ?? []].flat().map(String);
    const all = words.find(word => !word.includes("="));
    rows.forEach((row, place) => {
      const own = words.find(word => word.startsWith(`${names[place]}=`));
      row.set(own?.slice(names[place].length + 1) ?? all);
    });
  };
  field.focus = () => rows[0].number.focus();
  input.hidden = true;
  input.after(
    el(
      "div",
      { class: "stack tight" },
      rows.map(row => row.element),
    ),
  );
  field.element.querySelector("label").htmlFor = rows[0].number.id;
}
