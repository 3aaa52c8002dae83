// The page: connects to the runner, shows what it says, and says so when it says nothing.
//
// While the page is hidden it holds no connection and costs the device nothing. An old answer is never shown as if it
// were about now: without a picture, or without the runner, the answer makes way for a word that says so.

import { drawHealth } from "./health.js";
import { History } from "./history.js";
import { byId, clock, element, Palette, percent, say, seconds, worded } from "./parts.js";
import { LivePicture } from "./picture.js";
import { Uncertain } from "./uncertain.js";

const SILENCE_MS = 3500; // the runner says something every second
const RETRY_MS = 1500;
const TICK_MS = 500;
const MOST_EVENTS = 100;
const MOST_BARS = 10;
const BAD = new Set(["no_picture", "reopening", "output_failed", "model_refused", "throttled"]);
const GOOD = new Set(["picture_back", "output_back", "model_changed", "cool_again"]);

const palette = new Palette();
const history = new History(byId("history"), byId("legend"), palette);
const picture = new LivePicture(byId("picture"), (frame) => (byId("picture").dataset.frame = frame));
const uncertain = new Uncertain();

let source = null; // the EventSource
let retry = null; // timer of the next attempt
let isConnecting = false;
let hasFailed = false;
let heardAt = null; // of performance.now(): the runner said something
let offsetS = 0; // the runner's clock less this one
let labels = [];
let decision = null; // the newest
let stalled = null; // {at, seconds, reason} while there is no picture
let health = null;
let knownEvents = new Set();

async function connect() {
  if (isConnecting || source || document.hidden) return;
  isConnecting = true;
  clearTimeout(retry);
  try {
    const answer = await fetch("/api/state", { signal: AbortSignal.timeout(5000) });
    if (answer.status === 401) return location.reload(); // the runner has another token now
    if (!answer.ok) throw new Error("no state");
    begin(await answer.json());
  } catch (error) {
    hasFailed = true;
    retry = setTimeout(connect, RETRY_MS);
  } finally {
    isConnecting = false;
  }
}

function begin(state) {
  history.reset(state.history);
  decision = state.decision; // may be one of the run before: the next status says whether it still holds
  knownEvents = new Set();
  byId("events").replaceChildren();
  state.events.forEach(addEvent);
  listen(state.events.at(-1)?.id ?? "");
  takeStatus(state);
  picture.start();
  uncertain.start(state.uncertain);
}

function listen(after) {
  source = new EventSource(`/events?after=${encodeURIComponent(after)}`);
  const on = (kind, take) =>
    source.addEventListener(kind, (message) => {
      heardAt = performance.now();
      take(JSON.parse(message.data));
    });
  on("decision", takeDecision);
  on("status", takeStatus);
  on("event", addEvent);
  source.onerror = lose;
}

function lose() {
  hasFailed = true;
  disconnect();
  retry = setTimeout(connect, RETRY_MS);
}

function disconnect() {
  clearTimeout(retry);
  source?.close();
  source = null;
  heardAt = null;
  picture.stop();
  uncertain.stop();
  draw();
}

function takeDecision(news) {
  decision = news;
  stalled = null;
  history.add(Math.floor(news.epoch), news.shown, news.probability ?? 0);
  drawAnswer();
  drawState();
}

function takeStatus(status) {
  heardAt = performance.now();
  health = status.health;
  offsetS = status.now - Date.now() / 1000;
  stalled = status.stalled && { ...status.stalled, at: performance.now() };
  if (labels.join("\n") !== health.labels.join("\n")) setLabels(health.labels);
  draw();
}

function setLabels(known) {
  labels = known;
  palette.setLabels(known);
  byId("bars").replaceChildren();
}

// How the page knows that there is no picture to speak of: a word for the state, a headline, a reason.
function trouble() {
  if (!source) {
    if (!hasFailed) return { state: "connecting", headline: "Connecting", reason: "" };
    return { state: "not reachable", headline: "Runner not reachable", reason: "It may be restarting. Trying again." };
  }
  if (stalled) {
    const gone = stalled.seconds + (performance.now() - stalled.at) / 1000;
    return { state: "no picture", headline: `No picture for ${seconds(gone)}`, reason: stalled.reason };
  }
  if (!decision) return { state: "starting", headline: "Waiting for the first picture", reason: "" };
  return null;
}

function draw() {
  drawState();
  drawAnswer();
  history.draw(Date.now() / 1000 + offsetS);
  if (health) {
    drawHealth(byId("health"), health);
    say(byId("about"), [health.source, health.model].filter(Boolean).join(" · "));
    byId("about").title = byId("about").textContent;
  }
}

