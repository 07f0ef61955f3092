// The scales of a chart: where a step and a value stand on its canvas, and round numbers for its axes.

/** The inner edges of a chart, in CSS pixels from those of the canvas. */
export const MARGIN = { left: 58, right: 14, top: 12, bottom: 30 };

/** Whether a value has a place on the axis. */
export const drawable = (value, log) => Number.isFinite(value) && !(log && value <= 0);

/** From steps and values to pixels and back; a logarithmic axis holds powers of ten. */
export class ChartScale {
  /** The scale that shows all points of `series`, on a canvas of `width` by `height`; null where there is no point. */
  static of(series, log, width, height) {
    const points = series.flatMap(one => one.points.filter(([, value]) => drawable(value, log)));
    return points.length ? new ChartScale(points, log, width, height) : null;
  }

  constructor(points, log, width, height) {
    Object.assign(this, { log, width, height });
    [this.x0, this.x1] = ends(points.map(([step]) => step));
    if (this.x0 === this.x1) [this.x0, this.x1] = [this.x0 - 1, this.x1 + 1];
    const [low, high] = ends(points.map(([, value]) => this.level(value)));
    const room = log ? Math.max(0.03, (high - low) * 0.06) : (high - low || Math.abs(high) || 1) * 0.06;
    this.y0 = low - room;
    this.y1 = high + room;
  }

  level(value) {
    return this.log ? Math.log10(value) : value;
  }

  get innerWidth() {
    return this.width - MARGIN.left - MARGIN.right;
  }

  x(step) {
    return MARGIN.left + ((step - this.x0) / (this.x1 - this.x0)) * this.innerWidth;
  }

  y(value) {
    const part = (this.level(value) - this.y0) / (this.y1 - this.y0);
    return MARGIN.top + (1 - part) * (this.height - MARGIN.top - MARGIN.bottom);
  }

  /** The step at a pixel, within the axis. */
  step(pixel) {
    const step = this.x0 + ((pixel - MARGIN.left) / this.innerWidth) * (this.x1 - this.x0);
    return Math.min(this.x1, Math.max(this.x0, step));
  }

  valueTicks() {
    return this.log ? logTicks(this.y0, this.y1) : ticks(this.y0, this.y1, 5);
  }

  stepTicks() {
    return ticks(this.x0, this.x1, Math.max(2, Math.floor(this.width / 110)));
  }
}

/** The smallest and the largest of values; of very many a spread call would fail. */
const ends = values =>
  values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);

/** About `count` round numbers between two. */
function ticks(low, high, count) {
  const raw = (high - low) / count,
    power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map(factor => factor * power).find(size => size >= raw * 0.999);
  const values = [];
  for (let value = Math.ceil(low / step - 1e-9) * step; value <= high + step * 1e-9; value += step)
    values.push(Number(value.toPrecision(12)));
  return values;
}

/** Round numbers between powers of ten, given by their logarithms. */
function logTicks(low, high) {
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
