// Samples of one condition as an ensemble: their mean, spread and quantiles, and how they are distributed at a pixel.

import { el } from "../page/shared/elements.js";
import { short, write } from "./dom.js";

const MAPS = { mean: "mean", spread: "standard deviation", low: "5 % quantile", median: "median", high: "95 % quantile" };
const SHARES = { low: 0.05, median: 0.5, high: 0.95 };
const MOST_MEMBERS = 256,
  BARS = 32,
  HEIGHT = 64;
const COLOURS = ["#d33", "#393", "#36c"]; // of the channels

/** The quantile of sorted values, between the two that are nearest to it. */
function quantile(sorted, share) {
  const place = share * (sorted.length - 1),
    below = Math.floor(place);
  return sorted[below] + (place - below) * (sorted[Math.min(below + 1, sorted.length - 1)] - sorted[below]);
}

/** Whether a recipe gives all of its samples the same conditions, some of them beside the label. */
export function isOfOneCondition({ sweep, given, label }) {
  const values = Object.values(given ?? {});
  return !sweep && values.length > 0 && [label ?? [], ...values].every(one => [one].flat().length <= 1);
}

export class Ensemble {
  constructor() {
    this.members = el("input", { type: "range", min: 2, step: 1, "aria-label": "Members", on: { input: () => this.draw() } });
    this.count = el("output", { class: "small number" });
    this.maps = Object.fromEntries(Object.keys(MAPS).map(name => [name, el("canvas", { class: "pixels", data: { map: name } })]));
    this.captions = Object.fromEntries(Object.keys(MAPS).map(name => [name, el("figcaption", { class: "small soft" }, MAPS[name])]));
    const figures = Object.keys(MAPS).map(name => el("figure", {}, this.maps[name], this.captions[name]));
    const keys = { role: "group", tabindex: "0", "aria-label": "Maps of all samples; arrow keys choose a pixel" };
    this.row = el("div", { class: "row ensemble-maps", ...keys, on: { click: event => this.point(event), keydown: event => this.press(event) } }, figures);
    this.histogram = el("canvas", { class: "ensemble-histogram", width: 4 * BARS, height: HEIGHT });
    this.text = el("output", { class: "small" });
    this.element = el(
      "details",
      { class: "ensemble", hidden: true, on: { toggle: () => this.draw() } },
      el("summary", {}, "All samples together"),
      el("label", { class: "row small" }, "Members", this.members, this.count),
      this.row,
      el("div", { class: "row" }, this.histogram, this.text),
    );
    this.hide();
  }

  hide() {
    this.element.hidden = true;
    this.pixels = this.layout = null;
    this.at = { column: 0, row: 0 };
  }

  /** Show the samples of a picture of tiles without gaps, of which there are two or more. */
  show(image, layout) {
    const count = Math.min(layout.count, MOST_MEMBERS);
    if (count < 2) return this.hide();
    const other = this.layout?.width !== layout.width || this.layout?.height !== layout.height;
    if (other) this.at = { column: Math.floor(layout.width / 2), row: Math.floor(layout.height / 2) };
    const { value, max } = this.members;
    Object.assign(this, { image, layout, pixels: null });
    this.members.max = count;
    this.members.value = this.element.hidden || value === max ? count : value; // at the end it stays there
    this.element.hidden = false;
    return this.draw();
  }

  /**
   * Read the pixels of the picture once. A key or a click may need them before the maps are drawn: the browser opens the
   * element at once, and its event `toggle` comes later.
   */
  readPixels() {
    if (!this.pixels) {
      const { width, height } = this.image;
      const sheet = new OffscreenCanvas(width, height).getContext("2d");
      sheet.drawImage(this.image, 0, 0);
      this.pixels = sheet.getImageData(0, 0, width, height);
    }
    return this.pixels;
  }

  /** The values of the members at a pixel in a channel. */
  values(column, row, channel) {
    const { columns, width, height } = this.layout,
      { data, width: across } = this.readPixels();
    return Uint8Array.from({ length: Number(this.members.value) }, (_, member) => {
      const x = (member % columns) * width + column,
        y = Math.floor(member / columns) * height + row;
      return data[4 * (y * across + x) + channel];
    });
  }

  /** The channel of fields at a row of a tile, whose channels are below one another, with the row in it; or null. */
  channel(row) {
    const { channels = [], height } = this.layout;
    if (!channels.length) return null;
    const tall = (height + 1) / channels.length, // with the line between two
      place = Math.floor(row / tall);
    return { ...channels[place], row: row - place * tall };
  }

