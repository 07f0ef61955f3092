// A form of the options of a command, made from what GET /api/forms/{command} says of them.
//
// An option that is not given is left out, so that the command takes its default, as on the command line.

import { el, fill } from "../page/shared/elements.js";
import { newId } from "./dom.js";
import { optionField } from "./form_field.js";
import { plainWords, rememberTitles } from "./plain_words.js";

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
  rememberTitles(options);
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
  const fold = rest.length ? foldOf(rest, used.length, shown) : null;
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
    fail(option, message) {
      const text = plainWords(message);
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
    words: () => wordsOf(used, fields),
  };
  form.set(values);
  return form;
}

/** The options that are not shown first, by section, with a field that finds one by its words. */
function foldOf(rest, count, shown) {
  const sections = Map.groupBy(rest, option => option.section);
  const search = el("input", { type: "search", placeholder: "Find an option", "aria-label": "Find an option" });
  const parts = [...sections].map(([section, options]) =>
    el(
      "div",
      { class: "stack tight", data: { section } },
      el("h4", {}, section),
      el(
        "div",
        { class: "fields" },
        options.map(option => shown(option.name)),
      ),
    ),
  );
  search.addEventListener("input", () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const option of rest) {
      const text = `${option.title} ${option.flag ?? ""} ${option.name} ${option.text}`.toLowerCase();
      shown(option.name).hidden = !words.every(word => text.includes(word));
    }
    for (const part of parts) part.hidden = ![...part.querySelectorAll(".field")].some(field => !field.hidden);
  });
  return el("details", {}, el("summary", {}, `All ${count} options`), el("div", { class: "stack" }, search, parts));
}

/** The words of the command line that mean what fields say. */
function wordsOf(used, fields) {
  const places = [],
    words = [];
  for (const option of used) {
    const value = fields.get(option.name).value();
    if (value === undefined) continue;
    if (option.positional) places.push(...[value].flat());
    else if (typeof value === "boolean") words.push(value ? option.flag : option.flag.replace(/^--/, "--no-"));
    else if (option.repeats) for (const one of [value].flat()) words.push(option.flag, one);
    else words.push(option.flag, ...[value].flat());
  }
  return [...places, ...words].map(String);
}

/** A command as one would type it, with quotes where a shell needs them. */
export function commandLine(command, words) {
  return ["ancestral", command, ...words]
    .map(word => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${String(word).replaceAll("'", "'\\''")}'`))
    .join(" ");
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
