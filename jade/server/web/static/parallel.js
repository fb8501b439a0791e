/** Parallel coordinates: a line for each trial, an axis for each parameter, the metric at the right. */

import { axisStyle, chart, fitted, rounded, short } from "./charts.js";
import { color } from "./theme.js";

const WIDEST = 150;
const NARROWEST = 72;
const LEFT = 64;
const RIGHT = 76;
const BETWEEN = 8; // pixels between two titles
// Trials of one category stand beside each other, the best at one end, on so much of its room.
const BAND = 0.16;
const WIDE_BAND_FROM = 40;
const RANGES_Z = 10000; // where ECharts draws them
const MANY = 500; // too many to follow the pointer

/**
 * @typedef {object} Axis
 * @property {string} key of the column
 * @property {string} title
 * @property {"linear" | "log" | "category"} scale
 * @property {string[]} categories
 */

/**
 * Draw trials in an element.
 * @param {HTMLElement} element
 * @param {() => object | null} state what is to be seen: trials, axes, colors, found, best
 * @param {(axis: Axis, ends: [number, number] | null) => void} brushed called for the range chosen on an axis
 * @returns {{instance: object, draw: () => void, show: (ranges: Map<string, [number, number]>) => void}} `show`
 *   marks the ranges that are chosen already, after `draw` has unmarked all
 */
export function parallel(element, state, brushed) {
  const made = chart(element, () => {
    const now = state();
    return now && option(now, titleRoom(element, now.axes.length));
  });
  const { instance } = made;
  instance.on("axisareaselected", (event) => {
    const now = state();
    const axis = now?.axes.find((one) => one.key === event.parallelAxisId);
    if (axis) brushed(axis, event.intervals?.length ? hull(event.intervals) : null);
  });
  instance.on("rendered", () => paintRanges(instance));
  const show = (ranges) => {
    const now = state();
    for (const [key, ends] of ranges) {
      const intervals = [inside(ends, extent(now, now.axes.find((axis) => axis.key === key)))];
      instance.dispatchAction({ type: "axisAreaSelect", parallelAxisId: key, intervals }, { silent: true });
    }
    if (ranges.size) instance.setOption({}); // else the axis that was asked last does not show its range
  };
  return { ...made, show };
}

/**
 * Say whether a range on an axis of categories reaches one of them.
 * @param {number} category its number
 * @param {[number, number]} ends
 */
export function touches(category, ends) {
  return ends[0] <= category + BAND && ends[1] >= category - BAND;
}

/**
 * Give the range that holds categories.
 * @param {number[]} categories their numbers
 * @returns {[number, number]}
 */
export function around(categories) {
  return [Math.min(...categories) - BAND, Math.max(...categories) + BAND];
}

/** ECharts paints the ranges that a script has chosen in a color of its own, and has no option for it. */
function paintRanges(instance) {
  const paint = color("accent");
  for (const shape of instance.getZr().storage.getDisplayList()) {
    const isRange = shape.type === "rect" && shape.z === RANGES_Z && !shape.invisible;
    if (isRange && shape.style.fill !== paint) shape.setStyle({ fill: paint, stroke: paint, opacity: 0.25 });
  }
}

/** @param {[number, number][]} intervals */
function hull(intervals) {
  const ends = intervals.flat();
  return [Math.min(...ends), Math.max(...ends)];
}

function inside(ends, [least, most]) {
  return [Math.max(ends[0], least), Math.min(ends[1], most)];
}

/**
 * Give the ends of an axis: those of its values, or of its categories.
 * @returns {[number, number]}
 */
export function extent(now, axis) {
  if (axis.scale === "category") return [-0.5, axis.categories.length - 0.5];
  const at = now.axes.indexOf(axis);
  const known = now.trials.map((trial) => trial.places[at]).filter((place) => place !== null);
  if (!known.length) return axis.scale === "log" ? [1, 10] : [0, 1];
  const least = known.reduce((low, one) => Math.min(low, one));
  const most = known.reduce((high, one) => Math.max(high, one));
  return rounded([least, most], axis.scale);
}

