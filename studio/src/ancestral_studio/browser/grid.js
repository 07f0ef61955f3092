// Tiles cut from the pictures of steps: one for each sample, at the pixels of the model, scaled without smoothing.

import { el, fill } from "../page/shared/elements.js";
import { button, write } from "./dom.js";
import { choose, preference } from "./preferences.js";

const MOST_TILES = 256;
const GAP = 8, // between tiles; these are those of the style sheet
  BORDER = 10, // of a tile, on both sides together
  CAPTION = 24,
  SMALLEST = 48,
  LARGEST = 640;

/** Load a picture. Its promise ends once it can be drawn. */
export async function picture(url) {
  const image = new Image();
  image.src = url;
  await image.decode();
  return image;
}

/** Draw tile `place` of a picture of tiles without gaps on a canvas. */
export function drawTile(canvas, image, { columns, width, height }, place) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, width, height);
  const x = (place % columns) * width,
    y = Math.floor(place / columns) * height;
  context.drawImage(image, x, y, width, height, 0, 0, width, height);
}

/**
 * The largest width of pictures at which all of a count are in a room, in columns; `ratio` is height by width, and
 * `across` a number of columns that is kept, or 0.
 */
export function fitting(count, ratio, room, across = 0) {
  let best = { size: 0, columns: 1 };
  for (let columns = across || 1; columns <= (across || count); columns++) {
    const rows = Math.ceil(count / columns);
    const across = (room.width - GAP * (columns - 1)) / columns - BORDER;
    const down = ((room.height - GAP * (rows - 1)) / rows - BORDER - CAPTION) / ratio;
    const size = Math.min(across, down, LARGEST);
    if (size > best.size) best = { size, columns };
  }
  return best.size >= SMALLEST ? best : { size: SMALLEST, columns: across };
}

/** The slider of the size of tiles, and the button that fits them to the window. `changed()` is called after a change. */
export function tileSize(changed) {
  const range = { type: "range", min: SMALLEST, max: LARGEST, step: 1, "aria-label": "Size of the pictures" };
  const slider = el("input", { ...range, value: preference("tile") || 2 * SMALLEST });
  const fit = button("Fit", () => set(0), { title: "All pictures in sight" });
  const mark = () => fit.setAttribute("aria-pressed", String(!preference("tile")));
  function set(tile) {
    choose({ tile });
    mark();
    changed();
  }
  slider.addEventListener("input", () => set(Number(slider.value)));
  mark();
  return el("span", { class: "row size" }, el("span", { class: "small" }, "Size"), slider, fit);
}

/** A grid of tiles, of which one may be chosen by arrow keys, and opened by a click or Enter. */
export class TileGrid {
  /** `open(place)` shows one; `room()` gives the {width, height} in which all are to be in sight. */
  constructor({ label, open = () => {}, room = null }) {
    Object.assign(this, { open, room, tiles: [], selected: -1, layout: null });
    this.across = 0; // the number of columns of a table
    this.note = el("p", { class: "soft small", hidden: true });
    const attributes = { class: "tiles", role: "group", "aria-label": label, data: { mode: "x0" } };
    this.list = el("div", { ...attributes, on: { keydown: event => this.press(event) } });
    this.element = el("div", { class: "stack tight" }, this.list, this.note);
  }

  tile(place) {
    const button = el(
      "button",
      { type: "button", class: "tile", "aria-pressed": "false", tabindex: place ? "-1" : "0" },
      el("canvas", { class: "pixels", data: { kind: "x" } }),
      el("canvas", { class: "pixels", data: { kind: "x0" } }),
      el("span", { class: "tile-text" }),
    );
    button.addEventListener("click", () => {
      this.select(place);
      this.open(place);
    });
    return button;
  }

  columnsShown() {
    const top = this.tiles[0]?.offsetTop;
    const next = this.tiles.findIndex(one => one.offsetTop !== top);
    return next < 0 ? this.tiles.length : next;
  }

  press(event) {
    const { tiles } = this;
    const moves = {
      ArrowLeft: -1,
      ArrowRight: 1,
      ArrowUp: -this.columnsShown(),
      ArrowDown: this.columnsShown(),
      Home: -Infinity,
      End: Infinity,
    };
    if (!(event.key in moves) || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const from = tiles.indexOf(document.activeElement),
      to = from + moves[event.key];
    const place = event.key === "Home" ? 0 : event.key === "End" ? tiles.length - 1 : to;
    if (place < 0 || place >= tiles.length) return;
    this.select(place);
    tiles[place].focus();
  }

  /** The number of tiles. */
  get count() {
    return this.tiles.length;
  }

  /** Draw pictures {x, x0}, either of which may be missing, in tiles with captions. */
  show(images, layout, captions = []) {
    const { tiles, note } = this;
    this.layout = layout;
    const count = Math.min(layout.count, MOST_TILES);
    while (tiles.length > count) tiles.pop().remove();
    while (tiles.length < count) this.list.append(tiles[tiles.push(this.tile(tiles.length)) - 1]);
    if (this.selected >= count) this.select(-1);
    note.hidden = layout.count <= count;
    write(note, `The first ${count} of ${layout.count} samples are shown; all are in the files.`);
    this.resize();
    tiles.forEach((button, place) => {
      for (const canvas of button.querySelectorAll("canvas")) {
        if (images[canvas.dataset.kind]) drawTile(canvas, images[canvas.dataset.kind], layout, place);
      }
      const text = captions[place] ?? `${place}`;
      write(button.querySelector(".tile-text"), text);
      button.setAttribute("aria-label", `Sample ${text}`);
    });
  }

  /** Show "x", "x0" or "both". */
  mode(name) {
    if (this.list.dataset.mode === name) return;
    this.list.dataset.mode = name;
    this.resize();
  }

  /** Give the tiles the size that is chosen, or at which all are in sight. */
  resize() {
    const { layout, list, room } = this;
    if (!layout) return;
    const ratio = (layout.height / layout.width) * (list.dataset.mode === "both" ? 2 : 1);
    const chosen = { size: preference("tile"), columns: this.across };
    const space = room?.();
    const { size, columns } = chosen.size || !space ? chosen : fitting(this.count, ratio, space, this.across);
    list.style.maxHeight = space ? `${Math.ceil(space.height)}px` : ""; // what is larger scrolls, and hides nothing else
    list.style.setProperty("--tile", `${(size || 2 * SMALLEST) + BORDER}px`);
    list.style.setProperty("--columns", columns || "auto-fill");
  }

  select(place) {
    const { tiles } = this;
    if (place === this.selected) return;
    tiles[this.selected]?.setAttribute("aria-pressed", "false");
    this.selected = place < tiles.length ? place : -1;
    tiles.forEach((one, number) => {
      one.tabIndex = number === Math.max(0, this.selected) ? 0 : -1;
    });
    tiles[this.selected]?.setAttribute("aria-pressed", "true");
  }

  focus() {
    this.tiles[Math.max(0, this.selected)]?.focus();
  }

  clear() {
    this.layout = null;
    this.selected = -1;
    this.tiles.length = 0;
    fill(this.list);
    this.note.hidden = true;
  }
}
