// The cells of a table of edits: the samples of each by their settings, and what was measured of them.

import { el } from "../page/shared/elements.js";
import { short } from "./dom.js";
import { fitting } from "./grid.js";

const CELL = /(^|\/)(\d{4})-[^/]*\.png$/;
const shown = value => (typeof value === "number" ? short(value) : String(value));

const figures = ({ deviation = null, misfit = null }) =>
  [
    deviation !== null && `standard deviation ${short(deviation, 3)}`,
    misfit !== null && `off what was measured by ${short(misfit, 2)}`,
  ]
    .filter(Boolean)
    .join(", ");

/**
 * The table of an entry: {columns: {name, texts}, rows: {name, texts} or null, cells: [{title, files, text}]} by rows;
 * null of an entry without one. The text of a cell is how far its samples differ, and how far they are from what was
 * measured.
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
    text: figures(entry.cells?.[number] ?? {}),
  }));
  return { columns, rows, cells };
}

const BETWEEN = { width: 20, height: 12 }, // cells; these are those of the style sheet
  TEXTS = 64; // above and below the samples of a cell

/** The {across, columns, size} of cells side by side, and of the samples in each, at which those are largest in a room. */
export function fittingCells(cells, each, ratio, room) {
  let best = null;
  for (let across = 1; across <= cells; across++) {
    const down = Math.ceil(cells / across);
    const cell = {
      width: (room.width - BETWEEN.width * (across - 1)) / across,
      height: (room.height - BETWEEN.height * (down - 1)) / down - TEXTS,
    };
    const { size, columns } = fitting(each, ratio, cell);
    if (columns && size > (best?.size ?? 0)) best = { across, columns, size };
  }
  return best;
}

/**
 * The element of a table whose cells `draw(cell)` fills: two settings have columns and rows, and the cells of one stand
 * side by side as far as there is room.
 */
export function drawTable({ columns, rows, cells }, draw) {
  const content = cell => [
    el("div", { class: "tiles" }, draw(cell)),
    cell.text && el("span", { class: "small soft number" }, cell.text),
  ];
  if (!rows) {
    const boxes = cells.map(cell => el("section", { class: "stack tight" }, el("h4", {}, cell.title), content(cell)));
    return el("div", { class: "cells in-line" }, boxes);
  }
  const count = columns.texts.length;
  const body = rows.texts.map((text, row) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, `${rows.name} ${text}`),
      cells.slice(row * count, (row + 1) * count).map(cell => el("td", {}, content(cell))),
    ),
  );
  const heads = columns.texts.map(text => el("th", { scope: "col" }, `${columns.name} ${text}`));
  return el("table", { class: "cells" }, el("tr", {}, el("td"), heads), body);
}
