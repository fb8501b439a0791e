/** The fields of a form that hold ranges of axes: from and to for numbers, boxes for categories. */

import { around, extent, touches } from "./parallel.js";

const DIGITS = 3;

/**
 * Give the ranges that a form holds, as places on the axes.
 * @param {HTMLFormElement} form
 * @param {object} now trials and axes
 * @returns {Map<string, [number, number]>} by the key of the axis
 */
export function ranges(form, now) {
  const found = new Map();
  for (const axis of now.axes) {
    if (axis.scale === "category") {
      const chosen = boxes(form, axis).filter((box) => box.checked);
      if (chosen.length) found.set(axis.key, around(chosen.map((box) => axis.categories.indexOf(box.value))));
      continue;
    }
    const [from, to] = ends(form, axis).map((field) => field?.value ?? "");
    const [least, most] = extent(now, axis);
    if (from || to) found.set(axis.key, [from ? Number(from) : least, to ? Number(to) : most]);
  }
  return found;
}

/**
 * Write what was chosen on an axis into a form.
 * @param {HTMLFormElement} form
 * @param {import("./parallel.js").Axis} axis
 * @param {[number, number] | null} chosen nothing if the range was dropped
 * @param {[number, number]} whole the ends of the axis
 */
export function choose(form, axis, chosen, whole) {
  if (axis.scale === "category") {
    for (const box of boxes(form, axis)) {
      box.checked = chosen !== null && touches(axis.categories.indexOf(box.value), chosen);
    }
    return;
  }
  const [from, to] = ends(form, axis);
  if (!from) return; // the axis is newer than the form
  from.value = chosen && chosen[0] > whole[0] ? text(chosen[0]) : "";
  to.value = chosen && chosen[1] < whole[1] ? text(chosen[1]) : "";
}

const text = (value) => String(Number(value.toPrecision(DIGITS)));
const named = (form, name) => [...form.elements].filter((element) => element.name === name);
const ends = (form, axis) => [named(form, `least.${axis.key}`)[0], named(form, `most.${axis.key}`)[0]];
const boxes = (form, axis) => named(form, `only.${axis.key}`);
