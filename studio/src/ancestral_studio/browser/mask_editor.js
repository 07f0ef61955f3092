// The editor of a mask: the image to paint on, and the tools.

import { el, saveFile } from "../page/shared/elements.js";
import { pictureOf, pixelsOf } from "../page/shared/pixels.js";
import { CanvasExtension } from "./canvas_extension.js";
import { button, hiddenFileInput, write } from "./dom.js";
import { Mask } from "./mask.js";
import { MaskPaper } from "./mask_paper.js";
import { WindowChoice } from "./window_choice.js";

const GROW =
  "Grow the mask by this many pixels with a round edge, so that new content has room to blend in. " +
  "Its edge is hard: Soften, of the options, makes it gradual";
const TOOLS = {
  brush: ["Brush", "Paint with the brush (B)"],
  box: ["Rectangle", "Drag from corner to corner (R)"],
  lasso: ["Lasso", "Draw around what changes (L)"],
  fill: ["Fill", "Fill what is joined to the pixel under the pointer (F)"],
};
const LOAD = "Load a mask from a picture, in which white changes, or what is painted on a transparent ground";

const press = (text, title, run, attributes = {}) => button(text, run, { title, ...attributes });

export class MaskEditor {
  /**
   * `changed(name)` is called after each change of the mask by the user that is complete, with its name: a whole
   * stroke, a rectangle, an inversion. `failed(text)` is called where a mask cannot be read.
   */
  constructor({ changed, failed }) {
    Object.assign(this, { changed, failed, name: "", holes: null }); // holes: the mask of what is transparent, if any
    this.paper = new MaskPaper({ keys: this.keys(), painted: name => this.finished(name), moved: () => this.say() });
    this.extension = new CanvasExtension(this.paper, pixels => this.extend(pixels));
    this.window = new WindowChoice(this.paper);
    this.status = el("p", { class: "small soft number", role: "status" });
    this.spoken = el("p", { class: "hidden", role: "status" });
    this.loader = hiddenFileInput("image/*", file => this.read(file));
    const zoom = by => this.paper.rescale(this.paper.scale * by);
    const zoomBar = el(
      "span",
      { class: "row" },
      press("−", "Zoom out", () => zoom(1 / 1.5), { class: "icon", "aria-label": "Zoom out" }),
      press("+", "Zoom in", () => zoom(1.5), { class: "icon", "aria-label": "Zoom in" }),
      press("Fit", "Fit to the window", () => this.paper.rescale(0)),
    );
    this.element = el(
      "div",
      { class: "stack tight mask-editor" },
      this.toolbar(),
      this.extension.fields,
      this.window.fields,
      this.paper.element,
      el("div", { class: "row apart" }, this.status, zoomBar),
      this.loader,
      this.spoken,
    );
  }

  toolbar() {
    const { size } = this.paper.brush;
    const tool = ([name, [text, title]]) =>
      press(text, title, () => this.choose(name), { "aria-pressed": String(name === "brush"), data: { tool: name } });
    this.tools = Object.entries(TOOLS).map(tool);
    this.eraser = press("Erase", "Erase instead of paint (E)", () => this.erase(), { "aria-pressed": "false" });
    const label = "Brush size in pixels ( [ and ] )";
    this.range = el("input", { type: "range", min: 1, max: 32, value: size, "aria-label": label });
    this.range.addEventListener("input", () => this.resize(Number(this.range.value)));
    this.sizeText = el("output", { class: "small number" }, `${size} px`);
    const distance = { type: "number", min: 1, max: 64, step: 1, value: 1, class: "narrow" };
    const grow = el("input", { ...distance, "aria-label": "Grow by pixels" });
    const pixels = () => Math.max(1, Number(grow.value) || 1);
    const holes = "What is transparent in the image changes";
    this.fromHoles = press("From transparency", holes, () => this.takeHoles(), { hidden: true });
    return el(
      "div",
      { class: "row tools", role: "toolbar", "aria-label": "Mask" },
      el("div", { class: "segments", role: "group", "aria-label": "Tool" }, this.tools),
      this.eraser,
      el("label", { class: "row" }, el("span", { class: "small" }, "Size"), this.range, this.sizeText),
      el(
        "span",
        { class: "row" },
        press("Grow", GROW, () => this.change(`Grow ${pixels()} px`, mask => mask.grow(pixels()))),
        grow,
      ),
      press("Invert", "Swap what changes and what stays (I)", () => this.invert()),
      press("Clear", "Nothing changes", () => this.change("Clear", mask => mask.clear())),
      this.fromHoles,
      this.extension.toggle,
      this.window.toggle,
      press("Load mask", LOAD, () => this.loader.click()),
      press("Save mask", "Save the mask as a PNG, in which white changes", () => this.save()),
    );
  }

  keys() {
    return {
      "[": () => this.resize(this.paper.brush.size - 1),
      "]": () => this.resize(this.paper.brush.size + 1),
      b: () => this.choose("brush"),
      r: () => this.choose("box"),
      l: () => this.choose("lasso"),
      f: () => this.choose("fill"),
      e: () => this.erase(),
      i: () => this.invert(),
      Escape: () => this.paper.stroke || this.paper.leave(),
    };
  }

