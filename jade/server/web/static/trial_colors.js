/** The color of each trial of a sweep, and the legend that says what it means. */

import { short } from "./charts.js";
import { color, scale } from "./theme.js";

const MANY = 20;
const FAILED = new Set(["failed", "crashed"]);

/**
 * Give the color of each trial: by its place between the best and the worst of those that did not fail. Of many,
 * the worst tenth shares one color, so that one that diverged does not make all others look alike.
 * @param {object} now trials, axes, goal and metric
 * @param {HTMLElement} legend that says which value has which color
 * @returns {(trial: object) => string}
 */
export function coloring({ trials, axes, goal, metric }, legend) {
  const at = metric ? axes.length - 1 : -1;
  const place = (value) => (axes[at].scale === "log" ? Math.log(value) : value);
  const values = trials
    .filter((trial) => isJudged(trial, at))
    .map((trial) => trial.places[at])
    .sort((one, other) => (goal === "maximize" ? other - one : one - other));
  const clipped = values.length < MANY ? 0 : Math.ceil(values.length / 10);
  const [best, worst] = [values[0], values[values.length - 1 - clipped]];
  explain(legend, values.length, `best ${short(best)}`, clipped ? `${short(worst)} or worse` : `worst ${short(worst)}`);
  const shade = scale();
  const gray = color("failed");
  return (trial) => {
    if (!isJudged(trial, at)) return gray;
    return best === worst ? shade(0) : shade((place(trial.places[at]) - place(best)) / (place(worst) - place(best)));
  };
}

/** Whether a trial has a place between the best and the worst. */
function isJudged(trial, at) {
  return at >= 0 && trial.places[at] !== null && !FAILED.has(trial.state);
}

function explain(legend, count, best, worst) {
  legend.hidden = count < 2;
  legend.querySelector(".best-end").textContent = best;
  legend.querySelector(".worst").textContent = worst;
}
