/**
 * The page of a run: filters, charts, sliders, and what is new while it runs.
 */

import { applyFilters, attachFilters } from "./filters.js";
import { PageParts } from "./page_parts.js";
import { attachImages } from "./run_images.js";
import { Panels } from "./run_panels.js";
import { localize } from "./times.js";

const MILLISECONDS = 3000;

const page = document.querySelector(".run");
const here = page.dataset.here;
const panels = new Panels(document.getElementById("curves"), here);

attachFilters(page);
attachNames(document.querySelector(".run-add input[name=add]"), document.getElementById("run-names"));
scrollToEnd();
panels.load();
const loadImages = attachImages(document.getElementById("images"), here);

new PageParts({
  milliseconds: MILLISECONDS,
  isWanted: () => document.getElementById("head").dataset.live === "yes",
  onChange: async (changed) => {
    for (const part of changed) localize(part);
    applyFilters(page);
    panels.load();
    (await loadImages)();
  },
}).start();

/** Offer the names of runs that hold what is typed. */
function attachNames(box, list) {
  let asked = 0;
  box.addEventListener("input", async () => {
    const mine = (asked += 1);
    const answer = await fetch(`${here}/runs.json?${new URLSearchParams({ text: box.value })}`).catch(() => null);
    if (!answer?.ok || mine !== asked) return;
    const options = (await answer.json()).map(({ name, shown }) => {
      const option = document.createElement("option");
      option.value = name;
      option.label = shown;
      return option;
    });
    list.replaceChildren(...options);
  });
}

/** Show the newest lines of what was printed. */
function scrollToEnd() {
  const lines = document.querySelector(".run-console");
  if (lines) lines.scrollTop = lines.scrollHeight;
}
