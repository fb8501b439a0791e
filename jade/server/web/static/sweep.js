/**
 * The page of a sweep: its form and its links show their answer in place, its charts show the trials, and both
 * follow the sweep. What is chosen on an axis is written into the form; the form alone says which trials are found.
 */

import { short } from "./charts.js";
import { keepAsking, refresh } from "./live.js";
import { around, extent, leastWidth, parallel, touches } from "./parallel.js";
import { addressOf, followForm, followLinks } from "./table.js";
import { color, scale } from "./theme.js";
import { trialCurves } from "./trial_curves.js";

const MANY = 20;
const FAILED = new Set(["failed", "crashed"]);

const form = /** @type {HTMLFormElement} */ (document.getElementById("filter"));
const charts = document.getElementById("charts");
const here = charts.dataset.here;

/** What the server said last. */
const known = { query: null, trials: null, version: "", curves: new Map(), scale: "linear", heard: 0 };

charts.hidden = false; // a chart takes the size of its element when it is made
const state = () => known.trials && { ...known.trials, ...look(), curves: known.curves, scale: known.scale };
const lines = parallel(document.getElementById("parallel"), state, brushed);
const curves = trialCurves(document.getElementById("curves"), state);

/** Give how trials are colored, and which the filter finds. */
function look() {
  const { trials, goal, axes, metric } = known.trials;
  const at = metric ? axes.length - 1 : -1;
  const found = document.getElementById("table").dataset.found;
  return {
    colors: coloring(trials, at, goal, axes[at]?.scale),
    found: found ? new Set(JSON.parse(found)) : null,
    along: "iterations",
    widest: Math.max(1, ...[...known.curves.values()].map(([x]) => x[x.length - 1])),
  };
}

/**
 * Give the color of each trial: by its place between the best and the worst of those that did not fail. Of many,
 * the worst tenth shares one color, so that one that diverged does not make all others look alike.
 */
function coloring(trials, at, goal, kind) {
  const place = (value) => (kind === "log" ? Math.log(value) : value);
  const values = trials
    .filter((trial) => isJudged(trial, at))
    .map((trial) => trial.places[at])
    .sort((one, other) => (goal === "maximize" ? other - one : one - other));
  const clipped = values.length < MANY ? 0 : Math.ceil(values.length / 10);
  const [best, worst] = [values[0], values[values.length - 1 - clipped]];
  legend(best, worst, values.length, clipped);
  const width = place(worst) - place(best);
  const shade = scale();
  const gray = color("failed");
  return (trial) => {
    if (!isJudged(trial, at)) return gray;
    return shade(width ? (place(trial.places[at]) - place(best)) / width : 0);
  };
}

/** Whether a trial has a place between the best and the worst. */
function isJudged(trial, at) {
  return at >= 0 && trial.places[at] !== null && !FAILED.has(trial.state);
}

function legend(best, worst, count, clipped) {
  const box = charts.querySelector(".scale");
  box.hidden = count < 2;
  if (count < 2) return;
  box.querySelector(".best-end").textContent = `best ${short(best)}`;
  box.querySelector(".worst").textContent = clipped ? `${short(worst)} or worse` : `worst ${short(worst)}`;
}

let shown = "";

/** Give what is chosen of the trials, as a text that two choices share only if they are the same. */
function choice() {
  return JSON.stringify([document.getElementById("table").dataset.found, known.trials && [...ranges()]]);
}

/** Draw both charts, and say in words what they show. */
function draw() {
  charts.hidden = !known.trials?.trials.length;
  if (charts.hidden) return;
  shown = choice();
  const { axes, trials, metric } = known.trials;
  document.getElementById("curves-title").textContent = `${metric || "Metric"} over time`;
  const box = document.getElementById("parallel");
  box.style.minWidth = `${leastWidth(axes.length)}px`;
  const count = `${trials.length} trial${trials.length === 1 ? "" : "s"}`;
  box.setAttribute(
    "aria-label",
    `Parallel coordinates of ${count} over ${axes.map((axis) => axis.title).join(", ")}. The table below holds the same.`,
  );
  document
    .getElementById("curves")
    .setAttribute("aria-label", `${metric} over time of ${count}. The table below holds their last and best values.`);
  lines.draw();
  curves.draw();
  lines.show(ranges());
}

/** Give the ranges that the form holds, as places on the axes. */
function ranges() {
  const found = new Map();
  for (const axis of known.trials.axes) {
    const [least, most] = extent(known.trials, axis);
    if (axis.scale === "category") {
      const chosen = checked(axis).map((text) => axis.categories.indexOf(text));
      if (chosen.length) found.set(axis.key, around(chosen));
      continue;
    }
    const [from, to] = ends(axis).map((field) => field?.value ?? "");
    if (from || to) found.set(axis.key, [from ? Number(from) : least, to ? Number(to) : most]);
  }
  return found;
}

