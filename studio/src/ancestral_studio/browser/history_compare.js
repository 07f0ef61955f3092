// Two entries of the history beside each other, or one over the other, with what differs in their recipes.

import { el, fill } from "../page/shared/elements.js";
import { comparison } from "./comparison.js";
import { button, write } from "./dom.js";
import { titleOf } from "./history_card.js";
import { compared } from "./recipe_words.js";

/** Make the window. Returns {element, open(one, other)}, whose entries are as the list has them. */
export function compareWindow(app) {
  const over = comparison({ label: "One over the other" });
  const beside = el("div", { class: "beside-pictures" });
  const overlay = button("One over the other", () => showOver(overlay.getAttribute("aria-pressed") === "false"), {
    "aria-pressed": "false",
  });
  const all = el("input", { type: "checkbox", on: { change: () => drawTable() } });
  const table = el("table", { class: "result differences" });
  const same = el("p", { class: "small soft" });
  const close = button("Close", () => element.close());
  const element = el(
    "dialog",
    { class: "window", "aria-label": "Two entries compared" },
    el("div", { class: "row apart" }, el("h2", {}, "Compare two"), el("div", { class: "row" }, overlay, close)),
    beside,
    over.element,
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "What differs" }, table),
    el("div", { class: "row apart" }, same, el("label", { class: "row small" }, all, "Show what is the same too")),
  );
  let entries = [];

  function showOver(on) {
    overlay.setAttribute("aria-pressed", String(on));
    over.element.hidden = !on;
    beside.hidden = on;
  }

  function drawTable() {
    const rows = compared(...entries),
      differing = rows.filter(row => !row.same);
    fill(table, tableParts(all.checked ? rows : differing, all.checked));
    const count = rows.length - differing.length;
    write(
      same,
      differing.length
        ? `${differing.length} ${differing.length === 1 ? "setting differs" : "settings differ"}, ${count} are the same.`
        : "All settings are the same.",
    );
  }

  function drawPictures() {
    fill(
      beside,
      entries.map((entry, index) => figureOf(entry, "AB"[index])),
    );
    const sides = entries.map(({ width, height, count, columns }) => [width, height, count, columns].join());
    overlay.hidden = !entries.every(entry => entry.overview) || sides[0] !== sides[1];
    if (!overlay.hidden) over.show(...entries.map(entry => entry.overview), ["A", "B"]);
    showOver(false);
  }

  return {
    element,
    /** Show two entries; their recipes are read first. */
    async open(one, other) {
      const read = entry => app.api("GET", `/api/history/${encodeURIComponent(entry.id)}`);
      entries = await Promise.all([one, other].map(read));
      drawPictures();
      drawTable();
      element.showModal();
      close.focus();
    },
  };
}

function tableParts(rows, marked) {
  const heads = ["A", "B"].map(name => el("th", { scope: "col" }, name));
  const lines = rows.map(({ name, texts, same }) =>
    el(
      "tr",
      { class: marked && !same ? "differs" : null },
      el("th", { scope: "row" }, name),
      texts.map(text => el("td", { class: "wrap" }, text)),
    ),
  );
  return [el("thead", {}, el("tr", {}, el("td", {}), heads)), el("tbody", {}, lines)];
}

function figureOf(entry, name) {
  const title = titleOf(entry);
  return el(
    "figure",
    { class: "stack tight" },
    el("figcaption", { class: "small" }, el("strong", {}, `${name} `), title),
    entry.overview
      ? el("img", { class: "pixels", src: entry.overview, alt: `${name}: ${title}` })
      : el("p", { class: "empty" }, "It has no picture."),
  );
}
