/**
 * What hands do on a chart: drag over a range, wheel, keys, hover. It knows nothing of what is drawn.
 */

const SHORTEST_DRAG = 6; // pixels: less is a slip
const STEP = 0.2; // of the width, for one key or one notch of the wheel

/**
 * @typedef {object} Target
 * @property {(pixel: number) => number|null} at the share of the plot's width that a pixel of the
 *     element is at, from 0 to 1 (limited to that); null if nothing is drawn
 * @property {(low: number, high: number) => void} zoom show only these shares of what is shown
 * @property {() => void} reset show all
 * @property {(x: number, y: number) => void} hover
 * @property {() => void} leave
 */

/**
 * Let hands act on a target.
 * @param {HTMLElement} element focusable, and the frame of what is drawn
 * @param {Target} target
 */
export function attach(element, target) {
  const mark = element.ownerDocument.createElement("div");
  mark.className = "chart-range";
  mark.hidden = true;
  element.append(mark);
  dragging(element, mark, target);
  element.addEventListener("wheel", (event) => wheel(event, element, target), { passive: false });
  element.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const act = keys(target)[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  element.addEventListener("dblclick", () => target.reset());
}

/** @param {Target} target */
function keys(target) {
  return {
    "+": () => target.zoom(STEP, 1 - STEP),
    "=": () => target.zoom(STEP, 1 - STEP),
    "-": () => target.zoom(-STEP, 1 + STEP),
    ArrowLeft: () => target.zoom(-STEP, 1 - STEP),
    ArrowRight: () => target.zoom(STEP, 1 + STEP),
    0: () => target.reset(),
    Escape: () => target.reset(),
  };
}

/**
 * Zoom around the pointer. A wheel that only passes by scrolls the page: the chart has to have the focus, or
 * Ctrl to be held.
 */
function wheel(event, element, target) {
  const focused = element.contains(element.ownerDocument.activeElement);
  if (!(focused || event.ctrlKey || event.metaKey) || !event.deltaY) return;
  const at = target.at(place(event, element).x);
  if (at === null) return;
  event.preventDefault();
  const step = event.deltaY < 0 ? STEP : -STEP / (1 - 2 * STEP);
  target.zoom(2 * step * at, 1 - 2 * step * (1 - at));
}

function dragging(element, mark, target) {
  let from = null;
  element.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const { x } = place(event, element);
    from = target.at(x) === null ? null : x;
    if (from !== null && event.isPrimary) element.setPointerCapture(event.pointerId);
  });
  element.addEventListener("pointermove", (event) => {
    const { x, y } = place(event, element);
    if (from === null) {
      target.hover(x, y);
      return;
    }
    target.leave();
    mark.hidden = Math.abs(x - from) < SHORTEST_DRAG;
    mark.style.left = `${Math.min(x, from)}px`;
    mark.style.width = `${Math.abs(x - from)}px`;
  });
  element.addEventListener("pointerup", (event) => {
    if (from === null) return;
    const { x } = place(event, element);
    const [low, high] = [Math.min(x, from), Math.max(x, from)];
    from = null;
    mark.hidden = true;
    if (high - low >= SHORTEST_DRAG) target.zoom(target.at(low), target.at(high));
  });
  const forget = () => {
    from = null;
    mark.hidden = true;
  };
  element.addEventListener("pointercancel", forget);
  element.addEventListener("pointerleave", () => target.leave());
}

function place(event, element) {
  const box = element.getBoundingClientRect();
  return { x: event.clientX - box.left, y: event.clientY - box.top };
}
