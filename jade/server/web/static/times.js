/** Times in the reader's own time zone: the server writes them in UTC. */

const format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

/**
 * Rewrite the times within an element.
 * @param {ParentNode} within
 */
export function localize(within) {
  for (const element of within.querySelectorAll("time[datetime]")) {
    element.textContent = format.format(new Date(element.dateTime));
  }
}

localize(document);
