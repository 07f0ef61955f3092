// An axis of a sweep: what has a column or a row for each of its values, from a list, and the values.

import { el } from "../page/shared/elements.js";
import { linesOf, wordsField } from "../page/shared/words_field.js";
import { newId } from "./dom.js";

const SOME = "first:last:count, or a, b, c";

/** The texts of an axis as a command has them: lines, or values between semicolons or commas. */
const linesIn = text => text.split(["\n", ";"].find(one => text.includes(one)) ?? ",").map(one => one.trim()).filter(Boolean);

/**
 * Put a list and a line of values in the place of the text of a field. `axes` are {name, title, values, texts}: `values`
 * are all that there are, as the command takes them, "" if they are not finite in number; the values of one of `texts`
 * are lines. `conditions` are those of the model, by name.
 */
export function axisField(form, name, axes, conditions) {
  const field = form.field(name),
    { input } = field,
    id = newId();
  let given; // the axis with its values, as the command takes it
  const none = el("option", { value: "" }, "nothing");
  const select = el(
    "select",
    { id },
    none,
    axes.map(axis => el("option", { value: axis.name }, axis.title)),
  );
  const values = el("input", { type: "text", autocomplete: "off", hidden: true });
  const textsOf = axis => [
    axis.name,
    wordsField(axis.name, conditions[axis.name], { rows: 4, "aria-label": `Texts of ${axis.title}, one a line` }, { lines: true }),
  ];
  const texts = new Map(axes.filter(axis => axis.texts).map(textsOf));
  const show = () => {
    const axis = axes.find(one => one.name === select.value);
    for (const [one, { element }] of texts) element.hidden = one !== select.value;
    values.hidden = !axis || axis.texts;
    values.placeholder = axis?.values ? `some of ${axis.values}` : SOME;
    values.setAttribute("aria-label", `Values of ${axis?.title ?? ""}`);
  };
  const read = () => {
    const lines = linesOf(texts.get(select.value)?.input.value ?? "");
    const line = texts.has(select.value) ? lines.map(one => `${one}\n`).join("") : values.value.replaceAll(", ", ",").trim();
    given = select.value && line ? `${select.value}=${line}` : select.value;
  };
  const follow = () => {
    read();
    input.dispatchEvent(new Event("input", { bubbles: true }));
  };
  select.addEventListener("change", () => {
    values.value = "";
    show();
    follow();
  });
  for (const one of [values, ...[...texts.values()].map(({ input: area }) => area)]) {
    one.addEventListener("input", event => {
      event.stopPropagation();
      follow();
    });
  }
  field.value = () => given || undefined;
  field.set = text => {
    given = text ?? "";
    const [, axis, line = ""] = /^([^=]*)=?(.*)$/s.exec(given);
    if (axis && !axes.some(one => one.name === axis)) select.append(el("option", { value: axis }, axis));
    select.value = axis;
    if (texts.has(axis)) {
      if (line) texts.get(axis).set(linesIn(line).join("\n"));
      read();
    } else values.value = line;
    show();
  };
  field.focus = () => (texts.get(select.value)?.input ?? (values.hidden ? select : values)).focus();
  input.hidden = true;
  input.before(el("div", { class: "stack tight" }, select, values, [...texts.values()].map(({ element }) => element)));
  field.element.querySelector("label").htmlFor = id;
  show();
}
