// Curves over steps on a canvas: several series, a linear or logarithmic axis, and values under the pointer or, with
// the arrow keys, at a cursor.

import { el, fill } from "../page/shared/elements.js";
import { short, write } from "./dom.js";
import { onPreferences } from "./preferences.js";

const LEFT = 58,
  RIGHT = 14,
  TOP = 12,
  BOTTOM = 30;

/**
 * Make a chart. Returns {element, draw(series, {log})}: a series is {name, colour: 1..6, points: [[x, y], ...],
 * faint, dashed}; of a faint one neither name nor value is shown.
 */
export function chart(label, { height = 300 } = {}) {
  const canvas = el("canvas", { tabindex: 0, role: "img", "aria-label": label, class: "chart" });
  const readout = el("p", { class: "readout small number", role: "status" });
  const legend = el("div", { class: "legend small" });
  const element = el("figure", { class: "stack tight" }, canvas, readout, legend);
  let series = [],
    log = true,
    cursor = null,
    frame = null;

  /** A colour of the style sheet as a canvas takes it: that of the light or the dark page. */
  const token = name => {
    canvas.style.color = `var(--${name})`;
    return getComputedStyle(canvas).color;
  };
  const colour = number => token(`curve-${((number - 1) % 6) + 1}`);

  function scales() {
    const xs = [],
      ys = [];
    for (const one of series) {
      for (const [x, y] of one.points) {
        if (!Number.isFinite(y) || (log && y <= 0)) continue;
        xs.push(x);
        ys.push(y);
      }
    }
    if (!xs.length) return null;
    // of very many numbers a spread call would fail
    const ends = values =>
      values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
    let [x0, x1] = ends(xs),
      [y0, y1] = ends(ys);
    if (x0 === x1) {
      x0 -= 1;
      x1 += 1;
    }
    if (log) {
      [y0, y1] = [Math.log10(y0), Math.log10(y1)];
      const room = Math.max(0.03, (y1 - y0) * 0.06);
      y0 -= room;
      y1 += room;
    } else {
      const room = (y1 - y0 || Math.abs(y1) || 1) * 0.06;
      y0 = Math.min(y0 - room, y0 >= 0 ? Math.max(0, y0 - room) : y0 - room);
      y1 += room;
    }
    const width = canvas.clientWidth,
      innerWidth = width - LEFT - RIGHT,
      innerHeight = height - TOP - BOTTOM;
    return {
      width,
      x0,
      x1,
      y0,
      y1,
      x: value => LEFT + ((value - x0) / (x1 - x0)) * innerWidth,
      y: value => TOP + (1 - ((log ? Math.log10(value) : value) - y0) / (y1 - y0)) * innerHeight,
      step: pixel => x0 + ((pixel - LEFT) / innerWidth) * (x1 - x0),
    };
  }

  function paint() {
    frame = null;
    const scale = scales(),
      ratio = devicePixelRatio || 1,
      width = canvas.clientWidth;
    if (!width) return;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    context.font = "12px system-ui, sans-serif";
    const soft = token("soft"),
      line = token("line");
    context.fillStyle = soft;
    if (!scale) {
      context.textAlign = "center";
      context.fillText("no numbers yet", width / 2, height / 2);
      write(readout, "");
      return;
    }
    context.lineWidth = 1;
    context.strokeStyle = line;
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const value of log ? logTicks(scale.y0, scale.y1) : ticks(scale.y0, scale.y1, 5)) {
      const y = Math.round(scale.y(value)) + 0.5;
      context.beginPath();
      context.moveTo(LEFT, y);
      context.lineTo(width - RIGHT, y);
      context.stroke();
      context.fillText(short(value, 3), LEFT - 8, y);
    }
    context.textAlign = "center";
    context.textBaseline = "top";
    for (const value of ticks(scale.x0, scale.x1, Math.max(2, Math.floor(width / 110)))) {
      context.fillText(value.toLocaleString("en"), Math.min(width - 20, scale.x(value)), height - BOTTOM + 10);
    }
    context.save();
    context.beginPath();
    context.rect(LEFT, 0, width - LEFT - RIGHT + 6, height);
    context.clip();
    for (const one of [...series].sort((a, b) => Boolean(b.faint) - Boolean(a.faint))) {
      context.strokeStyle = context.fillStyle = colour(one.colour);
      context.globalAlpha = one.faint ? 0.35 : 1;
      context.lineWidth = one.faint ? 1 : 2;
      context.setLineDash(one.dashed ? [6, 4] : []);
      context.lineJoin = "round";
      context.beginPath();
      let pen = false;
      for (const [x, y] of one.points) {
        if (!Number.isFinite(y) || (log && y <= 0)) {
          pen = false;
          continue;
        }
        if (pen) context.lineTo(scale.x(x), scale.y(y));
        else context.moveTo(scale.x(x), scale.y(y));
        pen = true;
      }
      context.stroke();
      if (!one.faint && one.points.length < 60) {
        for (const [x, y] of one.points) {
          if (Number.isFinite(y) && !(log && y <= 0)) {
            context.beginPath();
            context.arc(scale.x(x), scale.y(y), 2.5, 0, 7);
            context.fill();
          }
        }
      }
    }
    context.restore();
    context.setLineDash([]);
    context.globalAlpha = 1;
    if (cursor !== null) {
      const x = Math.round(scale.x(cursor)) + 0.5;
      context.strokeStyle = soft;
      context.beginPath();
      context.moveTo(x, TOP);
      context.lineTo(x, height - BOTTOM);
      context.stroke();
      for (const { one, point } of nearest(cursor)) {
        if (!(log && point[1] <= 0)) {
          context.fillStyle = colour(one.colour);
          context.beginPath();
          context.arc(scale.x(point[0]), scale.y(point[1]), 4, 0, 7);
          context.fill();
        }
      }
    }
  }

  const repaint = () => {
    frame ??= requestAnimationFrame(paint);
  };
  const named = () => series.filter(one => !one.faint && one.points.length);

  function nearest(x) {
    return named()
      .map(one => {
        let low = 0,
          high = one.points.length - 1;
        while (high - low > 1) {
          const middle = (low + high) >> 1;
          if (one.points[middle][0] <= x) low = middle;
          else high = middle;
        }
        const point =
          Math.abs(one.points[low][0] - x) <= Math.abs(one.points[high][0] - x) ? one.points[low] : one.points[high];
        return { one, point };
      })
      .filter(({ point }) => Number.isFinite(point[1]));
  }

  function show() {
    const at =
      cursor === null ? named().map(one => ({ one, point: one.points[one.points.length - 1] })) : nearest(cursor);
    const several = new Set(at.map(({ point }) => point[0])).size > 1;
    const step = !at.length ? "" : several ? "" : `step ${at[0].point[0].toLocaleString("en")}: `;
    write(
      readout,
      step +
        at
          .map(
            ({ one, point }) =>
              `${one.name} ${short(point[1])}${several ? ` (step ${point[0].toLocaleString("en")})` : ""}`,
          )
          .join(" · "),
    );
  }

  function move(x) {
    cursor = x;
    show();
    repaint();
  }

  canvas.addEventListener("pointermove", event => {
    const scale = scales();
    if (scale) move(Math.min(scale.x1, Math.max(scale.x0, scale.step(event.offsetX))));
  });
  canvas.addEventListener("pointerleave", () => {
    if (document.activeElement !== canvas) move(null);
  });
  canvas.addEventListener("blur", () => move(null));
  canvas.addEventListener("keydown", event => {
    const points = named()[0]?.points;
    if (!points || !["ArrowLeft", "ArrowRight", "Home", "End", "Escape"].includes(event.key)) return;
    event.preventDefault();
    if (event.key === "Escape") return void move(null);
    const index = cursor === null ? points.length : points.findIndex(point => point[0] >= cursor);
    const next = {
      ArrowLeft: (index < 0 ? points.length : index) - 1,
      ArrowRight: index < 0 ? points.length - 1 : index + 1,
      Home: 0,
      End: points.length - 1,
    }[event.key];
    move(points[Math.min(points.length - 1, Math.max(0, next))][0]);
  });
  new ResizeObserver(repaint).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
  onPreferences(repaint);

  return {
    element,
    draw(newSeries, { log: logarithmic = true } = {}) {
      series = newSeries;
      log = logarithmic;
      fill(
        legend,
        named().map(one =>
          el("span", { class: `key curve-${((one.colour - 1) % 6) + 1}${one.dashed ? " dashed" : ""}` }, one.name),
        ),
      );
      show();
      repaint();
    },
  };
}

/** About `count` round numbers between two. */
export function ticks(low, high, count) {
  const raw = (high - low) / count,
    power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map(factor => factor * power).find(size => size >= raw * 0.999);
  const values = [];
  for (let value = Math.ceil(low / step - 1e-9) * step; value <= high + step * 1e-9; value += step)
    values.push(Number(value.toPrecision(12)));
  return values;
}

/** Round numbers between powers of ten, given by their logarithms. */
export function logTicks(low, high) {
  const factors = high - low > 3 ? [1] : high - low > 1.2 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9];
  const values = [];
  for (let power = Math.floor(low); power <= Math.ceil(high); power++) {
    for (const factor of factors) {
      const value = Math.log10(factor) + power;
      if (value >= low && value <= high) values.push(Number((factor * 10 ** power).toPrecision(6)));
    }
  }
  return values.length > 1 ? values : ticks(10 ** low, 10 ** high, 4).filter(value => value > 0);
}

/** The exponentially weighted mean of points, without the bias of its beginning; NaN counts for nothing. */
export function smooth(points, memory) {
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
