// The tab Edit: inpaint with a mask that is drawn, restore, vary, and walk between two images.

import { listChoices } from "./choice_field.js";
import { conditionControls } from "./conditions.js";
import { block, el, fill, icon, write } from "./dom.js";
import { editResult } from "./edit_result.js";
import { film } from "./film.js";
import { offer, optionForm } from "./form.js";
import { picture, tileGrid } from "./grid.js";
import { imageDrop, imageOf, upload, uploadFrom } from "./image_drop.js";
import { jobPanel } from "./job_panel.js";
import { Mask, pixelsOf } from "./mask.js";
import { maskEditor } from "./mask_editor.js";
import { recall, remember } from "./memory.js";
import { acceptDrops, openRecipe, recipeReader } from "./recipe.js";
import { runPicker, runsKnown } from "./runs.js";
import { dice } from "./seed.js";
import { Timeline } from "./timeline.js";

const TASKS = {
  inpaint: ["Inpaint", "Paint over what changes; the rest stays as it is, to the bit."],
  restore: ["Restore", "Sample what may have been measured as the image: a small, grey or blurred picture."],
  vary: ["Vary", "Sample images that are like this one."],
  interpolate: ["Interpolate", "Walk from one image to another, or without images between two labels."],
};
const MAIN = {
  inpaint: ["n", "seed", "method", "steps"],
  restore: ["operator", "noise", "n", "seed", "method", "steps"],
  vary: ["strength", "n", "seed", "steps"],
  interpolate: ["t", "n", "seed", "steps"],
};
const ELSEWHERE = ["model", "task", "image", "other", "mask", "box", "changes", "label", "given", "out", "like", "net"];

