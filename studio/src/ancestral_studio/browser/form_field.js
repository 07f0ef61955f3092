// One option of a form: its name for people, its control, and on demand its flag and what it does.

import { el } from "../page/shared/elements.js";
import { newId } from "./dom.js";

/** Words of a text, separated by spaces or lines; "two words" in quotes are one. */
export function split(text) {
  return [...text.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(match => match[1] ?? match[2] ?? match[3]);
}

const quoted = word => (/\s/.test(word) ? `"${word}"` : String(word));

/** The default of an option as text; "" for one without. */
const standardOf = ({ default: value }) =>
  value === null || value === undefined || value === "" ? "" : [value].flat().join(" ");

const choice = (value, text = value) => el("option", { value }, text);

/** A word of an option for people: an option that takes a word or none can be true or false too. */
const shown = value => ({ true: "yes", false: "no" })[value] ?? String(value);

// -- controls of the kinds of options: {input, value(), set(value)}, and boxes, which stand in the place of an input ----

/** A flag that is off by default. */
function box(option, names) {
  const input = el("input", { ...names, type: "checkbox" });
  return {
    input,
    value: () => (input.checked ? true : undefined),
    set(flag) {
      input.checked = flag === true;
    },
  };
}

/** A flag that is on by default, or that the command decides: it can be refused too. */
function yesOrNo(option, names) {
  const on = option.default === true;
  const answers = [choice("", on ? "yes (default)" : "default"), on ? null : choice("yes"), choice("no")];
  const input = el("select", names, answers);
  return {
    input,
    value: () => ({ yes: true, no: false })[input.value],
    set(flag) {
      input.value = flag === false ? "no" : flag === true && !on ? "yes" : "";
    },
  };
}

function oneOf(option, names) {
  const standard = standardOf(option);
  const first = option.required ? null : choice("", standard ? `${shown(standard)} (default)` : "default");
  const others = option.choices.map(String).filter(value => value !== standard);
  const input = el(
    "select",
    names,
    first,
    others.map(value => choice(value, shown(value))),
  );
  return {
    input,
    value: () => option.choices.find(value => String(value) === input.value),
    set(value) {
      input.value = value === undefined || value === null || String(value) === standard ? "" : String(value);
    },
  };
}

function someOf(option) {
  const boxes = option.choices.map(value =>
    el("input", { type: "checkbox", name: option.name, data: { choice: String(value) } }),
  );
  return {
    input: boxes[0],
    boxes: el(
      "div",
      { class: "choices" },
      boxes.map(one => el("label", {}, one, one.dataset.choice)),
    ),
    value() {
      const chosen = boxes.filter(one => one.checked).map(one => one.dataset.choice);
      return chosen.length ? chosen : undefined;
    },
    set(chosen) {
      for (const one of boxes) one.checked = [chosen ?? []].flat().map(String).includes(one.dataset.choice);
    },
  };
}

function lines(option, names) {
  const input = el("textarea", { ...names, rows: 2, placeholder: "one per line" });
  return {
    input,
    value() {
      const all = input.value
        .split("\n")
        .map(line => line.trim())
        .filter(Boolean);
      return all.length ? all : undefined;
    },
    set(all) {
      input.value = [all ?? []].flat().join("\n");
    },
  };
}

/** What stands in an empty field: the default, or words that the metavar offers, as unet of "unet|FACTOR". */
function placeholderOf(option) {
  if (standardOf(option) || option.positional) return standardOf(option);
  const words = (option.metavar ?? "").split("|").filter(word => /^[a-z-]+$/.test(word));
  return words.join(", ") || "default";
}

function text(option, names) {
  const numeric = { integer: "numeric", number: "decimal" }[option.kind];
  const input = el("input", {
    ...names,
    type: "text",
    inputmode: option.many ? null : numeric,
    placeholder: placeholderOf(option),
  });
  return {
    input,
    value() {
      const line = input.value.trim();
      if (!line) return undefined;
      return option.many ? split(line) : line;
    },
    set(words) {
      const all = words === undefined || words === null ? [] : words;
      input.value = Array.isArray(all) ? all.map(quoted).join(" ") : String(all);
    },
  };
}

function controlOf(option) {
  if (option.kind === "flag") return option.default === false ? box : yesOrNo;
  if (option.kind === "choice") return option.many ? someOf : oneOf;
  return option.many && option.repeats ? lines : text;
}

/** The flag of an option and the sentence that says what it sets; screen readers read it with the control. */
export function explanation({ flag, text: sentence }, id) {
  return el("span", { class: "help", id }, flag ? [el("code", {}, flag), " "] : null, sentence);
}

/**
 * Make the field of an option. `changed()` is called after each change by the user.
 * Returns {element, input, value(), set(value), fail(text), focus(), mark()}: `value` is undefined if none is given.
 */
export function optionField(option, changed) {
  const id = newId(),
    help = newId(),
    error = newId();
  const described = `${help} ${error}`;
  const names = { id, name: option.name, "aria-describedby": described, autocomplete: "off", spellcheck: "false" };
  const kind = controlOf(option),
    { input, boxes, value, set } = kind(option, names);
  const problem = el("span", { class: "problem", id: error });
  const below = [explanation(option, help), problem];
  const element = boxes
    ? el("fieldset", { class: "field", "aria-describedby": described }, [
        el("legend", { class: "label" }, option.title),
        boxes,
        below,
      ])
    : kind === box
      ? el("div", { class: "field flag" }, el("label", { for: id }, input, option.title), below)
      : el("div", { class: "field" }, el("label", { for: id }, option.title), input, below);
  element.dataset.option = option.name;
  if (option.required) input.setAttribute("aria-required", "true");
  element.addEventListener("input", () => {
    field.fail("");
    changed();
  });
  const field = {
    element,
    value,
    set,
    input,
    focus: () => input.focus(),
    mark: () => element.classList.toggle("changed", field.value() !== undefined && !option.positional),
    fail(line) {
      if (problem.textContent !== line) problem.textContent = line;
      if (line) input.setAttribute("aria-invalid", "true");
      else input.removeAttribute("aria-invalid");
    },
  };
  return field;
}
