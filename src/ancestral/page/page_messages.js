/* Elements of the page, and what it says to its reader. */

export const $ = (id) => document.getElementById(id);

/** Shows a text, which screen readers read out; `step` is shown in its place, and not read. */
export function say(text, step = "") {
  $("status").textContent = text;
  $("step").textContent = step;
}

/** Shows what keeps the page from going on. */
export function fail(text) {
  $("alert").textContent = text;
  $("alert").hidden = false;
  say("");
}

/** The action, whose error is said. */
export const tried = (action) => (...words) => Promise.resolve(action(...words)).catch((error) => say(error.message));
