// What is edited: an image and its mask, with undo that outlives a reload.

import { el } from "../page/shared/elements.js";
import { pixelsOf } from "../page/shared/pixels.js";
import { button, icon } from "./dom.js";
import { picture } from "./grid.js";
import { imageDrop, upload } from "./image_drop.js";
import { Mask } from "./mask.js";
import { MaskEditor } from "./mask_editor.js";
import { Timeline } from "./timeline.js";

/** The mask of a picture of the server, as text, for an image, if it is still there. */
export async function packedMask(kept, image) {
  const mask = await picture(kept.url);
  const size = [mask.naturalWidth, mask.naturalHeight];
  const below = image ? pixelsOf(await picture(image.url), ...size) : null;
  return Mask.ofPicture(pixelsOf(mask, ...size), below).pack();
}

export class EditInput {
  /** `offered(file)` takes a file that was dropped on the place of the image; `changed()` is called after changes. */
  constructor(app, { offered, changed }) {
    Object.assign(this, { app, changed });
    this.timeline = new Timeline(JSON.stringify({ image: null, mask: "" })); // a mask is text: see Mask.pack
    this.inpaints = true; // whether a mask is drawn on the image
    this.opened = null; // the image in the editor, as the value of an option
    this.sent = { packed: "", ref: "" }; // the mask that the server has
    this.drop = imageDrop(app, { label: "Image", chosen: image => this.push({ image, mask: "" }), offered });
    this.editor = new MaskEditor({
      changed: () => this.push({ mask: this.editor.mask.pack() }),
      failed: text => app.toast(text),
    });
    this.plain = el("figure", { class: "plain" }, el("img", { class: "pixels", alt: "The image" }));
    this.undo = this.travelButton("undo", "Undo", "Ctrl+Z");
    this.redo = this.travelButton("redo", "Redo", "Ctrl+Shift+Z");
    this.empty = el("p", { class: "empty" }, "Drop an image here, choose a file, or take a sample: Edit this.");
    this.element = el(
      "section",
      { class: "panel stack tight", "aria-label": "Input" },
      el("div", { class: "row apart" }, el("h2", {}, "Input"), el("span", { class: "row" }, this.undo, this.redo)),
      this.empty,
      this.plain,
      this.editor.element,
    );
  }

  travelButton(way, label, keys) {
    const attributes = { class: "icon", "aria-label": label, title: `${label} (${keys})` };
    return button(icon(way), () => this.travel(way), attributes);
  }

  /** {image, mask}, either of which may be empty. */
  get state() {
    return JSON.parse(this.timeline.present);
  }

  /** Show the states that were there before. */
  restore(kept) {
    if (kept) this.timeline = Timeline.from(kept);
    this.showUndo();
  }

  push(change) {
    this.timeline.push(JSON.stringify({ ...this.state, ...change }));
    if ("image" in change) this.show();
    this.showUndo();
    this.changed();
  }

  /** Take another image. The mask stays if it is as large as the one before. */
  replace(image) {
    const { image: before, mask } = this.state;
    const fits = before && before.width === image.width && before.height === image.height;
    this.push({ image, mask: fits ? mask : "" });
  }

  /** Go a step back ("undo") or forth ("redo"). */
  travel(way) {
    if (!this.timeline[way]()) return;
    this.show();
    this.showUndo();
    this.changed();
  }

  showUndo() {
    this.undo.disabled = !this.timeline.canUndo;
    this.redo.disabled = !this.timeline.canRedo;
  }

  /** Show the image, in the editor if a mask is drawn on it. */
  async show() {
    const { image } = this.state;
    if ((this.drop.value?.ref ?? null) !== (image?.ref ?? null)) this.drop.set(image);
    this.empty.hidden = Boolean(image);
    this.plain.hidden = !image || this.inpaints;
    this.editor.element.hidden = !this.inpaints || this.opened !== (image?.ref ?? "");
    if (!image) return;
    this.plain.querySelector("img").src = image.url;
    if (this.inpaints) await this.showMask(this.timeline.present);
  }

  async showMask(key) {
    const { image, mask } = JSON.parse(key);
    const drawn = mask ? Mask.unpack(mask) : null;
    if (this.opened === image.ref) {
      this.editor.set(drawn ?? new Mask(this.editor.mask.width, this.editor.mask.height));
      return;
    }
    try {
      const shown = await picture(image.url);
      if (this.timeline.present !== key || !this.inpaints) return;
      this.opened = image.ref;
      this.editor.element.hidden = false; // it has to be on the page to know its size
      const fits = drawn && drawn.width === shown.naturalWidth && drawn.height === shown.naturalHeight;
      this.editor.open(image, shown, fits ? drawn : null);
    } catch {
      this.drop.fail("the browser cannot show this file, so no mask can be drawn on it");
    }
  }

  /** The mask as the value of an option; the server has it already if it did not change. */
  async uploadMask() {
    const { mask } = this.editor;
    const packed = mask.pack();
    if (this.sent.packed !== packed) {
      this.sent = { packed, ref: (await upload(this.app, await mask.toPng(), "mask.png")).ref };
    }
    return this.sent.ref;
  }
}
