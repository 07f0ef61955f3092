// An image at its own pixels with its mask over it, painted by mouse, touch, pen or keyboard.

import { el, saveFile } from "../page/shared/elements.js";
import { pictureOf, pixelsOf } from "../page/shared/pixels.js";
import { button, hiddenFileInput, write } from "./dom.js";
import { Mask } from "./mask.js";

const COLOUR = [255, 45, 85, 150]; // of the pixels that change
const MOST_ZOOM = 64;

/**
 * Make the editor. `changed()` is called after each change of the mask by the user that is complete: a whole stroke, a
 * box, an inversion. `failed(text)` is called where a mask cannot be read.
 * Returns {element, open(image, mask), close(), mask, set(mask)}; an image is {url, name, width, height}.
 */
export function maskEditor({ changed = () => {}, failed = () => {} }) {
  let mask = new Mask(1, 1),
    tool = "brush",
    erasing = false,
    size = 3,
    zoom = 0,
    scale = 1;
  let cursor = { x: 0, y: 0 },
    stroke = null,
    corner = null,
    name = "";

  const below = el("canvas", { class: "pixels", "aria-hidden": "true" });
  const above = el("canvas", { class: "pixels", "aria-hidden": "true" });
  const outline = el("div", { class: "outline", hidden: true });
  const paper = el(
    "div",
    { class: "paper", tabindex: "0", role: "application", "aria-roledescription": "mask editor" },
    below,
    above,
    outline,
  );
  const stage = el("div", { class: "stage" }, paper);
  const status = el("p", { class: "small soft number", role: "status" });
  const spoken = el("p", { class: "hidden", role: "status" });

  const press = (title, label, run, extra = {}) => button(title, run, { title: label, "aria-label": label, ...extra });
  const tools = {
    brush: press("Brush", "Brush (B)", () => choose("brush"), { "aria-pressed": "true" }),
    box: press("Box", "Box (R): drag from corner to corner", () => choose("box"), { "aria-pressed": "false" }),
  };
  const eraser = press("Erase", "Erase instead of paint (E)", () => erase(!erasing), { "aria-pressed": "false" });
  const range = el("input", {
    type: "range",
    min: 1,
    max: 32,
    value: size,
    "aria-label": "Brush size in pixels ( [ and ] )",
  });
  const sizeText = el("output", { class: "small number" }, `${size} px`);
  const distance = el("input", {
    type: "number",
    min: 1,
    max: 64,
    step: 1,
    value: 1,
    class: "narrow",
    "aria-label": "Feather by pixels",
  });
  const featherHelp =
    "Widen the mask by this many pixels with a round edge, so that new content has room to blend in. " +
    "A mask has no greys: a pixel changes, or stays to the bit";
  const loader = hiddenFileInput("image/*", file => read(file));
  const bar = el(
    "div",
    { class: "row tools", role: "toolbar", "aria-label": "Mask" },
    el("div", { class: "segments", role: "group", "aria-label": "Tool" }, Object.values(tools)),
    eraser,
    el("label", { class: "row" }, el("span", { class: "small" }, "Size"), range, sizeText),
    el(
      "span",
      { class: "row" },
      press("Feather", featherHelp, () => whole(() => mask.feather(Number(distance.value) || 1))),
      distance,
    ),
    press("Invert", "Swap what changes and what stays (I)", () => whole(() => mask.invert())),
    press("Clear", "Clear the mask", () => whole(() => mask.clear())),
    press(
      "Load mask",
      "Load a mask from a picture, in which white changes, or what is painted on a transparent ground",
      () => loader.click(),
    ),
    press("Save mask", "Save the mask as a PNG, in which white changes", save),
  );
  const zoomBar = el(
    "span",
    { class: "row" },
    press("−", "Zoom out", () => rescale(scale / 1.5), { class: "icon" }),
    press("+", "Zoom in", () => rescale(scale * 1.5), { class: "icon" }),
    press("Fit", "Fit to the window", () => rescale(0)),
  );
  const element = el(
    "div",
    { class: "stack tight mask-editor" },
    bar,
    stage,
    el("div", { class: "row apart" }, status, zoomBar),
    loader,
    spoken,
  );

  const context = () => above.getContext("2d");

  function draw({ left, top, right, bottom } = { left: 0, top: 0, right: mask.width, bottom: mask.height }) {
    if (right <= left || bottom <= top) return;
    const width = right - left,
      content = new ImageData(width, bottom - top),
      colours = new Uint32Array(content.data.buffer);
    const colour = new Uint32Array(new Uint8Array(COLOUR).buffer)[0];
    for (let y = top; y < bottom; y++) {
      for (let x = left; x < right; x++)
        if (mask.pixels[y * mask.width + x]) colours[(y - top) * width + x - left] = colour;
    }
    context().putImageData(content, left, top);
  }

  function count() {
    const number = mask.count,
      all = mask.width * mask.height;
    const share =
      number && number < all ? Math.min(99, Math.max(1, Math.round((100 * number) / all))) : number ? 100 : 0;
    write(status, `${mask.width} × ${mask.height} pixels; ${number.toLocaleString("en")} change (${share} %)`);
  }

  function say() {
    const x = Math.floor(cursor.x),
      y = Math.floor(cursor.y);
    write(spoken, `column ${x}, row ${y}, ${mask.pixels[y * mask.width + x] ? "changes" : "stays"}`);
  }

  function finished() {
    count();
    changed();
  }

  function whole(change) {
    change();
    draw();
    finished();
  }

  function choose(one) {
    tool = one;
    corner = null;
    for (const [key, button] of Object.entries(tools)) button.setAttribute("aria-pressed", String(key === one));
    mark();
  }

  function erase(on) {
    erasing = on;
    eraser.setAttribute("aria-pressed", String(on));
  }

  function resize(pixels) {
    size = Math.min(Number(range.max), Math.max(1, Math.round(pixels)));
    range.value = size;
    write(sizeText, `${size} px`);
    mark();
  }

  /** Set the size of a pixel of the image on the screen; 0 fits the image into the stage. */
  function rescale(wanted) {
    zoom = wanted;
    const room = Math.max(60, stage.clientWidth - 2),
      height = Math.max(200, innerHeight * 0.6);
    const fit = Math.min(room / mask.width, height / mask.height, MOST_ZOOM);
    scale = Math.min(MOST_ZOOM, Math.max(Math.min(fit, 1) / 2, wanted || fit));
    paper.style.width = `${mask.width * scale}px`;
    paper.style.height = `${mask.height * scale}px`;
    mark();
  }

  // the rectangle of the brush, or of the box that is being drawn
  function mark() {
    let from = { x: cursor.x, y: cursor.y },
      to = from;
    if (tool === "brush") {
      const centre = place => (size % 2 ? Math.floor(place) + 0.5 : Math.round(place));
      from = { x: centre(cursor.x) - size / 2, y: centre(cursor.y) - size / 2 };
      to = { x: from.x + size, y: from.y + size };
    } else {
      const other = corner ?? cursor;
      from = { x: Math.floor(Math.min(cursor.x, other.x)), y: Math.floor(Math.min(cursor.y, other.y)) };
      to = { x: Math.floor(Math.max(cursor.x, other.x)) + 1, y: Math.floor(Math.max(cursor.y, other.y)) + 1 };
    }
    outline.classList.toggle("round", tool === "brush" && size > 2);
    Object.assign(outline.style, {
      left: `${from.x * scale}px`,
      top: `${from.y * scale}px`,
      width: `${(to.x - from.x) * scale}px`,
      height: `${(to.y - from.y) * scale}px`,
    });
  }

  function place(event) {
    const box = paper.getBoundingClientRect();
    return {
      x: ((event.clientX - box.left) / box.width) * mask.width,
      y: ((event.clientY - box.top) / box.height) * mask.height,
    };
  }

  const inside = ({ x, y }) => ({
    x: Math.min(mask.width - 0.5, Math.max(0, x)),
    y: Math.min(mask.height - 0.5, Math.max(0, y)),
  });
  const value = () => (erasing ? 0 : 1);

  function begin(at) {
    if (tool === "box") corner = inside(at);
    else {
      stroke = at;
      draw(mask.stroke(at, at, size, value()));
    }
  }

  function go(at) {
    if (stroke) {
      draw(mask.stroke(stroke, at, size, value()));
      stroke = at;
    }
  }

  function end(at) {
    if (corner) {
      draw(mask.box(corner, inside(at), value()));
      corner = null;
    } else if (!stroke) return;
    stroke = null;
    mark();
    finished();
  }

  paper.addEventListener("pointerdown", event => {
    if (event.button !== 0 || stroke || corner) return;
    event.preventDefault();
    paper.focus({ preventScroll: true });
    paper.setPointerCapture(event.pointerId);
    cursor = inside(place(event));
    begin(place(event));
    outline.hidden = false;
    mark();
  });
  paper.addEventListener("pointermove", event => {
    outline.hidden = false;
    if (stroke) for (const one of event.getCoalescedEvents?.() ?? []) go(place(one));
    cursor = inside(place(event));
    go(place(event));
    mark();
  });
  for (const kind of ["pointerup", "pointercancel"]) {
    paper.addEventListener(kind, event => {
      if (paper.hasPointerCapture(event.pointerId)) end(place(event));
    });
  }
  paper.addEventListener("pointerleave", () => {
    outline.hidden = document.activeElement !== paper;
  });
  paper.addEventListener("focus", () => {
    outline.hidden = !paper.matches(":focus-visible");
    mark();
  });
  paper.addEventListener("blur", () => {
    outline.hidden = true;
    if (stroke) end(cursor);
  });
  stage.addEventListener(
    "wheel",
    event => {
      if (!event.ctrlKey) return;
      event.preventDefault();
      rescale(scale * (event.deltaY < 0 ? 1.2 : 1 / 1.2));
    },
    { passive: false },
  );

  paper.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = event.shiftKey ? 10 : 1;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    const others = {
      "[": () => resize(size - 1),
      "]": () => resize(size + 1),
      b: () => choose("brush"),
      r: () => choose("box"),
      e: () => erase(!erasing),
      i: () => whole(() => mask.invert()),
      Escape: () => {
        corner = null;
        mark();
      },
    };
    if (event.key in moves) {
      const [x, y] = moves[event.key];
      const at = { x: Math.floor(cursor.x) + 0.5 + x, y: Math.floor(cursor.y) + 0.5 + y };
      cursor = {
        x: Math.min(mask.width - 0.5, Math.max(0.5, at.x)),
        y: Math.min(mask.height - 0.5, Math.max(0.5, at.y)),
      };
      go(cursor);
      outline.hidden = false;
      outline.scrollIntoView({ block: "nearest", inline: "nearest" });
    } else if (event.key === " ") {
      outline.hidden = false;
      if (event.repeat) {
        /* the stroke goes on */
      } else if (corner) end(cursor);
      else begin(cursor);
    } else if (event.key in others && (!event.repeat || "[]".includes(event.key))) others[event.key]();
    else return;
    event.preventDefault();
    mark();
    say();
  });
  paper.addEventListener("keyup", event => {
    if (event.key === " " && stroke) end(cursor);
  });

  range.addEventListener("input", () => resize(Number(range.value)));
  new ResizeObserver(() => {
    if (!zoom) rescale(0);
  }).observe(stage);

  /** Take the mask of a picture, brought to the size of the image. */
  async function read(file) {
    try {
      const picture = await pictureOf(file);
      const size = [picture.width, picture.height];
      const other = Mask.ofPicture(pixelsOf(picture, ...size), pixelsOf(below, ...size));
      if (
        Math.abs((other.width * mask.height) / other.height - mask.width) >
        Math.max(1, mask.width / other.width) / 2
      ) {
        throw new RangeError(
          `the mask is ${other.width} × ${other.height}, and the image ${mask.width} × ${mask.height} pixels: ` +
            "give a mask of these proportions",
        );
      }
      whole(() => mask.pixels.set(other.resized(mask.width, mask.height).pixels));
      if (other.unsure) failed("The painted pixels of the mask change; Invert takes the transparent ones.");
    } catch (error) {
      failed(
        error instanceof RangeError ? error.message : "the mask cannot be read: give a picture, in which white changes",
      );
    }
  }

  async function save() {
    saveFile(await mask.toPng(), `${name.replace(/\.[^.]*$/, "") || "image"}-mask.png`);
  }

  return {
    element,
    paper,
    get mask() {
      return mask;
    },
    /** Show an image, with a mask of its size or none. */
    open(image, picture, newMask = null) {
      name = image.name ?? "";
      mask = newMask ?? new Mask(picture.naturalWidth, picture.naturalHeight);
      for (const canvas of [below, above]) Object.assign(canvas, { width: mask.width, height: mask.height });
      below.getContext("2d").drawImage(picture, 0, 0);
      range.max = Math.max(2, Math.min(256, Math.round(Math.max(mask.width, mask.height) / 2)));
      resize(Math.min(size, Number(range.max)));
      cursor = { x: Math.floor(mask.width / 2) + 0.5, y: Math.floor(mask.height / 2) + 0.5 };
      stroke = corner = null;
      paper.setAttribute(
        "aria-label",
        `Mask of ${name || "the image"}, ${mask.width} by ${mask.height} pixels. Arrow keys move, Space paints, ` +
          "brackets change the size of the brush, E erases, R draws a box from Space to Space, I inverts.",
      );
      rescale(zoom);
      draw();
      count();
    },
    set(newMask) {
      mask = newMask;
      draw();
      count();
    },
    read,
    resize,
  };
}
