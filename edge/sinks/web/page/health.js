// How the run is doing, as rows of a name and a figure.

import { element, percent, seconds } from "./parts.js";

export function drawHealth(list, health) {
  const rows = [...figures(health), ...outputs(health)];
  const text = JSON.stringify(rows);
  if (list.dataset.drawn === text) return;
  list.dataset.drawn = text;
  list.replaceChildren(
    ...rows.flatMap(([name, value, isBad]) => [element("dt", {}, name), element("dd", { className: isBad ? "bad" : "" }, value)]),
  );
}

function figures(health) {
  const rows = [];
  const add = (name, known, text, isBad = false) => known !== null && rows.push([name, text(known), isBad]);
  add("Frames a second", health.fps, (fps) => fps.toFixed(1));
  add("Capture to answer", health.age_ms, spread);
  add("Model", health.invoke_ms, spread);
  add("CPU", health.cpu_share, (share) => `${percent(share)} of a core`);
  add("Memory", health.memory_mb, (mb) => `${Math.round(mb)} MB`);
  const heat = health.is_throttled ? ", throttled" : "";
  add("Temperature", health.temperature_c, (celsius) => `${Math.round(celsius)} °C${heat}`, Boolean(heat));
  if (heat && health.temperature_c === null) rows.push(["Clock", "throttled", true]);
  rows.push(["Frames", count(health.frames)]);
  if (health.held) rows.push(["Held, nothing moved", count(health.held)]);
  rows.push(["Dropped for newer", count(health.dropped)]);
  if (health.reopened) rows.push(["Source reopened", `${count(health.reopened)}×`]);
  add("Label changes a minute", health.changes_per_minute, (rate) => rate.toFixed(1));
  rows.push(["Up for", seconds(health.uptime_s)]);
  return rows;
}

function outputs(health) {
  return Object.entries(health.outputs)
    .filter(([, output]) => output.reason !== null || output.lost > 0)
    .map(([name, output]) => [`Output ${name}`, output.reason ?? `${count(output.lost)} skipped`, output.reason !== null]);
}

const spread = (found) => `${milliseconds(found.p50)} ms, p95 ${milliseconds(found.p95)} ms`;
const milliseconds = (value) => (value < 10 ? value.toFixed(1) : value.toFixed(0));
const count = (number) => number.toLocaleString("en-GB");
