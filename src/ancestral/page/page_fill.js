/* Filling in: an image, and the mask of what is to be sampled anew. */

import { decode, encode, fitted, fromBytes, fromPixels, pixelsOfFile, toBytes, toPixels } from "./page_images.js";
import { MaskEditor } from "./page_mask.js";
import { $, say } from "./page_messages.js";
import { bytesOf, savedValues } from "./page_recipe.js";
import { toBase64 } from "./shared/bytes.js";

const PAINT = "Paint what is to be sampled anew, then press Sample.";

export class FillIn {
  /** `tool()` and `width()` are those of the MaskEditor. */
  constructor(model, { tool, width }) {
    this.model = model;
    this.editor = new MaskEditor($("mask"), { tool, width });
    this.image = null; // the values in the units of the data, and their bytes
    $("edit").hidden = !model.isImage;
    $("edit-off").onclick = () => this.close();
    $("mask-undo").onclick = () => this.editor.undo();
    $("mask-invert").onclick = () => this.editor.change((region) => region.invert());
    $("mask-clear").onclick = () => this.editor.change((region) => region.clear());
  }

  open(values, mask) {
    this.image = { values, bytes: toBytes(values, this.model.codec) };
    $("editor").hidden = $("edit-off").disabled = false;
    $("edit").open = true;
    this.editor.open(toPixels(this.image.bytes, this.model.shape), mask);
  }

  close() {
    this.image = null;
    $("editor").hidden = $("edit-off").disabled = true;
  }

  /** Takes a sample as the network has it; `edit` is that of its job. */
  openSample(x, edit) {
    const values = decode(x, this.model.codec);
    if (edit) values.forEach((_, k) => edit.mask[k % edit.mask.length] || (values[k] = edit.values[k]));
    this.open(values);
    $("mask").focus();
    say(PAINT);
  }

  async openFile(file) {
    const [channels, ...sides] = this.model.shape, pixels = await pixelsOfFile(file);
    const bytes = fitted(fromPixels(pixels, channels), [channels, pixels.height, pixels.width], sides);
    this.open(fromBytes(bytes, this.model.codec));
    say(PAINT);
  }

  /** The image as the Workers and a picture need it; null without one. */
  job() {
    if (!this.image) return null;
    const { mask } = this.editor, { values } = this.image;
    if (!mask.includes(1)) throw new Error("Paint what is to be sampled anew, or take the image away.");
    return {
      ...this.image, mask: mask.slice(),
      sent: { y: encode(values, this.model.codec), known: mask.map((one) => 1 - one) },
      saved: { image: toBase64(bytesOf(values)), mask: toBase64(mask) },
    };
  }

  /** What restore() needs of an edit that a picture holds, null for none; an error where it is damaged. */
  read(edit) {
    if (!edit) return null;
    const { codec, size, shape: [, height, width] } = this.model;
    const mask = savedValues(edit.mask, { kind: "uint8" }, height * width).map((one) => Math.min(one, 1));
    return { values: savedValues(edit.image, codec, size), mask };
  }

  restore(edit) {
    if (edit) this.open(edit.values, edit.mask);
    else this.close();
  }
}
