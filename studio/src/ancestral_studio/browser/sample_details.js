// One sample: its pictures, its recipe, the training images next to it, and what can be done with it.

import { el, fill } from "../page/shared/elements.js";
import { deleteLater } from "./deletion.js";
import { button, icon, short } from "./dom.js";
import { drawTile } from "./grid.js";
import { uploadFrom } from "./image_drop.js";
import { readNames, settingsOf } from "./recipe_words.js";
import { favouriteButton } from "./star.js";

const NEIGHBOURS = 5;
const SINGLE = /(^|\/)\d{6}\.png$/;

/** Whether a file is the picture of one sample, by its index. */
export const isSingle = file => SINGLE.test(file.name);

/** The file of the sample at a place of an entry. */
export function fileOf(entry, place, index) {
  const single = (entry?.files ?? []).filter(isSingle);
  const name = `${String(index).padStart(6, "0")}.png`;
  return single.find(file => file.name.endsWith(name)) ?? single[place] ?? null;
}

/** The pictures of the noisy state and the estimate of a sample, and what is known of it. */
export class SampleDetails {
  /**
   * `conditions()`: names of the conditions that are images, and `useAsCondition(name, image)` sets one. `left()` is
   * called before the user goes where a sample is used, and `gone(entry, is)` once what was made is out of sight, or
   * back.
   */
  constructor(app, { conditions, useAsCondition, left, gone }) {
    Object.assign(this, { app, conditions, useAsCondition, left, gone, shown: null, asked: 0, title: "" });
    this.canvases = { x: el("canvas", { class: "pixels" }), x0: el("canvas", { class: "pixels" }) };
    this.pictures = el("div", { class: "viewer-pictures" }, Object.values(this.canvases));
    this.facts = el("dl", { class: "facts small" });
    this.near = el("div", { class: "row near", "aria-live": "polite" });
    this.star = favouriteButton(app);
    this.download = el("a", { class: "button", download: "" }, icon("download"), "Download");
    this.edit = button("Edit this", () => this.editThis());
    this.remove = button([icon("bin"), "Delete"], () => this.deleteThis());
    this.use = el("span", { class: "row" });
    this.element = el(
      "div",
      { class: "stack details" },
      el("div", { class: "row" }, this.star.element, this.download, this.edit, this.remove, this.use),
      el("div", { class: "stack tight" }, el("h4", {}, "Nearest training images"), this.near),
      el("div", { class: "stack tight" }, el("h4", {}, "Recipe"), this.facts),
    );
  }

  /** The {width, height} of the pictures beside one another, in pixels. */
  size() {
    const drawn = Object.values(this.canvases).filter(canvas => !canvas.hidden);
    return { width: drawn.reduce((sum, { width }) => sum + width, 0), height: drawn[0]?.height ?? 0 };
  }

  get file() {
    const { entry, place, index } = this.shown;
    return entry && fileOf(entry, place, index);
  }

  /** Call a function with the sample as an image of the server. */
  async given(run) {
    const { file, app } = this;
    if (!file) return app.toast("this sample is in no file of its own");
    try {
      return await run(await uploadFrom(app, file.url, file.name.split("/").at(-1)));
    } catch (error) {
      return app.toast(error.message);
    }
  }

  editThis() {
    const run = encodeURIComponent(this.shown.run);
    this.given(image => {
      this.left();
      this.app.navigate(`#edit/${run}?${new URLSearchParams({ image: image.ref, name: image.name })}`);
    });
  }

  /** Delete what was made with this sample: its entry of the history. */
  deleteThis() {
    const { app, gone } = this,
      { entry } = this.shown;
    this.left();
    gone(entry, true);
    deleteLater(app, [entry], { back: () => gone(entry, false) });
  }

  useAs(name) {
    this.given(image => {
      this.left();
      this.useAsCondition(name, image);
    });
  }

  async readNeighbours() {
    const mine = ++this.asked,
      { entry, place, run } = this.shown,
      { near } = this;
    fill(near, el("span", { class: "small soft" }, "looking …"));
    try {
      const query = new URLSearchParams({ entry: entry.id, index: place, k: NEIGHBOURS });
      const found = await this.app.api("GET", `/api/runs/${encodeURIComponent(run)}/nearest?${query}`);
      if (mine !== this.asked) return;
      const { searched, total } = found;
      const among = `among ${short(searched)} of ${short(total)} training images`;
      fill(near, found.items.map(neighbour), searched < total ? el("span", { class: "small soft" }, among) : null);
    } catch (error) {
      if (mine === this.asked) fill(near, el("span", { class: "small soft wrap" }, error.message));
    }
  }

  async drawFacts() {
    const { entry } = this.shown;
    fill(this.facts);
    if (!entry) return;
    await readNames(this.app).catch(error => this.app.toast(error.message));
    if (this.shown?.entry !== entry) return;
    fill(
      this.facts,
      settingsOf(entry).map(([name, text]) => [el("dt", {}, name), el("dd", {}, text)]),
    );
  }

  drawPictures({ images, layout, place }) {
    for (const [kind, canvas] of Object.entries(this.canvases)) {
      canvas.hidden = !images[kind];
      if (images[kind]) drawTile(canvas, images[kind], layout, place);
      canvas.setAttribute("aria-label", `${this.title}, ${kind === "x" ? "noisy state" : "estimate"}`);
      canvas.setAttribute("role", "img");
    }
  }

  /**
   * Show a sample {entry, run, place, index, caption, images, layout}; `entry` is null while it is made. Pictures may
   * be drawn again for another step.
   */
  show(sample) {
    const { shown: before, use } = this;
    const same = before && before.entry === sample.entry && before.index === sample.index && before.entry;
    this.shown = sample;
    this.title = `Sample ${sample.index}${sample.caption ? `: ${sample.caption}` : ""}`;
    this.drawPictures(sample);
    const { file } = this;
    for (const one of [this.edit, ...use.querySelectorAll("button")]) one.disabled = !file;
    this.star.show(sample.entry);
    this.remove.disabled = !sample.entry;
    this.remove.title = sample.layout?.count > 1 ? "Delete all samples that were made together" : "";
    this.download.hidden = !file;
    if (file) this.download.href = file.url;
    if (same) return;
    const names = this.conditions();
    const text = name => (names.length > 1 ? `Use as ${name}` : "Use as condition");
    fill(
      use,
      names.map(name => button(text(name), () => this.useAs(name), { disabled: !file })),
    );
    this.drawFacts();
    if (sample.entry) this.readNeighbours();
    else fill(this.near, el("span", { class: "small soft" }, "once the samples are made"));
  }

  clear() {
    this.shown = null;
  }
}

function neighbour({ url, distance, label }, number) {
  const alt = `training image ${number + 1}${label ? `, ${label}` : ""}`;
  return el(
    "figure",
    { title: `root mean square difference of the pixels: ${short(distance)}` },
    el("img", { class: "pixels thumb", src: url, alt }),
    el("figcaption", { class: "small soft number" }, [label, short(distance, 2)].filter(Boolean).join(" · ")),
  );
}
