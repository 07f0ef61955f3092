// A rectangle over an image, whose edges and corners are dragged by a pointer, and which may be moved as a whole.

import { el } from "../page/shared/elements.js";

/** Of each handle which of the left, top, right and bottom edges move with it. */
const HANDLES = {
  move: [1, 1, 1, 1],
  n: [0, 1, 0, 0],
  e: [0, 0, 1, 0],
  s: [0, 0, 0, 1],
  w: [1, 0, 0, 0],
  nw: [1, 1, 0, 0],
  ne: [0, 1, 1, 0],
  se: [0, 0, 1, 1],
  sw: [1, 0, 0, 1],
};

export class DragFrame {
  /**
   * A rectangle is [left, top, right, bottom] in pixels of the image. `limited(rectangle, handle)` returns one that is
   * allowed; `moving(rectangle)` is called while it is dragged, `moved(rectangle)` at the end. Keyboards have number
   * fields beside it, so screen readers pass it over.
   */
  constructor({ className, movable = false, limited, moving, moved }) {
    Object.assign(this, { limited, moving, moved, rectangle: [0, 0, 0, 0], scale: 1, margin: 0, start: null });
    const names = Object.keys(HANDLES).filter(name => movable || name !== "move");
    this.element = el(
      "div",
      { class: `frame ${className}`, hidden: true, "aria-hidden": "true" },
      names.map(name => el("span", { class: "handle", data: { handle: name } })),
    );
    for (const handle of this.element.children) this.listen(handle);
  }

  listen(handle) {
    handle.addEventListener("pointerdown", event => {
      if (event.button !== 0) return;
      event.preventDefault();
      event.stopPropagation();
      handle.setPointerCapture(event.pointerId);
      this.start = { x: event.clientX, y: event.clientY, rectangle: this.rectangle };
    });
    handle.addEventListener("pointermove", event => {
      if (!this.start) return;
      const { x, y, rectangle } = this.start;
      const shifts = [event.clientX - x, event.clientY - y].map(shift => Math.round(shift / this.scale));
      const name = handle.dataset.handle;
      const wanted = rectangle.map((edge, side) => edge + HANDLES[name][side] * shifts[side % 2]);
      this.rectangle = this.limited(wanted, name);
      this.draw();
      this.moving(this.rectangle);
    });
    for (const kind of ["pointerup", "pointercancel"]) {
      handle.addEventListener(kind, () => {
        if (!this.start) return;
        this.start = null;
        this.moved(this.rectangle);
      });
    }
  }

  /** Show a rectangle at a scale, in pixels of the screen for one of the image, which begins `margin` of them inside. */
  show(rectangle, scale, margin) {
    Object.assign(this, { rectangle, scale, margin });
    this.draw();
  }

  draw() {
    const [left, top, right, bottom] = this.rectangle.map(edge => edge * this.scale);
    const sizes = { left: left + this.margin, top: top + this.margin, width: right - left, height: bottom - top };
    for (const [name, size] of Object.entries(sizes)) this.element.style[name] = `${size}px`;
  }
}
