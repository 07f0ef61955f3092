// The list of the keys, as a dialog.

import { el } from "../page/shared/elements.js";
import { button } from "./dom.js";

const KEYS = {
  Everywhere: { "?": "this list", Escape: "stop the job, or close what is open" },
  Sample: {
    "← →": "a step of the film back or forth",
    P: "play the film",
    "Arrow keys, Enter": "on a picture: another one, and open it",
  },
  "Opened picture": {
    "← → Home End": "the picture before or after it, the first, the last",
    "↑ ↓": "a step of the film forth or back",
    "+ − 0 1": "zoom in, zoom out, fit to the window, one pixel for one",
  },
  Edit: {
    "Ctrl+Z, Ctrl+Shift+Z": "undo, redo",
    "↑ ↓, Enter": "in What was done: another step, and go to it",
    "B R L F": "brush, rectangle, lasso, fill",
    "E I": "erase, swap what changes and what stays",
    "[ ]": "a smaller or a larger brush",
    "Tab, digits": "after Extend canvas or Choose window: its pixels on each side",
    "Arrow keys, Enter": "in a table of results: another sample, and open it",
    "Arrow keys, Space": "on the image: move the brush, and paint; a rectangle or a lasso begins and ends",
  },
  History: { "Tab, Space": "to an entry, and select it" },
};

let dialog = null;

/** Show the list. */
export function openKeys() {
  dialog ??= document.body.appendChild(
    el(
      "dialog",
      { class: "panel keys", "aria-label": "Keys" },
      el("div", { class: "row apart" }, el("h2", {}, "Keys"), button("Close", () => dialog.close())),
      Object.entries(KEYS).map(([title, keys]) => [
        el("h4", {}, title),
        el(
          "dl",
          { class: "facts small" },
          Object.entries(keys).map(([key, text]) => [el("dt", {}, key), el("dd", {}, text)]),
        ),
      ]),
    ),
  );
  if (!dialog.open) dialog.showModal();
}
