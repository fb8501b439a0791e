/**
 * A page that keeps up with the server: it is asked for again, and the parts that have changed are replaced.
 * The server answers 304 while nothing has changed, so that a page nobody adds to costs nothing.
 */

const PART = "[data-part]";

export class PageParts {
  /**
   * @param {object} options
   * @param {number} options.milliseconds between two looks
   * @param {() => boolean} options.isWanted whether to look again
   * @param {(changed: HTMLElement[]) => void} options.onChange parts were replaced, or something else is new
   */
  constructor({ milliseconds, isWanted, onChange }) {
    this._milliseconds = milliseconds;
    this._isWanted = isWanted;
    this._onChange = onChange;
    this._version = null;
    this._known = new Map();
    for (const part of document.querySelectorAll(PART)) this._known.set(part.id, part.innerHTML);
  }

  /** Begin to look; hidden pages do not. */
  start() {
    this._later();
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.look();
    });
  }

  _later() {
    clearTimeout(this._timer);
    if (this._isWanted()) this._timer = setTimeout(() => this.look(), this._milliseconds);
  }

  /** Look once. */
  async look() {
    if (document.hidden || !this._isWanted()) return;
    try {
      const headers = this._version ? { "If-None-Match": this._version } : {};
      const answer = await fetch(location.href, { headers, cache: "no-store" });
      if (answer.status === 200) {
        const isFirst = this._version === null;
        this._version = answer.headers.get("ETag");
        const changed = this._replace(await answer.text());
        if (changed.length || !isFirst) this._onChange(changed);
      }
    } catch {
      // The server is away: the next look finds out whether it is back.
    }
    this._later();
  }

  _replace(html) {
    const page = new DOMParser().parseFromString(html, "text/html");
    const structure = (from) => from.querySelector("[data-structure]")?.dataset.structure;
    // There is something to show that there was no place for.
    if (structure(page) !== structure(document)) location.reload();
    const changed = [];
    for (const fresh of page.querySelectorAll(PART)) {
      const old = document.getElementById(fresh.id);
      if (!old || this._known.get(fresh.id) === fresh.innerHTML) continue;
      this._known.set(fresh.id, fresh.innerHTML);
      keepingPlace(old, () => old.replaceChildren(...fresh.childNodes));
      for (const { name, value } of fresh.attributes) old.setAttribute(name, value);
      changed.push(old);
    }
    return changed;
  }
}

/** Replace what is in an element; what was scrolled stays where it was, and at its end if it was there. */
function keepingPlace(element, replace) {
  const boxes = () => [element, ...element.querySelectorAll("[tabindex]")];
  const before = boxes().map((box) => ({
    top: box.scrollTop,
    left: box.scrollLeft,
    isAtEnd: box.scrollTop > 0 && box.scrollTop + box.clientHeight >= box.scrollHeight - 4,
  }));
  const focused = boxes().indexOf(document.activeElement);
  replace();
  boxes().forEach((box, i) => {
    if (!before[i]) return;
    box.scrollTop = before[i].isAtEnd ? box.scrollHeight : before[i].top;
    box.scrollLeft = before[i].left;
  });
  if (focused > 0) boxes()[focused]?.focus({ preventScroll: true });
}
