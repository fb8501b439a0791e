/**
 * The page of a sweep: its form and its links show their answer in place, its charts show the trials, and both
 * follow the sweep. What is chosen on an axis is written into the form; the form alone says which trials are found.
 */

import { short } from "./charts.js";
import { keepAsking, refresh } from "./live.js";
import { extent, leastWidth, parallel } from "./parallel.js";
import { choose, ranges } from "./ranges.js";
import { addressOf, followForm, followLinks, remember } from "./table.js";
import { coloring } from "./trial_colors.js";
import { trialCurves } from "./trial_curves.js";

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
  const found = document.getElementById("table").dataset.found;
  return {
    colors: coloring(known.trials, charts.querySelector(".scale")),
    found: found ? new Set(JSON.parse(found)) : null,
    along: "iterations, or steps",
    widest: Math.max(1, ...[...known.curves.values()].map(([x]) => x[x.length - 1])),
  };
}

let shown = "";

/** Give what is chosen of the trials, as a text that two choices share only if they are the same. */
function choice() {
  return JSON.stringify([document.getElementById("table").dataset.found, known.trials && [...ranges(form, known.trials)]]);
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
  lines.show(ranges(form, known.trials));
}

/** Write what was chosen on an axis into the form. */
function brushed(axis, chosen) {
  choose(form, axis, chosen, extent(known.trials, axis));
  changed();
}

/** @type {import("./table.js").Go} */
async function go(to, how) {
  remember(to, how);
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
  const trial = run && known.trials?.trials.find((one) => one.run === run);
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
