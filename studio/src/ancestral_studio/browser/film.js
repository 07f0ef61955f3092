// The steps of the reverse process, followed as they are computed, and scrubbed through afterwards.

import { el } from "../page/shared/elements.js";
import { button, icon, short, write } from "./dom.js";
import { picture } from "./grid.js";
import { onPreferences, preference } from "./preferences.js";

const FRAME = 120,
  KEPT = 240;
const MODES = {
  x0: ["x̂₀", "Estimates of the samples"],
  x: ["x_t", "Noisy states"],
  both: ["both", "States and estimates"],
};

export class Film {
  /** `drawn(step, images)` is called with the step that is shown and its pictures {x, x0}; `changed()` after changes. */
  constructor({ drawn, changed = () => {} }) {
    Object.assign(this, { drawn, changed, steps: [], pictures: new Map(), mode: "x0" });
    this.forget();
    this.loading = false;
    this.timer = 0; // of the frames that are played
    this.slider = el("input", {
      ...{ type: "range", min: 0, max: 0, value: 0, disabled: true, class: "grow", "aria-label": "Step" },
      on: { input: () => this.stop() || this.go(Number(this.slider.value)) },
    });
    this.number = el("span");
    this.time = el("span", { class: "in-full" });
    this.text = el("output", { class: "small number step-text" }, this.number, this.time);
    this.legend = el("p", { class: "small soft legend" });
    const play = { class: "icon", "aria-label": "Play", title: "Play (P)", disabled: true };
    this.play = button(icon("play"), () => this.toggle(), play);
    this.modes = Object.entries(MODES).map(([name, [title, label]]) =>
      button(title, () => this.setMode(name), {
        ...{ title: label, "aria-label": label, "aria-pressed": String(name === this.mode), data: { mode: name } },
      }),
    );
    const choice = { class: "segments in-full", role: "group", "aria-label": "What is shown" };
    this.element = el("div", { class: "film row" }, this.play, this.slider, this.text, el("div", choice, this.modes), this.legend);
    onPreferences(() => preference("view") === "simple" && this.setMode("x0")); // which has no way back to it
  }

  /** Nothing is shown, and what comes is followed. */
  forget() {
    this.steps.length = 0;
    this.pictures.clear();
    this.place = -1;
    this.following = true;
    this.wanted = null;
  }

  /** The step that is shown. */
  get current() {
    return this.steps[this.place] ?? null;
  }

  /** Whether it is the last step there is. */
  get atEnd() {
    return this.place === this.steps.length - 1;
  }

  get length() {
    return this.steps.length;
  }

  // -- drawing ----------------------------------------------------------------------------------------------------

  cached(url) {
    const { pictures } = this;
    if (!pictures.has(url)) {
      pictures.set(url, picture(url));
      if (pictures.size > KEPT) pictures.delete(pictures.keys().next().value);
    }
    return pictures.get(url);
  }

  // One picture is loaded at a time, and then the newest that is wanted: steps may come faster than pictures do.
  async draw() {
    const step = this.current;
    if (!step) return;
    write(this.number, `step ${step.index} of ${step.total - 1}`);
    write(this.time, `, t = ${Number(step.t.toPrecision(4))}`);
    this.slider.setAttribute("aria-valuetext", this.text.textContent);
    const { channels = [] } = step.layout;
    write(this.legend, channels.map(({ name, low, high }) => `${name}: black is ${short(low)}, white ${short(high)}`).join("; "));
    this.wanted = { step, mode: this.mode };
    if (this.loading) return;
    this.loading = true;
    while (this.wanted) {
      const one = this.wanted;
      this.wanted = null;
      await this.show(one);
    }
    this.loading = false;
  }

  async show({ step, mode }) {
    const urls = ["x", "x0"].map(kind => (mode === "both" || mode === kind ? step[kind] : null));
    try {
      const [x, x0] = await Promise.all(urls.map(url => url && this.cached(url)));
      if (this.steps.includes(step)) this.drawn(step, { x, x0 });
    } catch {
      for (const url of urls) this.pictures.delete(url);
      if (this.current === step) write(this.time, ": the picture cannot be loaded");
    }
  }

  // -- moving -----------------------------------------------------------------------------------------------------

  add(step) {
    const { steps } = this;
    const before = steps.findIndex(one => one.index === step.index && one.task === step.task);
    if (before >= 0)
      steps[before] = step; // a further batch has filled in more tiles
    else steps.push(step);
    this.slider.max = steps.length - 1;
    this.slider.disabled = this.play.disabled = false;
    if (before === this.place && before >= 0) this.draw();
    else if (this.following) this.go(steps.length - 1);
    this.changed();
  }

  go(to) {
    this.place = Math.min(this.steps.length - 1, Math.max(0, to));
    this.following = this.atEnd;
    this.slider.value = this.place;
    this.changed();
    return this.draw();
  }

  move(by) {
    if (!this.length) return;
    this.stop();
    this.go(this.place + by);
  }

  stop() {
    clearInterval(this.timer);
    this.timer = 0;
    this.play.replaceChildren(icon("play"));
    this.play.setAttribute("aria-label", "Play");
  }

  toggle() {
    if (this.timer) return this.stop();
    if (this.atEnd) this.go(0);
    this.play.replaceChildren(icon("pause"));
    this.play.setAttribute("aria-label", "Pause");
    this.timer = setInterval(() => (this.atEnd ? this.stop() : this.go(this.place + 1)), FRAME);
    return undefined;
  }

  setMode(name) {
    this.mode = name;
    for (const one of this.modes) one.setAttribute("aria-pressed", String(one.dataset.mode === name));
    this.changed();
    this.draw();
  }

  clear() {
    this.stop();
    this.forget();
    this.slider.max = this.slider.value = 0;
    this.slider.disabled = this.play.disabled = true;
    for (const part of [this.number, this.time]) write(part, "");
  }
}
