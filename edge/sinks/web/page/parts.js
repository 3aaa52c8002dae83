// Small parts of the page. Text is always text: nothing that comes from the runner is ever read as HTML.

export const byId = (id) => document.getElementById(id);

export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  const { data = {}, ...rest } = properties;
  Object.assign(made, rest);
  Object.assign(made.dataset, data);
  made.append(...children);
  return made;
}

// Setting the same text again would make a screen reader say it again.
export function say(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

export const percent = (share) => (share === null ? "–" : `${Math.round(100 * share)}%`);

export function seconds(value) {
  const whole = Math.max(0, Math.round(value));
  if (whole < 90) return `${whole} s`;
  const minutes = Math.round(whole / 60);
  if (minutes < 90) return `${minutes} min`;
  const hours = Math.round(whole / 3600);
  return hours < 48 ? `${hours} h` : `${Math.floor(hours / 24)} days`;
}

export const clock = (epoch) => new Date(epoch * 1000).toLocaleTimeString([], { hourCycle: "h23" });

// Seen on light and on dark alike.
const COLOURS = ["#5d83cf", "#3f9a70", "#d2566a", "#d9992b", "#9c68bd", "#38a0ae", "#c4703d", "#8c9a34", "#c4669d", "#71808f"];

// The runner says "unknown", as files do; a person reads this instead (edge/contract/rejection.py has both).
export const UNKNOWN = "unknown";
const NOTHING_KNOWN = "nothing known";
export const worded = (label) => (label === UNKNOWN ? NOTHING_KNOWN : label);

// One colour for a label, in the bars, the strip and the legend; grey for unknown.
export class Palette {
  constructor() {
    this.setLabels([]);
  }

  setLabels(labels) {
    this.places = new Map(labels.map((label, place) => [label, place]));
  }

  of(label) {
    const place = this.places.get(label);
    if (place === undefined || label === UNKNOWN) return "#8b9088";
    return place < COLOURS.length ? COLOURS[place] : `hsl(${(place * 137.5) % 360} 45% 52%)`;
  }
}
