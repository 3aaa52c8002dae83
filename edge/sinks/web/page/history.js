// The strip of the last minutes: a column for each second, its colour the label, its height the probability.

import { clock, element, percent, worded } from "./parts.js";

const LENGTH_S = 600;
const SHORTEST = 0.12; // of the height, so that the unsure can be seen

export class History {
  constructor(canvas, legend, palette) {
    this.canvas = canvas;
    this.legend = legend;
    this.palette = palette;
    this.seconds = new Map(); // second -> [label, probability]
    this.now = 0;
    canvas.addEventListener("pointermove", (event) => this.point(event));
  }

  reset(seconds) {
    this.seconds = new Map(seconds.map(([second, label, probability]) => [second, [label, probability]]));
  }

  add(second, label, probability) {
    this.seconds.set(second, [label, probability]);
  }

  // `now` is the runner's clock, in seconds since the epoch.
  draw(now) {
    this.now = Math.floor(now);
    for (const second of this.seconds.keys()) {
      if (second <= this.now - LENGTH_S || second > this.now + 5) this.seconds.delete(second);
    }
    this.drawColumns();
    this.drawLegend();
  }

  drawColumns() {
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(this.canvas.clientWidth * ratio);
    const height = Math.round(this.canvas.clientHeight * ratio);
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
    }
    const context = this.canvas.getContext("2d");
    context.clearRect(0, 0, width, height);
    for (const [second, [label, probability]] of this.seconds) {
      const left = Math.floor(((second - this.now + LENGTH_S - 1) * width) / LENGTH_S);
      const right = Math.floor(((second - this.now + LENGTH_S) * width) / LENGTH_S);
      const tall = Math.round(height * Math.max(SHORTEST, probability));
      context.fillStyle = this.palette.of(label);
      context.fillRect(left, height - tall, Math.max(1, right - left), tall);
    }
  }

  drawLegend() {
    const counts = new Map();
    for (const [label] of this.seconds.values()) counts.set(label, (counts.get(label) ?? 0) + 1);
    const ranked = [...counts].sort((one, other) => other[1] - one[1]).slice(0, 8);
    const rows = ranked.map(([label, count]) => [label, percent(count / this.seconds.size)]);
    const text = rows.map(([label, share]) => `${worded(label)} ${share}`).join(", ");
    if (text === this.told) return;
    this.told = text;
    this.canvas.setAttribute("aria-label", text ? `Share of the last ten minutes: ${text}` : "Nothing yet.");
    this.legend.replaceChildren(
      ...rows.map(([label, share]) => {
        const swatch = element("i");
        swatch.style.background = this.palette.of(label);
        return element("li", {}, swatch, worded(label), element("span", { className: "value" }, share));
      }),
    );
  }

  point(event) {
    const share = event.offsetX / this.canvas.clientWidth;
    const second = this.now - LENGTH_S + 1 + Math.floor(share * LENGTH_S);
    const found = this.seconds.get(second);
    this.canvas.title = found ? `${clock(second)}: ${worded(found[0])} ${percent(found[1])}` : clock(second);
  }
}
