// An image on which nothing is painted, with a window that may be chosen.

import { el } from "../page/shared/elements.js";
import { WindowChoice } from "./window_choice.js";

const MOST_ZOOM = 64;

export class PlainImage {
  constructor() {
    this.scale = 1;
    this.image = el("img", { class: "pixels", alt: "The image" });
    this.desk = el("figure", { class: "desk" }, this.image);
    this.frames = []; // rectangles over the image: [frame, its edges as a function]
    this.window = new WindowChoice(this);
    this.image.addEventListener("load", () => {
      this.fit();
      this.window.read();
    });
    this.element = el(
      "div",
      { class: "stack tight plain" },
      el("div", { class: "row" }, this.window.toggle),
      this.window.fields,
      this.desk,
    );
    new ResizeObserver(() => this.fit()).observe(this.element);
  }

  get size() {
    return { width: this.image.naturalWidth, height: this.image.naturalHeight };
  }

  addFrame(frame, edges) {
    this.frames.push([frame, edges]);
    this.desk.append(frame.element);
  }

  /** Make the image as large as fits. */
  fit() {
    const { width, height } = this.size;
    if (!width || !this.element.clientWidth) return;
    const most = Number.parseFloat(getComputedStyle(this.image).maxHeight);
    this.scale = Math.min(this.element.clientWidth / width, most / height, MOST_ZOOM);
    Object.assign(this.image.style, { width: `${width * this.scale}px`, height: `${height * this.scale}px` });
    this.mark();
  }

  mark() {
    for (const [frame, edges] of this.frames) frame.show(edges(), this.scale, 0);
  }

  show(url) {
    this.image.src = url;
  }
}
