/* The samples as the page shows them: images and signals as tiles, points in one picture. */

import { decode, fromPixels, toBytes, toPixels } from "./page_images.js";
import { el } from "./shared/elements.js";

const SIGNAL = [120, 240], POINTS = 640; // sizes of pictures: height and width
const WIDE = 560; // of all tiles together, in pixels of the page
const VIEW = 1.7; // points are shown in [−VIEW, VIEW]

export class Grid {
  /** `box`: the element of the tiles. `press(i)`: what a press on the tile of an image does. */
  constructor(box, model, press) {
    Object.assign(this, { box, model, press, isImage: model.shape.length === 3, isPoints: model.shape.length === 1 });
    this.transparent = this.isImage && model.shape[0] % 2 === 0;
    box.classList.toggle("alpha", this.transparent);
  }

  /** What is shown of an item as the network has it: bytes of images, numbers of others. */
  seen(x) {
    return this.isImage ? toBytes(decode(x, this.model.codec), this.model.codec) : x;
  }

  /** Makes a tile for each item with its caption, null for none. */
  build(captions) {
    const [height, width] = this.isImage ? this.model.shape.slice(1) : this.isPoints ? [1, 1] : SIGNAL;
    const aspect = width / height, count = this.isPoints ? 1 : captions.length;
    const columns = columnsOf(count, aspect);
    const each = Math.min((WIDE * Math.sqrt(aspect)) / columns, this.isPoints ? WIDE : 300 * Math.max(1, aspect));
    this.box.style.gridTemplateColumns = `repeat(${columns}, minmax(0, ${Math.round(each)}px))`;
    const tiles = this.isPoints ? [this.pointTile()]
      : captions.map((caption, i) => this.tile(caption, i, [height, width]));
    this.box.replaceChildren(...tiles);
    this.canvases = tiles.map((tile) => tile.querySelector("canvas"));
  }

  tile(caption, i, [height, width]) {
    const canvas = el("canvas", { width, height });
    const name = `Sample ${i + 1}${caption === null ? "" : `: ${caption}`}`;
    const text = caption === null ? null : el("span", { title: caption }, caption);
    if (!this.isImage) return el("div", { class: "tile", role: "img", "aria-label": name }, canvas, text);
    const label = { title: "Fill in a part of this sample", "aria-label": `${name}: fill in a part of it` };
    return el("button", { type: "button", class: "tile", ...label, on: { click: () => this.press(i) } }, canvas, text);
  }

  pointTile() {
    const label = { role: "img", "aria-label": "The points that were sampled" };
    return el("div", { class: "tile", ...label }, el("canvas", { width: POINTS, height: POINTS }));
  }

  /** Draws what is shown of each item; undefined leaves a tile as it is. */
  draw(items) {
    if (this.isPoints) return this.drawPoints(items.filter(Boolean));
    items.forEach((item, i) => {
      if (!item) return;
      if (this.isImage) this.canvases[i].getContext("2d").putImageData(toPixels(item, this.model.shape), 0, 0);
      else this.drawSignal(this.canvases[i], item);
    });
  }

  drawPoints(points) {
    const pen = this.canvases[0].getContext("2d"), unit = POINTS / (2 * VIEW);
    pen.clearRect(0, 0, POINTS, POINTS);
    pen.fillStyle = colour("accent");
    pen.globalAlpha = 0.7;
    for (const [x, y] of points) {
      pen.beginPath();
      pen.arc(POINTS / 2 + unit * x, POINTS / 2 - unit * y, 4, 0, 2 * Math.PI);
      pen.fill();
    }
  }

  /** A signal (C, L) in [−1, 1] as a line for each channel. */
  drawSignal(canvas, values) {
    const pen = canvas.getContext("2d"), [channels, length] = this.model.shape, [height, width] = SIGNAL;
    pen.clearRect(0, 0, width, height);
    pen.strokeStyle = colour("accent");
    for (let c = 0; c < channels; c++) {
      pen.beginPath();
      for (let i = 0; i < length; i++) {
        pen.lineTo((i / Math.max(length - 1, 1)) * width, height / 2 - values[c * length + i] * 0.45 * height);
      }
      pen.stroke();
    }
  }

  /** The items in one picture, as bytes and their shape: images enlarged by a whole number, one alone as it is. */
  picture(items) {
    if (!this.isImage) return this.plot();
    const [channels, height, width] = this.model.shape, count = items.length;
    if (count === 1) return [items[0], this.model.shape];
    const columns = columnsOf(count, width / height), rows = Math.ceil(count / columns);
    const zoom = Math.max(1, Math.round(500 / (rows * height))), gap = 2;
    const [down, across] = [rows * (zoom * height + gap) - gap, columns * (zoom * width + gap) - gap];
    const bytes = new Uint8Array(channels * down * across).fill(255);
    if (this.transparent) bytes.fill(0, (channels - 1) * down * across);
    items.forEach((item, i) => {
      const top = Math.floor(i / columns) * (zoom * height + gap), left = (i % columns) * (zoom * width + gap);
      for (let row = 0; row < channels * zoom * height; row++) {
        const c = Math.floor(row / (zoom * height)), y = row % (zoom * height);
        const to = (c * down + top + y) * across + left, from = (c * height + Math.floor(y / zoom)) * width;
        for (let x = 0; x < zoom * width; x++) bytes[to + x] = item[from + Math.floor(x / zoom)];
      }
    });
    return [bytes, [channels, down, across]];
  }

  /** The canvases of signals or points below each other, in colours on white. */
  plot() {
    const parts = this.canvases.map((canvas) => {
      const { width, height } = canvas, image = canvas.getContext("2d").getImageData(0, 0, width, height);
      return { width, height, bytes: fromPixels(image, 3) };
    });
    const [{ width, height }] = parts, size = width * height, bytes = new Uint8Array(3 * size * parts.length);
    parts.forEach((part, i) => {
      for (let c = 0; c < 3; c++) {
        bytes.set(part.bytes.subarray(c * size, (c + 1) * size), (c * parts.length + i) * size);
      }
    });
    return [bytes, [3, height * parts.length, width]];
  }
}

/** The number of columns of a grid that is about square, without a rest if there is such a number near. */
function columnsOf(count, aspect) {
  const best = Math.sqrt(count / aspect), far = (columns) => Math.abs(Math.log(columns / best));
  const even = Array.from({ length: count }, (_, i) => i + 1).filter((columns) => count % columns === 0);
  const [near] = even.sort((one, other) => far(one) - far(other));
  return far(near) < 0.4 ? near : Math.max(1, Math.min(count, Math.round(best)));
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
