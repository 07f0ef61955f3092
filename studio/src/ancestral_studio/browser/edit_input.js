// What is edited: an image and its mask, with undo that outlives a reload.

import { el } from "../page/shared/elements.js";
import { pixelsOf } from "../page/shared/pixels.js";
import { NO_EXTENSION, extendedPicture } from "./canvas_extension.js";
import { button, icon } from "./dom.js";
import { EditSteps } from "./edit_steps.js";
import { picture } from "./grid.js";
import { imageDrop, upload } from "./image_drop.js";
import { Mask } from "./mask.js";
import { MaskEditor } from "./mask_editor.js";
import { PlainImage } from "./plain_image.js";
import { Timeline } from "./timeline.js";

/** The mask of a picture of the server, as text, for an image, if it is still there. */
export async function packedMask(kept, image) {
  const mask = await picture(kept.url);
  const size = [mask.naturalWidth, mask.naturalHeight];
  const below = image ? pixelsOf(await picture(image.url), ...size) : null;
  return Mask.ofPicture(pixelsOf(mask, ...size), below).pack();
}

const NOTHING = { image: null, mask: "", extension: NO_EXTENSION, step: "No image" }; // a mask is text: see Mask.pack
const HOLES = "From the image's transparency";

const canvasName = ({ name }) => `${name.replace(/\.[^.]*$/, "")}-extended.png`;

export class EditInput {
  /** `offered(file)` takes a file that was dropped on the place of the image; `changed()` is called after changes. */
  constructor(app, { offered, changed }) {
    Object.assign(this, { app, changed });
    this.timeline = new Timeline(JSON.stringify(NOTHING));
    this.inpaints = true; // whether a mask is drawn on the image
    this.keepsHoles = false; // whether the model makes transparent pixels, which then are no holes
    this.opened = null; // the image in the editor, as the value of an option
    this.drawing = Promise.resolve(); // ends once the image and its mask are in the editor
    this.sent = { mask: {}, canvas: {} }; // what the server has: {key, image}
    this.drop = imageDrop(app, { label: "Image", chosen: image => this.push({ image, mask: "" }), offered });
    this.editor = new MaskEditor({
      changed: step => this.push({ mask: this.editor.mask.pack(), extension: this.editor.extension.by }, step),
      failed: text => app.toast(text),
    });
    this.plain = new PlainImage();
    this.undo = this.travelButton("undo", "Undo", "Ctrl+Z");
    this.redo = this.travelButton("redo", "Redo", "Ctrl+Shift+Z");
    this.steps = new EditSteps(place => this.travel(() => this.timeline.go(place)));
    this.empty = el("p", { class: "empty" }, "Drop an image here, choose a file, or take a sample: Edit this.");
    this.element = el(
      "section",
      { class: "panel stack tight", "aria-label": "Input" },
      el("div", { class: "row apart" }, el("h2", {}, "Input"), el("span", { class: "row" }, this.undo, this.redo)),
      el(
        "div",
        { class: "input-parts" },
        el("div", { class: "stack tight" }, this.empty, this.plain.element, this.editor.element),
        this.steps.element,
      ),
    );
  }

  travelButton(way, label, keys) {
    const attributes = { class: "icon", "aria-label": label, title: `${label} (${keys})` };
    return button(icon(way), () => this.travel(() => this.timeline[way]()), attributes);
  }

  /** The windows over the image, with a mask and without. */
  get windows() {
    return [this.editor.window, this.plain.window];
  }

  /** Show the window that the form says. */
  readWindows() {
    for (const window of this.windows) window.read();
  }

  /** {image, mask, extension, step}: the mask is of the extended canvas, and the step the name of what was done last. */
  get state() {
    return { ...NOTHING, ...JSON.parse(this.timeline.present) };
  }

  /** Show the states that were there before. */
  restore(kept) {
    if (kept) this.timeline = Timeline.from(kept);
    this.showUndo();
  }

  /** Change the image, the mask or both; the change is named, by default after the image. */
  push(change, step = change.image?.name ?? NOTHING.step) {
    const before = this.state;
    const after = { ...before, ...("image" in change && { extension: NO_EXTENSION }), ...change, step };
    if (!("image" in change) && before.mask === after.mask) return; // nothing to undo
    this.timeline.push(JSON.stringify(after));
    if ("image" in change) this.show();
    this.showUndo();
    this.changed();
  }

  /** Take another image. The mask stays if it is as large as the one before, or as its extended canvas. */
  replace(image) {
    const { image: before, mask, extension } = this.state;
    const [left, top, right, bottom] = extension;
    const same = (across, down) => before.width + across === image.width && before.height + down === image.height;
    if (before && same(0, 0)) this.push({ image, mask, extension });
    else this.push({ image, mask: before && same(left + right, top + bottom) ? mask : "" });
  }

  /** Go back or forth as a function does, which returns whether anything changed. */
  travel(move) {
    if (!move()) return;
    this.show();
    this.showUndo();
    this.changed();
  }

