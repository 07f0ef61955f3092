// An image at its own pixels with its mask over it, painted by mouse, touch, pen or keyboard.

import { el } from "../page/shared/elements.js";
import { centre } from "../page/shared/region.js";
import { Mask } from "./mask.js";

const COLOUR = [255, 45, 85, 150]; // of the pixels that change
const MOST_ZOOM = 64;
const STROKES = { brush: "Brush", box: "Rectangle", lasso: "Lasso", fill: "Fill" }; // names of what each tool does

export class MaskPaper {
  /**
   * `keys`: further keys and what they do. `painted(name)` is called after a whole stroke, rectangle or lasso, `moved()`
   * after each key.
   */
  constructor({ keys, painted, moved }) {
    Object.assign(this, { keys, painted, moved });
    this.mask = new Mask(1, 1);
    this.brush = { tool: "brush", erasing: false, size: 3 };
    this.cursor = { x: 0, y: 0 }; // places are in pixels of the image, with fractions
    this.stroke = null; // the last place of the stroke that is being painted
    this.corner = null; // the first corner of the rectangle that is being drawn
    this.line = null; // the places of the lasso that is being drawn
    this.zoom = 0; // the size of a pixel that was asked for, 0 for one that fits
    this.scale = 1;
    this.margin = 0; // pixels of the screen that stay free around the image
    this.frames = []; // rectangles over the image: [frame, its edges as a function]
    this.below = el("canvas", { class: "pixels", "aria-hidden": "true" });
    this.above = el("canvas", { class: "pixels", "aria-hidden": "true" });
    this.outline = el("div", { class: "outline", hidden: true });
    this.loop = lassoLine();
    const role = { role: "application", "aria-roledescription": "mask editor" };
    this.paper = el("div", { class: "paper", tabindex: "0", ...role }, this.below, this.above, this.loop, this.outline);
    this.desk = el("div", { class: "desk" }, this.paper);
    this.element = el("div", { class: "stage" }, this.desk);
    this.listenToPointers();
    this.listenToFocus();
    this.paper.addEventListener("keydown", event => this.press(event));
    this.paper.addEventListener("keyup", event => {
      if (event.key === " " && this.stroke) this.end(this.cursor);
    });
    new ResizeObserver(() => {
      if (!this.zoom) this.rescale(0);
    }).observe(this.element);
  }

  listenToPointers() {
    const { paper } = this;
    paper.addEventListener("pointerdown", event => {
      if (event.button !== 0 || this.busy) return;
      event.preventDefault();
      paper.focus({ preventScroll: true });
      paper.setPointerCapture(event.pointerId);
      this.cursor = this.inside(this.place(event));
      this.begin(this.place(event));
      this.outline.hidden = false;
      this.mark();
    });
    paper.addEventListener("pointermove", event => {
      this.outline.hidden = false;
      if (this.busy) for (const one of event.getCoalescedEvents?.() ?? []) this.go(this.place(one));
      this.cursor = this.inside(this.place(event));
      this.go(this.place(event));
      this.mark();
    });
    for (const kind of ["pointerup", "pointercancel"]) {
      paper.addEventListener(kind, event => {
        if (paper.hasPointerCapture(event.pointerId)) this.end(this.place(event));
      });
    }
    const zoom = event => {
      if (!event.ctrlKey) return;
      event.preventDefault();
      this.rescale(this.scale * (event.deltaY < 0 ? 1.2 : 1 / 1.2));
    };
    this.element.addEventListener("wheel", zoom, { passive: false });
  }

  listenToFocus() {
    const { paper, outline } = this;
    paper.addEventListener("pointerleave", () => {
      outline.hidden = document.activeElement !== paper;
    });
    paper.addEventListener("focus", () => {
      outline.hidden = !paper.matches(":focus-visible");
      this.mark();
    });
    paper.addEventListener("blur", () => {
      outline.hidden = true;
      if (this.stroke) this.end(this.cursor);
    });
  }

  /** Put a frame over the image, whose edges `edges()` returns in pixels of the image. */
  addFrame(frame, edges) {
    this.frames.push([frame, edges]);
    this.desk.append(frame.element);
  }

  /** The {width, height} of the canvas. */
  get size() {
    return this.mask;
  }

  /** Show the pixels of an image from a place on, with a mask of the size of all. */
  open(picture, mask, [left, top] = [0, 0]) {
    for (const canvas of [this.below, this.above]) Object.assign(canvas, { width: mask.width, height: mask.height });
    this.below.getContext("2d").drawImage(picture, left, top);
    this.cursor = { x: Math.floor(mask.width / 2) + 0.5, y: Math.floor(mask.height / 2) + 0.5 };
    this.leave();
    this.mask = mask;
    this.rescale(this.zoom);
    this.draw();
  }

  draw({ left, top, right, bottom } = { left: 0, top: 0, right: this.mask.width, bottom: this.mask.height }) {
    if (right <= left || bottom <= top) return;
    const width = right - left;
    const content = new ImageData(width, bottom - top);
    const colours = new Uint32Array(content.data.buffer);
    const [colour] = new Uint32Array(new Uint8Array(COLOUR).buffer);
    for (let y = top; y < bottom; y++) {
      for (let x = left; x < right; x++) {
        if (this.mask.pixels[y * this.mask.width + x]) colours[(y - top) * width + x - left] = colour;
      }
    }
    this.above.getContext("2d").putImageData(content, left, top);
  }