/** How many pixels a title has above an axis. */
function titleRoom(element, axes) {
  const apart = (element.clientWidth - LEFT - RIGHT) / Math.max(1, axes - 1);
  return Math.min(WIDEST, apart - BETWEEN);
}

function option(now, room) {
  const { trials, colors, found, best } = now;
  const places = spread(now);
  const item = (trial) => ({ name: trial.run, value: places.get(trial), lineStyle: { color: colors(trial) } });
  const is = (test) => trials.filter(test).map(item);
  const isFound = (trial) => !found || found.has(trial.run);
  const strength = Math.max(0.25, Math.min(0.9, 14 / Math.sqrt(trials.length)));
  const style = { type: "parallel", progressive: 0, smooth: false, emphasis: { lineStyle: { width: 4, opacity: 1 } } };
  const faint = { lineStyle: { width: 1, opacity: 0.12 }, activeOpacity: 0.12, inactiveOpacity: 0.06 };
  return {
    parallel: {
      left: LEFT,
      right: RIGHT,
      top: 52,
      bottom: 22,
      axisExpandable: false,
      parallelAxisDefault: {
        ...axisStyle(),
        z: 5,
        realtime: trials.length <= MANY,
        nameGap: 18,
        areaSelectStyle: { width: 18, borderWidth: 1, borderColor: color("accent"), color: color("accent"), opacity: 0.25 },
      },
    },
    parallelAxis: now.axes.map((axis, dim) => axisOption(now, axis, dim, room)),
    series: [
      { ...style, ...faint, id: "others", silent: true, data: is((trial) => !isFound(trial)) },
      {
        ...style,
        id: "found",
        lineStyle: { width: 1.5, opacity: strength },
        activeOpacity: Math.max(0.5, strength),
        inactiveOpacity: 0.06,
        data: is((trial) => isFound(trial) && trial.run !== best),
      },
      {
        ...style,
        id: "best",
        lineStyle: { width: 3.5, opacity: 1 },
        activeOpacity: 1,
        inactiveOpacity: 0.15,
        z: 3,
        data: is((trial) => isFound(trial) && trial.run === best),
      },
    ],
  };
}

/**
 * Give where each trial stands on each axis. Those of one category would hide each other: they are spread around
 * it, in the order of the metric.
 */
function spread(now) {
  const { trials, axes } = now;
  const last = axes.length - 1;
  const inOrder = [...trials].sort((one, other) => (one.places[last] ?? Infinity) - (other.places[last] ?? Infinity));
  const width = BAND * Math.min(1, trials.length / WIDE_BAND_FROM);
  const share = new Map(inOrder.map((trial, at) => [trial, (2 * at) / Math.max(1, trials.length - 1) - 1]));
  const place = (trial, value, axis) => (axis.scale === "category" ? value + width * share.get(trial) : value);
  return new Map(
    trials.map((trial) => [
      trial,
      trial.places.map((value, at) => (value === null ? NaN : place(trial, value, axes[at]))),
    ]),
  );
}

function axisOption(now, axis, dim, room) {
  const shared = { id: axis.key, dim, name: fitted(axis.title, room) };
  const [min, max] = extent(now, axis);
  if (axis.scale === "category") {
    const axisLabel = {
      ...label(),
      hideOverlap: false,
      customValues: axis.categories.map((_, place) => place),
      formatter: (place) => axis.categories[place] ?? "",
    };
    return { ...shared, type: "value", min, max, axisTick: { show: false }, axisLabel };
  }
  return { ...shared, type: axis.scale === "log" ? "log" : "value", min, max, axisLabel: label() };
}

/** Labels stand among the lines: a rim of the background keeps them readable. */
function label() {
  return {
    color: color("ink"),
    fontSize: 12,
    formatter: short,
    hideOverlap: true,
    textBorderColor: color("paper"),
    textBorderWidth: 4,
  };
}

/**
 * Say how wide the chart has to be, so that its axes can be told apart.
 * @param {number} axes how many there are
 * @returns {number} pixels
 */
export function leastWidth(axes) {
  return axes * NARROWEST + 60;
}
