/**
 * The page of a run: filters, charts, sliders, and what is new while it runs.
 */

import { applyFilters, attachFilters } from "./filters.js";
import { keepAsking, refresh } from "./live.js";
import { Images } from "./run_images.js";
import { Panels } from "./run_panels.js";

const page = document.querySelector(".run");
const here = page.dataset.here;
const panels = new Panels(document.getElementById("curves"), here);
const images = new Images(document.getElementById("images"), here);

document.documentElement.classList.add("scripted");
attachFilters(page);
attachNames(document.querySelector(".run-add input[name=add]"), document.getElementById("run-names"));
toEnd();
panels.load();
images.load();
keepAsking(follow);

/** Take over what is new of a run that runs, and once more when it has ended. */
async function follow() {
  if (document.getElementById("head").dataset.running === "no") return;
  const wasAtEnd = isAtEnd();
  const fresh = await refresh(location.href);
  if (!fresh) return;
  // There is something to show that there was no place for.
  if (fresh.querySelector(".run").dataset.structure !== page.dataset.structure) location.reload();
  if (wasAtEnd) toEnd();
  applyFilters(page);
  await Promise.all([panels.load(), images.load()]);
}

function isAtEnd() {
  const lines = document.querySelector(".run-console");
  return !lines || lines.scrollTop + lines.clientHeight >= lines.scrollHeight - 4;
}

/** Show the newest lines of what was printed. */
function toEnd() {
  const lines = document.querySelector(".run-console");
  if (lines) lines.scrollTop = lines.scrollHeight;
}

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
