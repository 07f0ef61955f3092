// The tab Edit: inpaint with a mask that is drawn, restore, vary, and walk between two images.

import { el } from "../page/shared/elements.js";
import { extensionOf } from "./canvas_extension.js";
import { button, write } from "./dom.js";
import { EditBatch } from "./edit_batch.js";
import { TASKS, editControls, extendsCanvas } from "./edit_controls.js";
import { EditInput, packedMask } from "./edit_input.js";
import { optionsOfOthers, whatIsAsked } from "./edit_others.js";
import { EditResult } from "./edit_result.js";
import { Film } from "./film.js";
import { TileGrid } from "./grid.js";
import { imageDrop, imageOf, upload, uploadFrom } from "./image_drop.js";
import { RequestTab } from "./request_tab.js";
import { roomIn } from "./stage.js";

export function open(root, app) {
  return new EditTab(root, app);
}

class EditTab extends RequestTab {
  constructor(root, app) {
    super(root, app, { command: "edit", title: "Edit" });
    this.task = "inpaint";
    this.compared = null; // the image that the result is shown beside
    this.taskButtons = Object.entries(TASKS).map(([task, { title }]) =>
      button(title, () => this.chooseTask(task), { "aria-pressed": "false", data: { task } }),
    );
    this.taskText = el("p", { class: "small soft" });
    this.input = new EditInput(app, { offered: file => this.takeInput(file), changed: () => this.changed() });
    const { drop } = this.input;
    const changed = () => this.changed();
    this.other = imageDrop(app, { label: "Second image", chosen: changed, offered: file => this.takeOther(file) });
    this.drops = { image: drop, other: this.other };
    this.reel = new Film({ drawn: (step, images) => this.draw(step, images) });
    this.grid = new TileGrid({ label: "Samples while they are made", room: () => roomIn(this.grid.element) });
    this.progress = el("div", { class: "stack tight", hidden: true }, this.grid.element, this.reel.element);
    this.result = new EditResult(app, {
      sendBack: file => this.sendBack(file),
      showSteps: on => this.showSteps(on),
    });
    this.views = ["Image", "Result"].map(title =>
      button(title, () => this.look(title), { "aria-pressed": "false", data: { view: title } }),
    );
    this.switcher = el("div", { class: "segments", role: "group", "aria-label": "What is in sight" }, this.views);
    const tasks = el("div", { class: "segments", role: "group", "aria-label": "Task" }, this.taskButtons);
    this.batch = new EditBatch(app, root, { settings: () => optionsOfOthers(this), asked: () => whatIsAsked(this) });
    this.build(
      [tasks, this.taskText, drop.element, this.other.element, this.batch.element],
      [],
      this.switcher,
      ...[this.input, this.result, { element: this.progress }, this.job].map(part => part.element),
    );
    this.look("Image");
    this.recall();
  }

  recall() {
    const kept = super.recall();
    if (kept?.other) this.other.set(kept.other);
    this.compared = kept?.input ?? null;
    this.input.restore(kept?.timeline);
    this.setTask(kept?.task);
  }

  state() {
    return { task: this.task, timeline: this.input.timeline, other: this.other.value, input: this.compared };
  }

  // -- controls ---------------------------------------------------------------------------------------------------

  makeControls(read) {
    const { input } = this;
    const [channels, height, width] = read.model.shape;
    input.keepsHoles = read.model.pictures && channels % 2 === 0;
    const controls = editControls(this.app, read, this.task, () => {
      input.readWindows();
      this.changed();
    });
    for (const window of input.windows) window.attach(controls.field("window"), [width, height]);
    return controls;
  }

  set(values) {
    super.set(values);
    this.input.readWindows();
  }

  values() {
    const { n } = this.controls.values();
    return { ...super.values(), ...(this.task === "interpolate" && n !== undefined && { n }) };
  }

  setTask(name) {
    this.task = name in TASKS ? name : "inpaint";
    const walks = this.task === "interpolate";
    for (const button of this.taskButtons) {
      button.setAttribute("aria-pressed", String(button.dataset.task === this.task));
    }
    write(this.start, TASKS[this.task].title);
    write(this.taskText, TASKS[this.task].text);
    this.other.element.hidden = !walks;
    this.batch.element.hidden = walks;
    write(this.input.drop.element.querySelector(".label"), walks ? "First image" : "Image");
    this.input.inpaints = this.task === "inpaint";
    this.input.show();
  }

  chooseTask(name) {
    this.problem.hidden = true;
    this.setTask(name);
    this.choose();
  }

  // -- what is in sight -------------------------------------------------------------------------------------------

  /** Show the image or the result. */
  look(view) {
    this.view = view;
    for (const one of this.views) one.setAttribute("aria-pressed", String(one.dataset.view === view));
    const { finished } = this.result;
    this.switcher.hidden = !finished && !this.reel.length;
    this.input.element.hidden = view !== "Image";
    this.result.element.hidden = view !== "Result" || !finished || this.stepsShown;
    this.progress.hidden = view !== "Result" || !this.reel.length || (finished && !this.stepsShown);
    this.resized();
  }

