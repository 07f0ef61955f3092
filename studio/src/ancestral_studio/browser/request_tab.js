// What the tabs Sample and Edit share: a run, the controls of its model, a job, and what is kept and restored.

import { el, fill, onDrop } from "../page/shared/elements.js";
import { block, write } from "./dom.js";
import { filesOf, upload } from "./image_drop.js";
import { jobPanel } from "./job_panel.js";
import { recall, remember } from "./memory.js";
import { plainWords } from "./plain_words.js";
import { modelReader } from "./request_controls.js";
import { runPicker, runsKnown } from "./runs.js";
import { stage } from "./stage.js";

const COMMANDS = ["sample", "edit"]; // those with a tab of their name

/**
 * A tab that sends requests of one command. What its subclasses define:
 *
 * - makeControls({options, model}, run): the RequestControls of a run; an error says why it does not suit.
 * - request(): what is sent besides the run; begin(): its job begins; addStep(step), finish(entry), showNothing(): what
 *   comes of the job.
 * - resized(): the stage has another size.
 * - restore(recipe), showEntry(id): set the controls as they were for a picture, or for an entry of the history.
 * - take(image, file): a picture without a recipe was dropped. press(event): a key was pressed.
 * - state(): what is kept over a reload besides the controls. prepare(query), isStale(route), follow(job),
 *   receive(query): the steps of `show`.
 */
export class RequestTab {
  /** `first`: the values of the first controls. */
  constructor(root, app, { command, title, first = {} }) {
    Object.assign(this, { root, app, command, title });
    this.controls = null; // those of the chosen run
    this.first = first;
    this.pending = null; // values for the controls that are made next
    this.choosing = null; // a promise that ends once the controls of the chosen run are shown
    this.drops = {}; // places of images by their options
    this.opened = false; // whether the runs are known
    this.readModel = modelReader(app, command);
    this.picker = runPicker(app, { label: "Run", changed: () => this.opened && this.choose() });
    this.place = el("div", { class: "stack" });
    this.start = el("button", { type: "submit", class: "primary" }, title);
    this.problem = el("p", { class: "error", role: "alert", hidden: true });
    this.job = this.makeJob();
  }

  makeJob() {
    const finished = ({ entry } = {}) => {
      this.finish(entry ?? null);
      block(this.start, false);
      this.keep();
    };
    const handlers = {
      step: step => this.addStep(step),
      done: finished,
      cancelled: finished,
      failed: problem => this.failed(problem),
      lost: () => this.lost(),
    };
    return jobPanel(this.app, handlers, on => block(this.start, on));
  }

  /** Put the form, and what is beside it, into the tab. `above` is over the controls, `actions` beside the button. */
  build(above, actions, ...parts) {
    const help = "A picture with a recipe may be dropped anywhere here: it sets every control again.";
    this.form = el(
      "form",
      { class: "stack panel", on: { submit: event => this.submit(event) } },
      this.picker.element,
      above,
      this.place,
      this.problem,
      el("div", { class: "row actions" }, this.start, actions),
      el("p", { class: "small soft" }, help),
    );
    this.root.append(
      el("h1", { class: "hidden" }, this.title),
      el(
        "div",
        { class: "studio-bench" },
        stage(() => this.resized(), parts),
        this.form,
      ),
    );
    onDrop(this.root, file => this.open(file));
    document.addEventListener("paste", event => {
      const [file] = filesOf(event);
      if (!file || this.root.hidden) return;
      event.preventDefault();
      this.open(file);
    });
    document.addEventListener("keydown", event => {
      if (this.root.hidden) return;
      if (event.target.closest("dialog")) return;
      if (event.key === "Escape" && this.job.running && !event.target.closest(".paper")) this.job.stop();
      this.press(event);
    });
  }

  /** Take up what was there at the last visit. Returns it, or null. */
  recall() {
    const kept = recall(this.command);
    if (kept?.values) this.pending = kept.values;
    if (kept?.run) this.picker.set(kept.run);
    this.before = kept?.job && sessionStorage.getItem(`ancestral-${this.command}`) ? kept.job : null; // before a reload
    this.ready = runsKnown(this.app).then(() => {
      this.opened = true;
    });
    return kept;
  }

  keep() {
    if (!this.controls) return;
    const { picker, command, job, before } = this;
    remember(command, { run: picker.value(), values: this.values(), job: job.id ?? before, ...this.state() });
  }

