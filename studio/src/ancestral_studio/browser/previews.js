// Previews of averaged samples over the steps of one or several runs: a slider, and a film of them.

import { el, fill } from "../page/shared/elements.js";
import { button, icon, write } from "./dom.js";
import { Slices } from "./slices.js";
import { player } from "./sound.js";

const FRAME_SECONDS = 0.5;

export class PreviewPlayer {
  constructor() {
    Object.assign(this, { runs: [], steps: [], step: null, latest: true, timer: 0, drawn: "" });
    const range = { type: "range", min: 0, max: 0, step: 1, value: 0, "aria-label": "Step of the preview" };
    this.range = el("input", range);
    this.range.addEventListener("input", () => {
      this.pause();
      this.go(Number(this.range.value));
    });
    const play = { class: "icon", "aria-label": "Play", "aria-pressed": "false" };
    this.play = button(icon("play"), () => this.toggle(), play);
    this.caption = el("span", { class: "small soft number caption" });
    this.pictures = el("div", { class: "previews" });
    this.controls = el("div", { class: "row" }, this.play, el("div", { class: "grow" }, this.range), this.caption);
    this.empty = el("p", { class: "empty" }, "The first preview comes at step 50.");
    this.element = el("div", { class: "stack tight" }, this.empty, this.pictures, this.controls);
    this.draw();
  }

  draw() {
    const { runs, steps, step } = this;
    this.empty.hidden = Boolean(steps.length);
    this.controls.hidden = this.pictures.hidden = !steps.length;
    if (!steps.length) return;
    const index = Math.max(0, steps.indexOf(step));
    this.range.max = steps.length - 1;
    this.range.value = index;
    this.range.setAttribute("aria-valuetext", `step ${steps[index]}`);
    write(this.caption, `step ${steps[index].toLocaleString("en")} (${index + 1} of ${steps.length})`);
    const shown = runs.map(run => ({
      name: run.name,
      preview: run.previews.filter(one => one.step <= steps[index]).at(-1) ?? run.previews[0],
    }));
    const key = JSON.stringify(shown);
    if (key === this.drawn) return;
    this.drawn = key;
    shown.forEach((one, place) => one.preview && this.drawPicture(one, place));
    while (this.pictures.children.length > shown.length) this.pictures.lastChild.remove();
  }

  drawPicture({ name, preview }, place) {
    let figure = this.pictures.children[place];
    if (!figure) {
      figure = el(
        "figure",
        { class: "stack tight" },
        el("figcaption", { class: "small" }),
        el("img", { alt: "" }),
        el("div"),
      );
      figure.fold = volumeFold();
      figure.append(figure.fold.element);
      this.pictures.append(figure);
    }
    const [caption, image, beside] = figure.children,
      several = this.runs.length > 1;
    write(caption, several ? `${name}, step ${preview.step.toLocaleString("en")}` : "");
    caption.hidden = !several;
    image.alt = `Samples of ${name} at step ${preview.step}`;
    if (image.getAttribute("src") !== preview.url) image.src = preview.url;
    const label = `Samples of ${name} at step ${preview.step}, one after another`;
    fill(beside, preview.sound ? player(preview.sound, label) : null);
    figure.fold.show(preview.volume, `the first sample of ${name}`);
  }

  go(index) {
    this.step = this.steps[index];
    this.latest = index === this.steps.length - 1;
    this.draw();
  }

  mark(name, label, pressed) {
    fill(this.play, icon(name));
    this.play.setAttribute("aria-label", label);
    this.play.setAttribute("aria-pressed", String(pressed));
  }

  pause() {
    clearInterval(this.timer);
    this.timer = 0;
    this.mark("play", "Play", false);
  }

  toggle() {
    if (this.timer) return void this.pause();
    this.mark("pause", "Pause", true);
    if (this.steps.indexOf(this.step) === this.steps.length - 1) this.go(0);
    this.timer = setInterval(() => {
      const index = this.steps.indexOf(this.step);
      if (index >= this.steps.length - 1 || !this.element.isConnected) this.pause();
      else this.go(index + 1);
    }, FRAME_SECONDS * 1000);
    return undefined;
  }

  /** Show runs [{name, previews: [{step, url}]}]. */
  show(runs) {
    this.runs = runs.filter(run => run.previews.length);
    this.steps = [...new Set(this.runs.flatMap(run => run.previews.map(one => one.step)))].sort((a, b) => a - b);
    if (!this.steps.length) {
      this.drawn = "";
      fill(this.pictures);
    }
    if (this.step === null || this.latest || !this.steps.includes(this.step)) {
      if (!this.timer) this.step = this.steps.at(-1) ?? null;
    }
    this.draw();
  }
}

/** A volume of a preview, read once its fold is open. Returns {element, show(address, title)}. */
function volumeFold() {
  const summary = el("summary", { class: "small" }, "The first sample, slice by slice");
  const element = el("details", { hidden: true, on: { toggle: () => read() } }, summary);
  let slices = null,
    shown = null;
  function read() {
    if (!element.open || !shown) return;
    if (!slices) {
      slices = new Slices();
      element.append(slices.element);
    }
    slices.show(...shown).catch(() => slices.hide());
  }
  return {
    element,
    show(address, title) {
      shown = address ? [address, title] : null;
      element.hidden = !address;
      read();
    },
  };
}
