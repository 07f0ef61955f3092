// The axes of a table as they are typed, and their values as far as the browser knows them.

import { linesOf } from "../page/shared/words_field.js";
import { short } from "./dom.js";

/** The options of a table: its columns and its rows. */
export const AXES = ["sweep", "by"];
const EVENLY = /^([^:,;]+):([^:,;]+):(\d+)$/,
  MOST_VALUES = 1024;

/** The numbers of FIRST:LAST:COUNT. Those that are not whole are the server's to round: null. */
function evenly([, first, last, count]) {
  const [from, to, length] = [first, last, count].map(Number);
  if (length < 1 || length > MOST_VALUES) return null;
  const values = Array.from({ length }, (_, place) => from + ((to - from) * place) / Math.max(1, length - 1));
  return values.every(Number.isInteger) ? values : null;
}

/** The name of an axis such as "weight=0:210:7". */
export const axisName = text => String(text ?? "").split("=")[0];

/** [name, values] of an axis such as "weight=0:210:7"; null where only the server knows its values. */
function typedAxis(text) {
  const name = axisName(text),
    line = text.slice(name.length + 1);
  if (!line.trim()) return null;
  if (line.includes("\n")) return [name, linesOf(line)];
  const range = EVENLY.exec(line.trim());
  const values = range ? evenly(range) : /[:=;]/.test(line) ? null : line.split(",").map(value => value.trim());
  return values && [name, values];
}

/** The axes [[name, values], ...] of a table by its recipe or by its controls; null where they are not known. */
export function axesOf({ sweep, by }) {
  if (typeof sweep === "object") return Object.entries(sweep);
  const axes = [sweep, by].filter(Boolean).map(typedAxis);
  return axes.every(Boolean) ? axes : null;
}

/** What the cells of axes are called, by rows. */
export function cellNames([[column, values], [row, others] = ["", [""]]]) {
  const text = value => (typeof value === "number" ? short(value) : value);
  return others.flatMap(other => values.map(value => `${column} ${text(value)}${row ? `, ${row} ${text(other)}` : ""}`));
}
