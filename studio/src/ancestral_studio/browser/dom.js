// What elements of the studio share: texts, buttons, ids and icons, and numbers in words.

import { el, onFile } from "../page/shared/elements.js";

/** A button that is no submit button. `content` is a child, or several in an array. */
export const button = (content, click, attributes = {}) =>
  el("button", { type: "button", ...attributes, on: { click } }, content);

/** An input of a file that is not shown: a button clicks it. `taken(file)` gets what is chosen. */
export function hiddenFileInput(accept, taken) {
  const hidden = { class: "hidden", tabindex: "-1", "aria-hidden": "true" };
  return onFile(el("input", { type: "file", accept, ...hidden }), taken);
}

/** Replace the text of an element where it differs, so that screen readers and selections are left alone. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Block a button, or free it. One that is disabled would lose the focus of the keyboard. */
export function block(button, on) {
  button.setAttribute("aria-disabled", String(on));
}

let last = 0;
/** A new id for labels. */
export const newId = () => `id-${++last}`;

const ICONS = {
  play: "M8 5v14l11-7z",
  pause: "M6 5h4v14H6zM14 5h4v14h-4z",
  stop: "M6 6h12v12H6z",
  close: "M18.3 7.1 16.9 5.7 12 10.6 7.1 5.7 5.7 7.1 10.6 12l-4.9 4.9 1.4 1.4 4.9-4.9 4.9 4.9 1.4-1.4-4.9-4.9z",
  star: "M12 17.3 18.2 21l-1.6-7L22 9.2l-7.2-.6L12 2 9.2 8.6 2 9.2 7.5 14l-1.7 7z",
  up: "M7 14l5-5 5 5z",
  folder: "M10 4H4a2 2 0 0 0-2 2v12a2 2 0 0 0 2 2h16a2 2 0 0 0 2-2V8a2 2 0 0 0-2-2h-8z",
  undo: "M12.5 8A9 9 0 0 0 6.6 10.2L3 6.6v9h9l-3.6-3.6A6.5 6.5 0 0 1 18.7 16l2.4-.8A9 9 0 0 0 12.5 8z",
  redo: "M11.5 8a9 9 0 0 1 5.9 2.2L21 6.6v9h-9l3.6-3.6A6.5 6.5 0 0 0 5.3 16l-2.4-.8A9 9 0 0 1 11.5 8z",
  dice: "M5 3h14a2 2 0 0 1 2 2v14a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2V5a2 2 0 0 1 2-2zm2.5 3A1.5 1.5 0 1 0 9 7.5 1.5 1.5 0 0 0 7.5 6zm9 9a1.5 1.5 0 1 0 1.5 1.5 1.5 1.5 0 0 0-1.5-1.5zM12 10.5a1.5 1.5 0 1 0 1.5 1.5 1.5 1.5 0 0 0-1.5-1.5z",
  bin: "M6 19a2 2 0 0 0 2 2h8a2 2 0 0 0 2-2V7H6zM19 4h-3.5l-1-1h-5l-1 1H5v2h14z",
  left: "M15 6l-6 6 6 6z",
  right: "M9 6l6 6-6 6z",
  download: "M5 20h14v-2H5zM19 9h-4V3H9v6H5l7 7z",
};
/** An icon, hidden from screen readers: the button that holds it needs a label. */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg"),
    path = document.createElementNS(space, "path");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** Seconds as m:ss or h:mm:ss, as the terminal writes them. */
export function clock(seconds) {
  const whole = Math.max(0, Math.round(seconds)),
    two = number => String(number).padStart(2, "0");
  const hours = Math.floor(whole / 3600),
    minutes = Math.floor(whole / 60) % 60;
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

/** A number in a few digits: 1234, 12.3, 0.0123, 1.2e-5. */
export function short(number, digits = 4) {
  if (number === null || number === undefined || !Number.isFinite(number)) return "–";
  if (Number.isInteger(number) && Math.abs(number) < 1e15) return number.toLocaleString("en");
  const size = Math.abs(number);
  return size >= 1e6 || size < 1e-4 ? number.toExponential(digits - 2) : Number(number.toPrecision(digits)).toString();
}