  /** What is asked for has changed: an error of what was asked before is none of it. */
  changed() {
    this.problem.hidden = true;
    this.keep();
  }

  // What a tab may leave out.
  state() {
    return {};
  }
  prepare() {}
  showNothing() {}
  resized() {}

  // -- controls ---------------------------------------------------------------------------------------------------

  /** Show the controls of the chosen run, with the values that wait for them, or with those of the controls before. */
  choose() {
    this.choosing = this.showControls();
    return this.choosing;
  }

  async showControls() {
    const run = this.picker.value();
    if (!run) return fill(this.place);
    let controls;
    try {
      const read = await this.readModel(run);
      if (this.picker.value() !== run) return undefined;
      controls = this.makeControls(read, run);
    } catch (error) {
      return fill(this.place, el("p", { class: "error" }, error.message));
    }
    const values = this.pending ?? (this.controls ? this.values() : this.first);
    this.pending = null;
    this.controls = controls;
    fill(this.place, controls.element);
    this.set(values);
    return undefined;
  }

  /** Show the controls of a run, by default the chosen one, with values. */
  async chooseWith(run, values) {
    this.pending = values;
    if (run) this.picker.set(run);
    await this.choose();
    this.pending = null;
    await this.controls?.conditions.loaded();
  }

  values() {
    const values = this.controls.values();
    if (values.index !== undefined) delete values.n; // the recipe of some samples names them
    return values;
  }

  set(values) {
    this.controls.set(values);
    this.keep();
  }

  // -- the job ----------------------------------------------------------------------------------------------------

  /** Send what the controls say; `further` is in place of some of them. */
  async submit(event, further = {}) {
    event?.preventDefault();
    if (!this.controls || this.start.getAttribute("aria-disabled") === "true") return;
    this.problem.hidden = true;
    this.controls.clearErrors();
    block(this.start, true);
    try {
      await this.choosing; // the run may have been chosen a moment before
      await this.controls.conditions.loaded();
      await this.job.start(this.command, { model: this.picker.value(), ...(await this.request()), ...further });
      this.begin();
      this.keep();
    } catch (error) {
      this.fail(error);
    }
    block(this.start, this.job.running);
  }

  fail({ message, option }) {
    if (option && this.controls?.fail(option, message)) return undefined;
    if (option in this.drops) return this.drops[option].fail(plainWords(message));
    this.problem.hidden = false;
    write(this.problem, plainWords(message));
    return this.problem.scrollIntoView({ block: "nearest" });
  }

  failed({ error, option }) {
    this.job.fail("");
    this.fail({ message: error, option });
    block(this.start, false);
    this.showNothing();
  }

  /** After a restart of the server the job is only in the history. */
  async lost() {
    block(this.start, false);
    await this.showEntry(this.job.id).catch(() => this.showNothing());
  }

  // -- recipes ----------------------------------------------------------------------------------------------------

  /** Take a picture: one with a recipe sets all controls. */
  async open(file) {
    try {
      const image = await upload(this.app, file);
      if (image.recipe) await this.openRecipe(image.id);
      else this.take(image, file);
    } catch (error) {
      this.app.toast(error.message);
    }
  }

  /** Restore the recipe of an upload; one of another command on its own tab. */
  async openRecipe(id) {
    const recipe = await this.app.api("POST", "/api/recipe", { upload: id });
    if (recipe.command === this.command) await this.restore(recipe);
    else if (COMMANDS.includes(recipe.command)) {
      this.app.navigate(`#${recipe.command}?recipe=${encodeURIComponent(id)}`);
    }
  }

  sayRestored(missing = []) {
    if (missing.length) this.app.toast(`Restored, but for: ${missing.join("; ")}`, { seconds: 12 });
    else this.app.toast(`Every control is as it was for this picture. ${this.title} makes it again.`);
  }

  /** Show what an address asks for. */
  async show(route) {
    await this.ready;
    const { path, query } = route;
    try {
      this.prepare(query);
      if (path[0]) this.picker.set(path[0]);
      // the controls are drawn once, so that nobody types into what is replaced a moment later
      if (query.recipe) await this.openRecipe(query.recipe);
      else if (query.entry) await this.showEntry(query.entry);
      else {
        if (!this.controls || this.isStale(route)) await this.choose();
        if (this.before) this.follow(this.before);
      }
      this.before = null;
      await this.receive(route);
    } catch (error) {
      this.app.toast(error.message);
      if (!this.controls) await this.choose();
    }
  }
}