  get mask() {
    return this.paper.mask;
  }

  /** Take an image {name}, whose picture is loaded; `set` shows it. */
  open({ name = "" }, picture) {
    const { naturalWidth: width, naturalHeight: height } = picture;
    Object.assign(this, { name, picture });
    this.range.max = Math.max(2, Math.min(256, Math.round(Math.max(width, height) / 2)));
    this.resize(this.paper.brush.size);
    this.paper.paper.setAttribute(
      "aria-label",
      `Mask of ${name || "the image"}, ${width} by ${height} pixels. Arrow keys move, Space paints, ` +
        "brackets change the size of the brush, E erases, R draws a rectangle and L a lasso from Space to Space, " +
        "F fills, I inverts.",
    );
    this.holes = Mask.ofHoles(pixelsOf(picture, width, height));
    this.fromHoles.hidden = !this.holes;
  }

  /** Show a mask of the image, on a canvas that is extended by pixels. */
  set(mask, extension) {
    const { width, height } = this.paper.below;
    const moved = String(extension) !== String(this.extension.by) || this.shown !== this.picture;
    this.extension.set(extension);
    if (moved || mask.width !== width || mask.height !== height) this.paper.open(this.picture, mask, extension);
    else this.paper.mask = mask;
    this.shown = this.picture;
    this.paper.draw();
    this.window.read();
    this.count();
  }

  /** Extend the canvas: what is new changes. */
  extend(pixels) {
    const { by } = this.extension;
    this.set(this.mask.extended(pixels.map((more, side) => more - by[side])), pixels);
    this.finished(pixels.some(Boolean) ? `Extend canvas: ${pixels.join(", ")} px` : "No extension");
  }

  // -- tools ------------------------------------------------------------------------------------------------------

  choose(tool) {
    this.paper.brush.tool = tool;
    this.paper.leave();
    for (const one of this.tools) one.setAttribute("aria-pressed", String(one.dataset.tool === tool));
    this.paper.mark();
  }

  /** Erase from now on, or paint again. */
  erase() {
    const { brush } = this.paper;
    brush.erasing = !brush.erasing;
    this.eraser.setAttribute("aria-pressed", String(brush.erasing));
  }

  resize(pixels) {
    const size = Math.min(Number(this.range.max), Math.max(1, Math.round(pixels)));
    this.paper.brush.size = size;
    this.range.value = size;
    write(this.sizeText, `${size} px`);
    this.paper.mark();
  }

  /** Change the mask as a whole; the change has a name. */
  change(name, how) {
    how(this.mask);
    this.paper.draw();
    this.finished(name);
  }

  invert() {
    this.change("Invert", mask => mask.invert());
  }

  takeHoles() {
    this.change("From the image's transparency", mask => mask.pixels.set(this.holes.extended(this.extension.by).pixels));
  }

  finished(name) {
    const { by } = this.extension;
    if (by.some(Boolean)) {
      const inside = this.mask.extended(by.map(pixels => -pixels));
      this.mask.pixels.set(inside.extended(by).pixels); // outside of the image nothing is known
      this.paper.draw();
    }
    this.count();
    this.changed(name);
  }

  /** Say how many pixels change. */
  count() {
    const { count, width, height } = this.mask;
    const all = width * height;
    const between = Math.min(99, Math.max(1, Math.round((100 * count) / all)));
    const share = count === 0 ? 0 : count === all ? 100 : between;
    write(this.status, `${width} × ${height} pixels; ${count.toLocaleString("en")} change (${share} %)`);
  }

  /** Say what is at the cursor, for screen readers. */
  say() {
    const x = Math.floor(this.paper.cursor.x);
    const y = Math.floor(this.paper.cursor.y);
    write(this.spoken, `column ${x}, row ${y}, ${this.mask.pixels[y * this.mask.width + x] ? "changes" : "stays"}`);
  }

  // -- files ------------------------------------------------------------------------------------------------------

  /** Take the mask of a picture, brought to the size of the image. */
  async read(file) {
    const { width, height } = this.mask;
    try {
      const picture = await pictureOf(file);
      const size = [picture.width, picture.height];
      const other = Mask.ofPicture(pixelsOf(picture, ...size), pixelsOf(this.paper.below, ...size));
      if (Math.abs((other.width * height) / other.height - width) > Math.max(1, width / other.width) / 2) {
        throw new RangeError(
          `the mask is ${other.width} × ${other.height}, and the image ${width} × ${height} pixels: ` +
            "give a mask of these proportions",
        );
      }
      this.change("Load mask", mask => mask.pixels.set(other.resized(width, height).pixels));
      if (other.unsure) this.failed("The painted pixels of the mask change; Invert takes the transparent ones.");
    } catch (error) {
      const unreadable = "the mask cannot be read: give a picture, in which white changes";
      this.failed(error instanceof RangeError ? error.message : unreadable);
    }
  }

  async save() {
    saveFile(await this.mask.toPng(), `${this.name.replace(/\.[^.]*$/, "") || "image"}-mask.png`);
  }
}
