// A form of the options of a command, made from what GET /api/forms/{command} says of them.
//
// An option that is not given is left out, so that the command takes its default, as on the command line.

import { el, fill } from "../page/shared/elements.js";
import { newId } from "./dom.js";

const LONG_HELP = 150;

/**
 * Make the form. `options` are those of the server, `values` the first values by name.
 * `only`: names of the options that are shown, in this order; null shows all: those named in `first`, or else the
 * common ones, and the rest folded.
 * `leave`: names of options that something else on the page sets. `changed` is called after each change by the user.
 *
 * Returns {element, values(), set(values), fail(option, text), words(), field(name)}: `values()` has the options that
 * were given, by name; `set` replaces all values; `fail` shows an error at its option, or above the form;
 * `words()` the words of the command line.
 */
export function optionForm(options, values = {}, { only = null, first = null, leave = [], changed = () => {} } = {}) {
  const used = options.filter(option => !leave.includes(option.name) && (!only || only.includes(option.name)));
  const update = () => {
    for (const field of fields.values()) field.mark();
    changed();
  };
  const fields = new Map(used.map(option => [option.name, optionField(option, update)]));
  const problem = el("p", { class: "error", role: "alert", hidden: true });
  const shown = name => fields.get(name).element;

  const names =
    (only ?? first)
      ? (only ?? first).filter(name => fields.has(name))
      : used.filter(option => option.common || option.positional).map(option => option.name);
  const rest = used.filter(option => !names.includes(option.name));
  const sections = new Map();
  for (const option of rest) sections.set(option.section, [...(sections.get(option.section) ?? []), option.name]);
  const search = el("input", { type: "search", placeholder: "Find an option", "aria-label": "Find an option" });
  const parts = [...sections].map(([section, members]) =>
    el(
      "div",
      { class: "stack tight", data: { section } },
      el("h4", {}, section),
      el("div", { class: "fields" }, members.map(shown)),
    ),
  );
  search.addEventListener("input", () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const option of rest) {
      const text = `${option.flag ?? ""} ${option.name} ${option.text}`.toLowerCase();
      shown(option.name).hidden = !words.every(word => text.includes(word));
    }
    for (const part of parts) part.hidden = ![...part.querySelectorAll(".field")].some(field => !field.hidden);
  });
  const fold = rest.length
    ? el("details", {}, el("summary", {}, `All ${used.length} options`), el("div", { class: "stack" }, search, parts))
    : null;
  const element = el("div", { class: "options" }, problem, el("div", { class: "fields" }, names.map(shown)), fold);

  const form = {
    element,
    field: name => fields.get(name) ?? null,
    values() {
      const given = {};
      for (const [name, field] of fields) {
        const value = field.value();
        if (value !== undefined) given[name] = value;
      }
      return given;
    },
    set(newValues = {}) {
      form.fail(null, "");
      for (const [name, field] of fields) field.set(newValues[name]);
      for (const field of fields.values()) field.mark();
      if (fold && rest.some(option => newValues[option.name] !== undefined && newValues[option.name] !== null))
        fold.open = true;
    },
    fail(option, text) {
      for (const field of fields.values()) field.fail("");
      const field = option && fields.get(option);
      problem.hidden = !text || Boolean(field);
      problem.textContent = field ? "" : text;
      if (!field || !text) {
        if (text) problem.scrollIntoView({ block: "nearest" });
        return;
      }
      if (fold?.contains(field.element)) fold.open = true;
      field.fail(text);
      field.focus();
    },
    words() {
      const places = [],
        words = [];
      for (const option of used) {
        const value = fields.get(option.name).value();
        if (value === undefined) continue;
        if (option.positional) places.push(...[value].flat());
        else if (option.kind === "flag") words.push(value ? option.flag : option.flag.replace(/^--/, "--no-"));
        else if (option.repeats) for (const one of [value].flat()) words.push(option.flag, one);
        else words.push(option.flag, ...[value].flat());
      }
      return [...places, ...words].map(String);
    },
  };
  form.set(values);
  return form;
}

