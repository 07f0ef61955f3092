// A volume, slice by slice: a slider over the slices along one of its axes. Their pictures come in one sheet of tiles.

import { el } from "../page/shared/elements.js";
import { api } from "./api.js";
import { button, write } from "./dom.js";
import { drawTile, picture } from "./grid.js";

const AXES = ["depth", "height", "width"];

export class Slices {
  constructor() {
    Object.assign(this, { axis: 0, address: null, layout: null, image: null, asked: 0 });
    this.canvas = el("canvas", { class: "pixels slice", role: "img" });
    const draw = () => this.draw();
    this.range = el("input", { type: "range", min: 0, step: 1, value: 0, "aria-label": "Slice", on: { input: draw } });
    this.caption = el("span", { class: "small soft number slice-number" });
    const axisButton = (name, axis) => button(`Along ${name}`, () => this.turn(axis));
    this.axes = AXES.map(axisButton);
    this.element = el(
      "div",
      { class: "stack tight slices", hidden: true },
      this.canvas,
      el("div", { class: "row" }, el("div", { class: "grow" }, this.range), this.caption),
      el("div", { class: "row", role: "group", "aria-label": "Axis" }, this.axes),
    );
  }

  /** Look along another axis. */
  turn(axis) {
    this.axis = axis;
    this.layout = null;
    return this.read();
  }

  /**
   * Show the volume that a route of items describes at an address: its middle, or the slice at the place of that of a
   * volume before. Returns what is said of it, or null if another one was asked for meanwhile.
   */
  show(address, title = "volume") {
    Object.assign(this, { address, title });
    return this.read();
  }

  hide() {
    this.address = null;
    this.asked++;
    this.element.hidden = true;
  }

  async read() {
    const mine = ++this.asked;
    this.axes.forEach((one, axis) => one.setAttribute("aria-pressed", String(axis === this.axis)));
    const layout = await api("GET", `${this.address}?axis=${this.axis}`);
    const image = await picture(layout.picture);
    if (mine !== this.asked) return null;
    if (this.layout?.count !== layout.count) {
      this.range.max = layout.count - 1;
      this.range.value = Math.floor(layout.count / 2);
    }
    Object.assign(this, { layout, image });
    this.element.hidden = false;
    this.draw();
    return layout;
  }

  draw() {
    const { layout, canvas, range, caption } = this,
      place = Number(range.value);
    if (!layout) return; // the slices along another axis are being read
    const text = `slice ${layout.numbers[place] + 1} of ${layout.axes[this.axis]}`;
    drawTile(canvas, this.image, layout, place);
    canvas.setAttribute("aria-label", `${this.title}, ${text} along its ${AXES[this.axis]}`);
    range.setAttribute("aria-valuetext", text);
    write(caption, text);
  }
}
