// Names of parts of the package in a form as a list, with a field for each setting of the chosen one.

import { el, fill } from "../page/shared/elements.js";
import { newId } from "./dom.js";
import { settingName } from "./recipe_words.js";

const ELSEWHERE = ["steps"]; // settings that are options of their own

/** The name and the settings of a text, as in "heun:churn=10". */
function parted(text) {
  const [name, rest = ""] = text.split(/:(.*)/s);
  return { name, settings: new Map(rest.split(",").filter(Boolean).map(part => part.split(/=(.*)/s))) };
}

/** A row for each setting {name: default} of a choice; `changed()` is called after each change. */
function settingFields(settings, given, changed) {
  return Object.entries(settings)
    .filter(([name]) => given.has(name) || !ELSEWHERE.includes(name))
    .map(([name, standard]) => {
      const id = newId();
      const value = { id, type: "text", autocomplete: "off", placeholder: standard, value: given.get(name) ?? "" };
      const input = el("input", { ...value, data: { setting: name } });
      input.addEventListener("input", event => {
        event.stopPropagation();
        changed();
      });
      return el("div", { class: "row apart setting" }, el("label", { for: id, class: "small" }, settingName(name)), input);
    });
}

/**
 * Put a list in the place of the text of a form's field. `choices` are {name, text, settings}, of which the settings
 * {name: default} may be missing; `standard` says what none means.
 */
export function listChoices(form, name, choices, standard) {
  const field = form.field(name),
    { input, set } = field;
  const select = el(
    "select",
    { id: newId() },
    el("option", { value: "" }, standard),
    choices.map(({ name: one, text }) => el("option", { value: one, title: text }, `${one}: ${text}`)),
  );
  const rows = el("div", { class: "stack tight", role: "group", "aria-label": "Settings" });
  const write = () => {
    const given = [...rows.querySelectorAll("input")].filter(one => one.value.trim());
    const words = given.map(one => `${one.dataset.setting}=${one.value.trim()}`);
    input.value = [select.value, words.join(",")].filter(Boolean).join(":");
    input.dispatchEvent(new Event("input", { bubbles: true }));
  };
  const show = () => {
    const { name: chosen, settings } = parted(input.value);
    const choice = choices.find(one => one.name === chosen);
    if (chosen && !choice) select.append(el("option", { value: chosen }, chosen));
    select.value = chosen;
    const given = Object.fromEntries([...settings.keys()].map(setting => [setting, ""]));
    fill(rows, settingFields({ ...given, ...choice?.settings }, settings, write));
    rows.hidden = !rows.childElementCount;
  };
  select.addEventListener("change", () => {
    input.value = select.value;
    show();
    write();
  });
  field.set = value => {
    set(value);
    show();
  };
  field.element.querySelector("label").htmlFor = select.id;
  field.focus = () => select.focus();
  input.hidden = true;
  input.before(select, rows);
  show();
}
