// The tab Sample: samples of a run, watched while they are made, scrubbed through, continued otherwise from a step.

import { el, fill } from "../page/shared/elements.js";
import { button, hiddenFileInput } from "./dom.js";
import { listChoices } from "./choice_field.js";
import { offer } from "./form.js";
import { guidanceSliders } from "./guidance_field.js";
import { imageOf } from "./image_drop.js";
import { RequestControls } from "./request_controls.js";
import { RequestTab } from "./request_tab.js";
import { SampleResult } from "./sample_result.js";

const MAIN = ["n", "seed", "guidance"];
const FIRST_OF_MORE = ["sampler", "steps"];
const ELSEWHERE = ["model", "label", "given", "avoid", "out", "like", "branch", "at", "captions", "net"];
const WHOLE = "grid.png"; // the picture of all samples with their recipe
const FIRST = { n: "16", seed: "0" };

/** The value of an option that names a file of the history. */
const refOf = url =>
  `history:${decodeURIComponent(new URL(url, location.href).pathname.replace("/files/history/", ""))}`;

export function open(root, app) {
  return new SampleTab(root, app);
}

class SampleTab extends RequestTab {
  constructor(root, app) {
    super(root, app, { command: "sample", title: "Sample", first: FIRST });
    this.forms = new Map(); // the controls of each run
    this.branch = null; // the step that is continued: {branch, at, text}, its picture and number
    this.branchNote = el("div", { class: "panel stack tight branch", hidden: true, role: "status" });
    const file = hiddenFileInput("image/png", one => this.open(one));
    const openButton = button("Open a recipe …", () => file.click(), { class: "quiet" });
    this.result = new SampleResult(app, {
      run: () => this.picker.value(),
      conditions: () => this.controls?.conditions.images ?? [],
      useAsCondition: (name, image) => this.controls.conditions.setImage(name, image),
      branch: (step, entry) => this.beginBranch(step, entry),
    });
    this.build([this.branchNote], [openButton, file], this.result.elements, this.job.element);
    this.recall();
  }

  makeControls(read, run) {
    const { model } = read;
    if (!this.forms.has(run)) this.forms.set(run, this.newControls(read));
    if (!model.pictures) this.result.sayNoPictures();
    return this.forms.get(run);
  }

  newControls(read) {
    const { model } = read;
    const labelDefault = Object.keys(model.conditions).length
      ? "all classes in turn; none where other conditions are given"
      : "all classes in turn";
    const controls = new RequestControls(this.app, read, {
      command: "sample",
      names: MAIN,
      further: FIRST_OF_MORE,
      leave: ELSEWHERE,
      labelDefault,
      changed: () => {
        const { main, table } = controls;
        // a cell of a table has one sample, until the user wants more
        if (table.values().sweep && main.values().n === FIRST.n) main.field("n").set("1");
        this.changed();
      },
    });
    listChoices(controls.more, "sampler", model.samplers, `that of the run (${model.sampler})`);
    guidanceSliders(controls.main, controls.conditions.names);
    const others = this.app.state.runs.filter(run => run.has_model).map(run => run.path);
    for (const name of ["weak", "then"]) {
      if (controls.more.field(name)) offer(controls.more.field(name).input, others);
    }
    return controls;
  }

  // -- the job ----------------------------------------------------------------------------------------------------

  request() {
    return { ...this.values(), ...(this.branch && { n: null, branch: this.branch.branch, at: this.branch.at }) };
  }

  begin() {
    this.result.begin();
    this.result.name(this.controls ? this.values() : {}, this.model);
  }

  get model() {
    return this.controls?.model ?? { classes: [], conditions: {} };
  }

  addStep(step) {
    this.result.addStep(step);
  }

  finish(entry) {
    this.result.finish(entry, this.model);
  }

  showNothing() {
    this.result.showNothing();
  }

  resized() {
    this.result.grid.resize();
  }

  async showEntry(id) {
    const entry = await this.app.api("GET", `/api/history/${encodeURIComponent(id)}`);
    const { branch, at, ...values } = entry.options;
    const { count, columns, width, height, steps = [] } = entry;
    await this.chooseWith(entry.run, values);
    this.setBranch(branch && { branch, at, text: `step ${at} of the samples before` });
    this.begin();
    for (const step of steps) this.addStep({ count, columns, width, height, total: steps.length, ...step });
    this.finish(entry);
    this.keep();
  }

  // -- branches ---------------------------------------------------------------------------------------------------

  /** The controls become those of the samples that are continued, so that what is changed is what differs. */
  beginBranch(step, { options, files, title }) {
    const whole = files.find(file => file.name.endsWith(WHOLE)) ?? files.find(file => file.name.endsWith(".png"));
    this.set({ ...options });
    this.setBranch({ branch: refOf(whole.url), at: step.index, text: `step ${step.index} of ${title}` });
    this.form.scrollIntoView({ block: "nearest" });
    this.controls.main.field("seed").focus();
  }

  setBranch(branch) {
    this.branch = branch || null;
    this.branchNote.hidden = !branch;
    this.start.textContent = branch ? "Continue" : "Sample";
    if (this.controls) this.controls.main.field("n").element.hidden = Boolean(branch);
    if (!branch) return;
    const text = `Continue from ${branch.text}: set another seed, label, guidance or sampler. The number of samples stays.`;
    const end = button("Sample from the beginning instead", () => this.setBranch(null));
    fill(this.branchNote, el("p", {}, text), el("div", {}, end));
  }

  // -- recipes and addresses --------------------------------------------------------------------------------------

  async restore({ run, options, missing }) {
    const { branch, at } = options;
    await this.chooseWith(run, options);
    this.setBranch(branch && { branch, at, text: `step ${at} of the picture before` });
    this.sayRestored(missing);
  }

  take(image, file) {
    this.app.toast(`${file.name} holds no recipe; PNGs that were made here do, unless another program saved them`);
  }

  press(event) {
    const { reel } = this.result;
    const typing = event.target.closest("input, select, textarea, .tiles, .paper");
    if (typing || event.ctrlKey || event.altKey || event.metaKey) return;
    const moves = { ArrowLeft: () => reel.move(-1), ArrowRight: () => reel.move(1), p: () => reel.toggle(), P: () => reel.toggle() };
    if (!(event.key in moves) || !reel.length) return;
    event.preventDefault();
    moves[event.key]();
  }

  isStale() {
    return this.controls !== this.forms.get(this.picker.value());
  }

  follow(job) {
    this.begin();
    this.job.follow(job);
  }

  async receive({ query }) {
    if (query.condition && query.image) {
      this.controls.conditions.setImage(query.condition, await imageOf(query.image));
    }
    if (Object.keys(query).length) this.app.remember("#sample");
  }
}
