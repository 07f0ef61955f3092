// Recipes of entries of the history in words: what each setting is called, and in what two of them differ.

const NAMES = {
  n: "Samples",
  index: "Numbers of the samples",
  indices: "Numbers of the samples",
  given: "Conditions",
  label: "Class",
  guidance_interval: "Noise levels with guidance",
  guidance_rescale: "Guidance rescaled",
  weak: "Weaker model",
  then: "Followed by",
  at: "Continued from step",
  eta: "Noise of the sampler",
  task: "Kind of edit",
  other: "Second image",
  t: "Time",
};
const UNSHOWN = ["schema", "version", "single", "model", "run", "parent", "branch", "source", "part", "box"];
const HASH = / sha256:[0-9a-f]+$/;

/** What a setting is called: "guidance_rescale" is "Guidance rescaled". */
export const settingName = name =>
  NAMES[name] ?? name.charAt(0).toUpperCase() + name.slice(1).replaceAll("_", " ").replaceAll("-", " ");

/** The settings of an entry as [name, text], those of its recipe where it has one. */
export function settingsOf(entry) {
  const rows = new Map([["Run", entry.run_name ?? "–"]]);
  const add = (name, value) => {
    if (value === null || value === undefined || value === "" || UNSHOWN.includes(name)) return;
    if (name === "sampler") addSampler(rows, String(value));
    else if (typeof value === "object" && !Array.isArray(value)) {
      for (const [inner, more] of Object.entries(value)) add(inner, more);
    } else rows.set(settingName(name), textOf(value));
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
    rows.set(setting === "steps" ? "Steps" : `${settingName(setting)} (${name})`, value ?? "");
  }
}

function textOf(value) {
  if (Array.isArray(value)) return value.map(textOf).join(", ");
  if (value === true || value === false) return value ? "yes" : "no";
  return String(value).replace(HASH, "");
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
  const left = ["Run", "Samples", "Image", "Mask", "Steps", "Sampler", "Kind of edit"];
  const rows = settingsOf({ ...entry, recipe: null }).filter(([name]) => !left.includes(name));
  const texts = rows.slice(0, 4).map(([name, text]) => `${name} ${text}`);
  return [...texts, new Date(entry.created * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" })].join(
    " · ",
  );
}
