// An entry of the history as a card: its picture, what it is, its tags, and what can be done with it.

import { el, fill } from "../page/shared/elements.js";
import { icon, write } from "./dom.js";
import { entryLine } from "./recipe_words.js";

export const titleOf = entry => entry.title || `${entry.command} ${entry.run_name ?? ""}`;
export const isBeingMade = entry => ["running", "waiting"].includes(entry.state);

/** The elements of a card. */
function partsOf(entry) {
  const parts = {
    picture: el("img", { class: "pixels", alt: "", loading: "lazy" }),
    title: el("span", { class: "name wrap" }),
    line: el("span", { class: "small soft wrap" }),
    state: el("span", { class: "badge", hidden: true }),
    tags: el("span", { class: "row tags" }),
    star: el("button", { type: "button", class: "icon quiet star" }, icon("star")),
    bin: el("button", { type: "button", class: "icon quiet" }, icon("bin")),
    box: el("input", { type: "checkbox" }),
    boxName: el("span", { class: "hidden" }),
    again: el("a", { class: "button" }),
    next: el("a", { class: "button quiet" }, "Edit"),
  };
  const pick = el("label", { class: "pick small" }, parts.box, el("span", {}, "Select", parts.boxName));
  parts.cover = el("a", { class: "cover" }, parts.picture);
  parts.element = el(
    "li",
    { class: "panel card", data: { entry: entry.id } },
    parts.cover,
    el(
      "div",
      { class: "stack tight" },
      el("div", { class: "row apart" }, parts.title, parts.state),
      parts.line,
      parts.tags,
      el("div", { class: "row" }, parts.again, parts.next),
      el("div", { class: "row apart" }, pick, el("div", { class: "row" }, parts.star, parts.bin)),
    ),
  );
  return parts;
}

/**
 * Make a card. `favour(entry)`, `remove(entry)`, `select(entry, on)` and `showTag(tag)` are called for what is clicked.
 * Returns {element, draw(entry, selected)}.
 */
export function historyCard(entry, { favour, remove, select, showTag }) {
  const parts = partsOf(entry);
  let now = entry,
    drawnTags = null;
  parts.star.addEventListener("click", () => favour(now));
  parts.bin.addEventListener("click", () => remove(now));
  parts.box.addEventListener("change", () => select(now, parts.box.checked));

  function drawTags() {
    const key = JSON.stringify(now.tags);
    if (key === drawnTags) return;
    drawnTags = key;
    parts.tags.hidden = !now.tags.length;
    const show = tag => el("button", { type: "button", class: "chip small", on: { click: () => showTag(tag) } }, tag);
    fill(parts.tags, now.tags.map(show));
  }

  function draw(fresh, selected) {
    now = fresh;
    const text = titleOf(fresh),
      { picture, state, again, cover, next, star, bin, box } = parts;
    write(parts.title, text);
    write(parts.line, entryLine(fresh));
    state.hidden = fresh.state === "done";
    state.className = `badge ${isBeingMade(fresh) ? "running" : fresh.state === "failed" ? "failed" : "stopped"}`;
    write(state, { running: "being made", cancelled: "stopped" }[fresh.state] ?? fresh.state);
    if (fresh.overview && picture.getAttribute("src") !== fresh.overview) picture.src = fresh.overview;
    picture.hidden = !fresh.overview;
    again.href = cover.href = `#${fresh.command}/${fresh.run}?entry=${fresh.id}`;
    cover.setAttribute("aria-label", `Open ${text}`);
    write(again, fresh.command === "edit" ? "Open in Edit" : "Open in Sample");
    next.href = `#edit/${fresh.run}?entry=${fresh.id}`;
    next.hidden = fresh.command === "edit" || !fresh.overview;
    star.setAttribute("aria-pressed", String(fresh.favourite));
    star.setAttribute("aria-label", `Favourite: ${text}`);
    bin.setAttribute("aria-label", `Delete ${text}`);
    bin.disabled = isBeingMade(fresh);
    box.checked = selected;
    write(parts.boxName, `: ${text}`);
    parts.element.classList.toggle("selected", selected);
    drawTags();
  }

  return { element: parts.element, draw };
}
