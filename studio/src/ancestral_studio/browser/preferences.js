// How a person likes the studio: explanations, the simple view, light or dark, the size of tiles. Kept in the browser, for all its tabs.

import { el } from "../page/shared/elements.js";

const KEY = "ancestral-preferences";
const STANDARD = { explain: false, view: "simple", theme: "auto", tile: 0 };
const root = document.documentElement;

function read() {
  try {
    return { ...STANDARD, ...JSON.parse(localStorage.getItem(KEY)) };
  } catch {
    return { ...STANDARD }; // forbidden, or no JSON
  }
}

let chosen = read();

/** A choice by its name. `tile` is the width of tiles in pixels; 0 fits all of them to the window. */
export const preference = name => chosen[name];

/** Show what is chosen: the style sheet reads it of the root. */
function apply() {
  Object.assign(root.dataset, { explain: String(chosen.explain), view: chosen.view, theme: chosen.theme });
}

/** Call a function after each change of a preference. */
export const onPreferences = call => addEventListener("preferences", call);

/** Choose and keep: {name: value, ...}. */
export function choose(change) {
  chosen = { ...chosen, ...change };
  try {
    localStorage.setItem(KEY, JSON.stringify(chosen));
  } catch {
    // nothing can be kept here; it holds until the page is left
  }
  apply();
  dispatchEvent(new Event("preferences"));
}

/** A choice of words, of which one is pressed. */
function choices(label, name, words) {
  const buttons = Object.entries(words).map(([value, text]) =>
    el("button", { type: "button", data: { value }, "aria-pressed": String(chosen[name] === value) }, text),
  );
  for (const one of buttons) {
    one.addEventListener("click", () => {
      choose({ [name]: one.dataset.value });
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === one));
    });
  }
  return el(
    "div",
    { class: "row apart" },
    el("span", { class: "small" }, label),
    el("div", { class: "segments", role: "group", "aria-label": label }, buttons),
  );
}

/** The panel of the preferences. Whether options are explained has a button of its own. */
export function preferencesPanel() {
  return el(
    "div",
    { class: "stack tight" },
    choices("View", "view", { simple: "Simple", full: "Full" }),
    el("p", { class: "small soft" }, "Simple shows finished pictures. Full also shows noise levels and estimates."),
    choices("Colours", "theme", { auto: "System", light: "Light", dark: "Dark" }),
  );
}

/** Make a button show below each option what it does and its name on the command line, or hide it. */
export function explainBy(button) {
  const mark = () => button.setAttribute("aria-pressed", String(chosen.explain));
  button.title = "Say below each option what it does, and its name on the command line";
  button.addEventListener("click", () => {
    choose({ explain: !chosen.explain });
    mark();
  });
  mark();
}

apply();
addEventListener("storage", event => {
  if (event.key !== KEY) return;
  chosen = read();
  apply();
});
