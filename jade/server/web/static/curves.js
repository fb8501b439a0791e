/**
 * One panel of curves over a common x axis, with zoom, smoothing and a logarithmic axis.
 *
 *     const panel = new Panel(element, { label: "TestAccuracy", onRange: (range) => … });
 *     panel.show([{ id: "a1b2", name: "trial-1", x: [0, 10], y: [0.1, 0.9] }]);
 *     panel.set({ smoothing: 0.6, isLog: true });
 *
 * The classes that it uses are in curves.css, the colors are the variables --series-1 … of the page.
 */

import "./echarts.min.js";
import { MARGINS, linesOf, rightMargin } from "./chart_options.js";
import { attach } from "./gestures.js";
import { color, onThemeChange } from "./theme.js";
import { duration, extent, nearest, refined, shown, smoothed, visible } from "./points.js";

const COLORS = 8;
const DASHES = ["solid", [8, 4], [2, 3], [10, 3, 2, 3]];
const GAP = 0.03; // share of the width that the pointer may be beyond the end of a line
const SMALLEST = 1e-6; // share of the whole that can be zoomed to

/**
 * @typedef {object} Series
 * @property {string} id
 * @property {string} name
 * @property {number[]} x in order
 * @property {number[]} y
 */

/**
 * @typedef {object} Options
 * @property {string} label what is on the y axis
 * @property {string} [xName] what is on the x axis; "time" is in seconds
 * @property {number} [smoothing] from 0 to below 1
 * @property {boolean} [isLog]
 * @property {(range: [number, number]|null) => void} [onRange] the range that is shown has changed
 * @property {(text: string) => void} [onNote] something is left out; "" if nothing is
 */

export class Panel {
  /**
   * @param {HTMLElement} element an empty one with a size; it becomes focusable
   * @param {Options} options
   */
  constructor(element, options) {
    this._element = element;
    this._options = { xName: "iterations", smoothing: 0, isLog: false, ...options };
    this._series = [];
    this._fine = new Map();
    this._range = null;
    this._lines = [];
    this._frame = null;
    this._makeParts();
    this._chart = globalThis.echarts.init(this._canvas, null, { renderer: "canvas" });
    attach(element, this._target());
    new ResizeObserver(() => this._resized()).observe(element);
    this._due = null;
    onThemeChange(() => this._drawSoon());
  }

  /**
   * Show other curves, or the same with more points; the range that is shown stays.
   * @param {Series[]} series
   */
  show(series) {
    this._series = series;
    this._drawSoon();
  }

  /**
   * Put points that were read in full into the place of those of a curve.
   * @param {Map<string, {x: number[], y: number[]}>} fine by id
   */
  refine(fine) {
    fine.forEach((points, id) => this._fine.set(id, points));
    this._drawSoon();
  }

  /** Forget what `refine` has put: the x axis is another one. */
  forget() {
    this._fine.clear();
    this._range = null;
  }

  /** @param {Partial<Options>} options those that change */
  set(options) {
    Object.assign(this._options, options);
    this._drawSoon();
  }

  /**
   * Zoom to shares of what is shown: (0.2, 0.8) comes nearer, (-0.2, 1.2) steps back, (0.2, 1.2) moves on.
   * @param {number} low
   * @param {number} high
   */
  zoom(low, high) {
    const whole = this._whole();
    if (!whole || !(high > low)) return;
    const [from, to] = this._range ?? whole;
    const width = Math.min((to - from) * (high - low), whole[1] - whole[0]);
    if (width < (whole[1] - whole[0]) * SMALLEST) return;
    const begin = Math.min(Math.max(from + low * (to - from), whole[0]), whole[1] - width);
    const isAll = width >= (whole[1] - whole[0]) * (1 - SMALLEST);
    this._setRange(isAll ? null : [begin, begin + width]);
  }

  /** Show all again. */
  reset() {
    if (this._range) this._setRange(null);
  }

  _makeParts() {
    const make = (name) => {
      const part = this._element.ownerDocument.createElement("div");
      part.className = name;
      part.setAttribute("aria-hidden", "true");
      this._element.append(part);
      return part;
    };
    this._element.replaceChildren();
    this._element.classList.add("chart-host");
    this._element.tabIndex = 0;
    this._element.setAttribute("role", "img");
    this._canvas = make("chart-canvas");
    this._cursor = make("chart-cursor");
    this._tip = make("chart-tip");
    this._cursor.hidden = true;
    this._tip.hidden = true;
  }

  _target() {
    return {
      at: (pixel) => this._shareAt(pixel),
      zoom: (low, high) => this.zoom(low, high),
      reset: () => this.reset(),
      hover: (x, y) => this._hover(x, y),
      leave: () => this._leave(),
    };
  }

  _shareAt(pixel) {
    if (!this._frame) return null;
    const width = this._element.clientWidth - MARGINS.left - this._frame.right;
    return width > 0 ? Math.min(1, Math.max(0, (pixel - MARGINS.left) / width)) : null;
  }

  _whole() {
    const ends = this._series.filter((one) => one.x.length).map((one) => [one.x[0], one.x[one.x.length - 1]]);
    if (!ends.length) return null;
    const low = Math.min(...ends.map((end) => end[0]));
    const high = Math.max(...ends.map((end) => end[1]));
    return high > low ? [low, high] : [low - 0.5, high + 0.5];
  }

