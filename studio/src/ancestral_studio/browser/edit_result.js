// The result of an edit: one of its samples beside the input, the others, and the map of their standard deviation; or a
// table of samples by their settings.

import { el, fill } from "../page/shared/elements.js";
import { comparison } from "./comparison.js";
import { button, icon } from "./dom.js";
import { drawTable, fittingCells, tableOf } from "./edit_cells.js";
import { EditViewer } from "./edit_viewer.js";
import { roomIn } from "./stage.js";
import { favouriteButton } from "./star.js";

const PADDING = 6, // of the cells, on both sides together
  BORDER = 10; // of a tile, on both sides together; both are those of the style sheet
const SAMPLE = /(^|\/)\d{6}\.png$/,
  DEVIATION = /(^|\/)std\.png$/;

export class EditResult {
  /**
   * `sendBack(file)` takes a sample as the next input; `use(file)` sets the settings of one of a table;
   * `showSteps(true)` shows how the samples came about.
   */
  constructor(app, { sendBack, use, showSteps }) {
    this.forget();
    this.tiles = el("div", { role: "group", "aria-label": "Samples" });
    this.tiles.addEventListener("keydown", event => this.press(event));
    this.viewer = new EditViewer(app, { move: by => this.move(by), sendBack, use });
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
    this.entry = this.input = this.table = null;
    this.buttons = [];
    this.samples = []; // {file, title, cell}: the cell is the number of that of a table
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
    this.chosenPart.hidden = !chosen || Boolean(this.table);
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
    const { file, title, cell } = this.samples[this.place];
    const { entry, input } = this;
    this.viewer.show({ file, title, text: this.table?.cells[cell].text ?? "", entry, input });
  }

  /** A tile of a sample, which is the next one of all. */
  tile(file, title, cell) {
    const number = this.samples.push({ file, title: cell === null ? `sample ${title}` : title, cell }) - 1;
    const text = cell === null ? el("span", { class: "tile-text" }, title) : null;
    const pick = () => {
      this.choose(number);
      if (cell !== null) this.view();
    };
    const label = cell === null ? `Sample ${title}` : title;
    const attributes = { class: "tile", "aria-pressed": "false", "aria-label": label, title: cell === null ? null : label };
    const one = button([el("img", { class: "pixels", src: file.url, alt: "" }), text], pick, attributes);
    this.buttons.push(one);
    return one;
  }

  drawCells() {
    const { cells } = this.table;
    const name = ({ title, files }, number) => (files.length > 1 ? `${title}, sample ${number}` : title);
    const tilesOf = cell => cell.files.map((file, number) => this.tile(file, name(cell, number), cells.indexOf(cell)));
    fill(this.tiles, drawTable(this.table, tilesOf));
  }

  /** Give the samples of cells that stand side by side the size at which all are in sight. */
  resize() {
    const place = this.tiles.firstElementChild;
    if (!this.table || this.table.rows || !place?.clientWidth) return;
    const { height, width } = this.entry;
    const each = Math.max(...this.table.cells.map(({ files }) => files.length));
    const room = { width: place.clientWidth - PADDING, height: roomIn(this.tiles).height };
    const best = fittingCells(this.table.cells.length, each, height / width || 1, room);
    place.classList.toggle("fitted", Boolean(best));
    if (!best) return;
    place.style.setProperty("--across", best.across);
    place.style.setProperty("--columns", best.columns);
    place.style.setProperty("--tile", `${Math.floor(best.size) + BORDER}px`);
  }

  /** Show the files of an entry, beside the image that it began with. */
  show(entry, input) {
    this.forget();
    Object.assign(this, { entry, input, table: tableOf(entry) });
    this.element.classList.toggle("as-table", Boolean(this.table));
    this.tiles.className = this.table ? "scroll" : "tiles results";
    const single = entry.files.filter(file => SAMPLE.test(file.name));
    if (this.table) this.drawCells();
    else fill(this.tiles, single.map((file, number) => this.tile(file, String(number), null)));
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
