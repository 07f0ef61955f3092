// Controls of what samples are conditioned on: chips for the label, sliders for numbers, lists for classes, images, a
// field for words, and a line of text for all other kinds.

import { el } from "../page/shared/elements.js";
import { numberRow } from "../page/shared/number_row.js";
import { wordsField } from "../page/shared/words_field.js";
import { newId, write } from "./dom.js";
import { imageDrop, imageOf } from "./image_drop.js";

/** Chips of classes, of which several may be pressed: sample i has class i modulo their number. */
function chips(names, changed, { none, all }) {
  const buttons = [...names, ...(none ? ["none"] : [])].map(name =>
    el("button", { type: "button", class: "chip", "aria-pressed": "false", data: { name } }, name),
  );
  const text = el("span", { class: "help small soft" });
  const element = el("div", { class: "stack tight" }, el("div", { class: "row chips" }, buttons), text);
  const pressed = () =>
    buttons.filter(button => button.getAttribute("aria-pressed") === "true").map(button => button.dataset.name);
  const say = () => write(text, pressed().length ? (pressed().length > 1 ? "in turn" : "") : all);
  for (const button of buttons) {
    button.addEventListener("click", () => {
      button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
      say();
      changed();
    });
  }
  say();
  return {
    element,
    value: () => (pressed().length ? pressed() : undefined),
    set(chosen) {
      const wanted = [chosen ?? []].flat().map(String);
      // a class may also be named by its number
      for (const [number, button] of buttons.entries()) {
        const name = button.dataset.name,
          is = wanted.includes(name) || (!names.includes(String(number)) && wanted.includes(String(number)));
        button.setAttribute("aria-pressed", String(is));
      }
      say();
    },
  };
}

function vector(kind, changed) {
  const rows = kind.mean.map((_, place) => {
    const id = newId();
    const name = kind.names[place];
    return numberRow(kind, place, {
      caption: el("label", { for: id, class: "small" }, name ?? ""),
      slider: { "aria-label": `${name ?? "value"} by a slider` },
      number: { id, class: "narrow" },
      changed,
    });
  });
  return {
    element: el(
      "div",
      { class: "stack tight" },
      rows.map(row => row.element),
    ),
    value: () => rows.map((row, place) => row.number.value || String(kind.mean[place])).join(","),
    set: text =>
      String(text)
        .split(",")
        .forEach((value, place) => rows[place]?.set(value)),
  };
}

function classes(kind, label, changed) {
  const select = el(
    "select",
    { "aria-label": label },
    kind.names.map(name => el("option", { value: name }, name)),
  );
  select.addEventListener("change", changed);
  return {
    element: select,
    value: () => select.value,
    set: name => {
      select.value = name;
    },
  };
}

function image(app, name, changed) {
  let ref = null; // the image that is being loaded
  const chosen = () => {
    ref = null;
    changed();
  };
  const drop = imageDrop(app, { label: `Image for ${name}`, chosen });
  return {
    element: drop.element,
    drop,
    value: () => drop.value?.ref,
    async set(newRef) {
      ref = newRef;
      if (drop.value?.ref === newRef) return;
      try {
        const newImage = await imageOf(newRef);
        if (ref !== newRef) return;
        drop.set(newImage);
      } catch (error) {
        if (ref !== newRef) return;
        drop.set(null);
        drop.fail(error.message);
      }
      changed();
    },
  };
}

function words(kind, name, label, changed, options = {}) {
  const { element, input, set } = wordsField(name, kind, { "aria-label": label }, options);
  input.addEventListener("input", changed);
  return { element, value: () => input.value || undefined, set };
}

/** The field of a text that guidance leads away from, below that of the condition. */
function avoidField({ name, kind }, changed) {
  if (kind.kind !== "words") return null;
  const control = words(kind, name, `avoid ${name}`, changed, { text: "" });
  const element = el("div", { class: "stack tight" }, el("span", { class: "small soft" }, "Avoid"), control.element);
  return { ...control, element, name };
}

/** The values of a kind that has no control of its own, as the command takes them. */
function text(label, changed) {
  const input = el("input", { type: "text", "aria-label": label, on: { input: changed } });
  return {
    element: input,
    value: () => input.value || undefined,
    set: value => {
      input.value = value;
    },
  };
}

