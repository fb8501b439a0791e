/**
 * Points of curves: smoothed, cut to a range, found. Pure functions, without a page or a chart.
 */

/**
 * Smooth values exponentially, without the bias towards 0 of the first ones, as TensorBoard does.
 * @param {number[]} values
 * @param {number} weight of what was before, from 0 (nothing changes) to below 1
 * @returns {number[]}
 */
export function smoothed(values, weight) {
  if (!(weight > 0)) return values;
  const result = new Array(values.length);
  let mean = 0;
  let left = 1;
  for (let i = 0; i < values.length; i += 1) {
    mean = mean * weight + (1 - weight) * values[i];
    left *= weight;
    result[i] = mean / (1 - left);
  }
  return result;
}

/**
 * Return the points inside a range, and those where the line crosses its edges.
 * @param {number[]} x in order
 * @param {number[]} y
 * @param {[number, number]|null} range null for all
 * @param {boolean} isLog leave out what has no logarithm
 * @returns {{points: number[][], inside: number[][], left: number}} `inside` are without the crossings;
 *     `left` says how many were left out
 */
export function visible(x, y, range, isLog) {
  const [low, high] = range ?? [-Infinity, Infinity];
  const points = [];
  const inside = [];
  let left = 0;
  let before = null;
  for (let i = 0; i < x.length; i += 1) {
    const point = [x[i], y[i]];
    const isIn = x[i] >= low && x[i] <= high;
    if (isLog && !(y[i] > 0)) {
      left += isIn ? 1 : 0;
      continue;
    }
    for (const edge of [low, high]) {
      if (before && before[0] < edge && edge < x[i]) points.push(crossing(before, point, edge, isLog));
    }
    if (isIn) {
      points.push(point);
      inside.push(point);
    }
    before = point;
  }
  return { points, inside, left };
}

function crossing(before, after, at, isLog) {
  const share = (at - before[0]) / (after[0] - before[0]);
  const [from, to] = isLog ? [Math.log(before[1]), Math.log(after[1])] : [before[1], after[1]];
  const value = from + share * (to - from);
  return [at, isLog ? Math.exp(value) : value];
}

/**
 * Return the index of the point that is nearest to a place on the x axis; -1 if there is none.
 * @param {number[]} x in order
 * @param {number} at
 */
export function nearest(x, at) {
  if (!x.length) return -1;
  let low = 0;
  let high = x.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (x[middle] < at) low = middle;
    else high = middle;
  }
  return Math.abs(x[low] - at) <= Math.abs(x[high] - at) ? low : high;
}

/**
 * Return a curve in which the points of a range are replaced by those that were read in full.
 * @param {{x: number[], y: number[]}} coarse
 * @param {{x: number[], y: number[]}|null} fine
 * @returns {{x: number[], y: number[]}}
 */
export function refined(coarse, fine) {
  if (!fine || !fine.x.length) return coarse;
  const first = fine.x[0];
  const last = fine.x[fine.x.length - 1];
  const x = [];
  const y = [];
  const take = (points, isWanted) => {
    points.x.forEach((at, i) => {
      if (!isWanted(at)) return;
      x.push(at);
      y.push(points.y[i]);
    });
  };
  take(coarse, (at) => at < first);
  take(fine, () => true);
  take(coarse, (at) => at > last);
  return { x, y };
}

/**
 * Return the smallest and the largest number of some points; null if there is none.
 * @param {number[][]} points
 * @param {number} axis 0 for x, 1 for y
 * @returns {[number, number]|null}
 */
export function extent(points, axis) {
  let low = Infinity;
  let high = -Infinity;
  for (const point of points) {
    low = Math.min(low, point[axis]);
    high = Math.max(high, point[axis]);
  }
  return low <= high ? [low, high] : null;
}

/**
 * Write a number as people read it: four digits that count.
 * @param {number} value
 */
export function shown(value) {
  if (!Number.isFinite(value)) return String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return String(value);
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) {
    return value.toExponential(2).replace(/\.?0+e/, "e").replace("e+", "e");
  }
  return String(Number(value.toPrecision(4)));
}

/**
 * Write seconds as a duration.
 * @param {number} seconds
 */
export function duration(seconds) {
  const whole = Math.abs(seconds);
  if (whole < 60) return `${shown(seconds)} s`;
  const two = (number) => String(Math.floor(number)).padStart(2, "0");
  const minutes = `${Math.floor(whole / 60) % 60}`;
  if (whole < 3600) return `${minutes}:${two(whole % 60)} min`;
  return `${Math.floor(whole / 3600)}:${two((whole / 60) % 60)} h`;
}
