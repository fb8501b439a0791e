/**
 * Boxes that filter what is on the page as one types; without a script they ask the server.
 *
 *     <input type="search" data-filters="#list"> … <ul id="list"><li data-text="…">
 */

/** @param {ParentNode} within */
export function attachFilters(within) {
  for (const box of within.querySelectorAll("input[data-filters]")) {
    box.addEventListener("input", () => filter(box));
    box.form?.addEventListener("submit", (event) => event.preventDefault());
  }
}

/**
 * Filter again what a box filters, since it was replaced.
 * @param {ParentNode} within
 */
export function applyFilters(within) {
  for (const box of within.querySelectorAll("input[data-filters]")) if (box.value) filter(box);
}

/** Show the entries that hold each word; a group without any is hidden. */
function filter(box) {
  const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
  let found = 0;
  for (const list of document.querySelectorAll(box.dataset.filters)) {
    for (const entry of list.querySelectorAll("[data-text]")) {
      const text = entry.dataset.text.toLowerCase();
      entry.hidden = !words.every((word) => text.includes(word));
      found += entry.hidden ? 0 : 1;
    }
    for (const group of list.querySelectorAll(".run-group")) {
      group.hidden = !group.querySelector("[data-text]:not([hidden])");
    }
  }
  const count = document.querySelector(`[data-counts="${CSS.escape(box.dataset.filters)}"]`);
  if (count) count.textContent = words.length ? `${found} found` : "";
}