const named = (name) => [...form.elements].filter((element) => element.name === name);
const ends = (axis) => [named(`least.${axis.key}`)[0], named(`most.${axis.key}`)[0]];
const checked = (axis) =>
  named(`only.${axis.key}`)
    .filter((box) => box.checked)
    .map((box) => box.value);

/** Write what was chosen on an axis into the form. */
function brushed(axis, chosen) {
  if (axis.scale === "category") {
    for (const box of named(`only.${axis.key}`)) {
      box.checked = chosen !== null && touches(axis.categories.indexOf(box.value), chosen);
    }
  } else {
    const [least, most] = extent(known.trials, axis);
    const [from, to] = ends(axis);
    if (!from) return;
    from.value = chosen && chosen[0] > least ? String(Number(chosen[0].toPrecision(3))) : "";
    to.value = chosen && chosen[1] < most ? String(Number(chosen[1].toPrecision(3))) : "";
  }
  changed();
}

/** @type {import("./table.js").Go} */
async function go(to, remember) {
  history[remember](null, "", to);
  try {
    await refresh(to, true);
    if (!(await load()) && choice() !== shown) draw();
  } catch {
    location.assign(to);
  }
}

let newest = 0;

/**
 * Ask for what the charts draw; of curves, only those that have grown.
 * @returns {Promise<boolean>} whether it was drawn
 */
async function load() {
  const number = ++newest;
  const query = new URLSearchParams([...new FormData(form)].filter(([name]) => ["metric", "goal"].includes(name)));
  const isSame = known.query === String(query);
  const [trials, grown] = await Promise.all([
    json(`${here}/trials.json?${query}`),
    json(`${here}/curves.json?${query}&since=${isSame ? known.heard : 0}`),
  ]);
  if (number !== newest) return false;
  const before = isSame ? known.curves : new Map();
  const news = Object.entries(grown.value.curves).filter(([run, curve]) => !isEqual(before.get(run), curve));
  if (isSame && trials.version === known.version && !news.length) return false;
  const present = new Set(trials.value.trials.map((trial) => trial.run));
  Object.assign(known, {
    query: String(query),
    trials: trials.value,
    version: trials.version,
    curves: new Map([...before, ...news].filter(([run]) => present.has(run))),
    scale: grown.value.scale,
    heard: grown.value.heard,
  });
  draw();
  return true;
}

/** Whether two curves are the same: they only grow, or begin anew. */
function isEqual(one, other) {
  return one !== undefined && JSON.stringify(one) === JSON.stringify(other);
}

async function json(from) {
  const response = await fetch(from, { cache: "no-cache" });
  if (!response.ok) throw new Error(`The server answers ${response.status}.`);
  return { value: await response.json(), version: response.headers.get("etag") };
}

/** Let one trial stand out in the charts, the table and the line above the curves. */
function point(run) {
  for (const chart of [lines.instance, curves.instance]) {
    chart.dispatchAction({ type: "downplay" });
    if (run) chart.dispatchAction({ type: "highlight", name: run });
  }
  for (const row of document.querySelectorAll("#table tr[data-key]")) {
    row.classList.toggle("pointed", row.dataset.key === run);
  }
  const trial = run && known.trials.trials.find((one) => one.run === run);
  document.getElementById("readout").textContent = trial ? describe(trial) : "";
}

function describe(trial) {
  const values = known.trials.axes.map((axis, at) => {
    const place = trial.places[at];
    if (place === null) return null;
    return `${axis.title} ${axis.scale === "category" ? axis.categories[place] : short(place)}`;
  });
  return [trial.name, ...values.filter(Boolean)].join(" · ");
}

for (const { instance } of [lines, curves]) {
  instance.on("mouseover", (event) => event.name && point(event.name));
  instance.on("mouseout", () => point(null));
  instance.on("click", (event) => {
    const trial = known.trials.trials.find((one) => one.run === event.name);
    if (trial?.address) location.assign(trial.address);
  });
}
document.addEventListener("mouseover", (event) => {
  const row = event.target.closest?.("#table tr[data-key]");
  if (row && !row.classList.contains("pointed")) point(row.dataset.key);
});
document.addEventListener("mouseout", (event) => {
  if (event.target.closest?.("#table tr[data-key]") && !event.relatedTarget?.closest?.("#table tr[data-key]")) point(null);
});
const changed = followForm(form, () => addressOf(form), go);
followLinks(form, go);
document.getElementById("clear").addEventListener("click", (event) => {
  event.preventDefault();
  for (const field of form.elements) {
    if (/^(least|most)\.|^q$/.test(field.name)) field.value = "";
    if (field.type === "checkbox") field.checked = false;
  }
  go(addressOf(form), "pushState");
});

await load().catch(() => {}); // asked again below
keepAsking(async () => {
  await refresh(location.href);
  await load();
});
