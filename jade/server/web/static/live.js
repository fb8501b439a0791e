/**
 * A page that keeps itself up to date. It asks the server for itself, and takes over the elements that carry
 * `data-live`; the server answers in two bytes when nothing has changed.
 */

import { localize } from "./times.js";

const SECONDS = 3;
const MOST_SECONDS = 30;
const FOCUSABLE = "a[href], button, input, select, summary, [tabindex]";

const AWAY = "The server does not answer. What you see may be old; the page tries again.";
const GONE = "This is not on the server any more. What you see is the last of it.";
const NOT_FOUND = 404;

class Gone extends Error {}

let shown = "";
let newest = 0;

/**
 * Show what an address of this page shows.
 * @param {string} address
 * @param {boolean} [isForced] also when the address gives what is shown already
 * @returns {Promise<Document | null>} the page; null if nothing has changed, or somebody has asked for more since
 */
export async function refresh(address, isForced = false) {
  const number = ++newest;
  const response = await fetch(address, { cache: "no-cache", headers: { Accept: "text/html" } });
  if (response.status === NOT_FOUND) throw new Gone(address);
  if (!response.ok) throw new Error(`The server answers ${response.status}.`);
  const version = `${address} ${response.headers.get("etag")}`;
  if (number !== newest || (version === shown && !isForced)) return null;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  if (number !== newest) return null;
  shown = version;
  for (const element of document.querySelectorAll("[data-live]")) {
    const next = page.getElementById(element.id);
    if (next && !isInUse(element)) take(element, next);
  }
  return page;
}

/**
 * Ask again and again, more slowly while the server does not answer; not while the page is hidden.
 * @param {() => Promise<void>} ask
 */
export function keepAsking(ask) {
  let wait = SECONDS;
  const next = async () => {
    if (!document.hidden) {
      try {
        await ask();
        wait = SECONDS;
        tell("");
      } catch (error) {
        wait = Math.min(MOST_SECONDS, wait * 2);
        tell(error instanceof Gone ? GONE : AWAY);
      }
    }
    setTimeout(next, wait * 1000);
  };
  document.addEventListener("visibilitychange", () => document.hidden || ask().catch(() => {}));
  setTimeout(next, wait * 1000);
}

/** @param {Element} element */
function isInUse(element) {
  return element.contains(document.activeElement) && document.activeElement.matches("input:not([type=checkbox]), select, textarea");
}

/**
 * Put what the server sent in the place of an element, and leave focus and scrolling where they are.
 * @param {Element} element
 * @param {Element} next
 */
function take(element, next) {
  if (element.isEqualNode(next)) return;
  const boxes = [...element.querySelectorAll(".scroll")].map((box) => [box.scrollLeft, box.scrollTop]);
  const opened = [...element.querySelectorAll("details")].map((one) => one.open);
  const ticked = new Set([...element.querySelectorAll("input:checked")].map((box) => box.value));
  const focused = [...element.querySelectorAll(FOCUSABLE)].indexOf(document.activeElement);
  const taken = document.importNode(next, true);
  localize(taken);
  element.replaceWith(taken);
  taken.querySelectorAll(".scroll").forEach((box, at) => boxes[at] && box.scrollTo(...boxes[at]));
  taken.querySelectorAll("details").forEach((one, at) => (one.open = opened[at] ?? one.open));
  for (const box of taken.querySelectorAll("input[type=checkbox]")) box.checked = ticked.has(box.value);
  if (focused >= 0) taken.querySelectorAll(FOCUSABLE)[focused]?.focus({ preventScroll: true });
}

/** @param {string} text */
function tell(text) {
  const place = document.getElementById("news");
  if (place.textContent !== text) place.textContent = text;
}
