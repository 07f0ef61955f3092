// Controls of what samples are conditioned on: chips for the label, sliders for numbers, lists for classes, images.

import { el } from "../page/shared/elements.js";
import { numberRow } from "../page/shared/number_row.js";
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
  const drop = imageDrop(app, { label: `Image for ${name}`, chosen: changed });
  return {
    element: drop.element,
    drop,
    value: () => drop.value?.ref,
    async set(ref) {
      if (drop.value?.ref === ref) return;
      try {
        drop.set(await imageOf(ref));
      } catch (error) {
        drop.set(null);
        drop.fail(error.message);
      }
      changed();
    },
  };
}

/**
 * Make the controls of a model, as GET /api/runs/{id}/model describes it.
 * `labelDefault` says what no label means. Returns {element, values(), set({label, given}), setImage(name, image)};
 * `values()` has `label` and `given` as the command takes them, left out where nothing is chosen.
 */
export function conditionControls(app, model, { labelDefault, changed = () => {} }) {
  const parts = [],
    controls = new Map();
  let label = null;
  if (model.classes.length) {
    label = chips(model.classes, changed, { none: true, all: labelDefault });
    parts.push(
      el(
        "fieldset",
        { class: "field", data: { option: "label" } },
        el("legend", { class: "label" }, "--label"),
        label.element,
      ),
    );
  }
  for (const [name, kind] of Object.entries(model.conditions)) {
    const control = {
      vector: () => vector(kind, changed),
      classes: () => classes(kind, name, changed),
      image: () => image(app, name, changed),
    }[kind.kind]();
    const use = el("input", { type: "checkbox" });
    const body = el("div", { hidden: true }, control.element);
    use.addEventListener("change", () => {
      body.hidden = !use.checked;
      changed();
    });
    const made = kind.made_by ? el("span", { class: "small soft" }, `made by ${kind.made_by}`) : null;
    const further = []; // values that one control cannot show, as of a recipe with several
    const note = el("p", { class: "small soft", hidden: true });
    parts.push(
      el(
        "fieldset",
        { class: "field", data: { condition: name } },
        el("legend", {}, el("label", { class: "row" }, use, el("span", { class: "label" }, name), made)),
        note,
        body,
      ),
    );
    controls.set(name, { ...control, use, body, further, note });
    control.element.addEventListener("input", () => {
      further.length = 0;
      note.hidden = true;
    });
  }
  return {
    element: el("div", { class: "stack conditions" }, parts),
    values() {
      const given = [];
      for (const [name, control] of controls) {
        if (!control.use.checked) continue;
        const values = control.further.length ? control.further : [control.value()];
        for (const value of values) if (value !== undefined) given.push(`${name}=${value}`);
      }
      const chosen = label?.value();
      return { ...(chosen && { label: chosen }), ...(given.length && { given }) };
    },
    set({ label: chosen, given } = {}) {
      label?.set(chosen);
      const values = new Map();
      for (const word of [given ?? []].flat()) {
        const [, name, value] = /^([^=]+)=(.*)$/s.exec(word) ?? [];
        if (name) values.set(name, [...(values.get(name) ?? []), value]);
      }
      for (const [name, control] of controls) {
        const several = values.get(name) ?? [];
        control.use.checked = several.length > 0;
        control.body.hidden = !several.length;
        control.further.length = 0;
        if (several.length > 1) control.further.push(...several);
        control.note.hidden = several.length < 2;
        write(control.note, `${several.length} values in turn: ${several.join("; ")}. A change below replaces them.`);
        if (several.length) control.set(several[0]);
      }
      // what this model does not know stays out; the server would refuse it
    },
    setImage(name, newImage) {
      const control = controls.get(name);
      control.use.checked = true;
      control.body.hidden = false;
      control.drop.set(newImage);
      changed();
    },
    /** Names of the conditions that are images. */
    images: Object.entries(model.conditions)
      .filter(([, kind]) => kind.kind === "image")
      .map(([name]) => name),
  };
}
