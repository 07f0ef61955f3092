// A picture over the whole window: as large as fits or at whole pixels, the others by arrow keys, and what can be done.

import { el } from "../page/shared/elements.js";
import { button, icon, write } from "./dom.js";

const MOST_ZOOM = 32,
  FACTOR = 1.5;

export class Viewer {
  /**
   * `picture`: the element of one or more pictures, beside one another, of which `size()` gives {width, height} in
   * pixels. `beside`: what is known of it, and what can be done. `move(by)` shows another one; `step(by)` another step
   * of it. Arrow keys call both.
   */
  constructor({ label, picture, size, beside, move, step = () => {} }) {
    Object.assign(this, { picture, size, move, step });
    this.zoom = 0; // pixels of the screen for one of the picture; 0 is as large as fits
    this.title = el("h2", { class: "grow wrap" });
    this.scale = el("output", { class: "small number" });
    this.slot = el("div", { class: "viewer-film" });
    this.frame = el("div", { class: "viewer-frame", tabindex: "0", role: "group", "aria-label": "Picture" }, picture);
    const named = (content, text, click) => button(content, click, { class: "icon", "aria-label": text, title: text });
    this.element = el(
      "dialog",
      { class: "viewer", "aria-label": label, on: { keydown: event => this.press(event), close: () => this.closed() } },
      el(
        "header",
        { class: "row" },
        this.title,
        this.scale,
        named("−", "Zoom out (−)", () => this.rescale(1 / FACTOR)),
        named("+", "Zoom in (+)", () => this.rescale(FACTOR)),
        button("Fit", () => this.fit(), { title: "Fit to the window (0)" }),
        button("1:1", () => this.setZoom(1), { title: "One pixel of the picture for one of the screen (1)" }),
        named(icon("close"), "Close (Escape)", () => this.element.close()),
      ),
      el(
        "div",
        { class: "viewer-stage" },
        named(icon("left"), "The one before (←)", () => move(-1)),
        this.frame,
        named(icon("right"), "The next one (→)", () => move(1)),
      ),
      this.slot,
      el("div", { class: "viewer-side stack" }, beside),
    );
    this.element.addEventListener("click", event => event.target === this.element && this.element.close());
    new ResizeObserver(() => this.draw()).observe(this.frame);
  }

  get open() {
    return this.element.open;
  }

  /** Show the window. `film` is the element of the steps, which goes back to its place when the window is closed. */
  show(film = null) {
    if (this.open) return;
    this.back = film && { film, parent: film.parentNode, next: film.nextSibling };
    if (film) this.slot.append(film);
    this.zoom = 0;
    this.element.showModal();
    this.frame.focus();
    this.draw();
  }

  close() {
    if (this.open) this.element.close();
  }

  closed() {
    if (this.back) this.back.parent.insertBefore(this.back.film, this.back.next);
    this.back = null;
  }

  /** Name what is shown, and draw it in its size. */
  name(text) {
    write(this.title, text);
    this.draw();
  }

  /** The largest zoom at which all is in sight; a whole number of pixels where the picture is smaller than the frame. */
  fitting() {
    const { width, height } = this.size();
    const zoom = Math.min((this.frame.clientWidth - 4) / width, (this.frame.clientHeight - 4) / height);
    return Math.max(0.05, zoom >= 2 ? Math.floor(zoom) : zoom);
  }

  draw() {
    if (!this.open || !this.size().width) return;
    const zoom = this.zoom || this.fitting();
    this.picture.style.setProperty("--zoom", String(zoom));
    write(this.scale, `${Math.round(100 * zoom).toLocaleString("en")} %`);
  }

  setZoom(zoom) {
    this.zoom = zoom && Math.min(MOST_ZOOM, Math.max(0.05, zoom));
    this.draw();
  }

  rescale(factor) {
    this.setZoom((this.zoom || this.fitting()) * factor);
  }

  fit() {
    this.setZoom(0);
  }

  press(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest("input, select, textarea")) return;
    const calls = {
      ArrowLeft: () => this.move(-1),
      ArrowRight: () => this.move(1),
      Home: () => this.move(-Infinity),
      End: () => this.move(Infinity),
      ArrowUp: () => this.step(1),
      ArrowDown: () => this.step(-1),
      "+": () => this.rescale(FACTOR),
      "-": () => this.rescale(1 / FACTOR),
      0: () => this.fit(),
      1: () => this.setZoom(1),
    };
    if (!(event.key in calls)) return;
    event.preventDefault();
    event.stopPropagation();
    calls[event.key]();
  }
}
