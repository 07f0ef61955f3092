// The part of a large image that a model edits: a rectangle of its proportions that is moved and resized over the image.

import { el, fill } from "../page/shared/elements.js";
import { button } from "./dom.js";
import { DragFrame } from "./drag_frame.js";

const PARTS = ["left", "top", "width"];
const between = (value, least, most) => Math.max(least, Math.min(most, value));

export class WindowChoice {
  /**
   * `paper` shows the image: it has its `size`, and draws frames (`addFrame`, `mark`). The window is the text "x,y,width,height" of
   * a field of the form: see `attach`.
   */
  constructor(paper) {
    Object.assign(this, { paper, field: null, size: [1, 1] });
    this.toggle = button("Choose window", () => this.write(this.rectangle ? null : this.standard()), {
      title: "Choose the part of this large image that the model edits; else a window around the mask is taken",
      "aria-pressed": "false",
      hidden: true,
    });
    this.inputs = PARTS.map(part =>
      el("input", { type: "number", min: 0, step: 1, class: "narrow", "aria-label": `Window: ${part} in pixels` }),
    );
    for (const input of this.inputs) input.addEventListener("change", () => this.give());
    const text = "Window, moved by its middle";
    this.fields = el("div", { class: "row small canvas-fields", role: "group", "aria-label": "Window", hidden: true });
    fill(
      this.fields,
      text,
      PARTS.map((part, number) => el("label", { class: "row" }, part, this.inputs[number])),
    );
    this.frame = new DragFrame({
      className: "window-frame",
      movable: true,
      limited: (edges, handle) => this.limited(edges, handle),
      moving: edges => this.show(edges),
      moved: edges => this.write(edges),
    });
    paper.addFrame(this.frame, () => this.rectangle ?? [0, 0, 0, 0]);
  }

  /** Take the field of the form, or null where there is none, and the [width, height] of the items of the model. */
  attach(field, size) {
    Object.assign(this, { field, size });
    this.read();
  }

  /** The edges that the field says: [left, top, right, bottom]; null without a window that can be shown. */
  get rectangle() {
    const [x, y, width, height] = String(this.field?.value() ?? "")
      .split(",")
      .map(Number);
    return width > 0 && height > 0 ? [x, y, x + width, y + height] : null;
  }

  /** Show what the field says. */
  read() {
    const { rectangle } = this;
    const { width, height } = this.paper.size;
    this.toggle.hidden = !this.field || (width <= this.size[0] && height <= this.size[1]);
    this.fields.hidden = this.frame.element.hidden = this.toggle.hidden || !rectangle;
    this.toggle.setAttribute("aria-pressed", String(!this.fields.hidden));
    if (rectangle) this.show(rectangle);
    this.paper.mark();
  }

  show([left, top, right]) {
    [left, top, right - left].forEach((value, number) => {
      this.inputs[number].value = value;
    });
  }

  /** Write edges into the field of the form. */
  write(edges) {
    const [left, top, right, bottom] = edges ?? [];
    this.field.set(edges ? [left, top, right - left, bottom - top].join(",") : null);
    this.field.element.dispatchEvent(new Event("input", { bubbles: true }));
    this.read();
  }

  /** Take the numbers beside the image. */
  give() {
    const [left, top, width] = this.inputs.map(input => Math.round(Number(input.value)) || 0);
    const [across, down] = this.sized(width, this.paper.size.width, this.paper.size.height);
    this.write(this.limited([left, top, left + across, top + down], "move"));
  }

  /** The width and height of a window that is about so wide, in the proportions of the model, and fits into a room. */
  sized(wanted, roomAcross, roomDown) {
    const [width, height] = this.size;
    let across = between(wanted, 1, Math.min(roomAcross, Math.floor((roomDown * width) / height)));
    const down = () => Math.max(1, Math.round((across * height) / width));
    while (across > 1 && down() > roomDown) across--;
    return [across, down()];
  }

  /** The window that is there first: as large as the items of the model if it fits, in the middle. */
  standard() {
    const { width, height } = this.paper.size;
    const [across, down] = this.sized(this.size[0], width, height);
    const left = Math.floor((width - across) / 2),
      top = Math.floor((height - down) / 2);
    return [left, top, left + across, top + down];
  }

  /** Edges inside of the image, in the proportions of the model; the edges that the handle does not move stay. */
  limited([left, top, right, bottom], handle) {
    const { width, height } = this.paper.size;
    if (handle === "move") {
      const x = between(left, 0, width - (right - left)),
        y = between(top, 0, height - (bottom - top));
      return [x, y, x + right - left, y + bottom - top];
    }
    const west = handle.includes("w"),
      north = handle.includes("n");
    const wanted = /[we]/.test(handle) ? right - left : Math.round(((bottom - top) * this.size[0]) / this.size[1]);
    const [across, down] = this.sized(wanted, west ? right : width - left, north ? bottom : height - top);
    const x = west ? right - across : left,
      y = north ? bottom - down : top;
    return [x, y, x + across, y + down];
  }
}
