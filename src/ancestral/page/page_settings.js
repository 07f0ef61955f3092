/* The settings of the page: its controls as a job, and as they were for a picture. */

import { times } from "./diffusion.js";
import { AxisControl } from "./page_axis.js";
import { avoidControl, conditionControl } from "./page_conditions.js";
import { LabelControl, SamplerControl, wholeNumber } from "./page_controls.js";
import { knownPart } from "./page_images.js";
import { $ } from "./page_messages.js";
import { bytesOf, savedValues } from "./page_recipe.js";
import { toBase64 } from "./shared/bytes.js";

const COUNTS = [1, 4, 9, 16, 25, 36, 64], POINT_COUNTS = [64, 256, 1024];
const BUDGET = 15; // seconds that the samples at the start may take
const NO_SCALE = "What is avoided has no effect with guidance 1: move the guidance up.";

const packed = ({ values, height, width, file }) => ({ height, width, file, values: toBase64(bytesOf(values)) });

/** The text by which a recipe of Python recognises an image; "" where the browser cannot compute it. */
async function described({ values, file }, condition) {
  if (!globalThis.crypto?.subtle) return "";
  const content = condition.masked ? knownPart(values, condition) : values;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytesOf(content)));
  const hex = [...digest.subarray(0, 8)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return `${file} sha256:${hex}`;
}

/** What the sample of a value of an axis is called. */
function captionOf({ text, field }, value) {
  if (field) return value;
  return `${text} ${Number(value) ? Number(value.toPrecision(4)) : value}`;
}

export class Settings {
  /** `fill`: the image that is filled in. */
  constructor(form, model, schedule, fill) {
    Object.assign(this, { form, model, schedule, fill });
    const sampler = { select: this.control("sampler"), steps: $("steps"), slider: $("log-steps") };
    this.sampler = new SamplerControl(sampler, model.samplers, schedule.T);
    this.labels = new LabelControl($("labels"), model.classes);
    this.conditions = Object.entries(model.conditions).map(([name, condition]) =>
      Object.assign(conditionControl(name, condition, model), { name }));
    this.axis = new AxisControl($("axis"), model);
    this.fixed = {}; // what a picture holds that no control shows: the indices of its samples, and a rescaling
    const texts = Object.entries(model.guidance ? model.conditions : {}).filter(([, { kind }]) => kind === "Words");
    this.avoided = texts.map(([name, condition]) => avoidControl(name, condition));
    $("conditions").append(...[...this.conditions, ...this.avoided].map((one) => one.part));
    $("guidance").hidden = !model.guidance;
    this.control("n").onchange = () => {
      delete this.fixed.index;
      this.axis.kept = null;
    };
    this.control("guidance").onchange = () => delete this.fixed.rescale;
    form.addEventListener("input", () => this.showOutputs());
    this.chooseCount();
    this.showOutputs();
  }

  control(name) {
    return this.form.elements[name];
  }

  value(name) {
    return this.control(name).value;
  }

  /** Offers numbers of samples, and chooses one that does not take long. */
  chooseCount() {
    const { isPoints, decoding, frames, milliseconds, workers } = this.model, { steps } = this.sampler.chosen;
    const counts = isPoints ? POINT_COUNTS : COUNTS, usual = isPoints ? 256 : 16;
    const each = milliseconds * steps + 2 * decoding * Math.min(steps, frames);
    const expected = (n) => (each * n) / workers / 1000;
    this.control("n").append(...counts.map((n) => new Option(n, n)));
    this.control("n").value = counts.filter((n) => n <= usual && (n === counts[0] || expected(n) < BUDGET)).at(-1);
  }

  showOutputs() {
    for (const output of this.form.querySelectorAll("label output")) {
      output.value = output.parentElement.querySelector("input").value;
    }
  }

