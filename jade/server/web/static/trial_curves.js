/** The metric over time: a line for each trial. */

import { axisStyle, chart, rounded } from "./charts.js";
import { color } from "./theme.js";

/**
 * Draw the curves of trials in an element.
 * @param {HTMLElement} element
 * @param {() => object | null} state what is to be seen: trials, curves, scale, metric, colors, found, best
 * @returns {{instance: object, draw: () => void}}
 */
export function trialCurves(element, state) {
  return chart(element, () => {
    const now = state();
    return now && option(now);
  });
}

function option(now) {
  const drawn = now.trials.filter((trial) => now.curves.has(trial.run));
  const ends = bounds(drawn.map((trial) => now.curves.get(trial.run)), now.scale);
  const strength = Math.max(0.25, Math.min(0.9, 14 / Math.sqrt(drawn.length || 1)));
  const isFound = (trial) => !now.found || now.found.has(trial.run);
  const line = (trial) => lineOf(now, trial, isFound(trial), strength);
  const order = (trial) => (trial.run === now.best ? 2 : isFound(trial) ? 1 : 0);
  return {
    grid: { left: 64, right: 24, top: 14, bottom: 42, containLabel: false },
    xAxis: { ...axisStyle(), type: "value", min: ends.x[0], max: ends.x[1], name: now.along, nameLocation: "middle", nameGap: 28 },
    yAxis: { ...axisStyle(), type: now.scale === "log" ? "log" : "value", min: ends.y[0], max: ends.y[1], minorSplitLine: { show: false } },
    series: [
      {
        type: "lines",
        coordinateSystem: "cartesian2d",
        polyline: true,
        clip: true,
        progressive: 0,
        emphasis: { lineStyle: { width: 4, opacity: 1 } },
        data: [...drawn].sort((one, other) => order(one) - order(other)).map(line),
      },
    ],
  };
}

function lineOf(now, trial, isFound, strength) {
  const [x, y] = now.curves.get(trial.run);
  const isBest = trial.run === now.best;
  return {
    name: trial.run,
    coords: x.length > 1 ? x.map((at, index) => [at, y[index]]) : dash(x[0], y[0], now.widest),
    lineStyle: {
      color: isFound ? now.colors(trial) : color("quiet"),
      width: isBest ? 3.5 : 1.5,
      opacity: isBest && isFound ? 1 : isFound ? strength : 0.1,
    },
  };
}

/** One point alone is a short dash. */
function dash(x, y, widest) {
  return [
    [x, y],
    [x + widest / 100, y],
  ];
}

/**
 * Give the ends of both axes.
 * @param {[number[], number[]][]} curves
 * @param {string} scale
 */
function bounds(curves, scale) {
  const [x, y] = [0, 1].map((at) => ends(curves.map((curve) => curve[at])));
  return { x: rounded(x, "linear"), y: rounded(y, scale) };
}

/** @param {number[][]} lists */
function ends(lists) {
  let [least, most] = [Infinity, -Infinity];
  for (const list of lists) {
    for (const value of list) {
      if (value < least) least = value;
      if (value > most) most = value;
    }
  }
  if (least === Infinity) return [0, 1];
  return least < most ? [least, most] : [least, least + 1];
}
