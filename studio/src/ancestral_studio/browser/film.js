// The steps of the reverse process, followed as they are computed, and scrubbed through afterwards.

import { el } from "../page/shared/elements.js";
import { icon, write } from "./dom.js";
import { picture } from "./grid.js";
import { onPreferences, preference } from "./preferences.js";

const FRAME = 120,
  KEPT = 240;

/**
 * Make the film of a job. `drawn(step, images)` is called with the step that is shown and its pictures {x, x0}.
 * Returns {element, add(step), clear(), current, atEnd, mode, load(steps)}.
 */
export function film({ drawn, changed = () => {} }) {
  const steps = [],
    pictures = new Map();
  let place = -1,
    following = true,
    playing = 0,
    wanted = null,
    loading = false,
    mode = "x0";

  const slider = el("input", {
    type: "range",
    min: 0,
    max: 0,
    value: 0,
    "aria-label": "Step",
    disabled: true,
    class: "grow",
  });
  const number = el("span"),
    time = el("span", { class: "in-full" });
  const text = el("output", { class: "small number step-text" }, number, time);
  const play = el(
    "button",
    { type: "button", class: "icon", "aria-label": "Play", title: "Play (P)", disabled: true },
    icon("play"),
  );
  const names = {
    x0: ["x̂₀", "Estimates of the samples"],
    x: ["x_t", "Noisy states"],
    both: ["both", "States and estimates"],
  };
  const modes = Object.entries(names).map(([name, [title, label]]) =>
    el(
      "button",
      {
        type: "button",
        "aria-pressed": String(name === mode),
        title: label,
        "aria-label": label,
        data: { mode: name },
      },
      title,
    ),
  );
  const choice = el("div", { class: "segments in-full", role: "group", "aria-label": "What is shown" }, modes);
  const element = el("div", { class: "film row" }, play, slider, text, choice);

  function cached(url) {
    if (!pictures.has(url)) {
      pictures.set(url, picture(url));
      if (pictures.size > KEPT) pictures.delete(pictures.keys().next().value);
    }
    return pictures.get(url);
  }

  // One picture is loaded at a time, and then the newest that is wanted: steps may come faster than pictures do.
  async function draw() {
    const step = steps[place];
    if (!step) return;
    write(number, `step ${step.index} of ${step.total - 1}`);
    write(time, `, t = ${Number(step.t.toPrecision(4))}`);
    slider.setAttribute("aria-valuetext", text.textContent);
    wanted = { step, mode };
    if (loading) return;
    loading = true;
    while (wanted) {
      const one = wanted;
      wanted = null;
      await show(one);
    }
    loading = false;
  }

  async function show(one) {
    const urls = ["x", "x0"].map(kind => (one.mode === "both" || one.mode === kind ? one.step[kind] : null));
    try {
      const [x, x0] = await Promise.all(urls.map(url => url && cached(url)));
      if (steps.includes(one.step)) drawn(one.step, { x, x0 });
    } catch {
      for (const url of urls) pictures.delete(url);
      if (steps[place] === one.step) write(time, ": the picture cannot be loaded");
    }
  }

  function go(to) {
    place = Math.min(steps.length - 1, Math.max(0, to));
    following = place === steps.length - 1;
    slider.value = place;
    changed();
    return draw();
  }

  function stop() {
    clearInterval(playing);
    playing = 0;
    play.replaceChildren(icon("play"));
    play.setAttribute("aria-label", "Play");
  }

  function toggle() {
    if (playing) return stop();
    if (place >= steps.length - 1) go(0);
    play.replaceChildren(icon("pause"));
    play.setAttribute("aria-label", "Pause");
    playing = setInterval(() => (place < steps.length - 1 ? go(place + 1) : stop()), FRAME);
  }

  slider.addEventListener("input", () => {
    stop();
    go(Number(slider.value));
  });
  play.addEventListener("click", toggle);
  onPreferences(() => preference("view") === "simple" && view.setMode("x0")); // which has no way back to it
  for (const button of modes) button.addEventListener("click", () => view.setMode(button.dataset.mode));

  const view = {
    element,
    /** The step that is shown. */
    get current() {
      return steps[place] ?? null;
    },
    /** Whether it is the last step there is. */
    get atEnd() {
      return place === steps.length - 1;
    },
    get length() {
      return steps.length;
    },
    get mode() {
      return mode;
    },
    /** The last step that was computed. */
    get last() {
      return steps.at(-1) ?? null;
    },
    add(step) {
      const before = steps.findIndex(one => one.index === step.index && one.task === step.task);
      if (before >= 0)
        steps[before] = step; // a further batch has filled in more tiles
      else steps.push(step);
      slider.max = steps.length - 1;
      slider.disabled = play.disabled = false;
      if (before === place && before >= 0) draw();
      else if (following) go(steps.length - 1);
      changed();
    },
    move(by) {
      if (!steps.length) return;
      stop();
      go(place + by);
    },
    go,
    toggle,
    setMode(name) {
      mode = name;
      onPreferences(() => preference("view") === "simple" && view.setMode("x0")); // which has no way back to it
  for (const button of modes) button.setAttribute("aria-pressed", String(button.dataset.mode === name));
      changed();
      draw();
    },
    clear() {
      stop();
      steps.length = 0;
      pictures.clear();
      place = -1;
      following = true;
      wanted = null;
      slider.max = slider.value = 0;
      slider.disabled = play.disabled = true;
      for (const part of [number, time]) write(part, "");
    },
  };
  return view;
}
