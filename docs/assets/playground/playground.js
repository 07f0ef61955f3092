/* The page of the playground: controls, animation, drawing. All numbers come from Ancestral (diffusion.js, training.js).
 *
 * The form is the state: a setting is a form element, the address's hash is the form as a query string. `position` is
 * where the slider is, with fractions while the animation plays: t in the view of the forward process, T − t in the
 * view of the field, the index of the sampler's step where one sampler is shown, and network evaluations where several
 * are compared. The views are the steps of a story; the third shows paths or samples.
 */
(function () {
  "use strict";

  const A = window.Ancestral;
  const form = document.querySelector("form.pg");
  if (!A || !form) return;

  const SAMPLES = 400, PATHS = 60, FORWARD = 600, MAX_POINTS = 400;
  const BESIDE = 150; // samples of each picture where several stand side by side
  const COMPARED = ["ddpm", "ddim", "heun", "dpm"], BUDGETS = [1, 2, 3, 5, 7, 11, 15, 25, 35, 51, 75, 101]; // evaluations
  const ENDS = 100; // paths whose ends give a sampler's error
  const COPY = 0.02; // a sample nearer than this to a data point is a copy of it
  const NUDGE = 0.05; // of x_T, by an arrow key
  const VIEW = 1.85, CLOSE = 1.4; // the picture shows at least [−VIEW, VIEW] in both directions; one of several, less
  const SECONDS = { slow: 45, normal: 7, fast: 2.5 }; // of a whole run
  const HOLD = 1.6; // seconds at the end of a run before the next
  const BUDGET = { playing: 16, waiting: 60, aside: 16 }; // milliseconds of sampling in a frame; of curves and training
  const RENEW = 100; // training steps after which the picture shows the present network
  const TAIL = 5, WHOLE_PATHS = 1; // of a sampler with noise: steps that are shown of each path, and whole paths

  const $ = (selector) => form.querySelector(selector);
  const control = (name) => form.elements[name];
  const value = (name) => control(name).value;
  const number = (name) => Number(value(name));
  const stage = $(".pg-stage"), canvas = $(".pg-canvas"), pen = canvas.getContext("2d");
  const slider = control("at"), logSteps = $("#pg-log-steps");
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)");

  // Data sets --------------------------------------------------------------------------------------------------------

  const range = (count) => Array.from({ length: count }, (_, i) => i);
  const fraction = (number) => number - Math.floor(number);
  const PRESETS = {
    moons(n) {
      return plane(n, (i) => {
        const side = 1 - 2 * (i % 2), angle = (Math.PI * (Math.floor(i / 2) + 0.5)) / Math.ceil(n / 2);
        return [0.6 * side * (Math.cos(angle) - 0.5), 0.6 * side * (Math.sin(angle) - 0.25)];
      }, 0.03);
    },
    swissroll(n) {
      return plane(n, (i) => {
        const angle = Math.PI * (1.5 + (3 * (i + 0.5)) / n);
        return [(angle * Math.cos(angle) - 2) / (4.9 * Math.PI), (angle * Math.sin(angle) - 0.21) / (4.9 * Math.PI)];
      }, 0.01);
    },
    checkerboard(n) {
      return plane(n, (i) => {
        const column = i % 4, row = 2 * (Math.floor(i / 4) % 2) + (column % 2), j = Math.floor(i / 8) + 1;
        const inside = [fraction(0.7549 * j + 0.13 * (i % 8)), fraction(0.5698 * j + 0.29 * (i % 8))]; // evenly spread
        return [(column + inside[0]) / 2 - 1, (row + inside[1]) / 2 - 1];
      });
    },
    two: () => [-0.6, -0.3, 0.6, 0.3],
    ring: (n) => plane(n, (i) => [0.85 * Math.cos((2 * Math.PI * i) / n), 0.85 * Math.sin((2 * Math.PI * i) / n)]),
  };
  const DATA_NAMES = {
    moons: "two moons", swissroll: "a swiss roll", checkerboard: "a checkerboard", two: "two points", ring: "a ring",
    own: "a drawing",
  };

  /** n points of f(0)..f(n−1), with Gaussian noise of deviation `jitter`, in [−1, 1]², to three decimals. */
  function plane(n, f, jitter = 0) {
    const noise = A.normal(2, 0, "own", 0, range(n));
    const points = Array.from({ length: n }, (_, i) => f(i)).flat();
    return points.map((p, i) => Math.round(1000 * Math.min(Math.max(p + jitter * noise[i], -1), 1)) / 1000);
  }

  /* Drawn points lie on a grid of 0.01, so that two characters in the address hold a coordinate. */
  const snap = (p) => Math.round(100 * Math.min(Math.max(p, -1), 1)) / 100 + 0;
  const encode = (points) => points.map((p) => Math.round(100 * p + 100).toString(36).padStart(2, "0")).join("");
  function decode(text) {
    const found = (text.match(/[0-9a-z]{2}/g) || []).map((pair) => snap((parseInt(pair, 36) - 100) / 100));
    return found.slice(0, 2 * Math.min(MAX_POINTS, Math.floor(found.length / 2)));
  }

  // State ------------------------------------------------------------------------------------------------------------

  let points = [], labels = [], schedule, runs = [], position = 0, playing = false, held = 0;
  let version = 0; // of the data and the schedule: what the shading depends on
  let cursor = null; // a place in the picture that the pointer or the keyboard chose
  let fresh = { points: "", schedule: "", runs: "", curves: "", network: "" }; // settings that the five were made of
  let curves = null, network = null; // errors over evaluations, and the training run; both computed in slices
  let entered = ""; // the step of the story that gave settings
  const undo = [], handles = [];

  const view = () => (value("view") === "paths" ? value("show") : value("view"));
  const reverse = () => runs.length > 0 && view() !== "forward" && view() !== "field";
  const beside = () => view() === "compare" || view() === "network";
  const last = () => (view() === "forward" ? number("T") : view() === "field" ? number("T") - 1 : number("steps"));

  /** The sampler's options that the form holds. */
  function options() {
    const known = A.SAMPLERS[value("sampler")].options, chosen = {};
    if (value("sampler") === "ddim") chosen.eta = number("eta");
    if ("variance" in known) chosen.variance = value("variance");
    return chosen;
  }

  /** The class that predictions are conditioned on, or null. Only views with an exact denoiser have it. */
  const condition = () => (value("class") === "" || view() === "forward" || view() === "network" ? null : number("class"));

  /** The points that the condition leaves. */
  const conditioned = () => (condition() === null ? points : points.filter((_, i) => labels[i >> 1] === condition()));

  /** The exact denoiser of the data, with classifier-free guidance where there is a condition. */
  const exact = () =>
    A.guided(A.labelled(schedule, points, labels), condition() === null ? 1 : number("scale"), null);

  /** The classes: which of the moons, or the left and the right half. */
  const classes = () => Array.from({ length: points.length / 2 }, (_, k) =>
    (value("data") === "moons" ? k % 2 : Number(points[2 * k] > 0)));

  /** x_T of the first `count` items of the seed, the first of them where the reader dragged it. */
  function start(count) {
    const x_T = A.prior(schedule, 2, number("seed"), range(count));
    const chosen = draggedPlace();
    if (chosen) x_T.set(chosen.map((u) => u / scaleAt(schedule.T)));
    return x_T;
  }

  /** Where the reader dragged x_T of the first path to, in the picture; null where it is that of the seed. */
  function draggedPlace() {
    const parts = value("xT").split(",").map(Number);
    return parts.length === 2 && value("xT") !== "" && parts.every((u) => Math.abs(u) <= 9) ? parts : null;
  }

  /** A sampler's run: its states so far, and the iterator that computes the next. */
  function makeRun({ label, sampler, steps, options, denoiser, count }) {
    const x_T = start(count);
    const iterator = A.trajectory({
      sampler, steps, options, denoiser, condition: condition(), x_T, seed: number("seed"),
    });
    return { label, sampler, steps, count, x_T, frames: [], iterator, times: A.times(schedule, sampler, steps) };
  }

  /** The steps with which a sampler makes at most `evaluations` network evaluations: Heun's makes 2n − 1 in n steps. */
  const stepsWithin = (sampler, evaluations) =>
    Math.min(sampler === "heun" ? Math.floor((evaluations + 1) / 2) : evaluations, number("T"));

  function makeRuns(steps) {
    const one = { sampler: value("sampler"), steps, options: options() };
    if (view() === "compare") {
      return COMPARED.map((sampler) => makeRun({
        label: A.SAMPLERS[sampler].label, sampler, steps: stepsWithin(sampler, steps), denoiser: exact(), count: BESIDE,
      }));
    }
    if (view() === "network") {
      return [
        makeRun({ ...one, label: "Exact denoiser", denoiser: exact(), count: BESIDE }),
        makeRun({ ...one, label: "Trained network", denoiser: network.denoiser(), count: BESIDE }),
      ];
    }
    return [makeRun({ ...one, denoiser: exact(), count: view() === "paths" ? PATHS : SAMPLES })];
  }

  /** Brings everything that depends on the form up to date. Called after each change of a setting. */
  function refresh() {
    const T = number("T");
    control("steps").max = T;
    const steps = Math.min(Math.max(Math.round(number("steps")) || 1, 1), T);
    if (document.activeElement !== control("steps") || steps !== number("steps")) control("steps").value = steps;
    control("seed").value = Math.min(Math.max(Math.floor(number("seed")) || 0, 0), 999999);
    logSteps.value = T > 1 ? Math.round((100 * Math.log(steps)) / Math.log(T)) : 0;
    const unit = view() === "compare" ? "evaluations" : "steps";
    logSteps.setAttribute("aria-valuetext", `${steps} ${unit}`);
    logSteps.setAttribute("aria-label", `${unit[0].toUpperCase()}${unit.slice(1)}, on a logarithmic scale`);
    $(".pg-steps").textContent = view() === "compare" ? "Evaluations" : "Steps";

    const own = value("data") === "own";
    let key = own ? value("points") : `${value("data")} ${value("n")}`;
    if (key !== fresh.points) {
      points = own ? decode(value("points")) : PRESETS[value("data")](number("n"));
      labels = classes();
      fresh.points = key;
      version++;
    }
    key = `${value("schedule")} ${T}`;
    if (key !== fresh.schedule) {
      schedule = A.schedule(value("schedule"), T);
      fresh.schedule = key;
      version++;
    }
    key = JSON.stringify([version, value("predicts"), value("seed")]);
    if (view() === "network" && points.length && key !== fresh.network) resetNetwork(key);
    if (view() === "forward" || view() === "field" || !points.length) runs = [];
    else {
      key = JSON.stringify([version, view(), value("sampler"), options(), steps, value("seed"), value("xT"),
        condition(), value("scale"), view() === "network" && network.version]);
      if (key !== fresh.runs || !runs.length) {
        runs = makeRuns(steps);
        layer.segments = 0;
      }
      fresh.runs = key;
    }
    key = JSON.stringify([version, condition(), value("scale"), value("seed")]);
    if (view() === "compare" && points.length && key !== fresh.curves) {
      fresh.curves = key;
      curves = { errors: {} };
      curves.job = computeCurves(curves.errors);
    }
    slider.max = last();
    position = Math.min(position, last());
    form.dataset.tool = value("tool");
    const sampler = ["paths", "samples", "network"].includes(view());
    const shown = {
      preset: !own && value("data") !== "two", field: view() === "field", noise: view() !== "field", sampler,
      reverse: sampler || view() === "compare", compare: view() === "compare", show: value("view") === "paths",
      eta: sampler && value("sampler") === "ddim", chart: beside(), schedule: view() === "forward",
      variance: sampler && "variance" in A.SAMPLERS[value("sampler")].options,
      guidance: view() !== "forward" && view() !== "network", scale: value("class") !== "", network: view() === "network",
    };
    form.querySelectorAll("[data-for]").forEach((part) => (part.hidden = !shown[part.dataset.for]));
    form.querySelectorAll("output").forEach((output) => {
      output.value = output.parentElement.querySelector("input").value;
    });
    const noise = `noise, t = ${T}`, data = view() === "field" ? "t = 1" : "data, t = 0";
    const ends = view() === "forward" ? [data, noise] : [noise, data];
    const names = value("data") === "moons" ? ["upper moon", "lower moon"] : ["left half", "right half"];
    names.forEach((name, label) => (control("class").options[label + 1].textContent = `class ${label + 1}: ${name}`));
    form.dataset.view = view();
    tellStory();
    form.querySelectorAll(".pg-ends span").forEach((end, i) => (end.textContent = ends[i]));
    $('label[for="pg-at"]').textContent = reverse() ? "Step of the sampler" : "Time t";
    placeHandles();
    writePython();
    if (!dragging()) saveHash(); // browsers limit how often an address may change
    requestDraw();
  }

  const dragging = () => handles.some((handle) => handle.dragged);

  /** Computes states of the reverse process up to the position, for a part of a frame. True if they are there. */
  function compute() {
    const end = performance.now() + (playing ? BUDGET.playing : BUDGET.waiting);
    for (const run of runs) {
      while (run.frames.length <= Math.ceil(at(run)) && performance.now() < end) {
        const { value: frame, done } = run.iterator.next();
        if (done) break;
        run.frames.push({ ...frame, u: frame.x.map((x) => x * scaleAt(frame.t)) });
      }
    }
    return ready();
  }

  /** Where a run is at the slider's position: the same share of the way for all that stand side by side. */
  const at = (run) => (run.steps === last() ? position : Math.min((position / last()) * run.steps, run.steps));
  const ready = () => runs.every((run) => run.frames.length > Math.ceil(at(run)));

  /** States of a variance-exploding schedule are drawn smaller: x/√(a² + b²) where the root is above 1. */
  const scaleAt = (t) => 1 / Math.max(1, Math.hypot(...schedule.at(t)));

  /** The position that can be shown: a sampler may not have come as far as the slider. */
  const reached = (run = runs[0]) => Math.min(at(run), Math.max(run.frames.length - 1, 0));

  /** The time that the picture shows, a whole number. Between two steps of a sampler it lies between their times. */
  function timeNow() {
    if (view() === "forward") return Math.round(position);
    if (view() === "field") return number("T") - Math.round(position);
    if (!runs.length) return number("T");
    const { times } = runs[0], i = Math.min(Math.floor(reached()), times.length - 2), part = reached() - i;
    return Math.round(times[i] + part * (times[i + 1] - times[i]));
  }

  // Errors over evaluations, and the network -------------------------------------------------------------------------

  /** Computes the errors of the compared samplers for a growing number of evaluations; yields often. */
  function* computeCurves(found) {
    const denoiser = exact(), x_T = A.prior(schedule, 2, number("seed"), range(ENDS));
    const data = conditioned(), label = condition(), seed = number("seed");
    function* end(sampler, steps) {
      let state;
      for (state of A.trajectory({ denoiser, condition: label, sampler, steps, x_T, seed })) yield;
      return state;
    }
    // The most accurate solution of the ODE that the table of times holds: a method of order 2 with all T steps.
    const solution = (yield* end("dpm", schedule.T)).x;
    for (const evaluations of BUDGETS.filter((count) => count <= schedule.T)) {
      for (const sampler of COMPARED) {
        const state = yield* end(sampler, stepsWithin(sampler, evaluations));
        const squares = state.x.reduce((sum, x, i) => sum + (x - solution[i]) ** 2, 0);
        (found[sampler] = found[sampler] || []).push({
          evaluations: state.evaluations, data: A.energyDistance(state.x, data),
          solution: A.SAMPLERS[sampler].noisy ? null : Math.sqrt(squares / ENDS),
        });
      }
    }
  }

  function resetNetwork(key) {
    const setting = { schedule, points, predicts: value("predicts"), seed: number("seed") };
    const on = Boolean(network) && (network.on || (trained() && key !== fresh.network)); // new data are learned at once
    network = A.training(setting);
    Object.assign(network, { version: 0, shown: 0, on, floor: A.exactLoss(network.settings, 12) });
    fresh.network = key;
    trainButton();
  }

  const trained = () => network.losses.length >= network.settings.steps;

  function train(on) {
    network.on = on && !trained();
    trainButton();
    requestDraw();
  }

  function trainButton() {
    const begun = network.losses.length > 0;
    $(".pg-train").textContent = network.on ? "Stop" : trained() ? "Trained" : begun ? "Continue" : "Train";
    $(".pg-train").disabled = trained();
  }

  /** Computes a slice of what a view shows beside its samples. True while there is more. */
  function work() {
    const end = performance.now() + BUDGET.aside;
    if (view() === "compare" && curves && curves.job) {
      while (curves.job && performance.now() < end) if (curves.job.next().done) curves.job = null;
      return Boolean(curves.job);
    }
    if (view() !== "network" || !network) return false;
    while (network.on && !trained() && performance.now() < end) network.advance();
    if (network.on && trained()) {
      network.on = false;
      trainButton();
      say(`Trained for ${network.losses.length} steps.`);
    }
    // while it trains, the samples follow now and then; when it has stopped, they follow once more
    const behind = network.losses.length - network.shown;
    if (behind >= (network.on ? RENEW : 1) && (!playing || position >= last()) && ready()) {
      network.shown = network.losses.length;
      network.version++;
      refresh();
    }
    return network.on || network.shown < network.losses.length;
  }

  // The address ------------------------------------------------------------------------------------------------------

  function saveHash() {
    const query = new URLSearchParams(new FormData(form));
    if (value("data") !== "own") query.delete("points");
    if (value("view") !== "paths") query.delete("show");
    for (const name of ["xT", "class"]) if (!value(name)) query.delete(name);
    if (!value("class")) query.delete("scale");
    for (const name of ["tool", "speed"]) query.delete(name);
    if (playing) query.delete("at"); // a shared state without a position plays
    history.replaceState(null, "", `#${query}`);
  }

  /** Sets the form from the address. Values that a control cannot have leave its default. */
  function loadHash() {
    const query = new URLSearchParams(location.hash.slice(1));
    if (!query.has("view")) return false; // another anchor of the page, or none
    if (query.get("view") === "samples") { // the address of a version in which samples were a view of their own
      query.set("view", "paths");
      query.set("show", "samples");
    }
    const { tool, speed } = Object.fromEntries(["tool", "speed"].map((name) => [name, value(name)]));
    const drawn = value("points");
    form.reset(); // what the address does not name has its default
    for (const [name, text] of Object.entries({ tool, speed, points: drawn, xT: "" })) control(name).value = text;
    for (const [name, text] of query) {
      const found = control(name);
      if (!found || name === "at") continue;
      const before = found.value;
      found.value = text;
      if (found.value === "") found.value = before;
    }
    refresh();
    drawThumbnails();
    if (query.has("at")) move(Math.round(Number(query.get("at"))) || 0);
    else begin();
    return true;
  }

  /** Plays from the start, or trains; a reader who wants no motion sees the end, and trains by the button. */
  function begin() {
    if (view() === "network" && points.length) {
      move(last());
      if (!calm.matches) train(true);
      return;
    }
    if (calm.matches) return move(last());
    position = 0;
    play(true);
  }

  // Colours: hue and saturation say where a clean point lies; the centre is grey ----------------------------------

  const HUES = 120, RINGS = 12;
  let theme = {};

  function readTheme() {
    const style = getComputedStyle(form);
    const colour = (name) => style.getPropertyValue(`--pg-${name}`).trim();
    const used = ["ground", "ink", "grey", "line", "accent", "signal", "noise", "third", "fourth"];
    theme = Object.fromEntries(used.map((name) => [name, colour(name)]));
    theme.dark = parseInt(theme.ground.slice(1, 3), 16) < 128;
    theme.rgb = [];
    for (let ring = 0; ring <= RINGS; ring++) {
      for (let hue = 0; hue < HUES; hue++) {
        const chroma = ring / RINGS;
        theme.rgb.push(oklch(theme.dark ? 0.76 : 0.6, 0.012 + 0.15 * chroma, (2 * Math.PI * hue) / HUES));
      }
    }
    theme.css = theme.rgb.map((rgb) => `rgb(${rgb.join(" ")})`);
    shade.key = "";
    layer.segments = 0;
    drawThumbnails();
    requestDraw();
  }

  /** sRGB of a colour of equal lightness in OKLCH (Ottosson 2020). */
  function oklch(L, C, h) {
    const a = C * Math.cos(h), b = C * Math.sin(h);
    const l = (L + 0.3963377774 * a + 0.2158037573 * b) ** 3;
    const m = (L - 0.1055613458 * a - 0.0638541728 * b) ** 3;
    const s = (L - 0.0894841775 * a - 1.291485548 * b) ** 3;
    return [
      4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
      -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
      -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
    ].map((c) => (c <= 0.0031308 ? 12.92 * c : 1.055 * c ** (1 / 2.4) - 0.055))
      .map((c) => Math.round(255 * Math.min(Math.max(c, 0), 1)));
  }

  function colourIndex(x, y) {
    const ring = Math.min(Math.round((Math.hypot(x, y) / 0.6) * RINGS), RINGS);
    const hue = Math.floor((Math.atan2(y, x) / (2 * Math.PI) + 1) * HUES + 0.5) % HUES;
    return ring * HUES + hue;
  }

  const cleanColour = (x0, i) => theme.css[colourIndex(x0[2 * i], x0[2 * i + 1])];

  // Drawing ----------------------------------------------------------------------------------------------------------

  let width = 0, height = 0, unit = 1, centre = [0, 0], queued = false, before = 0, described = 0;
  let visible = true; // the picture is in the window; elsewhere it need not move
  const shade = { canvas: document.createElement("canvas"), key: "" };
  const layer = { canvas: document.createElement("canvas"), segments: 0 }; // the paths so far

  const toX = (x) => centre[0] + unit * x;
  const toY = (y) => centre[1] - unit * y;
  const toPlane = (event) => {
    const box = canvas.getBoundingClientRect(), [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const inside = panels().find(({ left, top, w, h }) => x >= left && x < left + w && y >= top && y < top + h);
    focus(inside || panels()[0]);
    return [(x - centre[0]) / unit, (centre[1] - y) / unit];
  };

  /** The parts of the picture, one for each run where several stand side by side. */
  function panels() {
    const count = beside() ? Math.max(runs.length, 1) : 1;
    const columns = count < 3 && width < height ? 1 : count < 3 ? count : width > 3 * height ? count : 2;
    const w = width / columns, h = height / Math.ceil(count / columns);
    return range(count).map((i) => ({ left: w * (i % columns), top: h * Math.floor(i / columns), w, h }));
  }

  /** Makes toX and toY those of a part of the picture. */
  function focus({ left, top, w, h }) {
    centre = [left + w / 2, top + h / 2];
    unit = Math.min(w, h) / (2 * (beside() ? CLOSE : VIEW));
  }

  function fit(target, w, h) {
    const ratio = window.devicePixelRatio || 1;
    target.width = Math.round(w * ratio);
    target.height = Math.round(h * ratio);
    target.getContext("2d").setTransform(ratio, 0, 0, ratio, 0, 0);
  }

  function resize() {
    ({ clientWidth: width, clientHeight: height } = canvas);
    focus({ left: 0, top: 0, w: width, h: height });
    fit(canvas, width, height);
    fit(layer.canvas, width, height);
    layer.segments = 0;
    placeHandles();
    requestDraw();
  }

  function requestDraw() {
    if (!queued) {
      queued = true;
      requestAnimationFrame(frame);
    }
  }

  /** One frame: advances the animation, draws, and asks for the next while there is something to do. */
  function frame(now) {
    queued = false;
    const elapsed = Math.min(Math.max(now - before, 0) / 1000, 0.1); // a frame's time may lie before a click's
    before = now;
    if (playing && points.length) advance(elapsed);
    const complete = !reverse() || compute(), more = work();
    draw(complete);
    if ((!playing && !more) || now - described > 1000) {
      described = now;
      describe();
    }
    if ((playing && visible) || !complete || more) requestDraw();
  }

  function advance(elapsed) {
    if (position >= last()) {
      held += elapsed;
      if (held > HOLD) position = held = 0;
      return;
    }
    if (reverse() && !ready()) return; // wait for the sampler
    const seconds = SECONDS[value("speed")] * Math.min(1, 0.25 + last() / 20);
    position = Math.min(position + (elapsed / seconds) * last(), last());
    slider.value = Math.round(position);
  }

  function draw(ready) {
    if (!width) return;
    pen.clearRect(0, 0, width, height);
    focus(panels()[0]);
    if (points.length && !beside()) drawShade();
    if (!beside()) drawSquare();
    const views = { forward: drawForward, field: drawField, paths: drawPaths, samples: drawSamples };
    if (points.length) (views[view()] || drawBeside)();
    else note("Draw points in the square, or choose a data set.");
    drawCursor();
    if (view() === "forward") drawCurves();
    if (beside()) drawChart();
    writeNumbers(ready);
  }

  function dot(context, x, y, radius) {
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.fill();
  }

  function line(context, x, y, u, v) {
    context.beginPath();
    context.moveTo(x, y);
    context.lineTo(u, v);
    context.stroke();
  }

  function note(text) {
    pen.fillStyle = theme.grey;
    pen.textAlign = "center";
    pen.font = "15px sans-serif";
    pen.fillText(text, width / 2, height / 2);
  }

  function drawSquare() {
    pen.strokeStyle = theme.line;
    pen.lineWidth = 1;
    pen.setLineDash([3, 4]);
    pen.strokeRect(toX(-1), toY(1), 2 * unit, 2 * unit);
    pen.setLineDash([]);
  }

  /** The data; those of another class than the condition's are pale. */
  function drawData(radius, alpha) {
    const label = condition();
    pen.fillStyle = theme.ink;
    for (let k = 0; k < points.length; k += 2) {
      pen.globalAlpha = label === null || labels[k / 2] === label ? alpha : 0.3 * alpha;
      dot(pen, toX(points[k]), toY(points[k + 1]), radius);
    }
    pen.globalAlpha = 1;
  }

  /** The density of x_t as opacity, and the colour of x̂_0, on a coarse grid that is drawn smoothly. */
  function drawShade() {
    const t = timeNow(), strong = view() === "field";
    const cells = Math.min(9000, 1.2e6 / (points.length / 2)); // fewer cells for many points
    const columns = Math.round(Math.sqrt((cells * width) / height)), rows = Math.round(cells / columns);
    const key = [version, t, view(), columns, rows, width, height, condition()].join();
    if (t > 0 && key !== shade.key) {
      shade.key = key;
      const scale = scaleAt(t), [a, b] = schedule.at(t), cell = width / columns / unit;
      const x = new Float64Array(2 * columns * rows);
      for (let row = 0; row < rows; row++) {
        for (let column = 0; column < columns; column++) {
          const i = 2 * (row * columns + column);
          x[i] = (((column + 0.5) / columns - 0.5) * width) / unit / scale;
          x[i + 1] = ((0.5 - (row + 0.5) / rows) * height) / unit / scale;
        }
      }
      // A spot of less than a cell would fall between the places of the grid.
      const { x0, logDensity } = A.denoise(conditioned(), a, Math.max(b, (0.6 * cell) / scale), x);
      const peak = logDensity.reduce((most, log) => Math.max(most, log), -Infinity);
      shade.canvas.width = columns;
      shade.canvas.height = rows;
      const image = new ImageData(columns, rows);
      for (let i = 0; i < columns * rows; i++) {
        const relative = Math.exp(logDensity[i] - peak);
        const alpha = strong ? 0.13 + 0.42 * relative ** 0.5 : (theme.dark ? 0.32 : 0.26) * relative ** 0.6;
        image.data.set(theme.rgb[colourIndex(x0[2 * i], x0[2 * i + 1])], 4 * i);
        image.data[4 * i + 3] = 255 * alpha;
      }
      shade.canvas.getContext("2d").putImageData(image, 0, 0);
    }
    if (t > 0) {
      pen.imageSmoothingQuality = "high";
      pen.drawImage(shade.canvas, 0, 0, width, height);
    }
  }

  function drawForward() {
    const t = timeNow(), K = points.length / 2;
    const eps = A.normal(2, number("seed"), "forward", 0, range(FORWARD));
    drawData(2, 0.3);
    pen.lineWidth = 1;
    const trail = [...new Set(Array.from({ length: 25 }, (_, i) => Math.round((i * t) / 24)))];
    for (let i = 0; i < FORWARD; i++) {
      const origin = Math.floor(fraction(0.618034 * i) * K), k = 2 * origin;
      const coordinate = (s, j) =>
        scaleAt(s) * (schedule.signal[s] * points[k + j] + schedule.noise[s] * eps[2 * i + j]);
      pen.fillStyle = pen.strokeStyle = cleanColour(points, origin);
      if (i < PATHS) {
        pen.globalAlpha = 0.35;
        pen.beginPath();
        for (const s of trail) pen.lineTo(toX(coordinate(s, 0)), toY(coordinate(s, 1)));
        pen.stroke();
      }
      pen.globalAlpha = 0.9;
      dot(pen, toX(coordinate(t, 0)), toY(coordinate(t, 1)), 2.4);
    }
    pen.globalAlpha = 1;
  }

  /** The values of the field at places x of x_t, and the directions in which its arrows are drawn. */
  function fieldAt(x, t) {
    const [a, b] = schedule.at(t), { x0, eps } = exact().predict(x, t, condition()), name = value("field");
    const values = A.target(name, x0, eps, a, b);
    // The arrow of x̂_0 leads from the place of x_t in the picture to x̂_0; the other targets are directions.
    return { x0, eps, values, arrows: name === "x0" ? A.combine([1, x0], [-scaleAt(t), x]) : values };
  }

  function drawField() {
    const t = timeNow(), scale = scaleAt(t), gap = Math.max(Math.min(width, height) / 19, 22);
    const columns = Math.floor(width / gap), rows = Math.floor(height / gap), x = [];
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        x.push(((column - (columns - 1) / 2) * gap) / unit / scale, (((rows - 1) / 2 - row) * gap) / unit / scale);
      }
    }
    const { x0, arrows } = fieldAt(Float64Array.from(x), t);
    const lengths = Array.from({ length: x.length / 2 }, (_, i) => Math.hypot(arrows[2 * i], arrows[2 * i + 1]));
    const reference = [...lengths].sort((m, n) => m - n)[Math.floor(0.9 * lengths.length)] || 1;
    drawData(2.2, 0.55);
    pen.lineWidth = 1.6;
    pen.lineCap = "round";
    for (let i = 0; i < lengths.length; i++) {
      const length = 0.9 * gap * Math.sqrt(Math.min(lengths[i] / reference, 1)); // short arrows stay visible
      if (length < 1) continue;
      const dx = (length * arrows[2 * i]) / lengths[i], dy = (-length * arrows[2 * i + 1]) / lengths[i];
      const left = toX(scale * x[2 * i]) - dx / 2, top = toY(scale * x[2 * i + 1]) - dy / 2;
      pen.strokeStyle = pen.fillStyle = cleanColour(x0, i);
      arrow(left, top, left + dx, top + dy, Math.min(5, 0.4 * length));
    }
    if (!cursor) return;
    const found = fieldAt(Float64Array.from(cursor, (c) => c / scale), t);
    pen.strokeStyle = pen.fillStyle = theme.ink;
    pen.setLineDash([2, 4]);
    line(pen, toX(cursor[0]), toY(cursor[1]), toX(found.x0[0]), toY(found.x0[1]));
    pen.setLineDash([]);
    ringAt(found.x0[0], found.x0[1], 6);
  }

  function arrow(x, y, u, v, head) {
    line(pen, x, y, u, v);
    const angle = Math.atan2(v - y, u - x);
    pen.beginPath();
    pen.moveTo(u + Math.cos(angle), v + Math.sin(angle));
    for (const turn of [2.6, -2.6]) pen.lineTo(u + head * Math.cos(angle + turn), v + head * Math.sin(angle + turn));
    pen.fill();
  }

  function ringAt(x, y, radius) {
    pen.beginPath();
    pen.arc(toX(x), toY(y), radius, 0, 2 * Math.PI);
    pen.stroke();
  }

  /** Places in the picture and estimates x̂_0 at the present position, between two states where it is a fraction. */
  function present(run = runs[0]) {
    if (!run.frames.length) return null;
    const i = Math.floor(reached(run)), part = reached(run) - i, now = run.frames[i];
    if (!part) return now;
    const next = run.frames[i + 1], between = (name) => A.combine([1 - part, now[name]], [part, next[name]]);
    return { ...now, u: between("u"), x0: between("x0") };
  }

  const noisy = ({ sampler }) => A.SAMPLERS[sampler].noisy || (sampler === "ddim" && options().eta > 0);

  /** Paths: that of the first x_T, which can be dragged, is bold; the others are pale, and of a noisy sampler short. */
  function drawPaths() {
    const [run] = runs, state = present();
    drawData(2.2, 0.4);
    if (!state) return;
    const whole = Math.floor(reached()), lines = noisy(run) ? WHOLE_PATHS : PATHS;
    const context = layer.canvas.getContext("2d");
    if (layer.segments > whole || layer.segments === 0) {
      context.clearRect(0, 0, width, height);
      layer.segments = 0;
    }
    for (let i = layer.segments; i < whole; i++) drawSegment(context, run, i, run.frames[i + 1].u, lines);
    layer.segments = whole;
    pen.globalAlpha = noisy(run) ? 0.45 : 0.4;
    pen.drawImage(layer.canvas, 0, 0, width, height); // opaque lines, since ends of translucent ones would show
    if (reached() > whole) drawSegment(pen, run, whole, state.u, PATHS);
    for (let age = 1; noisy(run) && age <= Math.min(TAIL, whole); age++) {
      pen.globalAlpha = 0.7 * (1 - age / (TAIL + 1));
      drawSegment(pen, run, whole - age, run.frames[whole - age + 1].u, PATHS);
    }
    pen.globalAlpha = 1;
    drawWholePath(run, state);
    for (let i = PATHS - 1; i >= 0; i--) {
      const x = toX(state.u[2 * i]), y = toY(state.u[2 * i + 1]);
      pen.strokeStyle = pen.fillStyle = cleanColour(state.x0, i);
      pen.lineWidth = i ? 1 : 1.5;
      pen.globalAlpha = i ? 0.25 : 1;
      pen.setLineDash(i ? [] : [3, 3]);
      line(pen, x, y, toX(state.x0[2 * i]), toY(state.x0[2 * i + 1]));
      pen.setLineDash([]);
      pen.globalAlpha = i ? 0.6 : 1;
      dot(pen, x, y, i ? 3.5 : 6);
      pen.strokeStyle = i ? theme.ground : theme.ink;
      pen.stroke();
      if (!i) ringAt(state.x0[0], state.x0[1], 5);
    }
    pen.globalAlpha = 1;
  }

  /** The path of the first item, bold, to the place it has reached. */
  function drawWholePath(run, state) {
    const whole = Math.floor(reached(run));
    pen.lineCap = pen.lineJoin = "round";
    for (const [colour, thickness] of [[theme.ground, 5.5], [theme.ink, 2.2]]) {
      pen.strokeStyle = colour;
      pen.lineWidth = thickness;
      pen.beginPath();
      for (let i = 0; i <= whole; i++) pen.lineTo(toX(run.frames[i].u[0]), toY(run.frames[i].u[1]));
      pen.lineTo(toX(state.u[0]), toY(state.u[1]));
      pen.stroke();
    }
  }

  /** The first `lines` paths from state `index` to the places `end`, in the colour of the x̂_0 of that step. */
  function drawSegment(context, run, index, end, lines) {
    const { u, x0 } = run.frames[index];
    context.lineWidth = 1.5;
    context.lineCap = "round";
    for (let i = 0; i < lines; i++) {
      context.strokeStyle = cleanColour(x0, i);
      line(context, toX(u[2 * i]), toY(u[2 * i + 1]), toX(end[2 * i]), toY(end[2 * i + 1]));
    }
  }

  /** Samples of several runs side by side, each with the path of the first x_T. */
  function drawBeside() {
    panels().forEach((panel, number) => {
      const run = runs[number], { left, top, w, h } = panel, state = present(run);
      focus(panel);
      pen.save();
      pen.beginPath();
      pen.rect(left, top, w, h);
      pen.clip();
      pen.strokeStyle = theme.line;
      pen.lineWidth = 1;
      if (left) line(pen, left, top, left, top + h);
      if (top) line(pen, left, top, left + w, top);
      drawSquare();
      drawData(view() === "network" ? 2.6 : 1.6, view() === "network" ? 0.55 : 0.4);
      if (state) {
        pen.globalAlpha = 0.85;
        for (let i = 1; i < run.count; i++) {
          pen.fillStyle = cleanColour(state.x0, i);
          dot(pen, toX(state.u[2 * i]), toY(state.u[2 * i + 1]), 2.6);
        }
        pen.globalAlpha = 1;
        drawWholePath(run, state);
        pen.fillStyle = cleanColour(state.x0, 0);
        pen.strokeStyle = theme.ink;
        pen.lineWidth = 1.5;
        dot(pen, toX(state.u[0]), toY(state.u[1]), 5);
        pen.stroke();
      }
      caption(run, number, left + 10, top + 18, state);
      pen.restore();
    });
    focus(panels()[0]);
  }

  function caption(run, number, x, y, state) {
    const words = [];
    if (state && view() === "compare") words.push(`${state.evaluations} evaluations`);
    if (state && view() === "network" && state.t === 0) words.push(`${Math.round(100 * copies(state.x))} % copies`);
    pen.textAlign = "left";
    pen.fillStyle = view() === "compare" ? lineColour(number) : theme.ink;
    pen.font = "600 13px sans-serif";
    pen.fillText(run.label, x, y);
    pen.fillStyle = theme.grey;
    pen.font = "12px sans-serif";
    words.forEach((text, i) => pen.fillText(text, x, y + 16 * (i + 1)));
  }

  const lineColour = (number) => [theme.noise, theme.signal, theme.third, theme.fourth][number];

  /** The share of samples that lie at a data point. */
  function copies(x) {
    let count = 0;
    for (let i = 0; i < x.length; i += 2) {
      let near = false;
      for (let k = 0; k < points.length && !near; k += 2) near = Math.hypot(x[i] - points[k], x[i + 1] - points[k + 1]) < COPY;
      count += near;
    }
    return (2 * count) / x.length;
  }

  function drawSamples() {
    const state = present();
    if (state) {
      pen.globalAlpha = 0.85;
      for (let i = 0; i < SAMPLES; i++) {
        pen.fillStyle = cleanColour(state.x0, i);
        dot(pen, toX(state.u[2 * i]), toY(state.u[2 * i + 1]), 3.2);
      }
      pen.globalAlpha = 1;
    }
    drawData(1.5, 0.75);
  }

  /** Places the handles of x_T over the picture, one in each part of it. */
  function placeHandles() {
    const shown = reverse() ? panels() : [];
    while (handles.length < shown.length) handles.push(makeHandle(handles.length));
    handles.forEach((handle, i) => {
      handle.hidden = !shown[i];
      if (!shown[i]) return;
      focus(shown[i]);
      const u = place_T(), inside = (z, start, size) => Math.min(Math.max(z, start + 10), start + size - 10);
      handle.style.left = `${inside(toX(u[0]), shown[i].left, shown[i].w)}px`;
      handle.style.top = `${inside(toY(u[1]), shown[i].top, shown[i].h)}px`;
      handle.setAttribute("aria-label", `x at T of the bold path, at ${place(u)}. Arrow keys move it.`);
    });
    focus(panels()[0]);
  }

  /** x_T of the first path, in the picture. */
  const place_T = () => [...runs[0].x_T.slice(0, 2)].map((x) => x * scaleAt(schedule.T));

  function makeHandle(number) {
    const handle = document.createElement("button");
    handle.type = "button";
    handle.className = "pg-handle";
    handle.title = "Drag x_T";
    if (number) handle.tabIndex = -1; // all move the same x_T
    handle.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      handle.focus();
      handle.setPointerCapture(event.pointerId);
      handle.dragged = true;
    });
    handle.addEventListener("pointermove", (event) => {
      if (!handle.dragged) return;
      const box = canvas.getBoundingClientRect();
      focus(panels()[number]);
      drag([(event.clientX - box.left - centre[0]) / unit, (centre[1] - event.clientY + box.top) / unit]);
    });
    for (const name of ["pointerup", "pointercancel"]) {
      handle.addEventListener(name, () => {
        handle.dragged = false;
        saveHash();
      });
    }
    handle.addEventListener("keydown", (event) => {
      if (!ARROWS[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      event.stopPropagation();
      const length = event.shiftKey ? NUDGE / 5 : NUDGE;
      drag(place_T().map((u, j) => u + length * ARROWS[event.key][j]));
    });
    stage.append(handle);
    return handle;
  }

  /** Moves x_T of the first path to a place of the picture, and shows where its path ends. */
  function drag(u) {
    const { w, h } = panels()[0];
    focus(panels()[0]);
    const limits = [w / 2 / unit, h / 2 / unit];
    const inside = u.map((z, j) => Math.min(Math.max(z, -limits[j]), limits[j]).toFixed(2));
    control("xT").value = inside.join();
    position = last();
    if (playing) play(false);
    refresh();
    say(`x at T is (${inside.join(", ")}).`.replaceAll("-", "−"));
  }

  /** The chart beside the picture: errors over network evaluations, or the loss over training steps. */
  function drawChart() {
    const target = $(".pg-chart"), w = target.clientWidth, h = target.clientHeight;
    if (!w || !points.length) return;
    fitted(target);
    const context = target.getContext("2d");
    context.clearRect(0, 0, w, h);
    const lines = view() === "compare" ? errorLines() : lossLines();
    const all = lines.flatMap(({ values }) => values), left = 44, right = w - 12, top = 24, bottom = h - 30;
    context.font = "11px sans-serif";
    context.fillStyle = theme.grey;
    context.textAlign = "left";
    context.fillText(view() === "compare" ? "error" : "loss", 8, 14);
    context.textAlign = "right";
    context.fillText(view() === "compare" ? "network evaluations" : "training steps", right, h - 4);
    const logarithmic = view() === "compare";
    const heights = all.map(([, height]) => height).filter((height) => height > 0);
    let [low, high] = heights.length ? [Math.min(...heights), Math.max(...heights)] : [0.1, 1];
    [low, high] = [10 ** Math.floor(Math.log10(low)), 10 ** Math.ceil(Math.log10(high) + 1e-9)];
    if (low === high) high *= 10;
    const [first, end] = logarithmic ? [1, 100] : [0, network.settings.steps];
    const x = (value) => left + (right - left) *
      (logarithmic ? Math.log(value / first) / Math.log(end / first) : (value - first) / (end - first));
    if (!logarithmic) [low, high] = [0.9 * network.floor, Math.max(1.6 * network.floor, ...heights)];
    const share = (value) =>
      (logarithmic ? Math.log(Math.max(value, low) / low) / Math.log(high / low) : (value - low) / (high - low));
    const y = (value) => bottom - (bottom - top) * share(value);
    context.strokeStyle = theme.line;
    context.lineWidth = 1;
    const marks = logarithmic ? [1, 10, 100] : [0, end / 3, (2 * end) / 3, end];
    for (const mark of marks) {
      line(context, x(mark), top, x(mark), bottom);
      context.textAlign = mark === marks.at(-1) ? "right" : "center";
      context.fillText(mark, x(mark) + (mark === marks.at(-1) ? 4 : 0), bottom + 13);
    }
    context.textAlign = "right";
    const decades = Math.round(Math.log10(high / low)), every = Math.ceil(decades / 4);
    const levels = logarithmic ? range(decades + 1).filter((i) => i % every === 0).map((i) => low * 10 ** i)
      : [low, (low + high) / 2, high];
    for (const level of levels) {
      line(context, left, y(level), right, y(level));
      context.fillText(logarithmic ? power(level) : level.toPrecision(2), left - 6, y(level) + 4);
    }
    if (logarithmic) {
      context.strokeStyle = theme.grey;
      context.setLineDash([3, 3]);
      const here = x(Math.min(Math.max(number("steps"), 1), 100));
      line(context, here, top, here, bottom);
      context.setLineDash([]);
    }
    for (const { colour, values, dashed } of lines) {
      context.strokeStyle = context.fillStyle = colour;
      context.lineWidth = 1.8;
      context.setLineDash(dashed ? [5, 4] : []);
      context.beginPath();
      for (const [px, py] of values) context.lineTo(x(px), y(py));
      context.stroke();
      context.setLineDash([]);
      if (logarithmic) for (const [px, py] of values) dot(context, x(px), y(py), 2.2);
    }
    context.textAlign = "left";
    if (!logarithmic) {
      context.fillStyle = theme.noise;
      context.fillText("exact denoiser", left + 6, y(network.floor) + 13);
    }
  }

  const power = (level) => `10${String(Math.round(Math.log10(level))).replace(/./g, (c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)])}`;

  /** The errors that the form chooses, of each sampler that has them. */
  const errorLines = () => COMPARED.map((sampler, i) => ({
    colour: lineColour(i), sampler,
    values: ((curves && curves.errors[sampler]) || []).map((point) => [point.evaluations, point[value("metric")]])
      .filter(([count, error]) => error !== null && count <= 101).map(([count, error]) => [Math.min(count, 100), error]),
  }));

  /** The loss, each value the mean of the training steps around it, and the loss of the exact denoiser. */
  function lossLines() {
    const { losses, settings, floor } = network, half = 40, sums = [0];
    for (const loss of losses) sums.push(sums.at(-1) + loss);
    const values = [];
    for (let step = 0; step < losses.length; step += 10) {
      const [from, to] = [Math.max(step - half, 0), Math.min(step + half, losses.length)];
      values.push([step, (sums[to] - sums[from]) / (to - from)]);
    }
    return [
      { colour: theme.noise, values: [[0, floor], [settings.steps, floor]], dashed: true },
      { colour: theme.signal, values },
    ];
  }

  /** Gives a canvas the pixels of its size on the screen, if it has others. */
  function fitted(target) {
    const ratio = window.devicePixelRatio || 1;
    const same = target.width === Math.round(target.clientWidth * ratio) &&
      target.height === Math.round(target.clientHeight * ratio);
    if (!same) fit(target, target.clientWidth, target.clientHeight);
  }

  function drawCursor() {
    if (!cursor || (view() !== "field" && document.activeElement !== stage)) return;
    const x = toX(cursor[0]), y = toY(cursor[1]);
    pen.strokeStyle = theme.ink;
    pen.lineWidth = 1.5;
    line(pen, x - 8, y, x + 8, y);
    line(pen, x, y - 8, x, y + 8);
  }

  function drawCurves() {
    const target = $(".pg-curves"), context = target.getContext("2d"), w = target.clientWidth, h = target.clientHeight;
    if (!w) return;
    fitted(target);
    const left = 40, right = w - 24, top = 9, bottom = h - 12, T = schedule.T;
    const x = (t) => left + ((right - left) * t) / T;
    // The axis goes from 0 to 1, or where the noise grows beyond, from b_1 to b_T on a logarithmic scale.
    const [low, high] = schedule.noise[T] > 1 ? [schedule.noise[1], schedule.noise[T]] : [0, 1];
    const share = (level) => (low ? Math.max(Math.log(level / low) / Math.log(high / low), 0) : level);
    const y = (level) => bottom - (bottom - top) * share(level);
    context.clearRect(0, 0, w, h);
    context.lineWidth = 1;
    context.strokeStyle = theme.line;
    line(context, left, bottom, right, bottom);
    context.font = "10px sans-serif";
    context.fillStyle = theme.grey;
    context.textAlign = "right";
    context.fillText(high.toPrecision(1 + (high > 9)), left - 5, top + 5);
    context.fillText(low.toPrecision(1), left - 5, bottom + 2);
    context.textAlign = "left";
    context.font = "italic 14px serif";
    context.lineWidth = 2;
    const curves = [["a", schedule.signal, theme.signal], ["b", schedule.noise, theme.noise]];
    for (const [name, table, colour] of curves) {
      context.strokeStyle = context.fillStyle = colour;
      context.beginPath();
      for (let i = 0; i <= 100; i++) {
        const t = Math.round((i * T) / 100);
        context.lineTo(x(t), y(table[t]));
      }
      context.stroke();
      context.fillText(name, right + 8, y(table[T]) + 4);
      dot(context, x(timeNow()), y(table[timeNow()]), 3.5);
    }
    context.lineWidth = 1;
    context.strokeStyle = theme.grey;
    line(context, x(timeNow()), top - 4, x(timeNow()), bottom);
  }

  function drawThumbnails() {
    form.querySelectorAll(".pg-presets label").forEach((label) => {
      const context = label.querySelector("canvas").getContext("2d"), name = label.querySelector("input").value;
      const shown = name === "own" ? decode(value("points")) : PRESETS[name](88);
      const place = (p) => 48 + 40 * p;
      context.clearRect(0, 0, 96, 96);
      if (!shown.length) {
        context.strokeStyle = theme.grey;
        context.lineWidth = 4;
        context.lineCap = "round";
        line(context, 48, 30, 48, 66);
        line(context, 30, 48, 66, 48);
      }
      for (let k = 0; k < shown.length; k += 2) {
        context.fillStyle = cleanColour(shown, k / 2);
        dot(context, place(shown[k]), place(-shown[k + 1]), name === "two" ? 9 : 3.5);
      }
    });
  }

  // Words and numbers ------------------------------------------------------------------------------------------------

  /** HTML of a formula: subscripts after _, superscripts after ^, single Latin letters in italics, a space for ; */
  function formula(text) {
    return text.replace(/(?<![A-Za-z])([A-Za-z])(?![A-Za-z])/g, "<i>$1</i>")
      .replace(/_\{(\w+)\}/g, "<sub><i>$1</i></sub>").replace(/_(<i>\w<\/i>|[\wθ])/g, "<sub>$1</sub>")
      .replace(/\^\{([^}]+)\}/g, "<sup>$1</sup>").replaceAll(";", ",&emsp;");
  }

  function equation() {
    if (view() === "forward") return "x_t = a_t x_0 + b_t ε; ε ~ N(0, I)";
    if (view() === "field") {
      const mean = "x̂_0 = Σ_k w_k x^{(k)}; w_k ∝ exp(−‖x_t − a_t x^{(k)}‖²/2b_t²)";
      return value("field") === "x0" ? mean : `${A.TARGETS[value("field")].equation}; ${mean}`;
    }
    if (view() === "compare") {
      return value("metric") === "data"
        ? "2E‖x_0 − y‖ − E‖x_0 − x_0′‖ − E‖y − y′‖; y ~ data"
        : "dx_t/dt = a_t′ x̂_0 + b_t′ ε̂; error² = E ‖x_0 − x(0)‖²";
    }
    if (view() === "network") {
      const name = { v: "v; v = a_t ε − b_t x_0", eps: "ε", x0: "x_0" }[value("predicts")].split(";");
      return `L = E ‖f_θ(x_t, t) − ${name[0]}‖²${name[1] ? `;${name[1]}` : ""}`;
    }
    const filled = { "{variance}": value("variance") === "large" ? "β_{ts}" : "β̃_{ts}", "{eta}": value("eta") };
    return A.SAMPLERS[value("sampler")].equation.replace(/\{(variance|eta)\}/g, (name) => filled[name]);
  }

  function figure(number) {
    if (!Number.isFinite(number)) return "∞";
    if (number !== 0 && (Math.abs(number) >= 1e4 || Math.abs(number) < 1e-3)) {
      const [mantissa, exponent] = number.toExponential(1).split("e");
      return `${mantissa}·10<sup>${exponent.replace("+", "").replace("-", "−")}</sup>`.replace("-", "−");
    }
    return (Math.abs(number) >= 1000 ? number.toFixed(0) : number.toPrecision(3)).replace("-", "−");
  }

  const place = (x, i = 0) => `(${x[2 * i].toFixed(2)}, ${x[2 * i + 1].toFixed(2)})`.replaceAll("-", "−");

  const pairs = () => Array.from({ length: points.length / 2 }, (_, k) => [points[2 * k], points[2 * k + 1]]);

  /** How near the samples are to the data. */
  function nearness(x) {
    const reached = new Set(), count = x.length / 2;
    let sum = 0;
    for (let i = 0; i < count; i++) {
      let least = Infinity, nearest = 0;
      for (let k = 0; k < points.length; k += 2) {
        const distance = (x[2 * i] - points[k]) ** 2 + (x[2 * i + 1] - points[k + 1]) ** 2;
        if (distance < least) [least, nearest] = [distance, k];
      }
      sum += Math.sqrt(least);
      if (least < 0.02 ** 2) reached.add(String([points[nearest], points[nearest + 1]]));
    }
    const distinct = new Set(pairs().map(String));
    return { distance: sum / count, reached: reached.size, distinct: distinct.size };
  }

  function writeNumbers(ready) {
    const t = reverse() ? runs[0].times[Math.floor(reached())] : timeNow(), [a, b] = schedule.at(t);
    if (beside() && points.length) return writeBeside(ready, t);
    const rows = [["<i>t</i>", t], ["<i>a<sub>t</sub></i>", figure(a)], ["<i>b<sub>t</sub></i>", figure(b)],
      ["SNR", figure(schedule.snr(t))]];
    if (reverse()) rows.unshift(["step", `${Math.floor(reached())} of ${number("steps")}`]);
    if (reverse() && runs[0].frames.length) {
      const state = runs[0].frames[Math.floor(reached())];
      rows.push(["evaluations", state.evaluations]);
      if (view() === "samples") {
        const { distance, reached, distinct } = nearness(state.x);
        rows.push(["mean distance to the data", figure(distance)]);
        if (state.t === 0) rows.push(["data points reached", `${reached} of ${distinct}`]);
      }
    }
    if (points.length && view() === "field" && cursor) {
      const x = Float64Array.from(cursor, (c) => c / scaleAt(t)), { x0, eps, values } = fieldAt(x, t);
      rows.push(["<i>x<sub>t</sub></i>", place(x)], ["x̂<sub>0</sub>", place(x0)], ["ε̂", place(eps)]);
      if (!["x0", "eps"].includes(value("field"))) rows.push(["shown", place(values)]);
    }
    writeRows(rows, ready, t);
  }

  /** The numbers of views that compare: of each sampler, or of the exact denoiser and the network. */
  function writeBeside(ready, t) {
    const rows = [];
    if (view() === "compare") {
      COMPARED.forEach((sampler, i) => {
        const found = ((curves && curves.errors[sampler]) || []).map((point) => [point.evaluations, point[value("metric")]]);
        const [, error] = found.reduce((best, point) => (point[0] <= number("steps") ? point : best), [0, undefined]);
        const text = error === null ? "draws noise" : error === undefined ? "…" : figure(error);
        rows.push([`<span style="color:${lineColour(i)}">${A.SAMPLERS[sampler].label}</span>`, text]);
      });
    } else {
      const recent = network.losses.slice(-100);
      rows.push(["parameters", network.net.weights.length], ["step", `${network.losses.length} of ${network.settings.steps}`]);
      if (recent.length) rows.push(["loss", figure(recent.reduce((sum, loss) => sum + loss, 0) / recent.length)]);
      rows.push(["of the exact denoiser", figure(network.floor)]);
      runs.forEach((run, i) => {
        const state = run.frames[run.steps];
        if (state) rows.push([`copies, ${["exact", "network"][i]}`, `${Math.round(100 * copies(state.x))} %`]);
      });
    }
    writeRows(rows, ready, t);
  }

  function writeRows(rows, ready, t) {
    $(".pg-numbers").innerHTML = rows.map(([name, text]) => `<div><dt>${name}</dt><dd>${text}</dd></div>`).join("");
    const written = formula(equation());
    if ($(".pg-equation").dataset.text !== written) {
      $(".pg-equation").dataset.text = written;
      $(".pg-equation").innerHTML = written;
    }
    const scale = scaleAt(t), parts = [];
    if (!ready && !beside()) parts.push("computing …");
    if (scale < 0.995 && !beside()) parts.push(`drawn at ${scale.toPrecision(2)} of its size`);
    $(".pg-caption").textContent = parts.join(" · ");
    slider.value = Math.round(position);
    slider.setAttribute("aria-valuetext", reverse() ? `step ${slider.value} of ${slider.max}, t = ${t}` : `t = ${t}`);
  }

  /** The alternative texts of the pictures. */
  function describe() {
    const K = points.length / 2, T = number("T"), t = timeNow(), [a, b] = schedule.at(t);
    const data = `${K} data point${K === 1 ? "" : "s"} (${DATA_NAMES[value("data")]})`;
    const scales = `signal ${a.toPrecision(3)}, noise ${b.toPrecision(3)}`;
    const texts = {
      forward: () => `Forward process: ${FORWARD} noisy copies of ${data} at t = ${t} of ${T}, ${scales}.`,
      field: () => {
        const name = A.TARGETS[value("field")].label;
        const probe = cursor ? ` At ${place(cursor)} in the picture, x̂_0 is ${
          place(fieldAt(Float64Array.from(cursor, (c) => c / scaleAt(t)), t).x0)}.` : "";
        return `Field of ${name}, as arrows, for ${data} at t = ${t} of ${T}, ${scales}.${probe}`;
      },
      paths: () => `${PATHS} paths ${sampled()}`,
      samples: () => `${SAMPLES} samples ${sampled()}`,
      compare: () => `${BESIDE} samples of ${COMPARED.map((sampler) => A.SAMPLERS[sampler].label).join(", ")} side by side, ` +
        `from the same x_T, with ${number("steps")} network evaluations, from noise to ${data}.`,
      network: () => `${BESIDE} samples of the exact denoiser and of the network after ${network.shown} training steps, ` +
        `side by side, for ${data}. Copies of data points: ${runs.map((run) => run.frames[run.steps])
          .map((state) => (state ? `${Math.round(100 * copies(state.x))} %` : "being computed")).join(" and ")}.`,
    };
    function sampled() {
      const state = runs[0].frames[Math.floor(reached())];
      const distance = state && nearness(state.x).distance.toFixed(3);
      const near = state ? ` Their mean distance to the nearest data point is ${distance}.` : "";
      const how = `of ${A.SAMPLERS[value("sampler")].label} from noise to ${data}`;
      return `${how}, at step ${Math.floor(reached())} of ${number("steps")}, ${scales}.${near}`;
    }
    const empty = "An empty picture. Draw points in the square, or choose a data set.";
    canvas.setAttribute("aria-label", K ? texts[view()]() : empty);
    if (beside() && K) $(".pg-chart").setAttribute("aria-label", describeChart());
    const ends = [schedule.signal[T], schedule.noise[1], schedule.noise[T]].map((number) => number.toPrecision(2));
    const axis = schedule.noise[T] > 1 ? ", on a logarithmic scale" : "";
    const curves = `signal a from 1 to ${ends[0]}, noise b from ${ends[1]} at t = 1 to ${ends[2]}${axis}`;
    $(".pg-curves").setAttribute("aria-label", `The schedule's curves for t = 0 to ${T}: ${curves}.`);
  }

  function describeChart() {
    if (view() === "network") {
      const recent = network.losses.slice(-100), mean = recent.reduce((sum, loss) => sum + loss, 0) / recent.length;
      const text = recent.length ? `, ${mean.toFixed(3)} at step ${network.losses.length}` : "";
      return `Loss over training steps${text}. The exact denoiser's loss is ${network.floor.toFixed(3)}.`;
    }
    const parts = errorLines().filter(({ values }) => values.length).map(({ sampler, values }) => {
      const [count, error] = values.at(-1);
      return `${A.SAMPLERS[sampler].label} from ${values[0][1].toPrecision(2)} to ${error.toPrecision(2)} at ${count}`;
    });
    return `Error over network evaluations, both logarithmic: ${parts.join("; ") || "being computed"}.`;
  }

  /* The steps of the story: a text, settings that suit it, which leave what a reader changed, and links to try. */
  const X_T = "<i>x<sub>T</sub></i>", X_t = "<i>x<sub>t</sub></i>", X0 = "x̂<sub>0</sub>";
  const STORY = {
    forward: {
      name: "Noise",
      text: `The forward process mixes the data with Gaussian noise, more at each time <i>t</i>. At <i>t</i> = <i>T</i> nothing of the
        data is left: there sampling can start.`,
      tries: [
        ["The linear schedule: when is the shape gone?", "view=forward&schedule=linear"],
        ["A straight line from data to noise", "view=forward&schedule=flow&data=swissroll&n=200"],
        ["Noise that explodes", "view=forward&schedule=karras&data=checkerboard&n=200"],
      ],
    },
    field: {
      name: "Score",
      text: `The score points to where the density of ${X_t} rises. A denoiser gives it: its prediction ${X0} is the mean of
        all clean points that fit ${X_t}. Point at the picture.`,
      tries: [
        ["Two points: when does the boundary become sharp?", "view=field&data=two&field=x0&at=700"],
        ["The same with the linear schedule", "view=field&data=two&field=x0&schedule=linear&at=700"],
        ["Guidance to one moon", "view=field&class=0&scale=4&field=x0&at=600"],
      ],
    },
    paths: {
      name: "Path",
      text: `A sampler starts from noise ${X_T} and follows the prediction, step by step. Drag the ring: where does the path of
        this ${X_T} end?`,
      tries: [
        ["DDPM: new noise in each step", "view=paths&sampler=ddpm"],
        ["DDIM with 5 steps: where do samples go wrong?", "view=paths&show=samples&steps=5"],
        ["Guidance of scale 4 to one moon", "view=paths&show=samples&class=1&scale=4"],
      ],
    },
    compare: {
      name: "Samplers",
      text: `Four samplers, the same ${X_T}, the same number of network evaluations. How fast does the error fall? Heun’s
        method takes two evaluations for a step.`,
      settings: { schedule: ["cosine", "linear"], steps: ["50", "15"] },
      tries: [
        ["5 evaluations", "view=compare&steps=5"],
        ["EDM’s schedule, made for Heun’s method", "view=compare&schedule=karras&steps=25"],
        ["Distance to the data: DDPM too", "view=compare&metric=data&steps=15"],
      ],
    },
    network: {
      name: "Network",
      text: `The exact denoiser returns copies of its data. A network, trained here and now on the same points, generalises: its
        samples lie between the points too.`,
      settings: { n: ["120", "40"], sampler: ["ddim", "heun"], steps: ["50", "20"] },
      tries: [
        ["Only four points", "view=network&n=4&sampler=heun&steps=20"],
        ["A ring of 24 points", "view=network&data=ring&n=24&sampler=heun&steps=20"],
        ["A network that predicts ε", "view=network&n=40&sampler=heun&steps=20&predicts=eps"],
      ],
    },
  };

  function tellStory() {
    const names = Object.keys(STORY), index = names.indexOf(value("view")), next = STORY[names[index + 1]];
    if (form.dataset.step === value("view")) return;
    form.dataset.step = value("view");
    $(".pg-story p").innerHTML = STORY[value("view")].text;
    $(".pg-try ul").innerHTML = STORY[value("view")].tries
      .map(([text, state]) => `<li><a href="#${state}">${text}</a></li>`).join("");
    $(".pg-next").hidden = !next;
    if (next) $(".pg-next").textContent = `Next: ${index + 2} ${next.name} →`;
  }

  /** Gives a step of the story its settings, and takes those of the step before back. */
  function enter(name) {
    for (const [step, { settings = {} }] of Object.entries(STORY)) {
      for (const [setting, [usual, suitable]] of Object.entries(settings)) {
        const from = step === name ? usual : suitable, to = step === name ? suitable : usual;
        if (value(setting) === from && (step === name || step === entered)) control(setting).value = to;
      }
    }
    entered = name;
  }

  function say(text) {
    $(".pg-status").textContent = text;
  }

  /** Python code that computes the samples of the page with the package. */
  function writePython() {
    const rows = pairs().map((pair) => `[${pair.join(", ")}]`);
    const lines = [];
    for (let k = 0; k < rows.length; k += 6) lines.push(`    ${rows.slice(k, k + 6).join(", ")},`);
    const settings = Object.entries({ steps: number("steps"), ...options() }).map(([name, text]) => `${name}=${text}`);
    const code = document.querySelector(".pg-code");
    if (!code) return; // in a lesson
    const label = condition(), chosen = draggedPlace();
    const guided = label === null ? "" : `

# classifier-free guidance of exact denoisers: all points are "no condition"
class Guided(oracle.Empirical):
    def predict(self, x_t, t, **_):
        of_class = oracle.Empirical(self.schedule, x0[torch.tensor(labels) == ${label}]).predict(x_t, t)
        pairs = zip(super().predict(x_t, t), of_class)
        return targets.Prediction(*(u + ${value("scale")} * (c - u) for u, c in pairs))


labels = [${labels.join(", ")}]
denoiser = Guided(denoiser.schedule, x0)`;
    code.textContent = `import torch
from ancestral import oracle, reverse, samplers, schedules${label === null ? "" : ", targets"}

points = [
${lines.join("\n")}
]
x0 = torch.tensor(points, dtype=torch.float64)
denoiser = oracle.Empirical(schedules.${value("schedule")}(${value("T")}), x0)${guided}
sampler = samplers.from_name("${value("sampler")}:${settings.join(",")}")
x_T = reverse.prior(denoiser.schedule, (2,), seed=${value("seed")}, indices=range(${SAMPLES})).double()${chosen ? `
x_T[0] = torch.tensor([${chosen.map((u) => u / scaleAt(schedule.T)).join(", ")}])` : ""}
samples = sampler.sample(denoiser, x_T, seed=${value("seed")})
`;
  }

  // Actions ----------------------------------------------------------------------------------------------------------

  function play(on) {
    playing = on && points.length > 0;
    if (playing && position >= last()) position = 0;
    held = 0;
    form.classList.toggle("pg-playing", playing);
    $(".pg-play").setAttribute("aria-label", playing ? "Pause" : "Play");
    before = performance.now();
    saveHash();
    requestDraw();
  }

  /** Moves to a position and pauses. */
  function move(to) {
    position = Math.min(Math.max(to, 0), last());
    slider.value = position;
    play(false);
  }

  const stride = () => (reverse() ? 1 : Math.max(1, Math.round(number("T") / 100)));
  const ACTIONS = {
    play: () => play(!playing),
    restart: () => move(0),
    back: () => move(Math.ceil(position) - stride()),
    forward: () => move(Math.floor(position) + stride()),
    undo() {
      if (!undo.length) return say("There is nothing to undo.");
      const state = undo.pop();
      for (const name of ["data", "n", "points"]) control(name).value = state[name];
      changedPoints("Undone.");
    },
    clear() {
      remember();
      setPoints([], "Cleared.");
    },
    seed() {
      control("seed").value = (number("seed") + 1) % 1000000;
      control("xT").value = "";
      refresh();
    },
    next() {
      const names = Object.keys(STORY), name = names[names.indexOf(value("view")) + 1];
      control("view").value = name;
      changedView();
      if ($(".pg-next").hidden) form.querySelector("[name=view]:checked").focus();
    },
    train: () => points.length && train(!network.on),
    reset() {
      if (!points.length) return;
      resetNetwork(fresh.network);
      fresh.runs = "";
      refresh();
      say("The weights are those of the start.");
    },
    link() {
      saveHash();
      const { clipboard } = navigator; // only pages of a secure origin have it
      const copied = clipboard ? clipboard.writeText(location.href) : Promise.reject(new Error("no clipboard"));
      copied.then(() => say("Link copied."), () => say("Copy the address of this page: it holds all settings."));
    },
  };

  function changedView() {
    enter(value("view"));
    if (network && view() !== "network") train(false);
    refresh();
    begin();
  }

  function remember() {
    undo.push(Object.fromEntries(["data", "n", "points"].map((name) => [name, value(name)])));
  }

  function setPoints(list, message) {
    control("data").value = "own";
    control("points").value = encode(list.map(snap));
    changedPoints(message);
  }

  function changedPoints(message) {
    refresh();
    drawThumbnails();
    if (!points.length) play(false);
    if (message) say(`${message} ${points.length / 2} points.`);
  }

  function add([x, y]) {
    if (Math.max(Math.abs(x), Math.abs(y)) > 1) return say("Points lie in the square, from −1 to 1.");
    if (points.length >= 2 * MAX_POINTS) return say(`There are ${MAX_POINTS} points, the most that fit.`);
    setPoints([...points, x, y], `Point added at (${snap(x)}, ${snap(y)}).`.replaceAll("-", "−"));
  }

  /** Removes all points within `radius`; without one the nearest point. */
  function erase([x, y], radius) {
    const distances = pairs().map(([u, v]) => Math.hypot(u - x, v - y));
    const limit = radius === undefined ? Math.min(...distances) : radius;
    const first = distances.indexOf(limit);
    const kept = (k) => (radius === undefined ? k !== first : distances[k] > limit);
    if (distances.every((_, k) => kept(k))) return;
    setPoints(points.filter((_, i) => kept(Math.floor(i / 2))), "Erased.");
  }

  // Events -----------------------------------------------------------------------------------------------------------

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("click", (event) => {
    const button = event.target.closest("[data-action]");
    if (button) ACTIONS[button.dataset.action]();
  });
  form.addEventListener("input", (event) => {
    const { target } = event;
    if (target === slider) return move(Number(slider.value));
    if (target === logSteps) control("steps").value = Math.round(number("T") ** (Number(logSteps.value) / 100));
    if (target.name === "steps" && target.value === "") return; // being typed
    if (target.name === "data" && target.value === "own") control("tool").value = "draw";
    if (target.name === "view") return changedView();
    const share = position / last();
    if (target.name === "seed") control("xT").value = "";
    refresh();
    if (target.name === "show") begin();
    else if (["T", "steps", "sampler"].includes(target.name)) {
      position = playing ? 0 : Math.round(share * last());
      refresh();
    }
  });
  form.addEventListener("change", (event) => {
    if (event.target.name === "steps") refresh();
    if (event.target.name === "data" && points.length && !playing && !calm.matches && position === 0) play(true);
  });

  let stroke = null;
  canvas.addEventListener("mousedown", (event) => {
    event.preventDefault(); // keeps the focus, and with it the arrow keys, out of the picture
    if (document.activeElement !== stage) document.activeElement.blur();
  });
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || value("tool") === "inspect") return;
    canvas.setPointerCapture(event.pointerId);
    remember();
    stroke = toPlane(event);
    if (value("tool") === "draw") add(stroke);
    else erase(stroke, 0.08);
  });
  canvas.addEventListener("pointermove", (event) => {
    const here = toPlane(event);
    cursor = here;
    if (stroke && value("tool") === "erase") erase(here, 0.08);
    if (stroke && value("tool") === "draw" && Math.hypot(here[0] - stroke[0], here[1] - stroke[1]) > 0.07) {
      stroke = here;
      add(here);
    }
    requestDraw();
  });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => (stroke = null));
  canvas.addEventListener("pointerleave", () => {
    cursor = null;
    requestDraw();
  });

  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  stage.addEventListener("focus", () => {
    cursor = cursor || [0, 0];
    requestDraw();
  });
  stage.addEventListener("blur", () => {
    cursor = null;
    requestDraw();
  });
  stage.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    cursor = cursor || [0, 0];
    if (ARROWS[event.key]) {
      const length = event.shiftKey ? 0.01 : 0.05;
      cursor = cursor.map((c, j) => snap(c + length * ARROWS[event.key][j]));
      say(`Cursor at ${place(cursor)}.`);
      requestDraw();
    } else if (event.key === "Enter") {
      remember();
      add(cursor);
    } else if (event.key === "Delete" || event.key === "Backspace") {
      remember();
      erase(cursor);
    } else return;
    event.preventDefault();
  });

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const { target } = event, body = target === document.body || target === document.documentElement;
    if (!body && !form.contains(target)) return;
    const box = stage.getBoundingClientRect();
    if (body && (box.bottom < 0 || box.top > window.innerHeight)) return; // the reader is elsewhere on the page
    const type = target.type || "";
    if (target.matches("select, input[type='number']")) return;
    if (event.key === " ") {
      if (target.matches("button")) return; // a button's own key
      ACTIONS.play();
    } else if (["range", "radio"].includes(type) || (body && !event.key.startsWith("Arrow"))) return; // their own keys
    else if (event.key === "ArrowRight") ACTIONS.forward();
    else if (event.key === "ArrowLeft") ACTIONS.back();
    else if (event.key === "Home") move(0);
    else if (event.key === "End") move(last());
    else return;
    event.preventDefault();
  });

  /** The state on the screen, for the console: settings, data, and in the views of a sampler x and x̂_0. */
  A.current = () => {
    const { x, x0 } = (reverse() && runs[0].frames[Math.floor(reached())]) || {};
    return {
      settings: Object.fromEntries(new FormData(form)), playing, points, labels, t: timeNow(), x, x0,
      ends: reverse() ? runs.map((run) => (run.frames[run.steps] ? [...run.frames[run.steps].x] : null)) : [],
      errors: curves && { ...curves.errors, complete: !curves.job }, copies: beside() ? copiesShown() : [],
      training: network && { on: network.on, step: network.losses.length, shown: network.shown, losses: network.losses },
    };
  };
  const copiesShown = () => runs.map((run) => run.frames[run.steps] && copies(run.frames[run.steps].x));

  // Start ------------------------------------------------------------------------------------------------------------

  function fillSelect(name, table, chosen) {
    control(name).replaceChildren(...Object.entries(table).map(([key, { label }]) => {
      return new Option(label, key, key === chosen, key === chosen);
    }));
  }

  fillSelect("schedule", A.SCHEDULES, "cosine"); // on linear, little is seen in the first half of a run
  fillSelect("field", A.TARGETS, "score");
  fillSelect("sampler", A.SAMPLERS, "ddim");
  if (window.matchMedia("(pointer: coarse)").matches) control("tool").value = "inspect"; // a finger scrolls the page
  readTheme();
  if (!loadHash()) {
    refresh();
    begin();
  }
  new ResizeObserver(resize).observe(stage);
  new IntersectionObserver(([entry]) => {
    visible = entry.isIntersecting;
    if (visible) requestDraw();
  }).observe(stage);
  new MutationObserver(readTheme).observe(document.body, { attributeFilter: ["data-md-color-scheme"] });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", readTheme);
  window.addEventListener("hashchange", loadHash);
})();