/** The field of a condition, which is given or not: its control, and values in turn that one control cannot show. */
function conditionField(app, { name, kind, vary }, changed) {
  const controls = {
    vector: () => vector(kind, changed),
    classes: () => classes(kind, name, changed),
    image: () => image(app, name, changed),
    words: () => words(kind, name, name, changed),
  };
  const control = controls[kind.kind]?.() ?? text(name, changed);
  let further = [];
  const use = el("input", { type: "checkbox" });
  const body = el("div", { hidden: true }, control.element);
  const avoided = avoidField({ name, kind }, changed);
  const made = kind.made_by ? el("span", { class: "small soft" }, `made by ${kind.made_by}`) : null;
  const note = el("p", { class: "small soft", hidden: true });
  const show = given => {
    use.checked = given;
    body.hidden = !given;
  };
  use.addEventListener("change", () => {
    show(use.checked);
    changed();
  });
  control.element.addEventListener("input", () => {
    further = [];
    note.hidden = true;
  });
  return {
    name,
    element: el(
      "fieldset",
      { class: "field", data: { condition: name } },
      el("legend", { class: "row apart" }, el("label", { class: "row" }, use, el("span", { class: "label" }, name), made), vary),
      note,
      body,
      avoided?.element,
    ),
    avoided,
    /** The values as the command takes them. */
    words() {
      const values = further.length ? further : [control.value()];
      return use.checked ? values.filter(value => value !== undefined).map(value => `${name}=${value}`) : [];
    },
    /** Set the values. Returns a promise that ends once they are there: an image is loaded first. */
    async set(values) {
      show(values.length > 0);
      further = values.length > 1 ? values : [];
      note.hidden = !further.length;
      write(note, `${values.length} values in turn: ${values.join("; ")}. A change below replaces them.`);
      if (values.length) await control.set(values[0]);
    },
    setImage(newImage) {
      show(true);
      control.drop.set(newImage);
      changed();
    },
  };
}

/** [name, values] of each condition, by its words as the command takes them, or by a recipe. */
export function valuesByName(given) {
  if (given && typeof given === "object" && !Array.isArray(given)) return Object.entries(given);
  const pairs = [given ?? []].flat().map(word => /^([^=]+)=(.*)$/s.exec(word)).filter(Boolean);
  return [...Map.groupBy(pairs, ([, name]) => name)].map(([name, all]) => [name, all.map(([, , value]) => value)]);
}

/**
 * Make the controls of a model, as GET /api/runs/{id}/model describes it.
 * `labelDefault` says what no label means. Returns {element, values(), set({label, given, avoid}), loaded(), setImage(name,
 * image)}; `values()` has `label`, `given` and `avoid` as the command takes them, left out where nothing is chosen;
 * `loaded()` is a promise that ends once all values that were set are there. `vary(name)` is a button beside a condition,
 * or null.
 */
export function conditionControls(app, model, { labelDefault, changed = () => {}, vary = () => null }) {
  const label = model.classes.length ? chips(model.classes, changed, { none: true, all: labelDefault }) : null;
  const labelField = label && [el("legend", { class: "row apart" }, el("span", { class: "label" }, "Class"), vary("label")), label.element];
  const fields = Object.entries(model.conditions).map(([name, kind]) =>
    conditionField(app, { name, kind, vary: vary(name) }, changed),
  );
  let loading = Promise.resolve();
  return {
    element: el(
      "div",
      { class: "stack conditions" },
      label && el("fieldset", { class: "field", data: { option: "label" } }, labelField),
      fields.map(field => field.element),
    ),
    values() {
      const given = fields.flatMap(field => field.words());
      const texts = fields.filter(field => field.avoided?.value());
      const avoid = texts.map(({ name, avoided }) => `${name}=${avoided.value()}`);
      const chosen = label?.value();
      return { ...(chosen && { label: chosen }), ...(given.length && { given }), ...(avoid.length && { avoid }) };
    },
    set({ label: chosen, given, avoid } = {}) {
      label?.set(chosen);
      const texts = new Map(valuesByName(avoid));
      for (const { name, avoided } of fields) avoided?.set(texts.get(name)?.[0] ?? "");
      const values = new Map(valuesByName(given));
      // what this model does not know stays out; the server would refuse it
      loading = Promise.all(fields.map(field => field.set(values.get(field.name) ?? [])));
    },
    loaded: () => loading,
    setImage(name, newImage) {
      fields.find(field => field.name === name).setImage(newImage);
    },
    /** Names of all conditions. */
    names: [...(label ? ["label"] : []), ...Object.keys(model.conditions)],
    /** Names of the conditions that are images. */
    images: Object.entries(model.conditions)
      .filter(([, kind]) => kind.kind === "image")
      .map(([name]) => name),
  };
}
