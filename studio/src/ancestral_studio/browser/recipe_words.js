// Recipes of entries of the history in words: what each setting is called, and in what two of them differ.

import { clock } from "./dom.js";

const UNSHOWN = ["$schema", "schema", "version", "single", "model", "run", "parent", "branch", "source", "part", "box"];
const LEFT_OUT = ["Run", "Samples", "Image", "Mask", "Steps", "Sampler", "Task"]; // which the title of an entry says
const PARTS = ["edit", "images"]; // of a recipe, whose settings are rows of their own
const HASH = / sha256:[0-9a-f]+$/;
const WHOLE = /(?<=^-?\d+)\.0$/; // 1.0 is 1
const names = new Map(); // of options, as their forms have them

/** Read the names of all settings, once. */
export async function readNames(app) {
  if (names.size) return;
  const forms = await Promise.all(["edit", "sample"].map(command => app.api("GET", `/api/forms/${command}`)));
  for (const { name, title } of forms.flatMap(form => form.options)) names.set(name, title);
  names.set("indices", names.get("index"));
}

/** What a setting is called: options as in their forms, settings of a sampler by their own names. */
export const settingName = name => names.get(name) ?? name.charAt(0).toUpperCase() + name.slice(1).replaceAll("_", " ");

/** The settings of an entry as [name, text], those of its recipe where it has one. */
export function settingsOf(entry) {
  const rows = new Map([["Run", entry.run_name ?? "–"]]);
  const add = (name, value) => {
    if (value === null || value === undefined || value === "" || UNSHOWN.includes(name)) return;
    if (name === "sampler") addSampler(rows, String(value));
    else if (PARTS.includes(name)) for (const [inner, more] of Object.entries(value)) add(inner, more);
    else if (textOf(value)) rows.set(settingName(name), textOf(value));
  };
  for (const [name, value] of Object.entries(entry.recipe ?? entry.options ?? {})) add(name, value);
  return [...rows];
}

/** A sampler with its settings, as in "ddim:steps=50,eta=0.0", in rows of their own. */
function addSampler(rows, text) {
  const [name, settings = ""] = text.split(/:(.*)/s);
  rows.set("Sampler", name);
  for (const part of settings.split(",").filter(Boolean)) {
    const [setting, value] = part.split("=");
    rows.set(settingName(setting), textOf(value ?? ""));
  }
}

function textOf(value) {
  if (Array.isArray(value)) return value.map(textOf).join(value.some(one => String(one).includes(",")) ? "; " : ", ");
  if (value && typeof value === "object") {
    return Object.entries(value)
      .map(([name, more]) => `${name}=${textOf(more)}`)
      .join(", ");
  }
  if (value === true || value === false) return value ? "yes" : "no";
  return String(value).trim().replaceAll("\n", "; ").replace(HASH, "").replace(WHOLE, "");
}

/** The settings of two entries side by side: [{name, texts: [one, other], same}]. */
export function compared(one, other) {
  const [left, right] = [one, other].map(entry => new Map(settingsOf(entry)));
  return [...new Set([...left.keys(), ...right.keys()])].map(name => {
    const texts = [left.get(name) ?? "–", right.get(name) ?? "–"];
    return { name, texts, same: texts[0] === texts[1] };
  });
}

/** What an entry is, in a line: its settings besides those that its title says, and when it was made. */
export function entryLine(entry) {
  const rows = settingsOf({ ...entry, recipe: null }).filter(([name]) => !LEFT_OUT.includes(name));
  const texts = rows.slice(0, 4).map(([name, text]) => `${name} ${text}`);
  const time = new Date(entry.created * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  const took = entry.seconds >= 1 ? [`took ${clock(entry.seconds)}`] : [];
  return [...texts, time, ...took].join(" · ");
}
