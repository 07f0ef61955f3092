// A run in the list of runs: its last samples, how far it is, and whether its curve is drawn beside that of another.

import { el, fill } from "../page/shared/elements.js";
import { write } from "./dom.js";
import { runLine, stateBadge } from "./runs.js";

/** Make the row. `beside(on)` is called when its box is clicked. Returns {element, draw(run, shown)}. */
export function runRow(run, beside) {
  const name = el("span", { class: "name" }),
    line = el("span", { class: "small soft number" }),
    badge = el("span");
  const bar = el("progress", { max: 1, value: 0, "aria-hidden": "true" });
  const picture = el("img", { class: "thumb", alt: "", hidden: true });
  const link = el(
    "a",
    { class: "item run", href: `#train/${run.id}` },
    picture,
    el("span", { class: "stack tight" }, el("span", { class: "row apart" }, name, badge), line, bar),
  );
  const box = el("input", { type: "checkbox", on: { change: () => beside(box.checked) } });
  const boxName = el("span", { class: "hidden" });
  const label = el(
    "label",
    { class: "small row beside", title: "Draw its curve and previews beside those of the run that is open" },
    box,
    el("span", {}, "beside", boxName),
  );

  /** Draw it anew; `shown` is the id of the run that is open, or null. */
  function draw(now, shown) {
    write(name, now.name);
    write(line, now.problem || runLine(now));
    fill(badge, stateBadge(now.stopping ? "stopping" : now.state));
    bar.max = Math.max(1, now.steps);
    bar.value = Math.min(now.step, bar.max);
    bar.hidden = now.state !== "training";
    const url = now.preview?.url ?? "";
    picture.hidden = !url;
    if (url && picture.getAttribute("src") !== url) picture.src = url;
    link.toggleAttribute("aria-current", now.id === shown);
    if (now.id === shown) link.setAttribute("aria-current", "true");
    label.hidden = !shown || now.id === shown;
    write(boxName, `: ${now.name}`);
  }

  return { element: el("li", {}, link, label), draw };
}
