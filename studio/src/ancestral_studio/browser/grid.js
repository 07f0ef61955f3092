// Tiles cut from the pictures of steps: one for each sample, at the pixels of the model, scaled without smoothing.

import { el, fill } from "../page/shared/elements.js";
import { write } from "./dom.js";

const MOST_TILES = 256;

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
 * Make a grid of tiles, of which one may be chosen by mouse or arrow keys.
 * `chosen(place)` is called when another is; `open(place)` by a double click or Enter on the chosen one.
 * Returns {element, show(images, layout, texts), mode(name), select(place), selected, canvas(place, kind)}.
 */
export function tileGrid({ label, chosen = () => {}, open = () => {} }) {
  const tiles = [],
    note = el("p", { class: "soft small", hidden: true });
  const list = el("div", { class: "tiles", role: "group", "aria-label": label, data: { mode: "x0" } });
  const element = el("div", { class: "stack tight" }, list, note);
  let selected = -1,
    layout = null;

  function tile(place) {
    const button = el(
      "button",
      { type: "button", class: "tile", "aria-pressed": "false", tabindex: place ? "-1" : "0" },
      el("canvas", { class: "pixels", data: { kind: "x" } }),
      el("canvas", { class: "pixels", data: { kind: "x0" } }),
      el("span", { class: "tile-text" }),
    );
    button.addEventListener("click", () => (selected === place ? open(place) : grid.select(place, true)));
    return button;
  }

  function columnsShown() {
    const top = tiles[0]?.offsetTop;
    const next = tiles.findIndex(one => one.offsetTop !== top);
    return next < 0 ? tiles.length : next;
  }

  list.addEventListener("keydown", event => {
    const moves = {
      ArrowLeft: -1,
      ArrowRight: 1,
      ArrowUp: -columnsShown(),
      ArrowDown: columnsShown(),
      Home: -Infinity,
      End: Infinity,
    };
    if (!(event.key in moves) || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const from = tiles.indexOf(document.activeElement),
      to = from + moves[event.key];
    const place = event.key === "Home" ? 0 : event.key === "End" ? tiles.length - 1 : to;
    if (place < 0 || place >= tiles.length) return;
    grid.select(place, true);
    tiles[place].focus();
  });

  const grid = {
    element,
    get selected() {
      return selected;
    },
    get layout() {
      return layout;
    },
    /** Draw pictures {x, x0}, either of which may be missing, in tiles with captions. */
    show(images, newLayout, captions = []) {
      layout = newLayout;
      const count = Math.min(layout.count, MOST_TILES);
      while (tiles.length > count) tiles.pop().remove();
      while (tiles.length < count) list.append(tiles[tiles.push(tile(tiles.length)) - 1]);
      if (selected >= count) grid.select(-1);
      note.hidden = layout.count <= count;
      write(note, `The first ${count} of ${layout.count} samples are shown; all are in the files.`);
      list.style.setProperty(
        "--tile",
        `${Math.min(220, Math.max(72, layout.width * (layout.width < 48 ? 3 : 1.5)))}px`,
      );
      tiles.forEach((button, place) => {
        for (const canvas of button.querySelectorAll("canvas")) {
          if (images[canvas.dataset.kind]) drawTile(canvas, images[canvas.dataset.kind], layout, place);
        }
        const text = captions[place] ?? `${place}`;
        write(button.querySelector(".tile-text"), text);
        button.setAttribute("aria-label", `Sample ${text}`);
      });
    },
    /** Show "x", "x0" or "both". */
    mode(name) {
      list.dataset.mode = name;
    },
    select(place, byUser = false) {
      if (place === selected) return;
      tiles[selected]?.setAttribute("aria-pressed", "false");
      selected = place < tiles.length ? place : -1;
      tiles.forEach((one, number) => {
        one.tabIndex = number === Math.max(0, selected) ? 0 : -1;
      });
      tiles[selected]?.setAttribute("aria-pressed", "true");
      if (byUser) chosen(selected);
    },
    focus() {
      tiles[Math.max(0, selected)]?.focus();
    },
    clear() {
      layout = null;
      selected = -1;
      tiles.length = 0;
      fill(list);
      note.hidden = true;
    },
    canvas(place, kind) {
      return tiles[place]?.querySelector(`canvas[data-kind="${kind}"]`) ?? null;
    },
  };
  return grid;
}
