/** Charts that follow the size of their element and the colors of the system. */

import "./echarts.min.js";
import { color, onThemeChange } from "./theme.js";

const { echarts } = globalThis;

const NAME = { fontSize: 12, fontWeight: 600 };

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
  new ResizeObserver(() => {
    const isOther = instance.getWidth() !== element.clientWidth || instance.getHeight() !== element.clientHeight;
    if (isOther) instance.resize(); // draws anew, which takes long with many lines
  }).observe(element);
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
    nameTextStyle: { color: color("ink"), ...NAME },
    splitLine: { lineStyle: { color: color("line") } },
    minorTick: { show: false },
  };
}

/**
 * Take as much out of an axis' name as makes it fit; names that begin alike end differently, so its end is kept.
 * @param {string} text
 * @param {number} room in pixels
 * @returns {string}
 */
export function fitted(text, room) {
  const pen = document.createElement("canvas").getContext("2d");
  pen.font = `${NAME.fontWeight} ${NAME.fontSize}px sans-serif`;
  const letters = [...text];
  let shown = text;
  for (let kept = letters.length - 1; kept > 1 && pen.measureText(shown).width > room; kept -= 1) {
    const head = Math.floor(kept / 3);
    shown = `${letters.slice(0, head).join("")}…${letters.slice(head - kept).join("")}`;
  }
  return shown;
}

/**
 * Give ends of an axis that read well, at or just beyond those of what it shows.
 * @param {[number, number]} ends
 * @param {"linear" | "log" | "category"} scale
 * @returns {[number, number]}
 */
export function rounded([least, most], scale) {
  if (scale === "log") {
    if (least === most) return [least / 2, most * 2];
    return [leading(least, Math.floor), leading(most, Math.ceil)];
  }
  const room = most - least || Math.abs(most) || 1;
  const step = 10 ** Math.floor(Math.log10(room)) / (room / 10 ** Math.floor(Math.log10(room)) < 4 ? 4 : 2);
  const [from, to] = [Math.floor(least / step), Math.ceil(most / step)];
  return [plain(from * step), plain((to > from ? to : from + 1) * step)];
}

/** Round a positive number to one digit. */
function leading(value, round) {
  const size = 10 ** Math.floor(Math.log10(value));
  return plain(round(plain(value / size)) * size);
}

/** Drop what binary fractions add to a number. */
function plain(value) {
  return Number(value.toPrecision(12));
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
  if (size >= 1e6 || size < 1e-3) return value.toExponential(2).replace(/\.?0+e/, "e").replace("e+", "e");
  return String(Number(value.toPrecision(4)));
}
