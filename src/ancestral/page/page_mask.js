/* The editor of a mask: an image at its own pixels, and which of them are to be sampled anew. */

import { Region } from "./shared/region.js";

const LEAST = 300; // pixels of the canvas across

export class MaskEditor {
  /** `tool()`: brush, box or erase. `width()`: of the brush, in pixels of the image. */
  constructor(canvas, { tool, width }) {
    Object.assign(this, { canvas, tool, width, image: null, cursor: null, corner: null });
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => this.up());
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("blur", () => this.show(null));
  }

  /** Shows the pixels of an image (ImageData) with a mask, 1 where it changes; without one nothing changes yet. */
  open(image, mask) {
    const { width, height } = image;
    this.image = image;
    this.region = new Region(width, height, mask ? Uint8Array.from(mask) : undefined);
    this.undone = [];
    this.zoom = Math.max(1, Math.ceil(LEAST / width));
    this.canvas.width = width * this.zoom;
    this.canvas.height = height * this.zoom;
    this.under = new OffscreenCanvas(width, height);
    this.under.getContext("2d").putImageData(image, 0, 0);
    this.draw();
  }

  /** The pixels of the mask, row after row. */
  get mask() {
    return this.region.pixels;
  }

  /** Keeps the mask, so that the change that follows can be undone. */
  remember() {
    this.undone.push(this.mask.slice());
    if (this.undone.length > 100) this.undone.shift();
  }

  undo() {
    if (this.undone.length) this.mask.set(this.undone.pop());
    this.draw();
  }

  /** Changes the region as a whole. */
  change(how) {
    this.remember();
    how(this.region);
    this.draw();
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect(), { width, height } = this.image;
    const inside = (value, size) => Math.min(Math.max(Math.floor(value), 0), size - 1);
    return {
      x: inside(((event.clientX - box.left) / box.width) * width, width),
      y: inside(((event.clientY - box.top) / box.height) * height, height),
    };
  }

  down(event) {
    if (!this.image || event.button !== 0) return;
    event.preventDefault();
    this.canvas.setPointerCapture(event.pointerId);
    this.canvas.focus({ preventScroll: true });
    this.begin(this.place(event));
  }

  begin(place) {
    this.remember();
    this.corner = this.last = place;
    this.stroke(place);
  }

  move(event) {
    if (!this.image) return;
    this.cursor = this.place(event);
    if (this.corner) this.stroke(this.cursor);
    else this.draw();
  }

  /** Applies the tool from the place before to this one. */
  stroke(place) {
    if (this.tool() === "box") {
      this.mask.set(this.undone.at(-1));
      this.region.box(this.corner, place);
    } else this.region.stroke(this.last, place, this.width(), this.tool() === "erase" ? 0 : 1);
    this.last = place;
    this.draw();
  }

  up() {
    this.corner = null;
    if (this.image) this.draw();
  }

  key(event) {
    if (!this.image || event.altKey || event.metaKey) return;
    const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const { width, height } = this.image, arrow = ARROWS[event.key];
    const place = this.cursor || { x: Math.floor(width / 2), y: Math.floor(height / 2) };
    if (event.ctrlKey) {
      if (event.key !== "z") return;
      this.undo();
    } else if (arrow) {
      const far = event.shiftKey ? 5 : 1, moved = (at, step, side) => (at + far * step + side * far) % side;
      this.show({ x: moved(place.x, arrow[0], width), y: moved(place.y, arrow[1], height) });
      if (this.corner) this.stroke(this.cursor);
    } else if (event.key === " " || event.key === "Enter") {
      if (this.corner) this.up(); // the second corner of a box
      else {
        this.begin(place);
        if (this.tool() !== "box") this.up();
      }
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  show(cursor) {
    this.cursor = cursor;
    if (this.image) this.draw();
  }

  draw() {
    const pen = this.canvas.getContext("2d"), { width, height } = this.image, zoom = this.zoom;
    pen.imageSmoothingEnabled = false;
    pen.clearRect(0, 0, width * zoom, height * zoom);
    pen.drawImage(this.under, 0, 0, width * zoom, height * zoom);
    pen.fillStyle = getComputedStyle(this.canvas).getPropertyValue("--mark");
    pen.globalAlpha = 0.75;
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) if (this.mask[y * width + x]) pen.fillRect(x * zoom, y * zoom, zoom, zoom);
    }
    pen.globalAlpha = 1;
    if (!this.cursor) return;
    pen.lineWidth = 2;
    for (const [colour, inset] of [["#000", 1], ["#fff", 3]]) {
      pen.strokeStyle = colour;
      const side = zoom - 2 * inset;
      pen.strokeRect(this.cursor.x * zoom + inset, this.cursor.y * zoom + inset, side, side);
    }
  }
}
