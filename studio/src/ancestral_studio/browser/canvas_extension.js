// A larger canvas around an image: its edges are dragged outward, or given in pixels, and the new area is the mask.

import { el } from "../page/shared/elements.js";
import { pictureOf, pixelsOf } from "../page/shared/pixels.js";
import { writePng } from "../page/shared/png.js";
import { button } from "./dom.js";
import { DragFrame } from "./drag_frame.js";

const SIDES = ["left", "top", "right", "bottom"],
  MOST = 4096,
  MARGIN = 48; // pixels of the screen around the image, into which its edges are dragged
/** An extension by nothing. */
export const NO_EXTENSION = [0, 0, 0, 0];

/** The extension that options say: the pixels on the left, top, right and bottom. */
export const extensionOf = ({ extend }) => (extend ? String(extend).split(",").map(Number) : NO_EXTENSION);

export class CanvasExtension {
  /** `changed(pixels)` is called with the pixels on the left, top, right and bottom. */
  constructor(paper, changed) {
    Object.assign(this, { paper, changed, by: NO_EXTENSION });
    this.toggle = button("Extend canvas", () => this.open(this.fields.hidden), {
      title: "Drag the edges of the image outward: what is new is the mask",
      "aria-pressed": "false",
    });
    const number = { type: "number", min: 0, max: MOST, step: 1, value: 0, class: "narrow" };
    this.inputs = SIDES.map(side => el("input", { ...number, "aria-label": `Extend ${side} by pixels` }));
    for (const input of this.inputs) input.addEventListener("change", () => this.give(this.inputs.map(wholeOf)));
    this.fields = el(
      "div",
      { class: "row small canvas-fields", role: "group", "aria-label": "Extend canvas", hidden: true },
      this.inputs.map((input, side) => el("label", { class: "row" }, SIDES[side], input)),
      button("No extension", () => this.give(NO_EXTENSION), { class: "quiet" }),
    );
    this.frame = new DragFrame({
      className: "extension",
      limited: edges => this.limited(edges),
      moving: edges => this.write(this.extensionOf(edges)),
      moved: edges => this.give(this.extensionOf(edges)),
    });
    paper.addFrame(this.frame, () => [0, 0, paper.mask.width, paper.mask.height]);
  }

  /** Show the handles and the fields, or hide them. */
  open(on) {
    this.fields.hidden = this.frame.element.hidden = !on;
    this.toggle.setAttribute("aria-pressed", String(on));
    this.paper.margin = on ? MARGIN : 0;
    this.paper.rescale(0);
  }

  /** Edges of the canvas that leave all of the image inside. */
  limited([left, top, right, bottom]) {
    const { width, height } = this.paper.mask;
    const [west, north, east, south] = this.by;
    return [Math.min(left, west), Math.min(top, north), Math.max(right, width - east), Math.max(bottom, height - south)];
  }

  extensionOf([left, top, right, bottom]) {
    const { width, height } = this.paper.mask;
    const shifts = [-left, -top, right - width, bottom - height];
    return this.by.map((pixels, side) => Math.min(MOST, Math.max(0, pixels + shifts[side])));
  }

  write(pixels) {
    this.inputs.forEach((input, side) => {
      input.value = pixels[side];
    });
  }

  /** Show an extension. */
  set(pixels) {
    this.by = pixels;
    this.write(pixels);
  }

  give(pixels) {
    if (String(pixels) === String(this.by)) this.paper.mark();
    else this.changed(pixels);
  }
}

const wholeOf = ({ value }) => Math.min(MOST, Math.max(0, Math.round(Number(value)) || 0));

/** The PNG of an image {url, width, height} on an extended canvas, which is transparent around it. */
export async function extendedPicture({ url, width, height }, [left, top, right, bottom]) {
  const response = await fetch(url, { credentials: "same-origin" });
  if (!response.ok) throw new Error("the image is not there any more: choose it again");
  const { data } = pixelsOf(await pictureOf(await response.blob()), width, height);
  const across = left + width + right,
    down = top + height + bottom;
  const planes = new Uint8Array(4 * across * down);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const to = (y + top) * across + x + left;
      for (let channel = 0; channel < 4; channel++) planes[channel * across * down + to] = data[4 * (y * width + x) + channel];
    }
  }
  return writePng(planes, [4, down, across]);
}
