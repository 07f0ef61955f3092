// Single items of data that were inspected: recordings are played, volumes looked through slice by slice.

import { el, fill } from "../page/shared/elements.js";
import { api } from "./api.js";
import { write } from "./dom.js";
import { Slices } from "./slices.js";
import { player } from "./sound.js";

/** Whether items are of a kind that a contact sheet does not show: volumes, or recordings. */
export const hasItems = report => report.values.shape.length === 4 || Boolean(report.rate);

/** The items of an inspection, by the id of its process and its report. */
export function dataItems(process, report) {
  const slices = new Slices(),
    sound = el("div");
  const name = el("span", { class: "wrap small" }),
    problem = el("p", { class: "error", role: "alert", hidden: true });
  const item = el("input", {
    type: "range",
    min: 0,
    max: report.values.count - 1,
    step: 1,
    value: 0,
    "aria-label": "Item",
    on: { change: () => show() },
  });

  async function show() {
    const index = Number(item.value),
      address = `/api/processes/${process}/items/${index}`;
    problem.hidden = true;
    try {
      const facts = report.rate ? await api("GET", address) : await slices.show(address, `item ${index}`);
      if (!facts || Number(item.value) !== index) return;
      const text = `${facts.name} (${index + 1} of ${facts.items.toLocaleString("en")})`;
      write(name, text);
      item.max = facts.items - 1;
      item.setAttribute("aria-valuetext", text);
      if (facts.sound) fill(sound, player(facts.sound, facts.name));
    } catch (error) {
      problem.hidden = false;
      write(problem, error.message);
    }
  }

  show();
  return el(
    "section",
    { class: "panel stack tight", "aria-label": "Items" },
    el("h3", {}, report.rate ? "Listen" : "Slice by slice"),
    el("div", { class: "row" }, el("div", { class: "grow" }, item), name),
    sound,
    slices.element,
    problem,
  );
}