  /** Show the steps in the place of the samples, or the samples again. */
  showSteps(on) {
    this.stepsShown = on;
    this.look("Result");
  }

  resized() {
    if (!this.progress.hidden) this.grid.resize();
  }

  // -- inputs -----------------------------------------------------------------------------------------------------

  /** A file that was dropped on the place of the image is an input; its controls, if it has any, are a button away. */
  async takeInput(file) {
    const image = await upload(this.app, file);
    if (image.recipe) {
      const run = () => this.openRecipe(image.id).catch(error => this.app.toast(error.message));
      this.app.toast("This picture holds its recipe.", { action: { label: "Set its controls", run } });
    }
    this.input.replace(image);
    return true;
  }

  async takeOther(file) {
    this.other.set(await upload(this.app, file));
    this.changed();
    return true;
  }

  take(image) {
    this.input.replace(image);
  }

  /** Take a sample as the next input. */
  async sendBack(file) {
    if (!file) return;
    try {
      this.input.replace(await uploadFrom(this.app, file.url, file.name.split("/").at(-1)));
      this.look("Image");
      this.app.toast("The sample is the input now; Undo brings the one before back.");
    } catch (error) {
      this.app.toast(error.message);
    }
  }

  // -- the job ----------------------------------------------------------------------------------------------------

  async request() {
    const { task, other, input } = this;
    const { image } = input.state;
    const inpainted = task === "inpaint" && image ? await input.values(extendsCanvas(this.controls)) : null;
    this.asked = inpainted?.image ?? image;
    return {
      task,
      ...this.values(),
      ...(image && { image: image.ref }),
      ...(task === "interpolate" && other.value && { other: other.value.ref }),
      ...inpainted?.options,
    };
  }

  keep() {
    super.keep();
    this.batch?.draw();
  }

  begin() {
    this.compared = this.asked;
    this.outdated = true; // what was made before stays in sight until there is a picture
  }

  addStep(step) {
    const { columns, count, width, height, channels } = step;
    if (this.outdated) {
      this.outdated = this.stepsShown = false;
      for (const part of [this.reel, this.grid, this.result]) part.clear();
    }
    const first = !this.reel.length;
    this.reel.add({ ...step, layout: { columns, count, width, height, channels } });
    if (first && !this.result.finished) this.look("Result");
  }

  draw(step, images) {
    this.grid.mode(this.reel.mode);
    this.grid.show(images, step.layout);
  }

  finish(entry) {
    this.outdated = this.stepsShown = false;
    if (entry) this.result.show(entry, this.compared ?? this.input.state.image);
    if (entry?.files?.length) this.look("Result");
  }

  // -- recipes and addresses --------------------------------------------------------------------------------------

  /** Set the images of a recipe: {image, other, mask}, each of which may be missing, and the canvas that its options say. */
  async setImages({ image = null, other = null, mask = null }, options) {
    this.other.set(other);
    this.input.push({ image, mask: mask ? await packedMask(mask, image) : "", extension: extensionOf(options) });
    await this.input.drawing;
  }

  async restore({ run, options, images = {}, missing }) {
    this.setTask(options.task);
    await this.chooseWith(run, options);
    await this.setImages(images, options);
    this.sayRestored(missing);
  }

  async showEntry(id) {
    const entry = await this.app.api("GET", `/api/history/${encodeURIComponent(id)}`);
    const { options, steps = [] } = entry;
    this.setTask(options.task);
    await this.chooseWith(entry.run, options);
    const names = ["image", "other", "mask"].filter(name => options[name]);
    const found = await Promise.all(names.map(name => imageOf(options[name]).catch(() => null)));
    const images = Object.fromEntries(names.map((name, number) => [name, found[number]]));
    await this.setImages(images, options);
    this.compared = images.image && options.extend ? await this.input.uploadCanvas() : (images.image ?? null);
    this.outdated = true;
    for (const step of steps) this.addStep(step);
    this.finish(entry);
  }

  press(event) {
    const command = event.ctrlKey || event.metaKey;
    if (!command || event.target.closest("textarea, input:not([type=range]):not([type=checkbox])")) return;
    const ways = { z: event.shiftKey ? "redo" : "undo", y: "redo" };
    const way = ways[event.key.toLowerCase()];
    if (!way) return;
    event.preventDefault();
    this.look("Image");
    this.input[way].click();
  }

  prepare({ task }) {
    if (task) this.setTask(task);
  }

  isStale({ path, query }) {
    return query.task || path[0];
  }

  follow(job) {
    this.job.follow(job);
  }

  async receive({ path, query }) {
    if (query.image) this.input.push({ image: await imageOf(query.image, query.name), mask: "" });
    if (path.length || Object.keys(query).length) this.app.remember("#edit");
  }
}