  /** The settings as a job: what the Workers need, and what is saved in a picture. */
  async job() {
    const { model, fixed } = this, seed = wholeNumber(this.value("seed"), "The seed", 0, Number.MAX_SAFE_INTEGER);
    const sampler = this.sampler.value(), edit = this.fill.job();
    const axis = this.axis.value(Number(this.value("n")));
    const all = Array.from({ length: this.value("n") }, (_, i) => i);
    const indices = axis ? axis.values.map(() => 0) : fixed.index || all;
    const fixedOnes = this.conditions.filter(({ name }) => name !== axis?.name);
    const given = fixedOnes.map((one) => [one, one.value()]).filter(([, read]) => read);
    const names = axis?.name === "label" ? [] : this.labels.value() || model.classes;
    const avoid = this.avoided.map((one) => [one.name, one.value()]).filter(([, read]) => read);
    const recipe = await this.recipe({ seed, sampler, indices, given, avoid, names, axis });
    if (avoid.length && recipe.guidance === 1 && axis?.name !== "guidance") throw new Error(NO_SCALE);
    const visited = times(this.schedule, sampler.key, sampler.steps, sampler.spacing).length;
    const kept = Math.min(visited, model.frames), noClass = names.length ? "no class" : null;
    const labelOf = (index) => (names.length ? names[index % names.length] : null);
    const inputs = Object.fromEntries(given.map(([one, { input }]) => [one.name, input]));
    const inputsOf = (index) => {
      const label = labelOf(index);
      return label === null ? inputs : { ...inputs, labels: model.classes.indexOf(label) };
    };
    const images = given.filter(([, { image }]) => image).map(([one, { image }]) => [one.name, packed(image)]);
    return {
      recipe, edit, visited, sampler, rescale: fixed.rescale || 0,
      absent: Object.fromEntries(avoid.map(([name, { input }]) => [name, input])),
      shown: Array.from({ length: kept }, (_, i) => Math.round((i * (visited - 1)) / Math.max(kept - 1, 1))),
      captions: axis ? axis.values.map((value) => captionOf(axis, value))
        : indices.map((index) => (model.classes.includes(labelOf(index)) ? labelOf(index) : noClass)),
      items: indices.map((index, i) => (axis ? { index, ...axis.item(axis.values[i], inputsOf(index)) }
        : { index, inputs: inputsOf(index) })),
      saved: {
        schema: "page-1", recipe, ...(edit ? { edit: edit.saved } : {}), images: Object.fromEntries(images),
      },
      frames: indices.map(() => []), last: [],
    };
  }

  /** The recipe of a job, as Python writes them. */
  async recipe({ seed, sampler, indices, given, avoid, names, axis }) {
    const { model } = this, chosen = this.labels.value(), fixed = axis ? { ...this.fixed, index: null } : this.fixed;
    const guidance = model.guidance && axis?.name !== "guidance" ? Number(this.value("guidance")) : 1;
    const texts = await Promise.all(given.map(async ([{ name }, read]) =>
      read.text ?? (await described(read.image, model.conditions[name]))));
    return {
      ...model.recipe_head, model: model.sha256, version: model.version, seed,
      n: axis ? 1 : indices.length, sampler: sampler.text(sampler.steps), guidance,
      single: !axis && indices.length === 1,
      given: Object.fromEntries(given.map(([one], i) => [one.name, [texts[i]]])), then: {},
      avoid: Object.fromEntries(avoid.map(([name, read]) => [name, [read.text]])),
      ...(axis ? { sweep: { [axis.name]: axis.values } } : {}),
      ...(fixed.index || (!axis && indices.length === 1) ? { index: indices } : {}),
      ...(fixed.rescale ? { guidance_rescale: fixed.rescale } : {}),
      // all in turn is the default of Python too, but not beside other conditions
      ...(names.length && (chosen || given.length || axis) ? { label: names } : {}),
    };
  }

  /** Sets all controls as they were for a picture: by the recipe of the page, or of `ancestral sample`. */
  restore({ recipe, images, edit }) {
    const { guidance, given, avoid, seed, n } = recipe;
    const settings = this.conditions.map((one) => {
      const [text] = given[one.name] || [], saved = images[one.name];
      if (!one.set) return one.read(text || "none");
      if (!saved) return null;
      const { channels, codec } = this.model.conditions[one.name], count = channels * saved.height * saved.width;
      return { ...saved, values: savedValues(saved.values, codec, count) };
    });
    const filled = this.fill.read(edit), axis = this.axis.read(recipe.sweep), count = axis ? axis.values.length : n;
    const names = this.labels.read(recipe.label ?? (Object.keys(given).length ? ["none"] : null));
    this.sampler.restore(recipe.sampler); // what is wrong has been refused up to here, with all controls as they were
    this.labels.restore(names);
    this.conditions.forEach((one, i) => (one.set || one.restore)(settings[i]));
    for (const one of this.avoided) one.restore(one.read(avoid[one.name]?.[0] ?? "none"));
    const counts = this.control("n");
    if (![...counts.options].some(({ value }) => Number(value) === count)) counts.append(new Option(count, count));
    counts.value = count;
    this.control("seed").value = seed;
    const range = { min: Math.min(0, guidance), max: Math.max(6, guidance), step: guidance % 0.25 ? "any" : 0.25 };
    Object.assign(this.control("guidance"), range, { value: guidance });
    this.fixed = { index: recipe.index, rescale: recipe.guidance_rescale };
    this.axis.restore(axis);
    this.fill.restore(filled);
    this.showOutputs();
  }
}
