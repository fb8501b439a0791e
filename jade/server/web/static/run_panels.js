/**
 * The charts of a run's page: what is drawn of which runs, and what is asked of the server for it.
 */

import { Panel } from "./curves.js";

const AT_ONCE = 12; // metrics whose curves are asked for in one request
const WHOLE = 127; // points: of a curve that has more, the server may have left some out
const REST_MS = 150;
const SETTINGS = "jade.curves";

export class Panels {
  /**
   * @param {HTMLElement} section that holds the figures and the tools
   * @param {string} here address of the run
   */
  constructor(section, here) {
    this._here = here;
    this._runs = [...section.querySelectorAll(".run-legend [data-run]")].map((one) => ({
      id: one.dataset.run,
      name: one.dataset.name,
    }));
    this._figures = [...section.querySelectorAll(".run-panel")];
    this._drawn = new Map();
    this._tools = section.querySelector("#curve-tools");
    this._detail = new Map();
    this._turn = Promise.resolve();
    if (this._tools) this._attachTools();
    for (const more of section.querySelectorAll("details")) {
      more.addEventListener("toggle", () => more.open && this.load());
    }
  }

  /** Ask for the curves of all figures that can be seen, and draw them. */
  async load() {
    const seen = this._figures.filter((figure) => figure.closest("details")?.open ?? true);
    for (let i = 0; i < seen.length; i += AT_ONCE) {
      const some = seen.slice(i, i + AT_ONCE);
      const axis = this._axis();
      const curves = await this._ask(some.map((figure) => figure.dataset.key), axis);
      if (curves && axis === this._axis()) some.forEach((figure) => this._show(figure, curves[figure.dataset.key] ?? {}));
    }
  }

  async _ask(keys, axis, range) {
    const query = new URLSearchParams({ axis });
    for (const key of keys) query.append("key", key);
    for (const run of this._runs.slice(1)) query.append("with", run.id);
    if (range) {
      query.set("from", range[0]);
      query.set("to", range[1]);
    }
    try {
      const answer = await fetch(`${this._here}/curve.json?${query}`, { cache: "no-cache" });
      return answer.ok ? (await answer.json()).curves : null;
    } catch {
      return null; // the server is away: what is drawn stays
    }
  }

  _show(figure, found) {
    const key = figure.dataset.key;
    const series = this._runs.map((run) => ({ ...run, ...(found[run.id] ?? { x: [], y: [] }) }));
    if (!this._drawn.has(key)) this._drawn.set(key, this._made(figure));
    const panel = this._drawn.get(key);
    panel.show(series);
    // Once: what is added later is drawn as it comes.
    if (!this._detail.has(key) && series.some((one) => one.x.length > WHOLE)) {
      this._detail.set(key, null);
      whenSeen(figure, () => this._lookInTurn(key, wholeOf(series)));
    }
  }

  _made(figure) {
    const key = figure.dataset.key;
    const note = figure.querySelector(".run-note");
    const panel = new Panel(figure.querySelector(".run-chart"), {
      ...this._settings(),
      label: key,
      onNote: (text) => {
        if (note.textContent !== text) note.textContent = text;
      },
      onRange: (range) => {
        figure.classList.toggle("is-zoomed", range !== null);
        if (range) this._look(key, range);
      },
    });
    const acts = { in: () => panel.zoom(0.2, 0.8), out: () => panel.zoom(-0.3, 1.3), all: () => panel.reset() };
    const zoom = figure.querySelector(".run-zoom");
    zoom.hidden = false;
    for (const button of zoom.children) button.addEventListener("click", acts[button.dataset.act]);
    return panel;
  }

  /** Read a range in full, once the hand rests: the newest wish of each chart counts. */
  _look(key, range) {
    const wish = Symbol(key);
    this._detail.set(key, wish);
    setTimeout(() => this._read(key, range, wish), REST_MS);
  }

  /** Read whole curves in full, one after the other: the server has others to answer as well. */
  _lookInTurn(key, range) {
    if (this._detail.get(key) !== null) return; // it was zoomed meanwhile
    const wish = Symbol(key);
    this._detail.set(key, wish);
    this._turn = this._turn.then(() => this._read(key, range, wish));
  }

  async _read(key, range, wish) {
    if (this._detail.get(key) !== wish) return;
    const axis = this._axis();
    const found = (await this._ask([key], axis, range))?.[key];
    if (found && axis === this._axis() && this._detail.get(key) === wish) {
      this._drawn.get(key).refine(new Map(Object.entries(found)));
    }
  }

  _axis() {
    return this._tools?.elements.axis.value ?? "iterations";
  }

  _settings() {
    const { smoothing, log, axis } = this._tools.elements;
    return { smoothing: Number(smoothing.value), isLog: log.checked, xName: axis.selectedOptions[0].text };
  }

  _attachTools() {
    this._tools.hidden = false;
    const { smoothing, log, axis, smoothed } = this._tools.elements;
    const kept = JSON.parse(sessionStorage.getItem(SETTINGS) ?? "{}");
    if (kept.smoothing) smoothing.value = kept.smoothing;
    log.checked = Boolean(kept.log);
    if ([...axis.options].some((option) => option.value === kept.axis)) axis.value = kept.axis;
    const apply = () => {
      smoothed.textContent = smoothing.value;
      const settings = { smoothing: smoothing.value, log: log.checked, axis: axis.value };
      sessionStorage.setItem(SETTINGS, JSON.stringify(settings));
      for (const panel of this._drawn.values()) panel.set(this._settings());
    };
    smoothed.textContent = smoothing.value;
    this._tools.addEventListener("submit", (event) => event.preventDefault());
    smoothing.addEventListener("input", apply);
    log.addEventListener("change", apply);
    axis.addEventListener("change", () => {
      this._detail.clear();
      for (const panel of this._drawn.values()) panel.forget();
      apply();
      this.load();
    });
  }
}

/** Call back once, when an element comes into view. */
function whenSeen(element, act) {
  const observer = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    act();
  });
  observer.observe(element);
}

function wholeOf(series) {
  const x = series.flatMap((one) => (one.x.length ? [one.x[0], one.x[one.x.length - 1]] : []));
  return [Math.min(...x), Math.max(...x)];
}
