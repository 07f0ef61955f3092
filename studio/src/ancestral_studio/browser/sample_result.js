// The samples of a job: the film of its steps, a tile for each sample, the chosen one, and the files.

import { el, fill } from "../page/shared/elements.js";
import { valuesByName } from "./conditions.js";
import { button, write } from "./dom.js";
import { Ensemble, isOfOneCondition } from "./ensemble.js";
import { Film } from "./film.js";
import { TileGrid, tileSize } from "./grid.js";
import { SampleDetails, isSingle } from "./sample_details.js";
import { SampleItems } from "./sample_items.js";
import { roomIn } from "./stage.js";
import { axesOf, cellNames } from "./table_axes.js";
import { Viewer } from "./viewer.js";

/** What is shown before anything was made. */
const nothing = () => ({ entry: null, layout: null, step: null, images: {} });

export class SampleResult {
  /**
   * `run()`: the id of the run that is sampled. `conditions()`: names of the conditions that are images, and
   * `useAsCondition(name, image)` sets one. `branch(step, entry)` continues from a step of what was made.
   */
  constructor(app, { run, conditions, useAsCondition, branch }) {
    this.run = run;
    this.made = nothing();
    this.names = this.nextNames = { indices: [], captions: [] };
    this.outdated = false; // whether what is shown is of the job before
    this.reel = new Film({ drawn: (step, images) => this.draw(step, images), changed: () => this.showBranch() });
    this.grid = new TileGrid({ label: "Samples", open: place => this.view(place), room: () => roomIn(this.grid.element) });
    this.details = new SampleDetails(app, {
      conditions,
      useAsCondition,
      left: () => this.viewer.close(),
      gone: (entry, is) => this.hide(entry, is),
    });
    this.viewer = new Viewer({
      label: "The chosen sample",
      picture: this.details.pictures,
      size: () => this.details.size(),
      beside: this.details.element,
      move: by => this.move(by),
      step: by => this.reel.move(by),
    });
    this.viewer.element.addEventListener("close", () => this.grid.focus());
    this.branchButton = button("Branch from here", () => branch(this.reel.current, this.made.entry), {
      disabled: true,
      title: "Continue from this step with another seed, label, guidance or sampler",
    });
    this.ensemble = new Ensemble();
    this.files = el("div", { class: "row small" });
    this.empty = el("p", { class: "empty" }, "Choose a run, then Sample: every step appears here as it is computed.");
    this.tools = el(
      "div",
      { class: "stack tight", hidden: true },
      this.grid.element,
      el("div", { class: "row film-row" }, this.reel.element, this.branchButton),
      el(
        "div",
        { class: "row apart" },
        this.files,
        tileSize(() => this.grid.resize()),
      ),
      this.ensemble.element,
      this.viewer.element,
    );
    this.items = new SampleItems(app);
    this.elements = [this.empty, this.tools, this.items.element];
  }

  /** A job begins: what was made before stays in sight until there is a picture of it. */
  begin() {
    this.outdated = true;
    this.tools.classList.toggle("outdated", true);
    this.branchButton.disabled = true;
    this.empty.hidden = true;
  }

  /** Remove what was made before. */
  replace() {
    if (!this.outdated) return;
    this.outdated = false;
    this.tools.classList.toggle("outdated", false);
    this.made = nothing();
    this.names = this.nextNames;
    for (const part of [this.reel, this.grid, this.details, this.viewer]) (part.clear ?? part.close).call(part);
    this.ensemble.hide();
    fill(this.files);
  }

  /** What was deleted is out of sight, or back. */
  hide(entry, is) {
    if (this.made.entry !== entry) return;
    this.tools.hidden = is;
    this.empty.hidden = !is;
  }

  /** Say which samples are shown: by the recipe of what was made, or by the controls of what is being made. */
  name(request, model) {
    this.grid.across = 0;
    this.nextNames = request.sweep ? this.cells(request) : this.singles(request, model);
    if (!this.outdated) this.names = this.nextNames;
  }

