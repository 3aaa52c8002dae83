// Frames that the model was unsure about: a button for each label, one for none of them, and one to discard.

import { byId, clock, element, percent, say, UNKNOWN, worded } from "./parts.js";

const REFRESH_MS = 5000;
const MOST_BUTTONS = 12; // of labels; a model that knows more gets a list beside the likeliest few
const FEW = 5;
const NONE = "None of these"; // what a person says of a frame that is none of the classes: the label is UNKNOWN
const AT_ONCE = 6; // cards; as page.css has it

export class Uncertain {
  constructor() {
    this.cards = new Map(); // by name
    this.labels = [];
    this.timer = null;
    byId("uncertain-more").addEventListener("click", () => {
      byId("waiting").classList.add("all");
      byId("uncertain-more").hidden = true;
    });
  }

  start(isKept) {
    this.stop();
    byId("uncertain").hidden = !isKept;
    if (!isKept) return;
    this.refresh();
    this.timer = setInterval(() => this.refresh(), REFRESH_MS);
  }

  stop() {
    clearInterval(this.timer);
    this.timer = null;
  }

  async refresh() {
    let found;
    try {
      const answer = await fetch("/api/uncertain");
      if (!answer.ok) return;
      found = await answer.json();
    } catch (error) {
      return; // the page says elsewhere that the runner cannot be reached
    }
    this.labels = found.labels.filter((label) => label !== UNKNOWN);
    const names = new Set(found.waiting.map((one) => one.name));
    for (const [name, card] of this.cards) if (!names.has(name)) this.drop(name, card);
    found.waiting.forEach((one, place) => this.place(one, place));
    this.drawSize();
  }

  drawSize() {
    const size = this.cards.size;
    const more = byId("uncertain-more");
    byId("waiting").hidden = size === 0;
    more.hidden = size <= AT_ONCE || byId("waiting").classList.contains("all");
    say(more, `Show all ${size}`);
    say(byId("uncertain-title"), size ? `Unsure about these (${size})` : "Unsure about these");
    say(document.querySelector(".uncertain .hint"), size
      ? "Say what they are: they join the photos for the next training."
      : "Nothing waits. Frames that the model is unsure about appear here.");
  }

  // Cards that are there stay as they are, so that nobody loses the button under the finger.
  place(waiting, place) {
    if (this.cards.has(waiting.name)) return;
    const card = this.card(waiting);
    this.cards.set(waiting.name, card);
    byId("waiting").insertBefore(card, byId("waiting").children[place] ?? null);
  }

  card(waiting) {
    const path = `/api/uncertain/${encodeURIComponent(waiting.name)}`;
    const answers = waiting.answers.slice(0, 3).map(([label, share]) => `${worded(label)} ${percent(share)}`).join(", ");
    const card = element("li", { data: { name: waiting.name } });
    const decide = (body, said) => this.decide(waiting.name, card, path, body, said);
    card.append(
      element("img", { src: `${path}.png`, alt: `Frame of ${clock(waiting.time)}: ${answers}` }),
      element("p", {}, `${clock(waiting.time)} · ${answers}`),
      this.choices(waiting, decide),
    );
    return card;
  }

  choices(waiting, decide) {
    const isMany = this.labels.length > MOST_BUTTONS;
    const likeliest = waiting.answers.map(([label]) => label).filter((label) => label !== UNKNOWN);
    const near = isMany ? likeliest.slice(0, FEW) : this.labels;
    const name = (label) => decide({ label }, `Saved as ${label === UNKNOWN ? NONE.toLowerCase() : label}.`);
    const choices = element("div", { className: "choices", role: "group", ariaLabel: "What is it?" });
    choices.append(...near.map((label) => element("button", { type: "button", onclick: () => name(label) }, label)));
    if (isMany) choices.append(this.list(name));
    choices.append(element("button", { type: "button", className: "none", onclick: () => name(UNKNOWN) }, NONE));
    const discard = { type: "button", className: "discard", onclick: () => decide({ discard: true }, "Discarded.") };
    choices.append(element("button", discard, "Discard"));
    return choices;
  }

  list(name) {
    const options = ["another label", ...this.labels].map((label, place) => element("option", { value: String(place) }, label));
    return element("select", { ariaLabel: "Another label", onchange: (event) => name(this.labels[event.target.value - 1]) }, ...options);
  }

  async decide(name, card, path, body, said) {
    const buttons = card.querySelectorAll("button, select");
    for (const button of buttons) button.disabled = true;
    const problem = await send(path, body);
    if (problem === null) {
      say(byId("uncertain-said"), said);
      const next = card.nextElementSibling ?? card.previousElementSibling;
      this.drop(name, card);
      next?.querySelector("button")?.focus();
      this.refresh();
      return;
    }
    for (const button of buttons) button.disabled = false;
    card.querySelector(".bad")?.remove();
    card.append(element("p", { className: "bad", role: "alert" }, problem));
  }

  drop(name, card) {
    card.remove();
    this.cards.delete(name);
  }
}

// What went wrong, or null.
async function send(path, body) {
  try {
    const answer = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    return answer.ok ? null : (await answer.json()).error;
  } catch (error) {
    return "The runner cannot be reached.";
  }
}