  showUndo() {
    this.undo.disabled = !this.timeline.canUndo;
    this.redo.disabled = !this.timeline.canRedo;
    const { states, place } = this.timeline;
    this.steps.element.hidden = states.length < 2;
    this.steps.show(
      states.map(state => JSON.parse(state).step ?? "Change"),
      place,
    );
  }

  /** Show the image, in the editor if a mask is drawn on it. */
  show() {
    this.drawing = this.draw();
    return this.drawing;
  }

  async draw() {
    const { image } = this.state;
    if ((this.drop.value?.ref ?? null) !== (image?.ref ?? null)) this.drop.set(image);
    this.empty.hidden = Boolean(image);
    this.plain.element.hidden = !image || this.inpaints;
    this.editor.element.hidden = !this.inpaints || this.opened !== (image?.ref ?? "");
    if (!image) return;
    this.plain.show(image.url);
    if (this.inpaints) await this.showMask(this.timeline.present);
  }

  async showMask(key) {
    const { image, mask, extension } = this.state;
    const drawn = mask ? Mask.unpack(mask) : null;
    const [left, top, right, bottom] = extension;
    const fits = (width, height) => drawn?.width === width + left + right && drawn.height === height + top + bottom;
    // a mask of another size is of another image
    const kept = (width, height) => (!drawn || fits(width, height) ? extension : NO_EXTENSION);
    const maskOn = (width, height) => (fits(width, height) ? drawn : new Mask(width, height).extended(kept(width, height)));
    const open = (width, height) => this.editor.set(maskOn(width, height), kept(width, height));
    if (this.opened === image.ref) {
      open(this.editor.picture.naturalWidth, this.editor.picture.naturalHeight);
      this.takeHoles();
      return;
    }
    try {
      const shown = await picture(image.url);
      if (this.timeline.present !== key || !this.inpaints) return;
      this.opened = image.ref;
      this.editor.element.hidden = false; // it has to be on the page to know its size
      this.editor.open(image, shown);
      open(shown.naturalWidth, shown.naturalHeight);
      this.takeHoles();
    } catch {
      this.drop.fail("the browser cannot show this file, so no mask can be drawn on it");
    }
  }

  /** The transparent pixels of a new image that has some are its mask at once. */
  takeHoles() {
    const { holes } = this.editor;
    const { image, mask, extension } = this.state;
    if (!holes || mask || this.keepsHoles || this.timeline.canRedo) return; // also where this was undone
    const wide = holes.extended(extension);
    this.push({ mask: wide.pack() }, HOLES);
    this.editor.set(wide, extension);
    this.app.toast(`The transparent pixels of ${image.name} are the mask: they change.`);
  }

  /** The mask without what is new on the extended canvas. */
  get inside() {
    return this.editor.mask.extended(this.state.extension.map(pixels => -pixels));
  }

  /**
   * The image and its mask as values of options, and the image that is shown beside the result. `serverExtends`: whether
   * the server extends a canvas that has no further mask; else it gets the image on one, with a transparent border.
   */
  async values(serverExtends) {
    await this.drawing; // the editor may still have the mask of the image before
    const { image, extension } = this.state;
    const extended = extension.some(Boolean);
    const shown = extended ? await this.uploadCanvas() : image;
    if (extended && serverExtends && !this.inside.count) {
      return { options: { image: image.ref, extend: extension.join(",") }, image: shown };
    }
    return { options: { image: shown.ref, mask: (await this.uploadMask()).ref }, image: shown };
  }

  /**
   * A function that gives these values of another image: with the mask that is painted, or else with what is new on its
   * canvas, or what is transparent in it.
   */
  async valuesOfOthers(serverExtends) {
    await this.drawing;
    const { image: shown, extension } = this.state;
    const extended = extension.some(Boolean);
    const { inside } = this;
    const painted = shown && this.opened === shown.ref && inside.count && inside.pack() !== this.editor.holes?.pack();
    const mask = painted ? (await this.uploadMask()).ref : null;
    return async image => {
      if (!extended) return { image: image.ref, ...(mask && { mask }) };
      if (serverExtends && !mask) return { image: image.ref, extend: extension.join(",") };
      const around = () => new Mask(image.width, image.height).extended(extension).toPng();
      const ref = mask ?? (await upload(this.app, await around(), "mask.png")).ref;
      const canvas = await upload(this.app, await extendedPicture(image, extension), canvasName(image));
      return { image: canvas.ref, mask: ref };
    };
  }

  uploadMask() {
    const { mask } = this.editor;
    return this.upload("mask", mask.pack(), "mask.png", () => mask.toPng());
  }

  /** The image on its extended canvas. */
  uploadCanvas() {
    const { image, extension } = this.state;
    const make = () => extendedPicture(image, extension);
    return this.upload("canvas", `${image.ref} ${extension}`, canvasName(image), make);
  }

  /** What was sent under a name, which is sent anew if its key changed. */
  async upload(kind, key, name, make) {
    if (this.sent[kind].key !== key) this.sent[kind] = { key, image: await upload(this.app, await make(), name) };
    return this.sent[kind].image;
  }
}
