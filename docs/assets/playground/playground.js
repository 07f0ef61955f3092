/* The page of the playground: controls, animation, drawing. All numbers come from Ancestral (diffusion.js).
 *
 * The form is the state: a setting is a form element, the address's hash is the form as a query string. `position` is
 * where the slider is, with fractions while the animation plays: t in the view of the forward process, T − t in the
 * view of the field, and the index of the sampler's step in the views of paths and samples.
 */
(function () {
  "use strict";

  const A = window.Ancestral;
  const form = document.querySelector("form.pg");
  if (!A || !form) return;

  const SAMPLES = 400, PATHS = 60, FORWARD = 600, MAX_POINTS = 400;
  const VIEW = 1.85; // the picture shows at least [−VIEW, VIEW] in both directions
  const SECONDS = { slow: 45, normal: 7, fast: 2.5 }; // of a whole run
  const HOLD = 1.6; // seconds at the end of a run before the next
  const BUDGET = { playing: 16, waiting: 60 }; // milliseconds of sampling in a frame
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

  let points = [], schedule, run, position = 0, playing = false, held = 0;
  let version = 0; // of the data and the schedule: what the shading depends on
  let cursor = null; // a place in the picture that the pointer or the keyboard chose
  let fresh = { points: "", schedule: "", run: "" }; // settings that the three were made of
  const undo = [];

  const view = () => value("view");
  const reverse = () => view() === "paths" || view() === "samples";
  const last = () => (reverse() ? number("steps") : view() === "field" ? number("T") - 1 : number("T"));

  /** The sampler's options that the form holds. */
  function options() {
    const known = A.SAMPLERS[value("sampler")].options, chosen = {};
    if (value("sampler") === "ddim") chosen.eta = number("eta");
    if ("variance" in known) chosen.variance = value("variance");
    return chosen;
  }

  /** Brings everything that depends on the form up to date. Called after each change of a setting. */
  function refresh() {
    const T = number("T");
    control("steps").max = T;
    const steps = Math.min(Math.max(Math.round(number("steps")) || 1, 1), T);
    if (document.activeElement !== control("steps") || steps !== number("steps")) control("steps").value = steps;
    control("seed").value = Math.min(Math.max(Math.floor(number("seed")) || 0, 0), 999999);
    logSteps.value = T > 1 ? Math.round((100 * Math.log(steps)) / Math.log(T)) : 0;
    logSteps.setAttribute("aria-valuetext", `${steps} steps`);

    const own = value("data") === "own";
    let key = own ? value("points") : `${value("data")} ${value("n")}`;
    if (key !== fresh.points) {
      points = own ? decode(value("points")) : PRESETS[value("data")](number("n"));
      fresh.points = key;
      version++;
    }
    key = `${value("schedule")} ${T}`;
    if (key !== fresh.schedule) {
      schedule = A.schedule(value("schedule"), T);
      fresh.schedule = key;
      version++;
    }
    key = JSON.stringify([version, value("sampler"), options(), steps, value("seed")]);
    if (key !== fresh.run) {
      fresh.run = key;
      const setting = { sampler: value("sampler"), steps, options: options(), seed: number("seed") };
      const x_T = A.prior(schedule, 2, setting.seed, range(SAMPLES)), denoiser = A.exact(schedule, points);
      const times = A.times(schedule, setting.sampler, steps);
      run = { frames: [], iterator: A.trajectory({ ...setting, denoiser, x_T }), times };
      layer.segments = 0;
    }
    slider.max = last();
    position = Math.min(position, last());
    form.dataset.tool = value("tool");
    const shown = {
      preset: !own && value("data") !== "two", field: view() === "field", reverse: reverse(), noise: view() !== "field",
      eta: value("sampler") === "ddim", variance: "variance" in A.SAMPLERS[value("sampler")].options,
    };
    form.querySelectorAll("[data-for]").forEach((part) => (part.hidden = !shown[part.dataset.for]));
    form.querySelectorAll("output").forEach((output) => {
      output.value = output.parentElement.querySelector("input").value;
    });
    const noise = `noise, t = ${T}`, data = view() === "field" ? "t = 1" : "data, t = 0";
    const ends = view() === "forward" ? [data, noise] : [noise, data];
    form.querySelectorAll(".pg-ends span").forEach((end, i) => (end.textContent = ends[i]));
    $('label[for="pg-at"]').textContent = reverse() ? "Step of the sampler" : "Time t";
    writePython();
    saveHash();
    requestDraw();
  }

  /** Computes states of the reverse process up to `index`, for a part of a frame. True if they are there. */
  function compute(index) {
    const end = performance.now() + (playing ? BUDGET.playing : BUDGET.waiting);
    while (run.frames.length <= index && performance.now() < end) {
      const { value: frame, done } = run.iterator.next();
      if (done) break;
      run.frames.push({ ...frame, u: frame.x.map((x) => x * scaleAt(frame.t)) });
    }
    return run.frames.length > index;
  }

  /** States of a variance-exploding schedule are drawn smaller: x/√(a² + b²) where the root is above 1. */
  const scaleAt = (t) => 1 / Math.max(1, Math.hypot(...schedule.at(t)));

  /** The position that can be shown: a sampler may not have come as far as the slider. */
  const reached = () => (reverse() ? Math.min(position, Math.max(run.frames.length - 1, 0)) : position);

  /** The time that the picture shows, a whole number. Between two steps of a sampler it lies between their times. */
  function timeNow() {
    if (view() === "forward") return Math.round(position);
    if (view() === "field") return number("T") - Math.round(position);
    const i = Math.min(Math.floor(reached()), run.times.length - 2), part = reached() - i;
    return Math.round(run.times[i] + part * (run.times[i + 1] - run.times[i]));
  }

  // The address ------------------------------------------------------------------------------------------------------

  function saveHash() {
    const query = new URLSearchParams(new FormData(form));
    if (value("data") !== "own") query.delete("points");
    for (const name of ["tool", "speed"]) query.delete(name);
    if (playing) query.delete("at"); // a shared state without a position plays
    history.replaceState(null, "", `#${query}`);
  }

  /** Sets the form from the address. Values that a control cannot have leave its default. */
  function loadHash() {
    const query = new URLSearchParams(location.hash.slice(1));
    if (!query.has("view")) return false; // another anchor of the page, or none
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

  /** Plays from the start; a reader who wants no motion sees the end. */
  function begin() {
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
    const used = ["ground", "ink", "grey", "line", "accent", "signal", "noise"];
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

  let width = 0, height = 0, unit = 1, queued = false, before = 0, described = 0;
  const shade = { canvas: document.createElement("canvas"), key: "" };
  const layer = { canvas: document.createElement("canvas"), segments: 0 }; // the paths so far

  const toX = (x) => width / 2 + unit * x;
  const toY = (y) => height / 2 - unit * y;
  const toPlane = (event) => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left - width / 2) / unit, (height / 2 - event.clientY + box.top) / unit];
  };

  function fit(target, w, h) {
    const ratio = window.devicePixelRatio || 1;
    target.width = Math.round(w * ratio);
    target.height = Math.round(h * ratio);
    target.getContext("2d").setTransform(ratio, 0, 0, ratio, 0, 0);
  }

  function resize() {
    ({ clientWidth: width, clientHeight: height } = canvas);
    unit = Math.min(width, height) / (2 * VIEW);
    fit(canvas, width, height);
    fit(layer.canvas, width, height);
    layer.segments = 0;
    const curves = $(".pg-curves");
    fit(curves, curves.clientWidth, curves.clientHeight);
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
    const ready = !reverse() || !points.length || compute(Math.ceil(position));
    draw(ready);
    if (!playing || now - described > 1000) {
      described = now;
      describe();
    }
    if (playing || !ready) requestDraw();
  }

  function advance(elapsed) {
    if (position >= last()) {
      held += elapsed;
      if (held > HOLD) position = held = 0;
      return;
    }
    if (reverse() && run.frames.length <= Math.ceil(position)) return; // wait for the sampler
    const seconds = SECONDS[value("speed")] * Math.min(1, 0.25 + last() / 20);
    position = Math.min(position + (elapsed / seconds) * last(), last());
    slider.value = Math.round(position);
  }

  function draw(ready) {
    if (!width) return;
    pen.clearRect(0, 0, width, height);
    if (points.length) drawShade();
    drawSquare();
    if (points.length) ({ forward: drawForward, field: drawField, paths: drawPaths, samples: drawSamples })[view()]();
    else note("Draw points in the square, or choose a data set.");
    drawCursor();
    drawCurves();
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

  function drawData(radius, alpha) {
    pen.globalAlpha = alpha;
    pen.fillStyle = theme.ink;
    for (let k = 0; k < points.length; k += 2) dot(pen, toX(points[k]), toY(points[k + 1]), radius);
    pen.globalAlpha = 1;
  }

  /** The density of x_t as opacity, and the colour of x̂_0, on a coarse grid that is drawn smoothly. */
  function drawShade() {
    const t = timeNow(), strong = view() === "field";
    const cells = Math.min(9000, 1.2e6 / (points.length / 2)); // fewer cells for many points
    const columns = Math.round(Math.sqrt((cells * width) / height)), rows = Math.round(cells / columns);
    const key = [version, t, view(), columns, rows, width, height].join();
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
      const { x0, logDensity } = A.denoise(points, a, Math.max(b, (0.6 * cell) / scale), x);
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
    const [a, b] = schedule.at(t), { x0, eps } = A.denoise(points, a, b, x), name = value("field");
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
  function present() {
    if (!run.frames.length) return null;
    const i = Math.floor(reached()), part = reached() - i, now = run.frames[i];
    if (!part) return now;
    const next = run.frames[i + 1], between = (name) => A.combine([1 - part, now[name]], [part, next[name]]);
    return { ...now, u: between("u"), x0: between("x0") };
  }

  function drawPaths() {
    const state = present();
    drawData(2.2, 0.4);
    if (!state) return;
    const whole = Math.floor(reached()), noisy = A.SAMPLERS[value("sampler")].noisy || options().eta > 0;
    const lines = noisy ? WHOLE_PATHS : PATHS, context = layer.canvas.getContext("2d");
    if (layer.segments > whole || layer.segments === 0) {
      context.clearRect(0, 0, width, height);
      layer.segments = 0;
    }
    for (let i = layer.segments; i < whole; i++) drawSegment(context, i, run.frames[i + 1].u, lines);
    layer.segments = whole;
    pen.globalAlpha = noisy ? 0.45 : 0.7;
    pen.drawImage(layer.canvas, 0, 0, width, height); // opaque lines, since ends of translucent ones would show
    if (reached() > whole) drawSegment(pen, whole, state.u, PATHS);
    for (let age = 1; noisy && age <= Math.min(TAIL, whole); age++) {
      pen.globalAlpha = 0.7 * (1 - age / (TAIL + 1));
      drawSegment(pen, whole - age, run.frames[whole - age + 1].u, PATHS);
    }
    for (let i = 0; i < PATHS; i++) {
      const x = toX(state.u[2 * i]), y = toY(state.u[2 * i + 1]);
      pen.strokeStyle = pen.fillStyle = cleanColour(state.x0, i);
      pen.lineWidth = 1;
      pen.globalAlpha = 0.4;
      line(pen, x, y, toX(state.x0[2 * i]), toY(state.x0[2 * i + 1]));
      pen.globalAlpha = 1;
      dot(pen, x, y, 4);
      pen.strokeStyle = theme.ground;
      pen.stroke();
    }
  }

  /** The first `lines` paths from state `index` to the places `end`, in the colour of the x̂_0 of that step. */
  function drawSegment(context, index, end, lines) {
    const { u, x0 } = run.frames[index];
    context.lineWidth = 1.5;
    context.lineCap = "round";
    for (let i = 0; i < lines; i++) {
      context.strokeStyle = cleanColour(x0, i);
      line(context, toX(u[2 * i]), toY(u[2 * i + 1]), toX(end[2 * i]), toY(end[2 * i + 1]));
    }
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
    if (reverse() && run.times.length < 120) {
      context.strokeStyle = theme.grey;
      for (const t of run.times) line(context, x(t), bottom, x(t), bottom + 4);
    }
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
      .replace(/_\{(\w+)\}/g, "<sub><i>$1</i></sub>").replace(/_(<i>\w<\/i>|\w)/g, "<sub>$1</sub>")
      .replace(/\^\{([^}]+)\}/g, "<sup>$1</sup>").replaceAll(";", ",&emsp;");
  }

  function equation() {
    if (view() === "forward") return "x_t = a_t x_0 + b_t ε; ε ~ N(0, I)";
    if (view() === "field") {
      const mean = "x̂_0 = Σ_k w_k x^{(k)}; w_k ∝ exp(−‖x_t − a_t x^{(k)}‖²/2b_t²)";
      return value("field") === "x0" ? mean : `${A.TARGETS[value("field")].equation}; ${mean}`;
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
    const reached = new Set();
    let sum = 0;
    for (let i = 0; i < SAMPLES; i++) {
      let least = Infinity, nearest = 0;
      for (let k = 0; k < points.length; k += 2) {
        const distance = (x[2 * i] - points[k]) ** 2 + (x[2 * i + 1] - points[k + 1]) ** 2;
        if (distance < least) [least, nearest] = [distance, k];
      }
      sum += Math.sqrt(least);
      if (least < 0.02 ** 2) reached.add(String([points[nearest], points[nearest + 1]]));
    }
    const distinct = new Set(pairs().map(String));
    return { distance: sum / SAMPLES, reached: reached.size, distinct: distinct.size };
  }

  function writeNumbers(ready) {
    const t = reverse() ? run.times[Math.floor(reached())] : timeNow(), [a, b] = schedule.at(t);
    const rows = [["<i>t</i>", t], ["<i>a<sub>t</sub></i>", figure(a)], ["<i>b<sub>t</sub></i>", figure(b)],
      ["SNR", figure(schedule.snr(t))]];
    if (reverse()) rows.unshift(["step", `${Math.floor(reached())} of ${number("steps")}`]);
    if (points.length && reverse() && run.frames.length) {
      const state = run.frames[Math.floor(reached())];
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
    $(".pg-numbers").innerHTML = rows.map(([name, text]) => `<div><dt>${name}</dt><dd>${text}</dd></div>`).join("");
    const written = formula(equation());
    if ($(".pg-equation").dataset.text !== written) {
      $(".pg-equation").dataset.text = written;
      $(".pg-equation").innerHTML = written;
    }
    const scale = scaleAt(t), parts = [];
    if (!ready) parts.push("computing …");
    if (scale < 0.995) parts.push(`drawn at ${scale.toPrecision(2)} of its size`);
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
    };
    function sampled() {
      const state = run.frames[Math.floor(reached())];
      const distance = state && nearness(state.x).distance.toFixed(3);
      const near = state ? ` Their mean distance to the nearest data point is ${distance}.` : "";
      const how = `of ${A.SAMPLERS[value("sampler")].label} from noise to ${data}`;
      return `${how}, at step ${Math.floor(reached())} of ${number("steps")}, ${scales}.${near}`;
    }
    const empty = "An empty picture. Draw points in the square, or choose a data set.";
    canvas.setAttribute("aria-label", K ? texts[view()]() : empty);
    const ends = [schedule.signal[T], schedule.noise[1], schedule.noise[T]].map((number) => number.toPrecision(2));
    const axis = schedule.noise[T] > 1 ? ", on a logarithmic scale" : "";
    const curves = `signal a from 1 to ${ends[0]}, noise b from ${ends[1]} at t = 1 to ${ends[2]}${axis}`;
    $(".pg-curves").setAttribute("aria-label", `The schedule's curves for t = 0 to ${T}: ${curves}.`);
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
    document.querySelector(".pg-code").textContent = `import torch
from ancestral import oracle, reverse, samplers, schedules

points = [
${lines.join("\n")}
]
x0 = torch.tensor(points, dtype=torch.float64)
denoiser = oracle.Empirical(schedules.${value("schedule")}(${value("T")}), x0)
sampler = samplers.from_name("${value("sampler")}:${settings.join(",")}")
x_T = reverse.prior(denoiser.schedule, (2,), seed=${value("seed")}, indices=range(${SAMPLES})).double()
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
      refresh();
    },
    link() {
      saveHash();
      const { clipboard } = navigator; // only pages of a secure origin have it
      const copied = clipboard ? clipboard.writeText(location.href) : Promise.reject(new Error("no clipboard"));
      copied.then(() => say("Link copied."), () => say("Copy the address of this page: it holds all settings."));
    },
  };

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
    const share = position / last();
    refresh();
    if (target.name === "view") begin();
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
    const { x, x0 } = (reverse() && run.frames[Math.floor(reached())]) || {};
    return { settings: Object.fromEntries(new FormData(form)), playing, points, t: timeNow(), x, x0 };
  };

  // Start ------------------------------------------------------------------------------------------------------------

  function fillSelect(name, table, chosen) {
    control(name).replaceChildren(...Object.entries(table).map(([key, { label }]) => {
      return new Option(label, key, key === chosen, key === chosen);
    }));
  }

  fillSelect("schedule", A.SCHEDULES, "cosine"); // on linear, little is seen in the first half of a run
  fillSelect("field", A.TARGETS, "x0");
  fillSelect("sampler", A.SAMPLERS, "ddim");
  if (window.matchMedia("(pointer: coarse)").matches) control("tool").value = "inspect"; // a finger scrolls the page
  readTheme();
  if (!loadHash()) {
    refresh();
    begin();
  }
  new ResizeObserver(resize).observe(stage);
  new MutationObserver(readTheme).observe(document.body, { attributeFilter: ["data-md-color-scheme"] });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", readTheme);
  window.addEventListener("hashchange", loadHash);
})();
