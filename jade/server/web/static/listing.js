/** A page with one table: its filter and its links show their answer in place, and it keeps itself up to date. */

import { keepAsking, refresh } from "./live.js";
import { addressOf, followForm, followLinks, remember } from "./table.js";

const form = /** @type {HTMLFormElement} */ (document.getElementById("filter"));

/** @type {import("./table.js").Go} */
async function go(to, how) {
  remember(to, how);
  try {
    await refresh(to, true);
  } catch {
    location.assign(to);
  }
}

followForm(form, () => addressOf(form), go);
followLinks(form, go);
keepAsking(async () => {
  await refresh(location.href);
});
