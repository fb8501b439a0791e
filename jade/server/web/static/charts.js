/** Charts that follow the size of their element and the colors of the system. */

import "./echarts.min.js";
import { color, onThemeChange } from "./theme.js";

const { echarts } = globalThis;

/**
 * Make a chart in an element.
 * @param {HTMLElement} element
 * @param {() => object | null} describe gives ECharts' option for what is to be seen now; null for nothing yet
 * @returns {{instance: object, draw: () => void}} `draw` shows what is described anew
 */
export function chart(element, describe) {
  const instance = echarts.init(element, null, { renderer: "canvas" });
  const draw = () => {
    const option = describe();
    if (option) instance.setOption({ animation: false, ...option }, { notMerge: true });
  };
  new ResizeObserver(() => instance.resize()).observe(element);
  onThemeChange(draw);
  return { instance, draw };
}

/**
 * Give what all axes look like.
 * @returns {object} a part of ECharts' option of an axis
 */
export function axisStyle() {
  const quiet = color("quiet");
  return {
    axisLine: { show: true, lineStyle: { color: color("axis"), width: 1 } },
    axisTick: { show: true, lineStyle: { color: color("axis") } },
    axisLabel: { color: quiet, fontSize: 12, formatter: short },
    nameTextStyle: { color: color("ink"), fontSize: 12, fontWeight: 600 },
    splitLine: { lineStyle: { color: color("line") } },
    minorTick: { show: false },
  };
}

/**
 * Write a number with as few characters as tell it apart.
 * @param {number | string} value
 * @returns {string}
 */
export function short(value) {
  if (typeof value !== "number") return String(value);
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e5 || size < 1e-3) return value.toExponential(2).replace(/\.?0+e/, "e").replace("e+", "e");
  return String(Number(value.toPrecision(4)));
}
