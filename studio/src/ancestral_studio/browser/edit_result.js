// The result of an edit: one of its samples beside the input, the others, and the map of their standard deviation.

import { el, fill } from "../page/shared/elements.js";
import { comparison } from "./comparison.js";
import { button, icon } from "./dom.js";
import { favouriteButton } from "./star.js";

const SAMPLE = /(^|\/)\d{6}\.png$/,
  DEVIATION = /(^|\/)std\.png$/;

export class EditResult {
  /** `sendBack(file)` takes a sample as the next input; `showSteps(true)` shows how the samples came about. */
  constructor(app, { sendBack, showSteps }) {
    this.forget();
    this.tiles = el("div", { class: "tiles results", role: "group", "aria-label": "Samples" });
    this.tiles.addEventListener("keydown", event => this.press(event));
    this.deviation = el(
      "figure",
      { class: "deviation", hidden: true },
      el("img", { class: "pixels", alt: "Map of the standard deviation of the samples" }),
      el("figcaption", { class: "small soft" }, "standard deviation: bright where the samples differ"),
    );
    this.compare = comparison();
    this.star = favouriteButton(app);
    this.download = el("a", { class: "button", download: "" }, icon("download"), "Download");
    const back = button("Use as input", () => sendBack(this.chosen), { class: "primary" });
    this.files = el("div", { class: "row small" });
    this.chosenPart = el(
      "div",
      { class: "stack tight", hidden: true },
      this.compare.element,
      el("div", { class: "row" }, back, this.star.element, this.download),
    );
    const steps = button("Steps", () => showSteps(true), { class: "quiet" });
    this.element = el(
      "section",
      { class: "panel result-parts", "aria-label": "Result", hidden: true },
      this.chosenPart,
      el("div", { class: "stack tight" }, this.tiles, this.deviation, steps, this.files),
    );
  }

  forget() {
    this.entry = this.input = null;
    this.buttons = [];
    this.place = -1;
  }

  /** Whether something is shown. */
  get finished() {
    return Boolean(this.entry);
  }

  get samples() {
    return (this.entry?.files ?? []).filter(file => SAMPLE.test(file.name));
  }

  get chosen() {
    return this.samples[this.place];
  }

  choose(number) {
    this.place = number;
    this.buttons.forEach((one, other) => {
      one.setAttribute("aria-pressed", String(other === number));
      one.tabIndex = other === Math.max(0, number) ? 0 : -1;
    });
    const { chosen, compare, input } = this;
    this.chosenPart.hidden = !chosen;
    if (!chosen) return;
    compare.element.hidden = !input;
    const title = `sample ${chosen.name.slice(-10, -4).replace(/^0+(?=\d)/, "")}`;
    if (input) compare.show(input.url, chosen.url, ["before", title]);
    this.download.href = chosen.url;
  }

  press(event) {
    const move = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    const to = this.place + move;
    if (move === undefined || to < 0 || to >= this.buttons.length) return;
    event.preventDefault();
    this.choose(to);
    this.buttons[to].focus();
  }

  /** Show the files of an entry, beside the image that it began with. */
  show(entry, input) {
    Object.assign(this, { entry, input });
    this.buttons = this.samples.map((file, number) =>
      button(
        [el("img", { class: "pixels", src: file.url, alt: "" }), el("span", { class: "tile-text" }, String(number))],
        () => this.choose(number),
        { class: "tile", "aria-pressed": "false", "aria-label": `Sample ${number}` },
      ),
    );
    fill(this.tiles, this.buttons);
    const map = entry.files.find(file => DEVIATION.test(file.name));
    this.deviation.hidden = !map;
    if (map) this.deviation.querySelector("img").src = map.url;
    this.star.show(entry);
    const others = entry.files.filter(file => !SAMPLE.test(file.name));
    fill(
      this.files,
      others.map(file => el("a", { href: file.url, download: "" }, file.name)),
    );
    this.choose(this.buttons.length ? 0 : -1);
  }

  clear() {
    this.forget();
    this.element.hidden = true;
  }
}
