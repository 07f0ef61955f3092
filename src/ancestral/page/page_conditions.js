/* Controls of what samples are conditioned on besides the class: numbers, classes, words and images.
 *
 * Each control has value(): {input, text} (what the network gets, and the text of a recipe) or null where it is absent,
 * and restore(read(text)), where read() raises an error unless restore() can take the text. That of an image has
 * set(image) in the place of both, take(file), and no text; an image is {values, height, width, file}, in the units of
 * the data.
 */

import { conditionInput, fitted, fromBytes, fromPixels, pixelsOfFile, toBytes, toPixels } from "./page_images.js";
import { tried } from "./page_messages.js";
import { el, onFile } from "./shared/elements.js";
import { numberRow } from "./shared/number_row.js";
import { wordsField } from "./shared/words_field.js";

/** The control of a condition, with its `part` of the page. */
export function conditionControl(name, condition, model) {
  const isSignal = condition.kind === "Image" && model.shape.length !== 3;
  return isSignal ? signal(name)
    : { Classes: classes, Vector: vector, Image: image, Words: words }[condition.kind](name, condition, model);
}

/** Of a signal, which a browser has no files of: it is always absent. */
function signal(name) {
  const text = "The page takes no signals: samples are made without it.";
  const part = el("fieldset", {}, el("legend", {}, name), el("p", { class: "hint" }, text));
  return { part, value: () => null, set() {} };
}

function classes(name, { names }) {
  const options = names.map((text, i) => new Option(text, i));
  const select = el("select", { name: `given ${name}` }, new Option("none", "-1"), options);
  select.selectedIndex = 1;
  return {
    part: el("label", { class: "row" }, el("span", {}, name), select),
    value: () => (select.value === "-1" ? null : { input: Number(select.value), text: names[select.value] }),
    read(text) {
      if (text !== "none" && !names.includes(text)) throw new Error(`The picture has another ${name}: ${text}.`);
      return names.indexOf(text);
    },
    restore: (index) => (select.value = index),
  };
}

function vector(name, condition) {
  const { mean, std, names } = condition, given = el("input", { type: "checkbox", checked: true });
  const rows = mean.map((_, i) => {
    const text = names[i] || (mean.length > 1 ? `number ${i + 1}` : "value"), label = `${name}, ${text}`;
    return numberRow(condition, i, {
      caption: el("span", {}, text),
      slider: { "aria-label": label }, number: { "aria-label": `${label}, as a number` },
      changed: () => (given.checked = true),
    });
  });
  const head = el("label", { class: "row" }, given, el("span", {}, "given"));
  return {
    part: el("fieldset", {}, el("legend", {}, name), head, rows.map((row) => row.element)),
    value() {
      if (!given.checked) return null;
      const values = rows.map(({ number }) => (number.value === "" ? NaN : Number(number.value)));
      if (!values.every(Number.isFinite)) throw new Error(`${name} must be a number, or not given.`);
      const input = Float32Array.from([...values.map((value, i) => (value - mean[i]) / std[i]), 1]);
      return { input, text: values.map(String).join(",") };
    },
    read(text) {
      if (text === "none") return null;
      const values = text.split(",").map((value) => (value === "" ? NaN : Number(value)));
      if (values.length === rows.length && values.every(Number.isFinite)) return values;
      throw new Error(`The picture has another ${name}: ${text}.`);
    },
    restore(values) {
      given.checked = values !== null;
      values?.forEach((value, i) => rows[i].set(value));
    },
  };
}

function words(name, condition) {
  return text(name, condition, { id: `given-${name}`, name: `given ${name}` }, name);
}

/** The control of a text that guidance leads away from, {part, name, value(), restore(text)}. */
export function avoidControl(name, condition) {
  const attributes = { id: `avoid-${name}`, name: `avoid ${name}`, rows: 1 };
  return { ...text(name, condition, attributes, `avoid ${name}`, { text: "" }), name };
}

function text(name, condition, attributes, label, options = {}) {
  const { element, input, read, set } = wordsField(name, condition, attributes, options);
  return {
    part: el("div", { class: "stacked" }, el("label", { for: attributes.id }, label), element),
    value() {
      const text = input.value, { tokens } = read(text);
      return tokens[0] < 0 ? null : { input: tokens, text };
    },
    read: (text) => (text === "none" ? "" : text),
    restore: set,
  };
}

function image(name, condition, model) {
  const { channels } = condition, picture = el("canvas", { class: "thumbnail", width: 1, height: 1, role: "img" });
  const file = el("input", { type: "file", accept: "image/*", "aria-label": `Image ${name}` });
  const remove = el("button", { type: "button", on: { click: () => set(null) } }, "Remove");
  const choose = el("label", { class: "file" }, "Image … ", file);
  const part = el("fieldset", {}, el("legend", {}, name), el("div", { class: "row" }, picture, choose, remove));
  let current = null;

  function set(chosen) {
    current = chosen;
    remove.disabled = !chosen;
    const { height, width } = chosen || { height: 1, width: 1 };
    Object.assign(picture, { width, height, ariaLabel: chosen ? `The image ${name}` : `No image ${name}` });
    if (!chosen) return;
    const colours = channels - (condition.masked ? 1 : 0) >= 3 ? 3 : 1; // without what says which part is known
    const seen = toBytes(chosen.values, condition.codec).subarray(0, colours * height * width);
    picture.getContext("2d").putImageData(toPixels(seen, [colours, height, width]), 0, 0);
  }

  async function take(chosen) {
    const pixels = await pixelsOfFile(chosen), shape = [channels, pixels.height, pixels.width];
    const [height, width] = condition.sides.length ? condition.sides : shape.slice(1);
    const bytes = fitted(fromPixels(pixels, channels), shape, [height, width]);
    set({ values: fromBytes(bytes, condition.codec), height, width, file: chosen.name || "image" });
  }

  function value() {
    if (!current) return null;
    const { values, height, width } = current;
    return { input: conditionInput(values, condition, [height, width], model.x_shape.slice(1)), image: current };
  }

  onFile(file, tried(take));
  set(null);
  return { part, value, set, take };
}