function drawState() {
  const found = trouble();
  const state = found?.state ?? health.state;
  byId("state").dataset.state = state;
  say(byId("state"), state);
  byId("cover").hidden = !found;
  say(byId("cover-text"), found?.headline ?? "");
  say(byId("cover-reason"), found?.reason ?? "");
  byId("snapshot").toggleAttribute("hidden", Boolean(found));
  say(byId("caption"), found ? "" : caption());
  if (decision) byId("heat").hidden = !decision.evidence;
}

function caption() {
  const where = decision.name && decision.name !== decision.source ? `${decision.name} · ` : "";
  return `${where}${Math.round(decision.age_ms)} ms after capture · frame ${decision.frame}`;
}

function drawAnswer() {
  const found = trouble();
  byId("answer").dataset.kind = found ? "none" : decision.unknown ? "unknown" : "known";
  if (found) {
    sayLabel(found.state === "starting" ? "starting" : found.state, "");
    const since = decision ? seconds(Date.now() / 1000 + offsetS - decision.epoch) : "";
    say(byId("note"), decision ? `Last answer: ${worded(decision.shown)}, ${since} ago` : "\u00a0");
    drawBars([], null);
    return;
  }
  // The probability is that of a label: where nothing is known it stands beside the nearest one.
  sayLabel(worded(decision.shown), decision.unknown ? "" : percent(decision.probability));
  say(byId("note"), note());
  drawBars(decision.top, decision.label);
}

function note() {
  const words = [];
  if (decision.nearest) words.push(`Nearest: ${decision.nearest[0]}, ${percent(decision.nearest[1])}`);
  if (decision.held) words.push("Nothing moved; the answer is held");
  return words.join(". ") || "\u00a0";
}

function sayLabel(label, share) {
  const target = byId("label");
  if (target.firstChild?.textContent !== label || !target.querySelector(".name")) {
    // Only the word is announced: the share changes with every frame.
    target.replaceChildren(element("span", { className: "name" }, label), element("span", { className: "share", ariaHidden: "true" }));
  }
  say(target.querySelector(".share"), share);
  const title = label ? `${label} · Flora` : "Flora";
  if (document.title !== title) document.title = title;
}

// A model of few labels keeps their order, so that bars do not jump; of many, the likeliest are shown.
function drawBars(top, shown) {
  const shares = new Map(top);
  const isFew = labels.length <= MOST_BARS;
  const names = isFew ? labels : top.map(([label]) => label).slice(0, MOST_BARS);
  const list = byId("bars");
  if (!isFew && !names.length) return;
  while (list.children.length > names.length) list.lastChild.remove();
  names.forEach((label, place) => drawBar(list.children[place] ?? list.appendChild(newBar()), label, shares.get(label), shown));
}

function newBar() {
  const track = element("span", { className: "track", ariaHidden: "true" }, element("span", { className: "fill" }));
  return element("li", {}, element("span", { className: "name" }), track, element("span", { className: "value" }));
}

function drawBar(row, label, share, shown) {
  const [name, track, value] = row.children;
  say(name, worded(label));
  name.title = worded(label);
  row.dataset.shown = label === shown;
  row.dataset.label = label;
  track.firstChild.style.width = `${100 * (share ?? 0)}%`;
  track.firstChild.style.background = palette.of(label);
  say(value, share === undefined ? "–" : percent(share));
}

function addEvent(event) {
  if (knownEvents.has(event.id)) return;
  knownEvents.add(event.id);
  const tone = BAD.has(event.event) ? "bad" : GOOD.has(event.event) ? "good" : "";
  const when = element("time", { dateTime: event.time }, clock(event.epoch));
  const list = byId("events");
  const sighting = event.label === undefined ? "" : `${event.from} ${event.label}`;
  if (event.event === "sighting") dropBeginning(list, sighting); // now that its end is known, one line says both
  const data = { tone, kind: event.event, sighting, epoch: event.epoch };
  const earlier = [...list.children].find((row) => Number(row.dataset.epoch) <= event.epoch) ?? null;
  list.insertBefore(element("li", { data }, when, element("span", {}, event.text)), earlier);
  while (list.children.length > MOST_EVENTS) list.lastChild.remove();
}

function dropBeginning(list, sighting) {
  [...list.children].find((row) => row.dataset.kind === "sighting_began" && row.dataset.sighting === sighting)?.remove();
}

byId("heat").addEventListener("click", () => {
  const isOn = byId("heat").getAttribute("aria-pressed") !== "true";
  byId("heat").setAttribute("aria-pressed", String(isOn));
  byId("snapshot").href = isOn ? "/snapshot.jpg?heat=1" : "/snapshot.jpg";
  picture.setHeat(isOn);
});

document.addEventListener("visibilitychange", () => (document.hidden ? disconnect() : connect()));
setInterval(() => {
  if (source && heardAt !== null && performance.now() - heardAt > SILENCE_MS) lose();
  if (!document.hidden) draw();
}, TICK_MS);
draw();
connect();
