// An axis of a sweep: what has a column or a row for each of its values, from a list, and the values.

import { el } from "../page/shared/elements.js";
import { newId } from "./dom.js";

const ALL = "all values, or some: a, b, c";
const SOME = "first:last:count, or a, b, c";

/**
 * Put a list and a line of values in the place of the text of a field. `axes` are {name, title, complete}: a complete
 * one needs no values, and then has all.
 */
export function axisField(form, name, axes) {
  const field = form.field(name),
    { input, set } = field,
    id = newId();
  const none = el("option", { value: "" }, "nothing");
  const select = el(
    "select",
    { id },
    none,
    axes.map(axis => el("option", { value: axis.name }, axis.title)),
  );
  const values = el("input", { type: "text", autocomplete: "off", hidden: true });
  const show = () => {
    const axis = axes.find(one => one.name === select.value);
    values.hidden = !axis;
    values.placeholder = axis?.complete ? ALL : SOME;
    values.setAttribute("aria-label", `Values of ${axis?.title ?? ""}`);
  };
  const follow = () => {
    const line = values.value.replaceAll(", ", ",").trim();
    input.value = select.value && line ? `${select.value}=${line}` : select.value;
    input.dispatchEvent(new Event("input", { bubbles: true }));
  };
  select.addEventListener("change", () => {
    values.value = "";
    show();
    follow();
  });
  values.addEventListener("input", event => {
    event.stopPropagation();
    follow();
  });
  field.set = text => {
    set(text);
    const [, axis, line = ""] = /^([^=]*)=?(.*)$/s.exec(input.value);
    if (axis && !axes.some(one => one.name === axis)) select.append(el("option", { value: axis }, axis));
    select.value = axis;
    values.value = line;
    show();
  };
  field.focus = () => (values.hidden ? select : values).focus();
  input.hidden = true;
  input.before(el("div", { class: "stack tight" }, select, values));
  field.element.querySelector("label").htmlFor = id;
  show();
}
