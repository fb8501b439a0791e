/**
 * What ECharts is told to draw for some curves. Pure functions of prepared lines and colors.
 */

import { duration, shown } from "./points.js";

export const MARGINS = { left: 58, right: 16, top: 12, bottom: 26 };
const NAMES_WIDTH = 110; // pixels at the right for the names of several lines
const NARROW = 100;
const FEWEST = 25; // with fewer points than that, each one is marked
const SYMBOLS = ["circle", "rect", "triangle", "diamond"];

/**
 * @typedef {object} Line a curve as it is drawn
 * @property {string} id
 * @property {string} name
 * @property {number[][]} points
 * @property {number[][]} raw before smoothing; none if nothing is smoothed
 * @property {string} color
 * @property {number[]|string} dash
 */

/**
 * @typedef {object} Look
 * @property {string} text color of labels
 * @property {string} rule color of the grid
 */

/**
 * @typedef {object} Frame
 * @property {[number, number]} x range that is shown
 * @property {[number, number]} y range of the points
 * @property {boolean} isLog
 * @property {string} xName "time" writes seconds as durations
 * @property {number} right margin in pixels
 */

/**
 * Return the margin at the right: several lines have their names there.
 * @param {number} count of lines
 * @param {number} width of the chart in pixels
 */
export function rightMargin(count, width) {
  return count > 1 && width > 380 ? NAMES_WIDTH : MARGINS.right;
}

/**
 * @param {Frame} frame
 * @param {Look} look
 */
function axes(frame, look) {
  const label = { color: look.text, fontSize: 11, hideOverlap: true };
  const write = frame.xName === "time" ? duration : shown;
  return {
    animation: false,
    grid: { ...MARGINS, right: frame.right },
    xAxis: {
      type: "value",
      min: frame.x[0],
      max: frame.x[1],
      axisLabel: { ...label, formatter: write, showMinLabel: null, alignMaxLabel: "right" },
      axisLine: { show: true, onZero: false, lineStyle: { color: look.rule } },
      axisTick: { show: false },
      splitLine: { show: false },
      splitNumber: 5,
    },
    yAxis: { ...heights(frame), ...upright(frame, label, look) },
  };
}

function upright({ y: [low, high], isLog }, label, look) {
  // A logarithmic axis has marks at powers of ten: where there is hardly one, its ends say where it is.
  const areEndsShown = isLog && high / low < NARROW;
  return {
    axisLabel: { ...label, formatter: shown, showMinLabel: areEndsShown, showMaxLabel: areEndsShown },
    axisTick: { show: false },
    splitLine: { lineStyle: { color: look.rule } },
    splitNumber: 5,
  };
}

/** Let the points fill the height, but for a little above and below. */
function heights({ y: [low, high], isLog }) {
  if (!isLog) {
    const spare = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
    return { type: "value", min: low - spare, max: high + spare };
  }
  const short = (value) => Number(value.toPrecision(2));
  return { type: "log", min: short(low / 1.2), max: short(high * 1.2) };
}

/**
 * Draw some lines, each with its raw points behind it and its name at its end.
 * @param {Line[]} lines
 * @param {Frame} frame
 * @param {Look} look
 */
export function linesOf(lines, frame, look) {
  const series = [];
  lines.forEach((line, i) => {
    const common = { type: "line", silent: true, clip: true, emphasis: { disabled: true } };
    const style = { color: line.color, type: line.dash };
    if (line.raw.length) {
      series.push({
        ...common,
        data: line.raw,
        showSymbol: false,
        lineStyle: { ...style, type: "solid", width: 1, opacity: 0.3 },
      });
    }
    series.push({
      ...common,
      id: line.id,
      data: line.points,
      showSymbol: line.points.length < FEWEST,
      symbol: SYMBOLS[i % SYMBOLS.length],
      symbolSize: 5,
      itemStyle: { color: line.color },
      lineStyle: { ...style, width: 2 },
      endLabel: endLabel(line, lines.length > 1 && frame.right === NAMES_WIDTH),
      labelLayout: { moveOverlap: "shiftY" },
      z: 10 - i, // the page's own run lies above those beside it
    });
  });
  return { ...axes(frame, look), series };
}

function endLabel(line, isShown) {
  return {
    show: isShown,
    formatter: () => line.name,
    color: line.color,
    width: NAMES_WIDTH - 14,
    overflow: "truncate",
    fontSize: 11,
  };
}
