// What restore undoes, as buttons with their number: a picture is enlarged, sharpened, denoised, coloured or repaired.

import { el } from "../page/shared/elements.js";
import { button, newId } from "./dom.js";

const OTHER = "other";
/** Of each button the operator that it undoes, and the number or the words that belong to it. */
const PURPOSES = {
  enlarge: { title: "Enlarge", operator: "upscale", caption: "Times as large", choices: ["2", "4", "8"], standard: "4" },
  sharpen: { title: "Sharpen", operator: "blur", caption: "Blur in pixels", standard: "2" },
  denoise: { title: "Denoise", operator: "noise", caption: "Noise, from 0 to 1", standard: "0.1" },
  colour: { title: "Colour", operator: "grey" },
  repair: {
    title: "Repair",
    operator: "mask",
    caption: "Known half",
    choices: ["left", "right", "top", "bottom"],
    standard: "left",
  },
};

function argumentControl({ caption, choices, standard }, changed) {
  const id = newId();
  const input = choices
    ? el(
        "select",
        { id },
        choices.map(value => el("option", { value }, value)),
      )
    : el("input", { id, type: "number", min: 0, step: "any", class: "narrow" });
  input.value = standard ?? "";
  input.addEventListener("input", event => {
    event.stopPropagation();
    changed();
  });
  return { input, element: el("div", { class: "row" }, el("label", { for: id, class: "small" }, caption), input) };
}

/** Put the buttons in the place of the text of the field of an operator; other operators stay a text. */
export function operatorButtons(form, names) {
  const field = form.field("operator"),
    { input, set } = field;
  const offered = Object.entries(PURPOSES).filter(([, { operator }]) => names.includes(operator));
  const arguments_ = Object.fromEntries(
    offered.filter(([, one]) => one.caption).map(([name, one]) => [name, argumentControl(one, () => write(name))]),
  );
  const titles = [...offered.map(([name, { title }]) => [name, title]), [OTHER, "Other"]];
  const buttons = titles.map(([name, title]) =>
    button(title, () => choose(name), { "aria-pressed": "false", data: { purpose: name } }),
  );
  input.setAttribute("aria-label", "Operator, as on the command line");

  function show(name) {
    for (const one of buttons) one.setAttribute("aria-pressed", String(one.dataset.purpose === name));
    for (const [purpose, { element }] of Object.entries(arguments_)) element.hidden = purpose !== name;
    input.hidden = name !== OTHER;
  }

  function write(name) {
    const { operator } = PURPOSES[name];
    input.value = arguments_[name] ? `${operator}:${arguments_[name].input.value}` : operator;
    input.dispatchEvent(new Event("input", { bubbles: true }));
  }

  function choose(name) {
    show(name);
    if (name === OTHER) input.focus();
    else write(name);
  }

  field.set = value => {
    set(value);
    const [operator, argument] = input.value.split(":");
    const found = offered.find(([name, one]) => one.operator === operator && fits(arguments_[name], argument));
    if (found && argument !== undefined) arguments_[found[0]].input.value = argument;
    show(found?.[0] ?? (input.value ? OTHER : null));
  };
  field.focus = () => (input.hidden ? buttons[0] : input).focus();
  input.before(
    el("div", { class: "segments", role: "group", "aria-label": "What is done" }, buttons),
    ...Object.values(arguments_).map(({ element }) => element),
  );
  show(null);
}

/** Whether a control can show the text behind the colon of an operator. */
function fits(control, argument) {
  if (!control) return argument === undefined;
  const { options } = control.input;
  return options ? [...options].some(one => one.value === argument) : Number.isFinite(Number.parseFloat(argument));
}
