/* The page of a model: its settings, the samples as they come about, and what is saved of them. */
(async function () {
  "use strict";

  const A = globalThis.Ancestral, P = globalThis.AncestralPage, { element } = P;
  const $ = (id) => document.getElementById(id);
  const form = $("page"), control = (name) => form.elements[name], value = (name) => control(name).value;
  const COUNTS = [1, 4, 9, 16, 25, 36, 64], POINT_COUNTS = [64, 256, 1024];
  const FRAMES = 61; // states of a sample that are kept for the slider
  const DECODED = 13; // the same of latents, each of which is decoded
  const PLAY = 3; // seconds of a whole run
  const BUDGET = 15; // seconds that the samples at the start may take
  const MOST_WORKERS = 8, MOST_BYTES = 6e8; // of the memories of all Workers

  /** Shows a text, which screen readers read out; `step` is shown in its place, and not read. */
  P.say = (text, step = "") => {
    $("status").textContent = text;
    $("step").textContent = step;
  };
  const fail = (text) => {
    $("alert").textContent = text;
    $("alert").hidden = false;
    P.say("");
  };

  // The model --------------------------------------------------------------------------------------------------------

  /** Unpacks the model, and starts the Workers. */
  async function load() {
    const read = async (id) => JSON.parse(new TextDecoder().decode(await P.unpacked(id)));
    const model = await read("model"), { signal, noise, prior_std, tables, shape, x_shape, factor } = model;
    const sizeOf = (sides) => sides.reduce((product, side) => product * side, 1);
    model.size = sizeOf(shape);
    const kernels = await P.unpacked("kernels"), weights = await P.unpacked("weights"), programs = await read("programs");
    const source = ["theory", "network", "worker"].map((id) => $(id).textContent).join("\n");
    const sent = { signal, noise, prior_std, tables, shape, x_shape, factor, size: sizeOf(x_shape) };
    const workers = new P.Workers(source, { kernels, programs, weights, model: sent });
    const memory = Object.values(programs).reduce((sum, program) => sum + program.memory, 0);
    const fit = Math.max(1, Math.floor(MOST_BYTES / (memory + weights.length)));
    model.workers = Math.min(navigator.hardwareConcurrency || 1, MOST_WORKERS, fit);
    model.frames = factor > 1 ? DECODED : FRAMES;
    const { milliseconds, decoding } = await workers.start(model.workers);
    Object.assign(model, { milliseconds, decoding });
    return [model, workers];
  }

  let model, workers;
  try {
    [model, workers] = await load();
  } catch (error) {
    const old = typeof DecompressionStream === "undefined" || typeof WebAssembly === "undefined";
    const reason = old ? "this browser is too old for it" : error.message;
    return fail(`The page cannot start: ${reason}.`);
  }
  const isImage = model.shape.length === 3, isPoints = model.shape.length === 1;
  const [channels, height, width] = isImage ? model.shape : [1, 1, 1];
  const schedule = A.tabulated(model.signal, model.noise, model.prior_std);

  // Settings ---------------------------------------------------------------------------------------------------------

  const sampler = new P.SamplerControl(
    { select: control("sampler"), steps: $("steps"), slider: $("log-steps") }, model.samplers, schedule.T);
  const labels = new P.LabelControl($("labels"), model.classes);
  const conditions = Object.entries(model.conditions).map(([name, condition]) =>
    Object.assign(P.conditionControl(name, condition, model), { name }));
  const editor = new P.MaskEditor($("mask"), { tool: () => value("tool"), width: () => Number(value("width")) });
  let edited = null; // the image that is filled in: its values in the units of the data, and in 8 bits
  let fixed = {}; // what a picture holds that no control shows: the indices of its samples, and a rescaling

  $("conditions").append(...conditions.map((one) => one.part));
  $("guidance").hidden = !model.guidance;
  $("edit").hidden = !isImage;
  control("n").append(...(isPoints ? POINT_COUNTS : COUNTS).map((n) => new Option(n, n)));

  function showOutputs() {
    for (const output of form.querySelectorAll("label output")) {
      output.value = output.parentElement.querySelector("input").value;
    }
  }

  const bytesOf = (array) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  const packed = ({ values, height, width, file }) => ({ height, width, file, values: P.toBase64(bytesOf(values)) });

  /** The text by which a recipe of Python recognises an image; "" where the browser cannot compute it. */
  async function described({ values, file }, condition) {
    if (!globalThis.crypto?.subtle) return "";
    const content = condition.masked ? P.knownPart(values, condition) : values;
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytesOf(content)));
    const hex = [...digest.subarray(0, 8)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    return `${file} sha256:${hex}`;
  }

  /** The image that is filled in, as the Workers and a picture need it; null without one. */
  function readEdit() {
    if (!edited) return null;
    const { mask } = editor;
    if (!mask.includes(1)) throw new Error("Paint what is to be sampled anew, or take the image away.");
    const saved = { image: P.toBase64(bytesOf(edited.values)), mask: P.toBase64(mask) };
    const sent = { y: P.encode(edited.values, model.codec), known: mask.map((one) => 1 - one) };
    return { ...edited, mask: mask.slice(), sent, saved };
  }

  /** The settings as a job: what the Workers need, and what is saved in a picture. */
  async function readJob() {
    const seed = P.wholeNumber(value("seed"), "The seed", 0, Number.MAX_SAFE_INTEGER), chosen = sampler.value();
    const indices = fixed.index || Array.from({ length: value("n") }, (_, i) => i), edit = readEdit();
    const given = conditions.map((one) => [one, one.value()]).filter(([, read]) => read);
    const texts = await Promise.all(given.map(async ([{ name }, read]) =>
      read.text ?? (await described(read.image, model.conditions[name]))));
    const names = labels.value() || model.classes, guidance = model.guidance ? Number(value("guidance")) : 1;
    const noClass = names.length ? "no class" : null;
    const labelOf = (index) => (names.length ? names[index % names.length] : null);
    const inputs = Object.fromEntries(given.map(([one, { input }]) => [one.name, input]));
    const recipe = {
      schema: "recipe-2", model: model.sha256, version: model.version, seed, n: indices.length,
      sampler: chosen.text(chosen.steps), guidance, single: indices.length === 1,
      given: Object.fromEntries(given.map(([one], i) => [one.name, [texts[i]]])), then: {},
      ...(fixed.index || indices.length === 1 ? { index: indices } : {}),
      ...(fixed.rescale ? { guidance_rescale: fixed.rescale } : {}),
      // all in turn is the default of Python too, but not beside other conditions
      ...(names.length && (labels.value() || given.length) ? { label: names } : {}),
    };
    const visited = A.times(schedule, chosen.key, chosen.steps, chosen.spacing).length;
    const kept = Math.min(visited, model.frames);
    return {
      recipe, edit, visited,
      shown: Array.from({ length: kept }, (_, i) => Math.round((i * (visited - 1)) / Math.max(kept - 1, 1))),
      sampler: chosen, rescale: fixed.rescale || 0,
      captions: indices.map((index) => (model.classes.includes(labelOf(index)) ? labelOf(index) : noClass)),
      items: indices.map((index) => {
        const label = labelOf(index);
        return { index, inputs: label === null ? inputs : { ...inputs, labels: model.classes.indexOf(label) } };
      }),
      saved: {
        schema: "page-1", recipe, ...(edit ? { edit: edit.saved } : {}),
        images: Object.fromEntries(given.filter(([, { image }]) => image).map(([one, { image }]) =>
          [one.name, packed(image)])),
      },
      frames: indices.map(() => []), last: [],
    };
  }

  /** Sets all controls as they were for a picture: by the recipe of the page, or of `ancestral sample`. */
  function restore({ recipe, images, edit }) {
    const { guidance, given, seed } = recipe;
    const settings = conditions.map((one) => {
      const [text] = given[one.name] || [], saved = images[one.name];
      if (!one.set) return one.read(text || "none");
      if (!saved) return null;
      const { channels, codec } = model.conditions[one.name], count = channels * saved.height * saved.width;
      return { ...saved, values: P.savedValues(saved.values, codec, count) };
    });
    const image = edit && P.savedValues(edit.image, model.codec, model.size);
    const mask = edit && P.savedValues(edit.mask, { kind: "uint8" }, height * width).map((one) => Math.min(one, 1));
    const names = labels.read(recipe.label ?? (Object.keys(given).length ? ["none"] : null));
    sampler.restore(recipe.sampler); // what is wrong has been refused up to here, with all controls as they were
    labels.restore(names);
    conditions.forEach((one, i) => (one.set || one.restore)(settings[i]));
    if (![...control("n").options].some((option) => Number(option.value) === recipe.n)) {
      control("n").append(new Option(recipe.n, recipe.n));
    }
    Object.assign(control("n"), { value: recipe.n });
    control("seed").value = seed;
    const range = { min: Math.min(0, guidance), max: Math.max(6, guidance), step: guidance % 0.25 ? "any" : 0.25 };
    Object.assign(control("guidance"), range, { value: guidance });
    fixed = { index: recipe.index, rescale: recipe.guidance_rescale };
    if (edit) openEdit(image, mask);
    else closeEdit();
    showOutputs();
  }

  // Sampling ---------------------------------------------------------------------------------------------------------

  let job = null; // the last one, with the frames of its samples
  let running = false, position = 0, live = true, playing = false;

  async function sample() {
    let next;
    form.dataset.state = "running";
    try {
      next = await readJob();
    } catch (error) {
      showState();
      return P.say(error.message);
    }
    play(false);
    $("alert").hidden = true;
    [job, running, live, position] = [next, true, true, 0];
    grid.build(job.captions);
    showState();
    const start = performance.now(), seconds = () => (performance.now() - start) / 1000, count = job.items.length;
    let states = 0;
    const { key, steps, options, clip, spacing } = job.sampler, { seed, guidance } = job.recipe;
    const { rescale, shown } = job;
    const sent = { sampler: key, steps, options, clip, spacing, seed, guidance, rescale, shown };
    const result = await workers.run({ ...sent, edit: next.edit && next.edit.sent }, job.items, (state) => {
      states++;
      receive(state);
      $("progress").value = states / (count * next.visited);
      const step = Math.min(Math.floor(states / count), next.visited - 1);
      P.say("", `Step ${step} of ${next.visited - 1} · ${seconds().toFixed(1)} s`);
    }).catch((error) => fail(`The page cannot go on: ${error.message}`));
    if (job !== next) return; // another job has begun
    if (result) Object.assign(job, result, { seconds: seconds() });
    running = live = false;
    $("progress").value = 0;
    P.say(result ? summary() : result === null ? "Stopped." : "");
    position = Math.max(0, ...job.frames.map((frames) => frames.length - 1));
    showState();
    draw();
  }

  function summary() {
    const { seconds, evaluations, milliseconds } = job, count = job.items.length, each = milliseconds / evaluations;
    const what = isPoints ? "points" : count > 1 ? "samples" : "sample", digits = (number) => (number < 10 ? 1 : 0);
    return [
      `${count} ${what} in ${seconds.toFixed(1 + digits(seconds))} s`,
      `${evaluations.toLocaleString("en")} evaluations of ${Number(each.toPrecision(2))} ms`,
      `${job.workers} ${job.workers > 1 ? "processors" : "processor"}`,
    ].join(" · ");
  }

  function receive({ position: item, t, x, x0 }) {
    if (!x) return;
    const frame = { t, x: grid.seen(x), x0: grid.seen(x0) };
    if (t === 0) {
      job.last[item] = x;
      if (job.edit) { // what is known of an image is that image, to the bit
        const { mask, bytes } = job.edit;
        frame.x = frame.x0 = frame.x.map((byte, i) => (mask[i % mask.length] ? byte : bytes[i]));
      }
    }
    job.frames[item].push(frame);
    requestDraw();
  }

  function showState() {
    $("run").disabled = false;
    $("stop").disabled = !running;
    $("save").disabled = running || !(job && job.seconds);
    $("play").disabled = running || !job;
    Object.assign($("at"), { max: job ? job.shown.length - 1 : 0, disabled: !job });
    form.dataset.state = running ? "running" : "ready";
  }

  // The samples ------------------------------------------------------------------------------------------------------

  const grid = new P.Grid($("grid"), model, editSample);
  let queued = false;

  function requestDraw() {
    if (queued) return;
    queued = true;
    requestAnimationFrame(() => {
      queued = false;
      draw();
    });
  }

  /** Draws the last state of each sample while they are computed, else the state at the slider. */
  function draw() {
    if (!job) return;
    const reached = job.frames.map((frames) => frames.length - 1);
    if (live) position = Math.max(0, Math.min(...reached));
    const seen = job.frames.map((frames, i) => frames[live ? reached[i] : Math.min(position, reached[i])]);
    const times = seen.filter(Boolean).map(({ t }) => t);
    $("at").value = position;
    $("time").value = times.length ? `t = ${Math.max(...times)}` : "";
    $("at").setAttribute("aria-valuetext", $("time").value);
    grid.draw(seen.map((frame) => frame && frame[value("view")]));
  }

  function play(on) {
    playing = on && !!job && !running;
    $("play").classList.toggle("playing", playing);
    $("play").ariaLabel = playing ? "Pause" : "Play";
    if (!playing) return;
    const last = job.shown.length - 1, start = performance.now(), from = position >= last ? 0 : position;
    const frame = (now) => {
      if (!playing) return;
      position = Math.min(last, Math.floor(from + (Math.max(now - start, 0) / 1000 / PLAY) * last));
      draw();
      if (position < last) requestAnimationFrame(frame);
      else play(false);
    };
    requestAnimationFrame(frame);
  }

  function moveTo(to) {
    play(false);
    live = false;
    position = Math.min(Math.max(to, 0), Number($("at").max));
    draw();
  }

  // Filling in -------------------------------------------------------------------------------------------------------

  function openEdit(values, mask) {
    edited = { values, bytes: P.toBytes(values, model.codec) };
    $("editor").hidden = $("edit-off").disabled = false;
    $("edit").open = true;
    editor.open(P.toPixels(edited.bytes, model.shape), mask);
  }

  function closeEdit() {
    edited = null;
    $("editor").hidden = $("edit-off").disabled = true;
    $("edit-file").value = "";
  }

  function editSample(i) {
    if (!job.last[i]) return;
    const values = P.decode(job.last[i], model.codec), { edit } = job;
    if (edit) values.forEach((_, k) => edit.mask[k % edit.mask.length] || (values[k] = edit.values[k]));
    openEdit(values);
    $("mask").focus();
    P.say("Paint what is to be sampled anew, then press Sample.");
  }

  async function editFile(file) {
    const pixels = await P.pixelsOf(file), shape = [channels, pixels.height, pixels.width];
    openEdit(P.fromBytes(P.fitted(P.fromPixels(pixels, channels), shape, [height, width]), model.codec));
    P.say("Paint what is to be sampled anew, then press Sample.");
  }

  // Files ------------------------------------------------------------------------------------------------------------

  async function save() {
    const texts = { "ancestral-page": JSON.stringify(job.saved) }, { recipe } = job;
    const repeatable = recipe.model && !job.edit && Object.values(recipe.given).every(([text]) => text);
    if (repeatable) texts.ancestral = JSON.stringify(recipe); // `ancestral sample --like` reads it
    const blob = await P.png.write(...grid.picture(job.frames.map((frames) => frames.at(-1).x)), texts);
    const link = element("a", { href: URL.createObjectURL(blob), download: `${model.name}-seed${recipe.seed}.png` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    P.say(`Saved ${link.download}.`);
  }

  /** Takes a file: a PNG with settings, or an image to fill in. */
  async function open(file) {
    const settings = P.readRecipe(await P.png.texts(file), model);
    if (settings) restore(settings);
    else if (isImage) return editFile(file);
    else throw new Error("This file holds no settings of the page.");
    P.say("These are the settings of the picture. Press Sample to make it again.");
  }

  // Events -----------------------------------------------------------------------------------------------------------

  const tried = (action) => (...words) => Promise.resolve(action(...words)).catch((error) => P.say(error.message));
  const chosen = (input, action) => (input.onchange = tried(async () => {
    const [file] = input.files;
    input.value = "";
    if (file) await action(file);
  }));

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    sample();
  });
  form.addEventListener("input", showOutputs);
  $("stop").onclick = () => workers.stop();
  $("save").onclick = tried(save);
  $("play").onclick = () => play(!playing);
  $("at").oninput = () => moveTo(Number($("at").value));
  $("views").onchange = draw;
  $("new-seed").onclick = () => {
    control("seed").value = crypto.getRandomValues(new Uint32Array(1))[0] % 1000000;
    sample();
  };
  control("n").onchange = () => delete fixed.index;
  control("guidance").onchange = () => delete fixed.rescale;
  chosen($("edit-file"), editFile);
  chosen($("open-file"), open);
  $("edit-off").onclick = closeEdit;
  $("mask-undo").onclick = () => editor.undo();
  $("mask-invert").onclick = () => editor.change((one) => 1 - one);
  $("mask-clear").onclick = () => editor.change(() => 0);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || !job) return;
    if (event.target !== document.body && event.target !== document.documentElement) return;
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === " ") play(!playing);
    else if (step) moveTo(position + step);
    else return;
    event.preventDefault();
  });

  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dropping");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    const [file] = event.dataTransfer.files;
    const place = conditions.find((one) => one.take && one.part.contains(event.target));
    if (file) tried(place ? place.take : open)(file);
  });

  /** The state of the page, for the console. */
  P.current = () => job && {
    running, recipe: job.recipe, samples: job.last, frames: job.frames, times: job.frames[0].map(({ t }) => t),
    seconds: job.seconds, evaluations: job.evaluations, workers: job.workers,
  };
  P.model = model;

  // Start ------------------------------------------------------------------------------------------------------------

  const counts = [...control("n").options].map((option) => Number(option.value)), usual = isPoints ? 256 : 16;
  const { steps } = sampler.chosen, decoding = 2 * model.decoding * Math.min(steps, model.frames);
  const expected = (n) => ((model.milliseconds * steps + decoding) * n) / model.workers / 1000;
  control("n").value = counts.filter((n) => n <= usual && (n === counts[0] || expected(n) < BUDGET)).at(-1);
  showOutputs();
  showState();
  sample();
})();