  _setRange(range) {
    this._range = range;
    this._drawSoon();
    this._options.onRange?.(range);
  }

  _resized() {
    this._chart.resize();
    this._drawSoon();
  }

  /** Draw once, whatever changes until the next frame. */
  _drawSoon() {
    this._due ??= requestAnimationFrame(() => {
      this._due = null;
      this._draw();
    });
  }

  _draw() {
    const { smoothing, isLog } = this._options;
    const colors = this._colors();
    let left = 0;
    this._lines = this._series.map((one, i) => {
      const { x, y } = refined(one, this._fine.get(one.id) ?? null);
      const cut = visible(x, smoothed(y, smoothing), this._range, isLog);
      const raw = smoothing ? visible(x, y, this._range, isLog) : { points: [], inside: [] };
      left += cut.left;
      const dash = DASHES[i % DASHES.length];
      return {
        ...one,
        points: cut.points,
        inside: cut.inside,
        raw: raw.points,
        rawInside: raw.inside,
        color: colors.series[i % COLORS],
        dash,
      };
    });
    this._options.onNote?.(noteOf(left));
    this._frame = this._framed();
    const option = this._frame ? linesOf(this._lines, this._frame, colors) : { series: [] };
    this._chart.setOption(option, { notMerge: true });
    this._element.setAttribute("aria-label", this._described());
  }

  _framed() {
    const insides = this._lines.flatMap((line) => (line.rawInside.length ? line.rawInside : line.inside));
    const x = this._range ?? this._whole();
    const y = extent(insides.length ? insides : this._lines.flatMap((line) => line.points), 1);
    if (!x || !y) return null;
    const { isLog, xName } = this._options;
    const right = rightMargin(this._lines.length, this._element.clientWidth);
    return { x, y, isLog, xName, right };
  }

  _colors() {
    return {
      text: color("quiet"),
      rule: color("line"),
      series: Array.from({ length: COLORS }, (_, i) => color(`series-${i + 1}`)),
    };
  }

  _described() {
    const { label, xName, isLog, smoothing } = this._options;
    if (!this._frame) return `${label}: nothing to draw.`;
    const write = xName === "time" ? duration : shown;
    const names = this._lines.length > 3 ? `${this._lines.length} runs` : this._lines.map((one) => one.name).join(", ");
    const scale = isLog ? ", logarithmic" : "";
    const soft = smoothing ? `, smoothed by ${smoothing}` : "";
    const { x, y } = this._frame;
    return (
      `Chart of ${label} over ${xName} from ${write(x[0])} to ${write(x[1])}${scale}${soft}: ${names};` +
      ` values from ${shown(y[0])} to ${shown(y[1])}. Keys: plus, minus, arrows, 0 for all.`
    );
  }

  _hover(x, y) {
    const share = this._shareAt(x);
    if (share === null || x < MARGINS.left) {
      this._leave();
      return;
    }
    const [from, to] = this._frame.x;
    this._showTip(this._rowsAt(from + share * (to - from), (to - from) * GAP), y);
  }

  _rowsAt(at, gap) {
    const rows = this._lines.map((line) => ({ line, point: pointAt(line, at, gap) }));
    return rows.filter((row) => row.point);
  }

  _showTip(rows, y) {
    this._cursor.hidden = this._tip.hidden = rows.length === 0;
    if (!rows.length) return;
    const { xName, smoothing, label } = this._options;
    const write = xName === "time" ? duration : shown;
    const [px] = this._chart.convertToPixel({ xAxisIndex: 0, yAxisIndex: 0 }, rows[0].point);
    const head = document.createElement("div");
    head.className = "chart-tip-head";
    head.textContent = `${xName} ${write(rows[0].point[0])}${smoothing ? ", smoothed" : ""}`;
    this._tip.replaceChildren(head, ...rows.map(({ line, point }) => tipRow(line, point, label)));
    this._cursor.style.left = `${px}px`;
    this._cursor.style.top = `${MARGINS.top}px`;
    this._cursor.style.bottom = `${MARGINS.bottom}px`;
    const width = this._tip.offsetWidth;
    const isLeft = px + 12 + width > this._element.clientWidth;
    this._tip.style.left = `${isLeft ? Math.max(0, px - 12 - width) : px + 12}px`;
    this._tip.style.top = `${Math.max(0, Math.min(y, this._element.clientHeight - this._tip.offsetHeight))}px`;
  }

  _leave() {
    this._cursor.hidden = this._tip.hidden = true;
  }
}

/** Return the point of a line that is nearest to a place; null where the line has ended, or not begun. */
function pointAt(line, at, gap) {
  const points = line.inside;
  const i = nearest(points.map((point) => point[0]), at);
  const isBeyond = i < 0 || at < points[0][0] - gap || at > points[points.length - 1][0] + gap;
  return isBeyond ? null : points[i];
}

function noteOf(left) {
  if (!left) return "";
  return `${left} ${left === 1 ? "point is" : "points are"} not above 0, and not on the logarithmic axis.`;
}

function tipRow(line, point, label) {
  const row = document.createElement("div");
  const swatch = document.createElement("span");
  swatch.className = "chart-swatch";
  swatch.style.background = line.color;
  const name = document.createElement("span");
  name.className = "chart-tip-name";
  name.textContent = line.name || label;
  const value = document.createElement("span");
  value.className = "chart-tip-value";
  value.textContent = shown(point[1]);
  row.append(swatch, name, value);
  return row;
}