  draw() {
    if (this.element.hidden || !this.element.open) return;
    const { width, height } = this.layout;
    write(this.count, this.members.value);
    const drawn = Object.fromEntries(Object.keys(MAPS).map(name => [name, new ImageData(width, height)]));
    const spread = new Float64Array(width * height);
    for (let place = 0; place < width * height; place++) {
      for (let channel = 0; channel < 3; channel++) {
        const sorted = this.values(place % width, Math.floor(place / width), channel).sort();
        const mean = sorted.reduce((sum, one) => sum + one, 0) / sorted.length;
        spread[place] += sorted.reduce((sum, one) => sum + (one - mean) ** 2, 0) / (sorted.length - 1) / 3;
        drawn.mean.data[4 * place + channel] = Math.round(mean);
        for (const [name, share] of Object.entries(SHARES)) drawn[name].data[4 * place + channel] = Math.round(quantile(sorted, share));
      }
    }
    const most = Math.sqrt(spread.reduce((largest, one) => Math.max(largest, one), 0));
    spread.forEach((one, place) => drawn.spread.data.fill(Math.round((255 * Math.sqrt(one)) / (most || 1)), 4 * place, 4 * place + 3));
    for (const [name, canvas] of Object.entries(this.maps)) {
      const { data } = drawn[name];
      for (let alpha = 3; alpha < data.length; alpha += 4) data[alpha] = 255;
      Object.assign(canvas, { width, height });
      canvas.getContext("2d").putImageData(drawn[name], 0, 0);
    }
    const { channels = [] } = this.layout,
      [{ name, low, high }] = [...channels, {}];
    const white =
      channels.length === 1
        ? `${short(((high - low) * most) / 255)} of ${name}`
        : channels.length
          ? `${((100 * most) / 255).toFixed(1)} % of the range of a channel`
          : `${most.toFixed(1)} of 255`;
    write(this.captions.spread, `${MAPS.spread}, white is ${white}`);
    this.drawPixel();
  }

  /** Draw how the members are distributed at the chosen pixel, in each channel that differs from the first. */
  drawPixel() {
    const { column, row } = this.at,
      context = this.histogram.getContext("2d"),
      all = [0, 1, 2].map(channel => this.values(column, row, channel).sort());
    const isGrey = all.every(one => one.every((value, member) => value === all[0][member]));
    const field = this.channel(row),
      value = level => (field ? short(field.low + ((field.high - field.low) * level) / 255) : Math.round(level));
    context.clearRect(0, 0, 4 * BARS, HEIGHT);
    context.globalAlpha = isGrey ? 1 : 0.5;
    const said = (isGrey ? all.slice(0, 1) : all).map((sorted, channel) => {
      const bars = new Array(BARS).fill(0);
      for (const value of sorted) bars[Math.floor((value * BARS) / 256)]++;
      context.fillStyle = isGrey ? getComputedStyle(this.element).color : COLOURS[channel];
      bars.forEach((number, bar) => context.fillRect(4 * bar, HEIGHT, 3, (-HEIGHT * number) / sorted.length));
      const [low, median, high] = Object.values(SHARES).map(share => value(quantile(sorted, share)));
      return `${median} (${low} to ${high})`;
    });
    const names = isGrey ? said : said.map((text, channel) => `${["red", "green", "blue"][channel]} ${text}`);
    write(this.text, `${field ? `${field.name}, ` : ""}row ${field?.row ?? row}, column ${column}: median and 5 to 95 %: ${names.join(", ")}`);
  }

  point(event) {
    const canvas = event.target.closest("canvas");
    if (!canvas) return;
    const box = canvas.getBoundingClientRect(),
      { width, height } = this.layout;
    const place = (offset, across, count) => Math.min(count - 1, Math.max(0, Math.floor((offset / across) * count)));
    this.at = { column: place(event.clientX - box.left, box.width, width), row: place(event.clientY - box.top, box.height, height) };
    this.drawPixel();
  }

  press(event) {
    const [right, down] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
    if (!right && !down) return;
    event.preventDefault();
    event.stopPropagation(); // the film moves by arrow keys too
    const { width, height } = this.layout;
    this.at.column = Math.min(width - 1, Math.max(0, this.at.column + right));
    this.at.row = Math.min(height - 1, Math.max(0, this.at.row + down));
    this.drawPixel();
  }
}