  /** Set the size of a pixel of the image on the screen; 0 fits the image into the stage. */
  rescale(zoom) {
    const { width, height } = this.mask;
    const most = Number.parseFloat(getComputedStyle(this.element).maxHeight) || innerHeight * 0.6;
    const edges = 2 + 2 * this.margin;
    const room = { width: Math.max(60, this.element.clientWidth - edges), height: Math.max(92, most - edges) };
    const fit = Math.min(room.width / width, room.height / height, MOST_ZOOM);
    this.zoom = zoom;
    this.scale = Math.min(MOST_ZOOM, Math.max(Math.min(fit, 1) / 2, zoom || fit));
    this.paper.style.width = `${width * this.scale}px`;
    this.paper.style.height = `${height * this.scale}px`;
    this.desk.style.padding = `${this.margin}px`;
    this.mark();
  }

  /** Draw the outline of the brush, or of the rectangle that is being drawn, and the frames. */
  mark() {
    for (const [frame, edges] of this.frames) frame.show(edges(), this.scale, this.margin);
    const { cursor, scale, brush } = this;
    const { x, y } = this.corner ?? cursor;
    const round = brush.tool === "brush";
    const start = round
      ? { x: centre(cursor.x, brush.size) - brush.size / 2, y: centre(cursor.y, brush.size) - brush.size / 2 }
      : { x: Math.floor(Math.min(cursor.x, x)), y: Math.floor(Math.min(cursor.y, y)) };
    const end = round
      ? { x: start.x + brush.size, y: start.y + brush.size }
      : { x: Math.floor(Math.max(cursor.x, x)) + 1, y: Math.floor(Math.max(cursor.y, y)) + 1 };
    this.outline.classList.toggle("round", round && brush.size > 2);
    Object.assign(this.outline.style, {
      left: `${start.x * scale}px`,
      top: `${start.y * scale}px`,
      width: `${(end.x - start.x) * scale}px`,
      height: `${(end.y - start.y) * scale}px`,
    });
  }

  /** The place of a pointer. */
  place(event) {
    const box = this.paper.getBoundingClientRect();
    return {
      x: ((event.clientX - box.left) / box.width) * this.mask.width,
      y: ((event.clientY - box.top) / box.height) * this.mask.height,
    };
  }

  inside({ x, y }, least = 0) {
    return {
      x: Math.min(this.mask.width - 0.5, Math.max(least, x)),
      y: Math.min(this.mask.height - 0.5, Math.max(least, y)),
    };
  }

  /** Paint, or erase, from a place to another. */
  paint(from, to) {
    this.draw(this.mask.stroke(from, to, this.brush.size, this.brush.erasing ? 0 : 1));
    this.stroke = to;
  }

  /** Whether something is being drawn. */
  get busy() {
    return Boolean(this.stroke ?? this.corner ?? this.line);
  }

  /** Leave out what is being drawn. */
  leave() {
    this.stroke = this.corner = this.line = null;
    this.loop.firstChild.setAttribute("points", "");
  }

  begin(at) {
    const { tool, erasing } = this.brush;
    if (tool === "box") this.corner = this.inside(at);
    else if (tool === "lasso") this.line = [this.inside(at)];
    else if (tool === "fill") {
      this.mask.fillFrom(this.inside(at), erasing ? 0 : 1);
      this.draw();
      this.finish();
    } else this.paint(at, at);
  }

  go(at) {
    if (this.stroke) this.paint(this.stroke, at);
    if (!this.line) return;
    this.line.push(this.inside(at));
    this.loop.setAttribute("viewBox", `0 0 ${this.mask.width} ${this.mask.height}`);
    this.loop.firstChild.setAttribute("points", this.line.map(({ x, y }) => `${x},${y}`).join(" "));
  }

  end(at) {
    const value = this.brush.erasing ? 0 : 1;
    if (!this.busy) return;
    if (this.corner) this.draw(this.mask.box(this.corner, this.inside(at), value));
    if (this.line) {
      this.mask.polygon(this.line, value);
      this.draw();
    }
    this.finish();
  }

  finish() {
    const { tool, erasing } = this.brush;
    this.leave();
    this.mark();
    this.painted(erasing ? `Erase: ${STROKES[tool].toLowerCase()}` : STROKES[tool]);
  }

  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = event.shiftKey ? 10 : 1;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    if (event.key in moves) this.move(...moves[event.key]);
    else if (event.key === " ") {
      this.outline.hidden = false;
      // while the key is held, the stroke goes on
      if (!event.repeat && (this.corner || this.line)) this.end(this.cursor);
      else if (!event.repeat) this.begin(this.cursor);
    } else if (event.key in this.keys && (!event.repeat || "[]".includes(event.key))) this.keys[event.key]();
    else return;
    event.preventDefault();
    this.mark();
    this.moved();
  }

  /** Move the cursor by whole pixels. */
  move(x, y) {
    this.cursor = this.inside({ x: Math.floor(this.cursor.x) + 0.5 + x, y: Math.floor(this.cursor.y) + 0.5 + y }, 0.5);
    this.go(this.cursor);
    this.outline.hidden = false;
    this.outline.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
}

/** The line of a lasso, in pixels of the image. */
function lassoLine() {
  const space = "http://www.w3.org/2000/svg";
  const drawing = document.createElementNS(space, "svg");
  drawing.setAttribute("class", "lasso");
  drawing.setAttribute("aria-hidden", "true");
  drawing.setAttribute("preserveAspectRatio", "none");
  drawing.append(document.createElementNS(space, "polyline"));
  return drawing;
}
