/* What a PNG says of the settings of its samples. It may come from anybody, so that all of it is checked before use. */

import { fromBase64 } from "./shared/bytes.js";

const MOST_SAMPLES = 4096;
const KEYS = [
  "$schema", "schema", "version", "model", "run", "step", "steps", "seed", "n", "index", "single", "label", "given", "avoid",
  "sampler", "guidance", "guidance_interval", "guidance_rescale", "weak", "then", "parent", "at", "edit", "sweep",
];
const DAMAGED = "The settings in the picture are damaged.";

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const isText = (value) => typeof value === "string";
const isTexts = (value) => Array.isArray(value) && value.length > 0 && value.every(isText);
const isCount = (value) => Number.isInteger(value) && value >= 0;
const isIndex = (value) => isCount(value) && value <= Number.MAX_SAFE_INTEGER;
const isSweep = (sweep) => isObject(sweep) && Object.keys(sweep).length > 0 &&
  Object.values(sweep).every((values) => Array.isArray(values) && values.length > 0 && values.length <= MOST_SAMPLES);
const isSaved = (image) => isObject(image) && isText(image.values) && isText(image.file) &&
  isIndex(image.height) && isIndex(image.width);

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Raises an error unless the page can make samples by a recipe, {recipe, images, edit}, of its model again. */
function check({ recipe, images, edit }, { sha256, conditions, shape }) {
  const isImage = shape.length === 3;
  const { guidance, given, avoid, seed, n, index, label } = recipe;
  if (recipe.model !== sha256) throw new Error("The picture was made by another model.");
  const others = [recipe.weak, recipe.guidance_interval, recipe.parent, ...Object.keys(recipe.then || {})];
  const all = Object.keys(recipe).every((key) => KEYS.includes(key) || recipe[key] === null); // others change samples
  const known = recipe.schema === "recipe-2" && all && !recipe.edit;
  if (!known || isObject(guidance) || others.some(Boolean)) {
    throw new Error("The picture was made with guidance, models or edits that this page does not have.");
  }
  const sound = isCount(seed) && isCount(n) && n > 0 && Number.isFinite(guidance) && isText(recipe.sampler) &&
    [given, avoid].every((values) => isObject(values) && Object.values(values).every(isTexts)) && (label === null || isTexts(label)) &&
    (index === null || (Array.isArray(index) && index.length === n && index.every(isIndex))) &&
    (recipe.sweep === null || (isSweep(recipe.sweep) && n === 1)) &&
    (recipe.guidance_rescale === null || Number.isFinite(recipe.guidance_rescale)) &&
    isObject(images) && Object.values(images).every(isSaved) &&
    (edit === null || (isImage && isObject(edit) && isText(edit.image) && isText(edit.mask)));
  if (!sound) throw new Error(DAMAGED);
  if (seed > Number.MAX_SAFE_INTEGER) throw new Error("The seed of the picture is larger than this page can count.");
  if (n > MOST_SAMPLES) throw new Error(`The picture has ${n} samples; the page makes at most ${MOST_SAMPLES}.`);
  for (const [name, texts] of Object.entries(avoid)) {
    if (conditions[name]?.kind === "Words" && texts.length === 1) continue;
    throw new Error(`The picture avoids ${texts.join(", ")}, and this page avoids one text.`);
  }
  for (const [name, texts] of Object.entries(given)) {
    if (!Object.hasOwn(conditions, name)) throw new Error(`The model has no condition ${name}.`);
    if (texts.length > 1) throw new Error(`The picture has several values of ${name}; the page takes one.`);
    if (conditions[name].kind === "Image" && !images[name]) {
      const [file] = texts[0].split(" sha256:");
      throw new Error(`The picture was conditioned on the image ${name} (${file}), which it does not hold.`);
    }
  }
}

/** The bytes of an array of numbers. */
export const bytesOf = (array) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

/** The settings {recipe, images, edit} in the texts of a PNG, checked; null without any. */
export function readRecipe(texts, model) {
  const own = texts["ancestral-page"], text = own ?? texts.ancestral;
  if (text === undefined) return null;
  const content = parsed(text), { recipe, images = {}, edit = null } = (own ? content : { recipe: content }) || {};
  if (!isObject(recipe)) throw new Error(DAMAGED);
  const absent = { index: null, label: null, avoid: {}, guidance_rescale: null, sweep: null };
  const settings = { recipe: { ...absent, ...recipe }, images, edit };
  check(settings, model);
  return settings;
}

/** The values of an image that a picture holds, whose number must be `count`. */
export function savedValues(text, { kind }, count) {
  let bytes;
  try {
    bytes = fromBase64(text);
  } catch {
    bytes = [];
  }
  const each = { uint8: 1, uint16: 2, float: 4 }[kind];
  if (!count || bytes.length !== each * count) throw new Error(DAMAGED);
  return kind === "uint8" ? bytes : new (kind === "uint16" ? Uint16Array : Float32Array)(bytes.buffer);
}
