// Previews of averaged samples over the steps of one or several runs: a slider, and a film of them.

import { el, fill } from "../page/shared/elements.js";
import { icon, write } from "./dom.js";

const FRAME_SECONDS = 0.5;

/** Make the player. Returns {element, show(runs)} with runs [{name, previews: [{step, url}]}]. */
export function previewPlayer() {
  const range = el("input", { type: "range", min: 0, max: 0, step: 1, value: 0, "aria-label": "Step of the preview" });
  const play = el(
    "button",
    { type: "button", class: "icon", "aria-label": "Play", "aria-pressed": "false" },
    icon("play"),
  );
  const caption = el("span", { class: "small soft number caption" });
  const pictures = el("div", { class: "previews" });
  const controls = el("div", { class: "row" }, play, el("div", { class: "grow" }, range), caption);
  const empty = el("p", { class: "empty" }, "The first preview comes at step 50.");
  const element = el("div", { class: "stack tight" }, empty, pictures, controls);
  let runs = [],
    steps = [],
    step = null,
    latest = true,
    timer = 0,
    drawn = "";

  function draw() {
    empty.hidden = Boolean(steps.length);
    controls.hidden = pictures.hidden = !steps.length;
    if (!steps.length) return;
    const index = Math.max(0, steps.indexOf(step));
    range.max = steps.length - 1;
    range.value = index;
    range.setAttribute("aria-valuetext", `step ${steps[index]}`);
    write(caption, `step ${steps[index].toLocaleString("en")} (${index + 1} of ${steps.length})`);
    const shown = runs.map(run => ({
      name: run.name,
      preview: run.previews.filter(one => one.step <= steps[index]).at(-1) ?? run.previews[0],
    }));
    const key = JSON.stringify(shown);
    if (key === drawn) return;
    drawn = key;
    shown.forEach(({ name, preview }, place) => {
      if (!preview) return;
      let figure = pictures.children[place];
      if (!figure) {
        figure = el("figure", { class: "stack tight" }, el("figcaption", { class: "small" }), el("img", { alt: "" }));
        pictures.append(figure);
      }
      write(figure.firstChild, runs.length > 1 ? `${name}, step ${preview.step.toLocaleString("en")}` : "");
      figure.firstChild.hidden = runs.length < 2;
      const image = figure.lastChild;
      image.alt = `Samples of ${name} at step ${preview.step}`;
      if (image.getAttribute("src") !== preview.url) image.src = preview.url;
    });
    while (pictures.children.length > shown.length) pictures.lastChild.remove();
  }

  function go(index) {
    step = steps[index];
    latest = index === steps.length - 1;
    draw();
  }

  function pause() {
    clearInterval(timer);
    timer = 0;
    fill(play, icon("play"));
    play.setAttribute("aria-label", "Play");
    play.setAttribute("aria-pressed", "false");
  }

  range.addEventListener("input", () => {
    pause();
    go(Number(range.value));
  });
  play.addEventListener("click", () => {
    if (timer) return void pause();
    fill(play, icon("pause"));
    play.setAttribute("aria-label", "Pause");
    play.setAttribute("aria-pressed", "true");
    if (steps.indexOf(step) === steps.length - 1) go(0);
    timer = setInterval(() => {
      const index = steps.indexOf(step);
      if (index >= steps.length - 1 || !element.isConnected) pause();
      else go(index + 1);
    }, FRAME_SECONDS * 1000);
  });

  draw();
  return {
    element,
    pause,
    show(newRuns) {
      runs = newRuns.filter(run => run.previews.length);
      steps = [...new Set(runs.flatMap(run => run.previews.map(one => one.step)))].sort((a, b) => a - b);
      if (!steps.length) {
        drawn = "";
        fill(pictures);
      }
      if (step === null || latest || !steps.includes(step)) {
        if (!timer) step = steps.at(-1) ?? null;
      }
      draw();
    },
  };
}
