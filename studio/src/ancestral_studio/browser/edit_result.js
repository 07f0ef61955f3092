// The result of an edit: its samples, the map of their standard deviation, and one of them beside the input.

import { el, fill } from "../page/shared/elements.js";
import { comparison } from "./comparison.js";
import { button, icon } from "./dom.js";
import { favouriteButton } from "./star.js";

const SAMPLE = /(^|\/)\d{6}\.png$/,
  DEVIATION = /(^|\/)std\.png$/;

/**
 * Make the result. `sendBack(file)` takes a sample as the next input; `showSteps(true)` shows how they came about.
 * Returns {element, finished, show(entry, input), clear()}.
 */
export function editResult(app, { sendBack, showSteps }) {
  let entry = null,
    input = null,
    buttons = [];
  const tiles = el("div", { class: "tiles results", role: "group", "aria-label": "Samples" });
  const deviation = el(
    "figure",
    { class: "deviation", hidden: true },
    el("img", { class: "pixels", alt: "Map of the standard deviation of the samples" }),
    el("figcaption", { class: "small soft" }, "standard deviation: bright where the samples differ"),
  );
  const compare = comparison();
  const star = favouriteButton(app);
  const download = el("a", { class: "button", download: "" }, icon("download"), "Download");
  const back = button("Use as input", () => sendBack(chosen()), { class: "primary" });
  const files = el("div", { class: "row small" });
  const chosenPart = el(
    "div",
    { class: "stack tight", hidden: true },
    compare.element,
    el("div", { class: "row" }, back, star.element, download),
  );
  const element = el(
    "section",
    { class: "panel result-parts", "aria-label": "Result", hidden: true },
    chosenPart,
    el(
      "div",
      { class: "stack tight" },
      tiles,
      deviation,
      button("Steps", () => showSteps(true), { class: "quiet" }),
      files,
    ),
  );
  let place = -1;
  const chosen = () => samples()[place];
  const samples = () => (entry?.files ?? []).filter(file => SAMPLE.test(file.name));

  function choose(number) {
    place = number;
    buttons.forEach((button, other) => {
      button.setAttribute("aria-pressed", String(other === number));
      button.tabIndex = other === Math.max(0, number) ? 0 : -1;
    });
    const file = chosen();
    chosenPart.hidden = !file;
    if (!file) return;
    compare.element.hidden = !input;
    if (input)
      compare.show(input.url, file.url, ["before", `sample ${file.name.slice(-10, -4).replace(/^0+(?=\d)/, "")}`]);
    download.href = file.url;
  }

  tiles.addEventListener("keydown", event => {
    const move = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    const to = place + move;
    if (move === undefined || to < 0 || to >= buttons.length) return;
    event.preventDefault();
    choose(to);
    buttons[to].focus();
  });

  return {
    element,
    /** Whether something is shown. */
    get finished() {
      return Boolean(entry);
    },
    /** Show the files of an entry, beside the image that it began with. */
    show(newEntry, newInput) {
      entry = newEntry;
      input = newInput;
      buttons = samples().map((file, number) =>
        button(
          [el("img", { class: "pixels", src: file.url, alt: "" }), el("span", { class: "tile-text" }, String(number))],
          () => choose(number),
          { class: "tile", "aria-pressed": "false", "aria-label": `Sample ${number}` },
        ),
      );
      fill(tiles, buttons);
      const map = entry.files.find(file => DEVIATION.test(file.name));
      deviation.hidden = !map;
      if (map) deviation.querySelector("img").src = map.url;
      star.show(entry);
      fill(
        files,
        entry.files
          .filter(file => !SAMPLE.test(file.name))
          .map(file => el("a", { href: file.url, download: "" }, file.name)),
      );
      choose(buttons.length ? 0 : -1);
    },
    clear() {
      entry = input = null;
      place = -1;
      element.hidden = true;
    },
  };
}
