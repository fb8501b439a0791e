/** The form above a table and the links within it, so that they change the page without loading it anew. */

const TYPING_MS = 250;

/**
 * @callback Go shows an address in this page
 * @param {string} to
 * @param {"pushState" | "replaceState"} how the browser's history notes it
 * @returns {Promise<void>}
 */

const asked = () => location.pathname + location.search;
let shown = asked();

/**
 * Write into the browser's history what the page shows now.
 * @param {string} to
 * @param {"pushState" | "replaceState"} how
 */
export function remember(to, how) {
  history[how](null, "", to);
  shown = asked();
}

/**
 * Give the address that a form stands for, without what is empty or goes without saying.
 * @param {HTMLFormElement} form
 * @returns {string}
 */
export function addressOf(form) {
  const usual = (name) => form.elements.namedItem(name)?.dataset?.usual ?? "";
  const given = [...new FormData(form)].filter(([name, value]) => value !== "" && value !== usual(name));
  const here = form.getAttribute("action");
  return given.length ? `${here}?${new URLSearchParams(given)}` : here;
}

/**
 * Follow what is typed and chosen in a form.
 * @param {HTMLFormElement} form
 * @param {() => string} address that it stands for
 * @param {Go} go
 * @returns {() => void} what to call when a script has changed the form
 */
export function followForm(form, address, go) {
  let waiting;
  const changed = () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => go(address(), "replaceState"), TYPING_MS);
  };
  document.documentElement.classList.add("scripted");
  form.addEventListener("input", changed);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(waiting);
    go(address(), "pushState");
  });
  addEventListener("popstate", () => {
    if (asked() !== shown) location.reload(); // else it is a link to a place on this page
  });
  return changed;
}

/**
 * Follow the links that sort the table and turn its pages.
 * @param {HTMLFormElement} form that keeps the order
 * @param {Go} go
 */
export function followLinks(form, go) {
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("#table thead a, #table .pager a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const query = new URL(link.href).searchParams;
    for (const name of ["sort", "order"]) form.elements.namedItem(name).value = query.get(name) ?? "";
    go(link.href, "pushState");
  });
}
