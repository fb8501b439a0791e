/**
 * Images by step: a slider through the steps at which something was logged under a key.
 */

import { shown } from "./points.js";

export class Images {
  /**
   * @param {HTMLElement|null} section with a figure for each key; null if there are no images
   * @param {string} here address of the run
   */
  constructor(section, here) {
    this._here = here;
    const figures = section ? [...section.querySelectorAll(".run-images")] : [];
    this._sliders = new Map(figures.map((figure) => [figure.dataset.key, new Slider(figure)]));
  }

  /** Ask which steps there are, and put sliders into the place of the forms that ask the server. */
  async load() {
    if (!this._sliders.size) return;
    const answer = await fetch(`${this._here}/images.json`, { cache: "no-cache" }).catch(() => null);
    if (!answer?.ok) return;
    for (const { key, steps } of await answer.json()) this._sliders.get(key)?.show(steps);
  }
}

class Slider {
  constructor(figure) {
    this._figure = figure;
    this._pictures = figure.querySelector(".run-pictures");
    this._steps = [];
    this._place = 0;
  }

  /** Show these steps: as before the same one, or the last one if it was the last before. */
  show(steps) {
    const wasLast = this._place === this._steps.length - 1;
    const isFirst = this._steps.length === 0;
    this._steps = steps;
    if (isFirst) this._make();
    this._range.max = steps.length - 1;
    this._figure.classList.toggle("is-single", steps.length < 2);
    if (isFirst) this._place = this._placeOf(Number(this._number.value));
    else if (wasLast) this._place = steps.length - 1;
    this._draw();
  }

  _make() {
    const form = this._figure.querySelector("form");
    this._number = form.querySelector("input");
    this._range = document.createElement("input");
    this._range.type = "range";
    this._range.min = 0;
    this._range.step = 1;
    this._range.setAttribute("aria-label", `Step of ${this._figure.dataset.key}`);
    form.prepend(this._range);
    form.querySelector("button").hidden = true;
    form.addEventListener("submit", (event) => event.preventDefault());
    this._range.addEventListener("input", () => this._go(Number(this._range.value)));
    this._number.addEventListener("change", () => this._go(this._placeOf(Number(this._number.value))));
  }

  /** Return the last step that is not after an iteration. */
  _placeOf(at) {
    let place = 0;
    this._steps.forEach((step, i) => {
      if (step.at <= at) place = i;
    });
    return place;
  }

  _go(place) {
    this._place = place;
    this._draw();
  }

  _draw() {
    const step = this._steps[this._place];
    const key = this._figure.dataset.key;
    this._range.value = this._place;
    this._range.setAttribute("aria-valuetext", `iteration ${shown(step.at)}`);
    this._number.value = step.at;
    const old = [...this._pictures.children];
    step.images.forEach((image, i) => {
      const part = step.images.length > 1 ? `, image ${i + 1} of ${step.images.length}` : "";
      const caption = image.caption ? `: ${image.caption}` : "";
      // A picture is changed in place: the page does not jump while the next one is on its way.
      const link = old[i] ?? this._pictures.appendChild(emptyPicture());
      const picture = link.querySelector("img");
      link.href = image.src;
      if (picture.getAttribute("src") !== image.src) picture.src = image.src;
      picture.alt = `${key} at iteration ${shown(step.at)}${part}${caption}`;
      link.querySelector("span").textContent = image.caption;
    });
    old.slice(step.images.length).forEach((link) => link.remove());
  }
}

function emptyPicture() {
  const link = document.createElement("a");
  link.append(document.createElement("img"), document.createElement("span"));
  return link;
}
