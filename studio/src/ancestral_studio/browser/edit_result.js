// The result of an edit: one of its samples beside the input, the others, and the map of their standard deviation; or a
// table of samples by their settings.

import { el, fill } from "../page/shared/elements.js";
import { comparison } from "./comparison.js";
import { button, icon, short } from "./dom.js";
import { EditViewer } from "./edit_viewer.js";
import { favouriteButton } from "./star.js";
import { axesOf, cellNames } from "./table_axes.js";

const SAMPLE = /(^|\/)\d{6}\.png$/,
  DEVIATION = /(^|\/)std\.png$/,
  TABLE = /(^|\/)sweep\.png$/;

/** What was measured of the samples of each cell of a table: how far they differ, and how far they are off. */
function cellFigures({ recipe, cells }) {
  const names = cellNames(axesOf(recipe));
  return (cells ?? []).map(({ deviation = null, misfit = null }, number) =>
    [
      names[number],
      deviation !== null && `standard deviation ${short(deviation, 3)}`,
      misfit !== null && `off what was measured by ${short(misfit, 2)}`,
    ]
      .filter(Boolean)
      .join(", "),
  );
}

export class EditResult {
  /**
   * `sendBack(file)` takes a sample as the next input; `showSteps(true)` shows how the samples came about.
   */
  constructor(app, { sendBack, showSteps }) {
    this.forget();
    this.tiles = el("div", { role: "group", "aria-label": "Samples" });
    this.tiles.addEventListener("keydown", event => this.press(event));
    this.viewer = new EditViewer(app, { move: by => this.move(by), sendBack });
    this.viewer.element.addEventListener("close", () => this.buttons[this.place]?.focus());
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
      el(
        "div",
        { class: "row" },
        back,
        button("Whole window", () => this.view()),
        this.star.element,
        this.download,
      ),
    );
    const steps = button("How it was made", () => showSteps(true), { class: "quiet" });
    this.element = el(
      "section",
      { class: "panel result-parts", "aria-label": "Result", hidden: true },
      this.chosenPart,
      el("div", { class: "stack tight" }, this.tiles, this.deviation, steps, this.files),
      this.viewer.element,
    );
  }

  forget() {
    this.entry = this.input = null;
    this.buttons = [];
    this.samples = []; // {file, title}
    this.place = -1;
  }

  /** Whether something is shown. */
  get finished() {
    return Boolean(this.entry);
  }

  /** The file of the chosen sample. */
  get chosen() {
    return this.samples[this.place]?.file;
  }

  choose(number) {
    this.place = number;
    this.buttons.forEach((one, other) => {
      one.setAttribute("aria-pressed", String(other === number));
      one.tabIndex = other === Math.max(0, number) ? 0 : -1;
    });
    const { chosen, compare, input } = this;
    this.chosenPart.hidden = !chosen;
    if (this.viewer.open) this.view();
    if (!chosen) return;
    compare.element.hidden = !input;
    if (input) compare.show(input.url, chosen.url, ["before", this.samples[number].title]);
    this.download.href = chosen.url;
  }

  /** Show the sample that is so many places further. */
  move(by) {
    this.choose(Math.min(this.buttons.length - 1, Math.max(0, this.place + by)));
  }

  press(event) {
    const move = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    const to = this.place + move;
    if (move === undefined || to < 0 || to >= this.buttons.length) return;
    event.preventDefault();
    this.choose(to);
    this.buttons[to].focus();
  }

  /** Show the chosen sample over the whole window. */
  view() {
    const { entry, input } = this;
    this.viewer.show({ ...this.samples[this.place], entry, input });
  }

  /** A tile of a sample, which is the next one of all. */
  tile(file) {
    const title = String(this.samples.length);
    const number = this.samples.push({ file, title: `sample ${title}` }) - 1;
    const attributes = { class: "tile", "aria-pressed": "false", "aria-label": `Sample ${title}` };
    const picture = el("img", { class: "pixels", src: file.url, alt: "" });
    const one = button([picture, el("span", { class: "tile-text" }, title)], () => this.choose(number), attributes);
    this.buttons.push(one);
    return one;
  }

  /** The picture of a table, and what was measured of its cells. */
  table(file) {
    const figures = cellFigures(this.entry).map(text => el("li", {}, text));
    return [
      el("img", { class: "pixels", src: file.url, alt: "The samples of each setting" }),
      el("ul", { class: "plain small number" }, figures),
    ];
  }

  /** Show the files of an entry, beside the image that it began with. */
  show(entry, input) {
    this.forget();
    Object.assign(this, { entry, input });
    const table = entry.files.find(file => TABLE.test(file.name));
    this.element.classList.toggle("as-table", Boolean(table));
    this.tiles.className = table ? "scroll" : "tiles results";
    const single = entry.files.filter(file => SAMPLE.test(file.name));
    fill(this.tiles, table ? this.table(table) : single.map(file => this.tile(file)));
    const map = entry.files.find(file => DEVIATION.test(file.name));
    this.deviation.hidden = !map;
    if (map) this.deviation.querySelector("img").src = map.url;
    this.star.show(entry);
    const own = new Set(this.samples.map(({ file }) => file));
    const others = entry.files.filter(file => !own.has(file));
    fill(
      this.files,
      others.map(file => el("a", { href: file.url, download: "" }, file.name)),
    );
    this.choose(this.buttons.length ? 0 : -1);
  }

  clear() {
    this.viewer.close();
    this.forget();
    this.element.hidden = true;
  }
}
