// The cells of a table of edits: the samples of each by their settings, and how far these samples differ.

import { el } from "../page/shared/elements.js";
import { pixelsOf } from "../page/shared/pixels.js";
import { short, write } from "./dom.js";
import { picture } from "./grid.js";
import { Mask } from "./mask.js";

const CELL = /(^|\/)(\d{4})-[^/]*\.png$/;
const shown = value => (typeof value === "number" ? short(value) : String(value));

/**
 * The table of an entry: {columns: {name, texts}, rows: {name, texts} or null, cells: [{title, files}]} by rows; null of
 * an entry without one.
 */
export function tableOf(entry) {
  const axes = Object.entries(entry?.recipe?.sweep ?? {}).map(([name, values]) => ({ name, texts: values.map(shown) }));
  const files = (entry?.files ?? []).filter(file => CELL.test(file.name));
  if (!axes.length || !files.length) return null;
  const [columns, rows = null] = axes;
  const titles = (rows?.texts ?? [""]).flatMap(row =>
    columns.texts.map(column => `${columns.name} ${column}${rows ? `, ${rows.name} ${row}` : ""}`),
  );
  const cells = titles.map((title, number) => ({
    title,
    files: files.filter(file => Number(CELL.exec(file.name)[2]) === number),
  }));
  return { columns, rows, cells };
}

/**
 * The element of a table whose cells `draw(cell)` fills: two settings have columns and rows, and the cells of one stand
 * side by side as far as there is room. A cell has a line for its deviation: `say(number, text)` writes it.
 */
export function drawTable({ columns, rows, cells }, draw) {
  const lines = cells.map(() => el("span", { class: "small soft number" }));
  const content = (cell, number) => [el("div", { class: "tiles" }, draw(cell)), lines[number]];
  const say = (number, text) => write(lines[number], text);
  if (!rows) {
    const boxes = cells.map((cell, number) =>
      el("section", { class: "stack tight" }, el("h4", {}, cell.title), content(cell, number)),
    );
    return { element: el("div", { class: "cells in-line" }, boxes), say };
  }
  const count = columns.texts.length;
  const body = rows.texts.map((text, row) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, `${rows.name} ${text}`),
      cells.slice(row * count, (row + 1) * count).map((cell, column) => el("td", {}, content(cell, row * count + column))),
    ),
  );
  const heads = columns.texts.map(text => el("th", { scope: "col" }, `${columns.name} ${text}`));
  return { element: el("table", { class: "cells" }, el("tr", {}, el("td"), heads), body), say };
}

/**
 * The mean standard deviation of pictures over the pixels of a mask, or over all, in values of 255, as `Edit` gives it;
 * null of fewer than two.
 */
export async function deviationOf(urls, mask = null) {
  if (urls.length < 2) return null;
  const pictures = await Promise.all(urls.map(picture));
  const { naturalWidth: width, naturalHeight: height } = pictures[0];
  const all = pictures.map(one => pixelsOf(one, width, height).data);
  const { pixels } = mask?.resized(width, height) ?? new Mask(width, height, new Uint8Array(width * height).fill(1));
  let sum = 0,
    count = 0;
  for (let place = 0; place < pixels.length; place++) {
    if (!pixels[place]) continue;
    let variance = 0;
    for (let channel = 0; channel < 3; channel++) {
      const values = all.map(data => data[4 * place + channel]);
      const mean = values.reduce((one, other) => one + other, 0) / values.length;
      variance += values.reduce((one, value) => one + (value - mean) ** 2, 0) / (values.length - 1) / 3;
    }
    sum += Math.sqrt(variance);
    count++;
  }
  return count ? sum / count : null;
}
