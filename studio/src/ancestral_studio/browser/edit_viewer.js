// A sample of an edit over the whole window, beside the image that it began with.

import { el } from "../page/shared/elements.js";
import { button, icon } from "./dom.js";
import { favouriteButton } from "./star.js";
import { Viewer } from "./viewer.js";

export class EditViewer {
  /** `move(by)` shows another sample, `sendBack(file)` takes it as the input. */
  constructor(app, { move, sendBack }) {
    this.before = el("img", { class: "pixels", alt: "The image before" });
    this.after = el("img", { class: "pixels", alt: "The sample" });
    this.star = favouriteButton(app);
    this.download = el("a", { class: "button", download: "" }, icon("download"), "Download");
    const back = button("Use as input", () => this.leave(sendBack), { class: "primary" });
    this.viewer = new Viewer({
      label: "The chosen sample",
      picture: el("div", { class: "viewer-pictures" }, this.before, this.after),
      size: () => this.size(),
      beside: el("div", { class: "row" }, back, this.star.element, this.download),
      move,
    });
    this.element = this.viewer.element;
  }

  get open() {
    return this.viewer.open;
  }

  leave(run) {
    const { file } = this;
    this.viewer.close();
    run(file);
  }

  /** The {width, height} of the pictures beside one another, in pixels. */
  size() {
    const drawn = [this.before, this.after].filter(one => !one.hidden);
    return {
      width: drawn.reduce((sum, one) => sum + one.naturalWidth, 0),
      height: Math.max(...drawn.map(one => one.naturalHeight)),
    };
  }

  /** Show a sample {file, title, entry, input}; `input` may be null. */
  async show({ file, title, entry, input }) {
    this.file = file;
    this.viewer.show();
    this.star.show(entry);
    this.download.href = file.url;
    this.before.hidden = !input;
    if (input) this.before.src = input.url;
    this.after.src = file.url;
    this.after.alt = title;
    await Promise.allSettled([input && this.before.decode(), this.after.decode()]);
    if (this.file === file) this.viewer.name(title);
  }

  close() {
    this.viewer.close();
  }
}
