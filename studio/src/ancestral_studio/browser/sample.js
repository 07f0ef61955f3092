// The tab Sample: samples of a run, watched while they are made, scrubbed through, continued otherwise from a step.

import { listChoices } from "./choice_field.js";
import { conditionControls } from "./conditions.js";
import { block, el, fill, write } from "./dom.js";
import { film } from "./film.js";
import { offer, optionForm } from "./form.js";
import { tileGrid } from "./grid.js";
import { imageOf } from "./image_drop.js";
import { jobPanel } from "./job_panel.js";
import { recall, remember } from "./memory.js";
import { acceptDrops, openRecipe, recipeReader } from "./recipe.js";
import { runPicker, runsKnown } from "./runs.js";
import { sampleDetails } from "./sample_details.js";
import { dice } from "./seed.js";

const MAIN = ["n", "seed", "sampler", "steps", "guidance"];
const ELSEWHERE = ["model", "label", "given", "out", "like", "branch", "at", "captions", "net"];
const WHOLE = "grid.png"; // the picture of all samples with their recipe
const FIRST = { n: "16", seed: "0" };

/** The value of an option that names a file of the history. */
const refOf = url =>
  `history:${decodeURIComponent(new URL(url, location.href).pathname.replace("/files/history/", ""))}`;

export function open(root, app) {
  const forms = new Map(); // what was read of each run: its model and its controls
  let options = null,
    controls = null,
    entry = null,
    layout = null,
    images = {},
    branch = null,
    pending = null,
    captions = [],
    indices = [],
    shown = null; // the step that the tiles show

  let opened = false;
  const picker = runPicker(app, { label: "Run", changed: () => opened && choose() });
  const place = el("div", { class: "stack" });
  const start = el("button", { type: "submit", class: "primary" }, "Sample");
  const open = el("input", {
    type: "file",
    accept: "image/png",
    class: "hidden",
    tabindex: "-1",
    "aria-hidden": "true",
  });
  const branchNote = el("div", { class: "panel stack tight branch", hidden: true, role: "status" });
  const problem = el("p", { class: "error", role: "alert", hidden: true });
  const form = el(
    "form",
    { class: "stack panel" },
    picker.element,
    branchNote,
    place,
    problem,
    el(
      "div",
      { class: "row actions" },
      start,
      el("button", { type: "button", class: "quiet", on: { click: () => open.click() } }, "Open a recipe …"),
    ),
    el(
      "p",
      { class: "small soft" },
      "A picture with a recipe may be dropped anywhere here: it sets every control again.",
    ),
    open,
  );

  const reel = film({ drawn, changed: showTools });
  const grid = tileGrid({
    label: "Samples",
    chosen: showDetails,
    open: () => details.element.scrollIntoView({ block: "nearest" }),
  });
  const details = sampleDetails(app, {
    conditions: () => controls?.conditions.images ?? [],
    useAsCondition: (name, image) => controls.conditions.setImage(name, image),
  });
  const branchButton = el(
    "button",
    {
      type: "button",
      disabled: true,
      on: { click: beginBranch },
      title: "Continue from this step with another seed, label, guidance or sampler",
    },
    "Branch from here",
  );
  const files = el("div", { class: "row small" });
  const empty = el("p", { class: "empty" }, "Choose a run, then Sample: every step appears here as it is computed.");
  const job = jobPanel(app, { step: addStep, done: finished, cancelled: finished, failed, lost }, () => showTools());
  const tools = el(
    "div",
    { class: "stack", hidden: true },
    el("div", { class: "row film-row" }, reel.element, branchButton),
    el("div", { class: "stage-columns" }, el("div", { class: "stack" }, grid.element, files), details.element),
  );
  root.append(
    el("h1", { class: "hidden" }, "Sample"),
    el("div", { class: "workbench" }, form, el("div", { class: "stack" }, job.element, empty, tools)),
  );

  // -- controls ---------------------------------------------------------------------------------------------------

  async function choose() {
    const run = picker.value();
    if (!run) return fill(place);
    try {
      options ??= (await app.api("GET", "/api/forms/sample")).options;
      if (!forms.has(run)) forms.set(run, make(await app.api("GET", `/api/runs/${encodeURIComponent(run)}/model`)));
    } catch (error) {
      return fill(place, el("p", { class: "error" }, error.message));
    }
    if (picker.value() !== run) return;
    const before = pending ?? (controls ? values() : FIRST);
    pending = null;
    controls = forms.get(run);
    fill(place, controls.element);
    set(before);
    write(
      empty,
      controls.model.pictures ? empty.textContent : "Samples of this model are no pictures; they are written as files.",
    );
    return undefined;
  }

  function make(model) {
    const main = optionForm(options, {}, { only: MAIN, changed: keep });
    const more = optionForm(options, {}, { leave: [...MAIN, ...ELSEWHERE], changed: keep });
    const conditions = conditionControls(app, model, {
      labelDefault: Object.keys(model.conditions).length
        ? "all classes in turn; none where other conditions are given"
        : "all classes in turn",
      changed: keep,
    });
    listChoices(main, "sampler", model.samplers, `that of the run (${model.sampler})`, "heun:churn=10");
    for (const name of ["weak", "then"]) {
      const others = app.state.runs.filter(run => run.has_model).map(run => run.path);
      if (more.field(name)) offer(more.field(name).input, others);
    }
    const seed = main.field("seed");
    const row = el("div", { class: "row tight-row" });
    seed.input.replaceWith(row);
    row.append(seed.input, dice(main));
    const fold = el("details", {}, el("summary", {}, "More options"), more.element);
    return {
      model,
      main,
      more,
      conditions,
      fold,
      element: el("div", { class: "stack" }, main.element, conditions.element, fold),
    };
  }

  function values() {
    const given = { ...controls.main.values(), ...controls.more.values(), ...controls.conditions.values() };
    if (given.index !== undefined) delete given.n; // the recipe of some samples names them
    return given;
  }

  function set(given) {
    controls.main.set(given);
    controls.more.set(given);
    controls.conditions.set(given);
    const further = Object.keys(given).some(
      name => given[name] !== null && !MAIN.includes(name) && controls.more.field(name),
    );
    if (further) controls.fold.open = true;
    keep();
  }

  function keep() {
    if (controls) remember("sample", { run: picker.value(), values: values(), job: job.id });
  }

  function fail(error) {
    const option = error.option;
    if (option && controls?.main.field(option)) return controls.main.fail(option, error.message);
    if (option && controls?.more.field(option)) {
      controls.fold.open = true;
      return controls.more.fail(option, error.message);
    }
    problem.hidden = false;
    write(problem, error.message);
    return problem.scrollIntoView({ block: "nearest" });
  }

  form.addEventListener("submit", async event => {
    event.preventDefault();
    if (!controls || start.getAttribute("aria-disabled") === "true") return;
    problem.hidden = true;
    controls.main.fail(null, "");
    controls.more.fail(null, "");
    block(start, true);
    try {
      await job.start("sample", {
        model: picker.value(),
        ...values(),
        ...(branch ? { n: null, branch: branch.branch, at: branch.at } : {}),
      });
      begin();
      keep();
    } catch (error) {
      fail(error);
    }
    block(start, job.running);
  });

  // -- what is made -----------------------------------------------------------------------------------------------

  function begin() {
    entry = layout = shown = null;
    images = {};
    reel.clear();
    grid.clear();
    details.clear();
    fill(files);
    tools.hidden = true;
    empty.hidden = true;
    name(controls ? values() : {});
  }

  /** Say which samples are shown: by the recipe of what was made, or by the controls of what is being made. */
  function name({ n, index, label, given }) {
    const classes = controls?.model.classes ?? [];
    indices = index ? [index].flat().map(Number) : Array.from({ length: Number(n) || 64 }, (_, i) => i);
    const conditioned = Array.isArray(given) ? given.length > 0 : Object.keys(given ?? {}).length > 0;
    const names = label ? [label].flat() : conditioned ? [] : classes; // sample i has label i modulo their number
    captions = indices.map(one => (names.length ? names[one % names.length] : ""));
  }

  function addStep(step) {
    layout = { columns: step.columns, count: step.count, width: step.width, height: step.height };
    tools.hidden = false;
    empty.hidden = true;
    reel.add({ ...step, layout });
  }

  function drawn(step, newImages) {
    shown = step;
    images = newImages;
    grid.mode(reel.mode);
    grid.show(
      images,
      step.layout,
      indices.map((index, number) => captions[number] || String(index)),
    );
    if (grid.selected >= 0) showDetails(grid.selected);
  }

  function showDetails(number) {
    if (number < 0) return details.clear();
    return details.show({
      entry,
      run: entry?.run ?? picker.value(),
      place: number,
      index: indices[number] ?? number,
      caption: captions[number] ?? "",
      images,
      layout: shown?.layout ?? layout,
    });
  }

  function finished({ entry: made } = {}) {
    entry = made ?? null;
    if (entry?.recipe) name(entry.recipe);
    if (shown) drawn(shown, images); // by the names of the recipe
    showTools();
    fill(
      files,
      (entry?.files ?? [])
        .filter(file => !/(^|\/)\d{6}\.png$/.test(file.name))
        .map(file => el("a", { href: file.url, download: "" }, file.name)),
    );
    if (grid.selected >= 0) showDetails(grid.selected);
    block(start, false);
    keep();
  }

  function failed(error) {
    job.fail("");
    fail({ message: error.error, option: error.option });
    block(start, false);
    empty.hidden = reel.length > 0;
  }

  // after a restart of the server the job is only in the history
  async function lost() {
    block(start, false);
    const id = job.id;
    try {
      await showEntry(id);
    } catch {
      empty.hidden = reel.length > 0;
    }
  }

  async function showEntry(id) {
    const found = await app.api("GET", `/api/history/${encodeURIComponent(id)}`);
    const { branch: file, at, ...given } = found.options;
    pending = given;
    picker.set(found.run);
    await choose();
    setBranch(file ? { branch: file, at, text: `step ${at} of the samples before` } : null);
    begin();
    for (const step of found.steps ?? [])
      addStep({
        count: found.count,
        columns: found.columns,
        width: found.width,
        height: found.height,
        total: found.steps.length,
        ...step,
      });
    finished({ entry: found });
    return found;
  }

  function showTools() {
    branchButton.disabled = !entry || !reel.current || reel.atEnd;
    block(start, job.running);
  }

  // -- branches ---------------------------------------------------------------------------------------------------

  /** The controls become those of the samples that are continued, so that what is changed is what differs. */
  function beginBranch() {
    const step = reel.current,
      given = { ...entry.options };
    const whole =
      entry.files.find(file => file.name.endsWith(WHOLE)) ?? entry.files.find(file => file.name.endsWith(".png"));
    set(given);
    setBranch({ branch: refOf(whole.url), at: step.index, text: `step ${step.index} of ${entry.title}` });
    form.scrollIntoView({ block: "nearest" });
    controls.main.field("seed").focus();
  }

  function setBranch(newBranch) {
    branch = newBranch;
    branchNote.hidden = !branch;
    start.textContent = branch ? "Continue" : "Sample";
    if (controls) controls.main.field("n").element.hidden = Boolean(branch);
    if (!branch) return;
    fill(
      branchNote,
      el(
        "p",
        {},
        `Continue from ${branch.text}: set another seed, label, guidance or sampler. The number of samples stays.`,
      ),
      el(
        "div",
        {},
        el("button", { type: "button", on: { click: () => setBranch(null) } }, "Sample from the beginning instead"),
      ),
    );
  }

  // -- recipes ----------------------------------------------------------------------------------------------------

  async function restore({ run, options: given, missing = [] }) {
    pending = given;
    if (run) picker.set(run);
    await choose();
    pending = null;
    setBranch(
      given.branch ? { branch: given.branch, at: given.at, text: `step ${given.at} of the picture before` } : null,
    );
    if (missing.length) app.toast(`Restored, but for: ${missing.join("; ")}`, { seconds: 12 });
    else app.toast("Every control is as it was for this picture. Sample makes it again.");
  }

  const reader = recipeReader(app, "sample", restore);
  async function taken(file) {
    try {
      if ((await reader(file)) !== true)
        app.toast(`${file.name} holds no recipe; PNGs that were made here do, unless another program saved them`);
    } catch (error) {
      app.toast(error.message);
    }
  }
  acceptDrops(root, taken);
  open.addEventListener("change", () => {
    const [file] = open.files;
    open.value = "";
    if (file) taken(file);
  });

  document.addEventListener("keydown", event => {
    if (root.hidden) return;
    if (event.key === "Escape" && job.running) job.stop();
    const typing = event.target.closest("input, select, textarea, .tiles, .paper");
    if (typing || event.ctrlKey || event.altKey || event.metaKey) return;
    const moves = { ArrowLeft: () => reel.move(-1), ArrowRight: () => reel.move(1), p: reel.toggle, P: reel.toggle };
    if (event.key in moves && reel.length) {
      event.preventDefault();
      moves[event.key]();
    }
  });

  // -- the first look ---------------------------------------------------------------------------------------------

  const kept = recall("sample");
  if (kept?.values) pending = kept.values;
  if (kept?.run) picker.set(kept.run);
  let before = kept?.job && sessionStorage.getItem("ancestral-sample") ? kept.job : null; // the job before a reload
  const ready = runsKnown(app).then(() => {
    opened = true;
  });

  return {
    async show({ path, query }) {
      await ready;
      try {
        if (path[0]) picker.set(path[0]);
        // the controls are drawn once, so that nobody types into what is replaced a moment later
        if (query.recipe) await openRecipe(app, query.recipe, "sample", restore);
        else if (query.entry) await showEntry(query.entry);
        else {
          if (!controls || controls !== forms.get(picker.value())) await choose();
          if (before) {
            begin();
            job.follow(before);
          }
        }
        before = null;
        if (query.condition && query.image) controls.conditions.setImage(query.condition, await imageOf(query.image));
        if (Object.keys(query).length) app.remember("#sample");
      } catch (error) {
        app.toast(error.message);
        if (!controls) await choose();
      }
    },
  };
}
