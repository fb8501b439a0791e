/** The colors of the style sheet, for what is drawn on a canvas; and when the system changes them. */

/**
 * Give a color of the style sheet.
 * @param {string} name of a custom property, without its dashes
 * @returns {string}
 */
export function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/**
 * Call back whenever light becomes dark, or dark light.
 * @param {() => void} changed
 */
export function onThemeChange(changed) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
}

/**
 * Give the color scale, from the best to the worst: the part of viridis that is read on this background.
 * @returns {(share: number) => string} from a share between 0, the best, and 1 to a color
 */
export function scale() {
  const stops = [0, 1, 2, 3, 4].map((number) => channels(color(`scale-${number}`)));
  return (share) => {
    const place = Math.min(1, Math.max(0, share)) * (stops.length - 1);
    const lower = Math.min(stops.length - 2, Math.floor(place));
    const mixed = stops[lower].map((one, index) =>
      Math.round(one + (stops[lower + 1][index] - one) * (place - lower)),
    );
    return `rgb(${mixed.join(",")})`;
  };
}

/**
 * @param {string} text such as "#440154"
 * @returns {number[]} red, green and blue
 */
function channels(text) {
  return [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
}
