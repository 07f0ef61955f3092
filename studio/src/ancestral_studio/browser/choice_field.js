// Names of parts of the package in a form as a list; a name with options stays a text, as on the command line.

import { el } from "../page/shared/elements.js";
import { newId } from "./dom.js";

const OTHER = "…";

/**
 * Put a list in the place of the text of a form's field. `choices` are {name, text}, `standard` says what none means,
 * and `example` how a name with options is written; without it there are none.
 */
export function listChoices(form, name, choices, standard, example = "") {
  const field = form.field(name),
    { input, set } = field;
  const select = el(
    "select",
    { id: newId() },
    el("option", { value: "" }, standard),
    choices.map(({ name: one, text }) => el("option", { value: one, title: text }, `${one}: ${text}`)),
    example && el("option", { value: OTHER }, `with options, as in ${example} …`),
  );
  const names = choices.map(choice => choice.name);
  const show = () => {
    const own = input.value !== "" && !names.includes(input.value);
    select.value = own && example ? OTHER : input.value;
    input.hidden = !own;
  };
  input.setAttribute("aria-label", `${field.element.querySelector("label").textContent} with options`);
  select.addEventListener("change", () => {
    input.hidden = select.value !== OTHER;
    if (select.value === OTHER) input.focus();
    else input.value = select.value;
    input.dispatchEvent(new Event("input", { bubbles: true }));
  });
  field.set = value => {
    set(value);
    show();
  };
  field.element.querySelector("label").htmlFor = select.id;
  field.focus = () => (input.hidden ? select : input).focus();
  input.before(select);
  show();
}
