// The loss of runs over their steps, and by noise level, with what the user chose of how it is drawn.

import { el, fill } from "../page/shared/elements.js";
import { Chart } from "./chart.js";
import { short } from "./dom.js";
import { column, validation } from "./feed.js";

const KEPT = "ancestral.curves";

/** Make the section. `runName(id)` is the name of a run. Returns {element, draw(feeds), drawBars(values)}. */
export function runCurves(runName) {
  const view = JSON.parse(sessionStorage.getItem(KEPT) ?? "null") ?? { log: true, smoothing: 0 };
  const curve = new Chart("Loss over steps: the arrow keys move a cursor");
  const logBox = el("input", { type: "checkbox", checked: view.log });
  const smoothing = el("input", {
    type: "range",
    min: 0,
    max: 0.98,
    step: 0.02,
    value: view.smoothing,
    "aria-label": "Smoothing",
  });
  const byTime = el("div", { class: "bars" });
  const element = el(
    "section",
    { class: "panel stack tight", "aria-label": "Loss" },
    el(
      "div",
      { class: "row apart" },
      el("h3", {}, "Loss"),
      el(
        "div",
        { class: "row" },
        el("label", { class: "row small" }, logBox, "log axis"),
        el("label", { class: "row small smoothing" }, "smoothing", smoothing),
      ),
    ),
    curve.element,
    el("details", {}, el("summary", { class: "small" }, "Loss by noise level"), byTime),
  );
  let drawn = [];

  function draw(feeds) {
    drawn = feeds;
    const all = feeds.filter(feed => feed.data);
    curve.draw(
      all.flatMap((feed, index) => seriesOf(feed, index, all.length < 2, view.smoothing, runName(feed.id))),
      { log: view.log },
    );
  }

  const changed = () => {
    view.log = logBox.checked;
    view.smoothing = Number(smoothing.value);
    sessionStorage.setItem(KEPT, JSON.stringify(view));
    draw(drawn);
  };
  logBox.addEventListener("change", changed);
  smoothing.addEventListener("input", changed);
  return { element, draw, drawBars: values => fill(byTime, barsOf(values)) };
}

/** The curves of a run; a single one is named by what it is, several by their runs. */
function seriesOf(feed, index, single, smoothing, name) {
  const points = column(feed, "loss"),
    held = validation(feed),
    colour = index + 1,
    series = [];
  if (smoothing > 0 && points.length > 2) {
    series.push({ name, colour, points, faint: true });
    series.push({ name: single ? "loss, smoothed" : name, colour, points: smooth(points, smoothing) });
  } else series.push({ name: single ? "loss" : name, colour, points });
  if (held.length) {
    const called = single ? "validation loss" : `${name}, validation`;
    series.push({ name: called, colour: single ? 2 : colour, points: held, dashed: true });
  }
  return series;
}

function barsOf(values) {
  const known = values.filter(Number.isFinite),
    top = Math.max(...known, 0) || 1;
  const bars = values.map((value, index) => {
    const meter = el("progress", {
      max: 1,
      value: Number.isFinite(value) ? value / top : 0,
      "aria-label": `Loss of part ${index + 1} of ${values.length} of the times, from clean to noise`,
    });
    return el(
      "div",
      { class: "bar" },
      el("span", { class: "small soft" }, `${index + 1} of ${values.length}`),
      meter,
      el("span", { class: "small number" }, short(value, 3)),
    );
  });
  return [bars, el("p", { class: "small soft" }, "From the least noise, 1, to the most.")];
}

/** The exponentially weighted mean of points, without the bias of its beginning; NaN counts for nothing. */
function smooth(points, memory) {
  let sum = 0,
    weight = 0;
  return points.map(([x, y]) => {
    if (Number.isFinite(y)) {
      sum = memory * sum + (1 - memory) * y;
      weight = memory * weight + (1 - memory);
    }
    return [x, weight ? sum / weight : NaN];
  });
}