/** A command as one would type it, with quotes where a shell needs them. */
export function commandLine(command, words) {
  return ["ancestral", command, ...words]
    .map(word => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${String(word).replaceAll("'", "'\\''")}'`))
    .join(" ");
}

/** Words of a text, separated by spaces or lines; "two words" in quotes are one. */
export function split(text) {
  return [...text.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(match => match[1] ?? match[2] ?? match[3]);
}

const quoted = word => (/\s/.test(word) ? `"${word}"` : String(word));

/** One option: {element, value(), set(value), fail(text), focus(), mark(), input}. */
function optionField(option, changed) {
  const id = newId(),
    help = newId(),
    error = newId();
  const names = {
    id,
    name: option.name,
    "aria-describedby": `${help} ${error}`,
    autocomplete: "off",
    spellcheck: "false",
  };
  const title = option.positional ? option.metavar || option.name : option.flag;
  const standard =
    option.default === null || option.default === undefined || option.default === ""
      ? ""
      : [option.default].flat().join(" ");
  const problem = el("span", { class: "problem", id: error });
  const text = helpText(option.text, help);
  let input, element, value, set;

  if (option.kind === "flag") {
    // a flag that is on by default, or that the command decides, can be refused too
    const plain = option.default === false;
    if (plain) {
      input = el("input", { ...names, type: "checkbox" });
      value = () => (input.checked ? true : undefined);
      set = flag => {
        input.checked = flag === true;
      };
      element = el("div", { class: "field flag" }, el("label", { for: id }, input, title), text, problem);
    } else {
      const first = option.default === true ? "yes (default)" : "default";
      input = el(
        "select",
        names,
        el("option", { value: "" }, first),
        option.default === true ? null : el("option", { value: "yes" }, "yes"),
        el("option", { value: "no" }, "no"),
      );
      value = () => ({ yes: true, no: false })[input.value];
      set = flag => {
        input.value = flag === false ? "no" : flag === true && option.default !== true ? "yes" : "";
      };
    }
  } else if (option.kind === "choice" && option.many) {
    const boxes = option.choices.map(choice =>
      el("input", { type: "checkbox", name: option.name, data: { choice: String(choice) } }),
    );
    input = boxes[0];
    value = () => {
      const chosen = boxes.filter(box => box.checked).map(box => box.dataset.choice);
      return chosen.length ? chosen : undefined;
    };
    set = chosen => {
      for (const box of boxes) box.checked = [chosen ?? []].flat().map(String).includes(box.dataset.choice);
    };
    element = el(
      "fieldset",
      { class: "field", "aria-describedby": `${help} ${error}` },
      el("legend", { class: "label" }, title),
      el(
        "div",
        { class: "choices" },
        boxes.map(box => el("label", {}, box, box.dataset.choice)),
      ),
      text,
      problem,
    );
  } else if (option.kind === "choice") {
    const first = option.required ? null : el("option", { value: "" }, standard ? `${standard} (default)` : "default");
    input = el(
      "select",
      names,
      first,
      option.choices
        .filter(choice => String(choice) !== standard)
        .map(choice => el("option", { value: String(choice) }, String(choice))),
    );
    value = () => input.value || undefined;
    set = choice => {
      input.value = choice === undefined || choice === null || String(choice) === standard ? "" : String(choice);
    };
  } else if (option.many && option.repeats) {
    input = el("textarea", { ...names, rows: 2, placeholder: "one per line" });
    value = () => {
      const lines = input.value
        .split("\n")
        .map(line => line.trim())
        .filter(Boolean);
      return lines.length ? lines : undefined;
    };
    set = lines => {
      input.value = [lines ?? []].flat().join("\n");
    };
  } else {
    const numeric = { integer: "numeric", number: "decimal" }[option.kind];
    input = el("input", {
      ...names,
      type: "text",
      inputmode: option.many ? null : numeric,
      placeholder: standard || (option.positional ? "" : option.metavar) || "",
    });
    value = () => {
      const line = input.value.trim();
      if (!line) return undefined;
      return option.many ? split(line) : line;
    };
    set = words => {
      input.value =
        words === undefined || words === null ? "" : Array.isArray(words) ? words.map(quoted).join(" ") : String(words);
    };
  }
  element ??= el("div", { class: "field" }, el("label", { for: id }, title), input, text, problem);
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
    mark: () => element.classList.toggle("changed", value() !== undefined && !option.positional),
    fail(line) {
      if (problem.textContent !== line) problem.textContent = line;
      if (line) input.setAttribute("aria-invalid", "true");
      else input.removeAttribute("aria-invalid");
    },
  };
  return field;
}

/** The help of an option: of a long one three lines, and a button for the rest. Screen readers read all of it. */
function helpText(text, id) {
  const help = el("span", { class: "help", id }, text);
  if (text.length <= LONG_HELP) return help;
  help.classList.add("cut");
  const button = el("button", { type: "button", class: "more", "aria-expanded": "false" }, "more");
  button.addEventListener("click", () => {
    const open = !help.classList.toggle("cut");
    button.textContent = open ? "less" : "more";
    button.setAttribute("aria-expanded", String(open));
  });
  return el("span", {}, help, button);
}

/** Offer values for a text field, as the browser's own list. */
export function offer(input, values) {
  let list = document.getElementById(input.getAttribute("list"));
  if (!list) {
    list = el("datalist", { id: newId() });
    input.setAttribute("list", list.id);
    input.after(list);
  }
  fill(
    list,
    values.map(value => el("option", { value })),
  );
}
