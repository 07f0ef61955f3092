/* Controls of the page that have a state of their own: the classes, and the samplers with their steps. */

import { SAMPLERS } from "./diffusion.js";
import { el } from "./shared/elements.js";

const CHIPS = 40; // the most classes that are shown side by side
const MOST_REPEATS = 10000; // of what a sampler does at a step, and the most steps
const OPTIONS = ["eta", "variance", "order", "steps_per_level", "step_size", "corrections", "snr", "noise"];

/** Whether the value of a setting is a whole number in a range; an error that says so, if not. */
export function wholeNumber(text, name, least, most) {
  const number = Number(text);
  if (text !== "" && Number.isInteger(number) && number >= least && number <= most) return number;
  throw new Error(`${name} must be a whole number from ${least} to ${most}.`);
}

const above = (value) => Number.isFinite(value) && value > 0;
const isCount = (value) => Number.isInteger(value) && value > 0 && value <= MOST_REPEATS;
const SOUND = { // what settings of a sampler can be
  steps: (value, T) => value === null || (isCount(value) && value <= T),
  clip: (value) => value === null || above(value),
  spacing: (value) => ["trailing", "leading", "linspace", "logsnr", "karras"].includes(value),
  eta: (value) => Number.isFinite(value) && value >= 0,
  variance: (value) => ["large", "small", "learned"].includes(value),
  order: isCount, steps_per_level: isCount, corrections: isCount, step_size: above, snr: above,
  noise: (value) => above(value) && value < 100,
  churn: (value) => value === 0, rtol: (value) => value === null, // these the page does not have
};

/** The sampler of a text with all its settings, as "ddim:steps=50,eta=0.0,clip=1.0"; without steps it has T. */
function samplerOf(text, T) {
  const [name, rest = ""] = text.split(/:(.*)/);
  const fields = Object.fromEntries(rest.split(",").map((one) => one.split("=")));
  const read = (word) => (word === "None" ? null : Number.isNaN(Number(word)) ? word : Number(word));
  const values = Object.fromEntries(Object.entries(fields).map(([field, word]) => [field, read(word)]));
  const key = name === "euler" && fields.ancestral === "True" ? "euler-ancestral" : name;
  const known = Object.hasOwn(SAMPLERS, key) && SAMPLERS[key];
  if (!known || !Object.entries(SOUND).every(([field, sound]) => !(field in values) || sound(values[field], T))) {
    throw new Error(`The page does not have the sampler ${text}.`);
  }
  return {
    key, label: known.label, clip: values.clip, spacing: values.spacing, steps: values.steps || T,
    options: Object.fromEntries(OPTIONS.filter((field) => field in values).map((field) => [field, values[field]])),
    text: (steps) => `${name}:${Object.entries({ ...fields, steps }).map((one) => one.join("=")).join(",")}`,
  };
}

export class SamplerControl {
  /** Chooses among samplers, given as texts, and their numbers of steps from 1 to T. */
  constructor({ select, steps, slider }, texts, T) {
    Object.assign(this, { select, steps, slider, T, samplers: [] });
    texts.forEach((text) => this.add(samplerOf(text, T)));
    select.onchange = () => this.setSteps(this.chosen.steps);
    slider.oninput = () => this.setSteps(T ** (Number(slider.value) / 100));
    steps.onchange = () => this.setSteps(Number(steps.value));
    this.restore(texts[0]);
  }

  get chosen() {
    return this.samplers[this.select.value];
  }

  /** The sampler with the chosen number of steps. */
  value() {
    return { ...this.chosen, steps: wholeNumber(this.steps.value, "The number of steps", 1, this.T) };
  }

  add(sampler) {
    this.samplers.push(sampler);
    this.select.append(new Option(sampler.label, this.samplers.length - 1));
  }

  /** Chooses the sampler of a text, which is added if it has other settings than those there. */
  restore(text) {
    const sampler = samplerOf(text, this.T), same = ({ key, clip, spacing, options }) =>
      [key, clip, spacing, ...Object.values(options)].join() ===
      [sampler.key, sampler.clip, sampler.spacing, ...Object.values(sampler.options)].join();
    let number = this.samplers.findIndex(same);
    if (number < 0) number = this.samplers.length;
    if (!this.samplers[number]) this.add({ ...sampler, label: `${sampler.label}, as in the picture` });
    this.select.value = number;
    this.setSteps(sampler.steps);
  }

  setSteps(steps) {
    const count = Math.min(Math.max(Math.round(steps) || 1, 1), this.T);
    Object.assign(this.steps, { max: this.T, value: count });
    this.slider.value = this.T > 1 ? (100 * Math.log(count)) / Math.log(this.T) : 0;
    this.slider.setAttribute("aria-valuetext", `${count} steps`);
  }
}

export class LabelControl {
  /** Chooses among classes, in a fieldset: all in turn, none, or some. */
  constructor(box, names) {
    Object.assign(this, { box, names, order: null });
    if (!names.length) return;
    box.hidden = false;
    const none = names.includes("none") ? [] : [["no class", "none"]]; // a class comes first, as in Python
    const choices = [["all in turn", "all"], ...none, ...names.map((name, i) => [name, String(i)])];
    if (names.length > CHIPS) {
      this.select = el("select", { name: "label", "aria-label": "Class" });
      this.select.append(...choices.map(([text, key]) => new Option(text, key)));
      return box.append(this.select);
    }
    this.inputs = choices.map(([, key]) =>
      el("input", { type: "checkbox", name: "label", value: key, checked: key === "all" }));
    const chips = choices.map(([text], i) =>
      el("label", {}, this.inputs[i], el("span", { title: text }, text)));
    box.append(el("div", { class: "chips" }, chips));
    box.addEventListener("change", (event) => this.settle(event.target));
  }

  /** "all in turn" and "no class" stand alone, and something is always chosen. */
  settle(changed) {
    this.order = null;
    const alone = (input) => input.value === "all" || input.value === "none";
    for (const input of changed.checked ? this.inputs : []) {
      if (input !== changed && (alone(changed) || alone(input))) input.checked = false;
    }
    if (!this.inputs.some((input) => input.checked)) this.inputs[0].checked = true;
  }

  /** The names of the chosen classes, "none" for no class; null: all in turn. */
  value() {
    if (!this.names.length) return null;
    const keys = this.select ? [this.select.value]
      : this.order || this.inputs.filter((input) => input.checked).map((input) => input.value);
    return keys[0] === "all" ? null : keys.map((key) => (key === "none" ? "none" : this.names[key]));
  }

  /** What restore() needs for names of classes, null: all in turn; an error where there is no such control. */
  read(labels) {
    const keyOf = (label) => (this.names.includes(label) ? String(this.names.indexOf(label)) : label);
    const keys = labels ? labels.map(keyOf) : ["all"];
    if (labels && !labels.every((label) => label === "none" || this.names.includes(label))) {
      throw new Error("The picture has classes that this model does not have.");
    }
    if (this.select && keys.length > 1) throw new Error("The picture has several classes; the page takes one.");
    return keys;
  }

  /** Chooses classes. Those of a picture keep their order, and how often they come, until others are chosen. */
  restore(keys) {
    if (!this.names.length) return;
    if (this.select) this.select.value = keys[0];
    else this.inputs.forEach((input) => (input.checked = keys.includes(input.value)));
    this.order = keys;
  }
}
