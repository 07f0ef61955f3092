// Curves over steps on a canvas: several series, a linear or logarithmic axis, and values under the pointer or, with
// the arrow keys, at a cursor.

import { el, fill } from "../page/shared/elements.js";
import { ChartScale, MARGIN, drawable } from "./chart_scale.js";
import { short, write } from "./dom.js";
import { onPreferences } from "./preferences.js";

const steps = number => number.toLocaleString("en");
const curveName = colour => `curve-${((colour - 1) % 6) + 1}`;

/**
 * A chart in `element`. A series is {name, colour: 1..6, points: [[x, y], ...], faint, dashed}; of a faint one neither
 * name nor value is shown.
 */
export class Chart {
  constructor(label, { height = 300 } = {}) {
    Object.assign(this, { height, series: [], log: true, cursor: null, frame: null });
    this.canvas = el("canvas", { tabindex: 0, role: "img", "aria-label": label, class: "chart" });
    this.readout = el("p", { class: "readout small number", role: "status" });
    this.legend = el("div", { class: "legend small" });
    this.element = el("figure", { class: "stack tight" }, this.canvas, this.readout, this.legend);
    this.canvas.addEventListener("pointermove", event => {
      const scale = this.scale();
      if (scale) this.move(scale.step(event.offsetX));
    });
    this.canvas.addEventListener("pointerleave", () => {
      if (document.activeElement !== this.canvas) this.move(null);
    });
    this.canvas.addEventListener("blur", () => this.move(null));
    this.canvas.addEventListener("keydown", event => this.press(event));
    const repaint = () => this.repaint();
    new ResizeObserver(repaint).observe(this.canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
    onPreferences(repaint);
  }

  draw(series, { log = true } = {}) {
    Object.assign(this, { series, log });
    fill(
      this.legend,
      this.named().map(one =>
        el("span", { class: `key ${curveName(one.colour)}${one.dashed ? " dashed" : ""}` }, one.name),
      ),
    );
    this.show();
    this.repaint();
  }

  scale() {
    return ChartScale.of(this.series, this.log, this.canvas.clientWidth, this.height);
  }

  named() {
    return this.series.filter(one => !one.faint && one.points.length);
  }

  /** The points of the named series that are nearest to a step. */
  nearest(step) {
    return this.named()
      .map(one => ({ one, point: nearestPoint(one.points, step) }))
      .filter(({ point }) => Number.isFinite(point[1]));
  }

  // -- the cursor -------------------------------------------------------------------------------------------------

  move(step) {
    this.cursor = step;
    this.show();
    this.repaint();
  }

  /** Write the values at the cursor, or the last ones. */
  show() {
    const last = () => this.named().map(one => ({ one, point: one.points.at(-1) }));
    const values = this.cursor === null ? last() : this.nearest(this.cursor);
    const several = new Set(values.map(({ point }) => point[0])).size > 1;
    const head = values.length && !several ? `step ${steps(values[0].point[0])}: ` : "";
    const texts = values.map(
      ({ one, point }) => `${one.name} ${short(point[1])}${several ? ` (step ${steps(point[0])})` : ""}`,
    );
    write(this.readout, head + texts.join(" · "));
  }

  press(event) {
    const points = this.named()[0]?.points;
    if (!points || !["ArrowLeft", "ArrowRight", "Home", "End", "Escape"].includes(event.key)) return;
    event.preventDefault();
    if (event.key === "Escape") return void this.move(null);
    const found = this.cursor === null ? -1 : points.findIndex(point => point[0] >= this.cursor),
      index = found < 0 ? points.length : found;
    const next = { ArrowLeft: index - 1, ArrowRight: index + 1, Home: 0, End: points.length - 1 }[event.key];
    this.move(points[Math.min(points.length - 1, Math.max(0, next))][0]);
  }

  // -- drawing ----------------------------------------------------------------------------------------------------

  /** A colour of the style sheet as a canvas takes it: that of the light or the dark page. */
  token(name) {
    this.canvas.style.color = `var(--${name})`;
    return getComputedStyle(this.canvas).color;
  }

  repaint() {
    this.frame ??= requestAnimationFrame(() => this.paint());
  }

  paint() {
    this.frame = null;
    const { canvas, height } = this,
      width = canvas.clientWidth,
      ratio = devicePixelRatio || 1;
    if (!width) return;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    context.font = "12px system-ui, sans-serif";
    context.fillStyle = this.token("soft");
    const scale = this.scale();
    if (!scale) {
      context.textAlign = "center";
      context.fillText("no numbers yet", width / 2, height / 2);
      write(this.readout, "");
      return;
    }
    this.paintAxes(context, scale);
    context.save();
    context.beginPath();
    context.rect(MARGIN.left, 0, width - MARGIN.left - MARGIN.right + 6, height);
    context.clip();
    for (const one of [...this.series].sort((a, b) => Boolean(b.faint) - Boolean(a.faint)))
      this.paintSeries(context, scale, one);
    context.restore();
    if (this.cursor !== null) this.paintCursor(context, scale);
  }

  paintAxes(context, scale) {
    context.lineWidth = 1;
    context.strokeStyle = this.token("line");
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const value of scale.valueTicks()) {
      const y = Math.round(scale.y(value)) + 0.5;
      stroke(context, [
        [MARGIN.left, y],
        [scale.width - MARGIN.right, y],
      ]);
      context.fillText(short(value, 3), MARGIN.left - 8, y);
    }
    context.textAlign = "center";
    context.textBaseline = "top";
    for (const step of scale.stepTicks())
      context.fillText(steps(step), Math.min(scale.width - 20, scale.x(step)), this.height - MARGIN.bottom + 10);
  }

  paintSeries(context, scale, { colour, points, faint, dashed }) {
    const place = ([step, value]) => (drawable(value, this.log) ? [scale.x(step), scale.y(value)] : null);
    context.strokeStyle = context.fillStyle = this.token(curveName(colour));
    context.globalAlpha = faint ? 0.35 : 1;
    context.lineWidth = faint ? 1 : 2;
    context.setLineDash(dashed ? [6, 4] : []);
    context.lineJoin = "round";
    stroke(context, points.map(place));
    if (!faint && points.length < 60) for (const point of points.map(place)) if (point) dot(context, point, 2.5);
  }

  paintCursor(context, scale) {
    const x = Math.round(scale.x(this.cursor)) + 0.5;
    context.strokeStyle = this.token("soft");
    stroke(context, [
      [x, MARGIN.top],
      [x, this.height - MARGIN.bottom],
    ]);
    for (const { one, point } of this.nearest(this.cursor)) {
      if (!drawable(point[1], this.log)) continue;
      context.fillStyle = this.token(curveName(one.colour));
      dot(context, [scale.x(point[0]), scale.y(point[1])], 4);
    }
  }
}

/** The point whose step is nearest; the points are in the order of their steps. */
function nearestPoint(points, step) {
  let low = 0,
    high = points.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (points[middle][0] <= step) low = middle;
    else high = middle;
  }
  return Math.abs(points[low][0] - step) <= Math.abs(points[high][0] - step) ? points[low] : points[high];
}

/** Draw a line through points; it has a gap where one is null. */
function stroke(context, points) {
  context.beginPath();
  let pen = false;
  for (const point of points) {
    if (point && pen) context.lineTo(...point);
    else if (point) context.moveTo(...point);
    pen = Boolean(point);
  }
  context.stroke();
}

function dot(context, [x, y], radius) {
  context.beginPath();
  context.arc(x, y, radius, 0, 7);
  context.fill();
}