export function open(root, app) {
  const models = new Map();
  let options = null,
    task = "inpaint",
    controls = null,
    pending = null,
    timeline = new Timeline(JSON.stringify({ image: null, mask: "" }));
  let sentMask = { packed: "", ref: "" },
    shownImage = null,
    input = null;

  let opened = false;
  const picker = runPicker(app, { label: "Run", changed: () => opened && choose() });
  const taskButtons = Object.entries(TASKS).map(([name, [title]]) =>
    el(
      "button",
      { type: "button", "aria-pressed": "false", data: { task: name }, on: { click: () => setTask(name) } },
      title,
    ),
  );
  const taskText = el("p", { class: "small soft" });
  const place = el("div", { class: "stack" });
  const drop = imageDrop(app, {
    label: "Image",
    chosen: image => push({ image, mask: "" }),
    offered: file => offered(file),
  });
  const other = imageDrop(app, { label: "Second image", chosen: keep, offered: file => offered(file, true) });
  const start = el("button", { type: "submit", class: "primary" }, "Edit");
  const problem = el("p", { class: "error", role: "alert", hidden: true });
  const form = el(
    "form",
    { class: "stack panel" },
    picker.element,
    el("div", { class: "segments", role: "group", "aria-label": "Task" }, taskButtons),
    taskText,
    drop.element,
    other.element,
    place,
    problem,
    el("div", { class: "row actions" }, start),
    el(
      "p",
      { class: "small soft" },
      "A picture with a recipe may be dropped anywhere here: it sets every control again.",
    ),
  );

  const editor = maskEditor({ changed: () => push({ mask: editor.mask.pack() }), failed: text => app.toast(text) });
  const plain = el("figure", { class: "plain" }, el("img", { class: "pixels", alt: "The image" }));
  const undo = el(
    "button",
    {
      type: "button",
      class: "icon",
      "aria-label": "Undo",
      title: "Undo (Ctrl+Z)",
      on: { click: () => travel("undo") },
    },
    icon("undo"),
  );
  const redo = el(
    "button",
    {
      type: "button",
      class: "icon",
      "aria-label": "Redo",
      title: "Redo (Ctrl+Shift+Z)",
      on: { click: () => travel("redo") },
    },
    icon("redo"),
  );
  const empty = el("p", { class: "empty" }, "Drop an image here, choose a file, or take a sample: Edit this.");
  const board = el(
    "section",
    { class: "panel stack tight", "aria-label": "Input" },
    el("div", { class: "row apart" }, el("h2", {}, "Input"), el("span", { class: "row" }, undo, redo)),
    empty,
    plain,
    editor.element,
  );

  const reel = film({ drawn });
  const grid = tileGrid({ label: "Samples while they are made" });
  const progress = el(
    "details",
    { hidden: true, open: true },
    el("summary", {}, "Steps"),
    el("div", { class: "stack tight" }, reel.element, grid.element),
  );
  const result = editResult(app, { sendBack });
  const job = jobPanel(
    app,
    {
      step: addStep,
      done: finished,
      cancelled: finished,
      failed,
      lost,
    },
    on => block(start, on),
  );
  root.append(
    el("h1", { class: "hidden" }, "Edit"),
    el(
      "div",
      { class: "workbench" },
      form,
      el("div", { class: "stack" }, board, job.element, progress, result.element),
    ),
  );

  // -- controls ---------------------------------------------------------------------------------------------------

  async function choose() {
    const run = picker.value();
    if (!run) return fill(place);
    try {
      options ??= (await app.api("GET", "/api/forms/edit")).options;
      if (!models.has(run)) models.set(run, await app.api("GET", `/api/runs/${encodeURIComponent(run)}/model`));
    } catch (error) {
      return fill(place, el("p", { class: "error" }, error.message));
    }
    if (picker.value() !== run) return undefined;
    if (!models.get(run).editable)
      return fill(
        place,
        el("p", { class: "error" }, "A model of points cannot be edited: choose a run of images, signals or volumes."),
      );
    const before = pending ?? (controls ? values() : {});
    pending = null;
    controls = make(models.get(run));
    fill(place, controls.element);
    set(before);
    return undefined;
  }

  function make(model) {
    const names = MAIN[task],
      elsewhere = Object.entries(model.tasks)
        .filter(([name]) => name !== task)
        .flatMap(([, own]) => own);
    const unfit = elsewhere.filter(name => !model.tasks[task].includes(name));
    const main = optionForm(options, {}, { only: names, changed: keep });
    const more = optionForm(options, {}, { leave: [...names, ...ELSEWHERE, ...unfit], changed: keep });
    const conditions = conditionControls(app, model, { labelDefault: "none", changed: keep });
    if (names.includes("method"))
      listChoices(main, "method", model.methods, "auto: the best for this edit, with its reason");
    if (names.includes("operator"))
      offer(
        main.field("operator").input,
        model.operators.map(
          one =>
            ({ upscale: "upscale:4", blur: "blur:2", crop: "crop:0.5", noise: "noise:0.1", mask: "mask:left" })[
              one.name
            ] ?? one.name,
        ),
      );
    if (names.includes("strength")) slide(main.field("strength"));
    if (more.field("sampler")) listChoices(more, "sampler", model.samplers, "that of the task", "heun:churn=10");
    const seed = main.field("seed"),
      row = el("div", { class: "row tight-row" });
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

  /** A slider from 0 to 1 beside a number. */
  function slide(field) {
    const { input: number, set: setNumber } = field;
    const slider = el("input", {
      type: "range",
      min: 0,
      max: 1,
      step: 0.01,
      value: 0.5,
      "aria-label": "strength by a slider",
    });
    slider.addEventListener("input", () => {
      number.value = slider.value;
    });
    number.addEventListener("input", () => {
      slider.value = number.value || 0.5;
    });
    number.before(slider);
    field.set = value => {
      setNumber(value);
      slider.value = number.value || 0.5;
    };
  }

  function values() {
    const given = { ...controls.main.values(), ...controls.more.values(), ...controls.conditions.values() };
    if (given.index !== undefined && task !== "interpolate") delete given.n;
    return given;
  }

  function set(given) {
    controls.main.set(given);
    controls.more.set(given);
    controls.conditions.set(given);
    if (Object.keys(given).some(name => given[name] !== null && controls.more.field(name))) controls.fold.open = true;
    keep();
  }

  function setTask(name, rebuild = true) {
    task = name in TASKS ? name : "inpaint";
    for (const button of taskButtons) button.setAttribute("aria-pressed", String(button.dataset.task === task));
    write(taskText, TASKS[task][1]);
    other.element.hidden = task !== "interpolate";
    write(drop.element.querySelector(".label"), task === "interpolate" ? "First image" : "Image");
    showBoard();
    if (rebuild) choose();
  }

  function fail({ message, option }) {
    for (const part of [controls?.main, controls?.more]) {
      if (!option || !part?.field(option)) continue;
      if (part === controls.more) controls.fold.open = true;
      return part.fail(option, message);
    }
    if (option === "image") return drop.fail(message);
    if (option === "other") return other.fail(message);
    problem.hidden = false;
    write(problem, message);
    return problem.scrollIntoView({ block: "nearest" });
  }

  form.addEventListener("submit", async event => {
    event.preventDefault();
    if (!controls || start.getAttribute("aria-disabled") === "true") return;
    problem.hidden = true;
    for (const part of [controls.main, controls.more]) part.fail(null, "");
    block(start, true);
    try {
      const sent = { model: picker.value(), task, ...values() },
        { image } = state();
      if (image) sent.image = image.ref;
      if (task === "interpolate" && other.value) sent.other = other.value.ref;
      if (task === "inpaint" && image) sent.mask = await maskUpload();
      await job.start("edit", sent);
      input = image;
      reel.clear();
      grid.clear();
      progress.hidden = true;
      progress.open = true;
      result.clear();
      keep();
    } catch (error) {
      fail(error);
    }
    block(start, job.running);
  });

  /** The mask as the value of an option; the server has it already if it did not change. */
  async function maskUpload() {
    const packed = editor.mask.pack();
    if (sentMask.packed !== packed)
      sentMask = { packed, ref: (await upload(app, await editor.mask.toPng(), "mask.png")).ref };
    return sentMask.ref;
  }

  // -- the input: an image and its mask, with undo ----------------------------------------------------------------

  const state = () => JSON.parse(timeline.present);

  function push(change) {
    timeline.push(JSON.stringify({ ...state(), ...change }));
    if ("image" in change) showBoard();
    showUndo();
    keep();
  }

  function travel(way) {
    if (!timeline[way]()) return;
    showBoard();
    showUndo();
    keep();
  }

  function showUndo() {
    undo.disabled = !timeline.canUndo;
    redo.disabled = !timeline.canRedo;
  }

  async function showBoard() {
    const { image, mask } = state();
    if ((drop.value?.ref ?? null) !== (image?.ref ?? null)) drop.set(image);
    empty.hidden = Boolean(image);
    plain.hidden = !image || task === "inpaint";
    editor.element.hidden = task !== "inpaint" || shownImage !== (image?.ref ?? "");
    if (!image) return;
    plain.querySelector("img").src = image.url;
    if (task !== "inpaint") return;
    const key = timeline.present;
    if (shownImage === image.ref)
      return editor.set(mask ? Mask.unpack(mask) : new Mask(editor.mask.width, editor.mask.height));
    try {
      const shown = await picture(image.url);
      if (timeline.present !== key || task !== "inpaint") return undefined;
      shownImage = image.ref;
      editor.element.hidden = false; // it has to be on the page to know its size
      const old = mask ? Mask.unpack(mask) : null;
      const fits = old && old.width === shown.naturalWidth && old.height === shown.naturalHeight;
      return editor.open(image, shown, fits ? old : null);
    } catch {
      return drop.fail("the browser cannot show this file, so no mask can be drawn on it");
    }
  }

  /** A file that was dropped on the place of an image: one with a recipe sets the controls, unless it is an input. */
  async function offered(file, second = false) {
    const image = await upload(app, file);
    if (image.recipe && !second) {
      offerRecipe(image);
    }
    if (second) {
      other.set(image);
      keep();
    } else push({ image, mask: sameSize(image) ? state().mask : "" });
    return true;
  }

  const sameSize = image => {
    const { image: before } = state();
    return before && before.width === image.width && before.height === image.height;
  };

  // an image with a recipe is an input where it is dropped as one; its controls are a button away
  function offerRecipe(image) {
    app.toast("This picture holds its recipe.", {
      action: {
        label: "Set its controls",
        run: () => openRecipe(app, image.id, "edit", restore).catch(error => app.toast(error.message)),
      },
    });
  }

  async function sendBack(file) {
    if (!file) return;
    try {
      const image = await uploadFrom(app, file.url, file.name.split("/").at(-1));
      push({ image, mask: sameSize(image) ? state().mask : "" });
      board.scrollIntoView({ block: "nearest" });
      app.toast("The sample is the input now; Undo brings the one before back.");
    } catch (error) {
      app.toast(error.message);
    }
  }

  // -- what is made -----------------------------------------------------------------------------------------------

  function addStep(step) {
    progress.hidden = false;
    reel.add({ ...step, layout: { columns: step.columns, count: step.count, width: step.width, height: step.height } });
  }

  function drawn(step, images) {
    grid.mode(reel.mode);
    grid.show(images, step.layout);
  }

  function finished({ entry } = {}) {
    if (entry) result.show(entry, input ?? state().image);
    progress.open = !entry?.files?.length;
    block(start, false);
    keep();
  }

  function failed({ error, option }) {
    job.fail("");
    fail({ message: error, option });
    block(start, false);
  }

  async function lost() {
    block(start, false);
    try {
      await showEntry(job.id);
    } catch {
      // it is not in the history either: nothing was made
    }
  }

  async function showEntry(id) {
    const entry = await app.api("GET", `/api/history/${encodeURIComponent(id)}`),
      { options: given } = entry;
    setTask(given.task, false);
    picker.set(entry.run);
    pending = given;
    await choose();
    const images = await Promise.all(
      ["image", "other", "mask"].map(one => (given[one] ? imageOf(given[one]).catch(() => null) : null)),
    );
    other.set(images[1]);
    push({ image: images[0], mask: images[2] ? await maskOf(images[2], images[0]) : "" });
    input = images[0];
    result.show(entry, input);
    for (const step of entry.steps ?? []) addStep(step);
    progress.open = !entry.files.length;
  }

  // -- what is kept, and recipes ----------------------------------------------------------------------------------

  function keep() {
    if (!controls) return;
    remember("edit", { run: picker.value(), task, values: values(), timeline, other: other.value, job: job.id, input });
  }

  async function restore({ run, options: given, images = {}, missing = [] }) {
    setTask(given.task, false);
    if (run) picker.set(run);
    pending = given;
    await choose();
    pending = null;
    const image = images.image ?? null;
    const mask = images.mask ? await maskOf(images.mask, image) : "";
    other.set(images.other ?? null);
    push({ image, mask });
    if (missing.length) app.toast(`Restored, but for: ${missing.join("; ")}`, { seconds: 12 });
    else app.toast("Every control is as it was for this picture. Edit makes it again.");
  }

  /** The mask of a picture of the server, as text, for an image, if it is still there. */
  async function maskOf(kept, image) {
    const mask = await picture(kept.url),
      size = [mask.naturalWidth, mask.naturalHeight];
    const below = image ? pixelsOf(await picture(image.url), ...size) : null;
    return Mask.ofPicture(pixelsOf(mask, ...size), below).pack();
  }

  const reader = recipeReader(app, "edit", restore);
  acceptDrops(root, async file => {
    try {
      const image = await reader(file);
      if (image !== true) push({ image, mask: sameSize(image) ? state().mask : "" });
    } catch (error) {
      app.toast(error.message);
    }
  });

  document.addEventListener("keydown", event => {
    if (root.hidden) return;
    if (event.key === "Escape" && job.running && !event.target.closest(".paper")) job.stop();
    const key = event.key.toLowerCase(),
      command = event.ctrlKey || event.metaKey;
    if (!command || event.target.closest("textarea, input:not([type=range]):not([type=checkbox])")) return;
    if (key === "z") travel(event.shiftKey ? "redo" : "undo");
    else if (key === "y") travel("redo");
    else return;
    event.preventDefault();
  });

  // -- the first look ---------------------------------------------------------------------------------------------

  const kept = recall("edit");
  if (kept?.timeline) timeline = Timeline.from(kept.timeline);
  if (kept?.values) pending = kept.values;
  if (kept?.run) picker.set(kept.run);
  if (kept?.other) other.set(kept.other);
  input = kept?.input ?? null;
  setTask(kept?.task ?? "inpaint", false);
  showUndo();
  let before = kept?.job && sessionStorage.getItem("ancestral-edit") ? kept.job : null; // the job before a reload
  const ready = runsKnown(app).then(() => {
    opened = true;
  });

  return {
    async show({ path, query }) {
      await ready;
      try {
        if (query.task) setTask(query.task, false);
        if (path[0]) picker.set(path[0]);
        // the controls are drawn once, so that nobody types into what is replaced a moment later
        if (query.recipe) await openRecipe(app, query.recipe, "edit", restore);
        else if (query.entry) await showEntry(query.entry);
        else {
          if (!controls || query.task || path[0]) await choose();
          if (before) job.follow(before);
        }
        before = null;
        if (query.image) push({ image: await imageOf(query.image, query.name), mask: "" });
        if (path.length || Object.keys(query).length) app.remember("#edit");
      } catch (error) {
        app.toast(error.message);
        if (!controls) await choose();
      }
    },
  };
}