  singles({ n, index, label, given }, { classes, conditions }) {
    const indices = index ? [index].flat().map(Number) : Array.from({ length: Number(n) || 64 }, (_, i) => i);
    const conditioned = Array.isArray(given) ? given.length > 0 : Object.keys(given ?? {}).length > 0;
    const names = label ? [label].flat() : conditioned ? [] : classes; // sample i has label i modulo their number
    const texts = valuesByName(given).filter(([name]) => conditions[name]?.kind === "words");
    const parts = [names, ...texts.map(([, values]) => values)].filter(one => one.length);
    return { indices, captions: indices.map(one => parts.map(part => part[one % part.length]).join(", ")) };
  }

  /** The samples of a table are named by the values of its columns and rows, or by the numbers of the cells. */
  cells({ n, index, given, ...table }) {
    const all = typeof table.sweep === "object" || !given ? 1 : 0; // 0: the server knows
    const each = index ? [index].flat().length : Number(n) || all;
    const axes = each ? axesOf(table) : null;
    if (!axes) return { indices: [], captions: [], each };
    const captions = cellNames(axes).flatMap(cell => Array(each).fill(cell));
    if (each === 1) this.grid.across = axes[0][1].length;
    return { indices: captions.map((_, place) => place), captions };
  }

  /** What the sample at a place is called; "" without a name. */
  caption(place) {
    const { captions, each } = this.names;
    return captions[place] ?? (each ? `cell ${Math.floor(place / each) + 1}` : "");
  }

  addStep(step) {
    this.replace();
    const { columns, count, width, height, channels } = step;
    this.made.layout = { columns, count, width, height, channels };
    this.tools.hidden = false;
    this.empty.hidden = true;
    this.reel.add({ ...step, layout: this.made.layout });
  }

  draw(step, images) {
    const { indices } = this.names;
    Object.assign(this.made, { step, images });
    this.grid.mode(this.reel.mode);
    this.grid.show(
      images,
      step.layout,
      Array.from({ length: step.layout.count }, (_, place) => this.caption(place) || String(indices[place] ?? place)),
    );
    this.drawViewer();
    this.drawEnsemble();
  }

  /** Show all samples together, once they are made, if they are of one condition. */
  drawEnsemble() {
    const { entry, images, step } = this.made;
    if (entry?.recipe && step && isOfOneCondition(entry.recipe)) this.ensemble.show(images.x0 ?? images.x, step.layout);
  }

  /** Show the sample at a place over the whole window. */
  view(place) {
    this.viewer.show(this.reel.element);
    this.drawViewer(place);
  }

  /** Show the sample that is so many places further. */
  move(by) {
    this.grid.select(Math.min(this.grid.count - 1, Math.max(0, this.grid.selected + by)));
    this.drawViewer();
  }

  drawViewer(place = this.grid.selected) {
    if (!this.viewer.open || place < 0) return;
    const { entry, step, layout, images } = this.made;
    this.details.show({
      entry,
      run: entry?.run ?? this.run(),
      place,
      index: this.names.indices[place] ?? place,
      caption: this.caption(place),
      images,
      layout: step?.layout ?? layout,
    });
    this.viewer.name(this.details.title);
  }

  showBranch() {
    this.branchButton.disabled = !this.made.entry || !this.reel.current || this.reel.atEnd;
  }

  /** The job has ended: show what it made, an entry of the history or null. */
  finish(entry, model) {
    this.replace();
    this.made.entry = entry;
    if (entry?.recipe) this.name(entry.recipe, model);
    if (this.made.step) this.draw(this.made.step, this.made.images); // by the names of the recipe
    this.showBranch();
    const files = (entry?.files ?? []).filter(file => !isSingle(file));
    fill(
      this.files,
      files.map(file => el("a", { href: file.url, download: "" }, file.name)),
    );
    this.grid.resize();
    this.items.show(entry);
  }

  /** No job runs: what stands in the place of samples, if there are none. */
  showNothing() {
    this.outdated = false;
    this.tools.classList.toggle("outdated", false);
    this.showBranch();
    this.empty.hidden = this.reel.length > 0;
  }

  sayNoPictures() {
    write(this.empty, "Samples of this model are no pictures; they are written as files.");
  }
}
