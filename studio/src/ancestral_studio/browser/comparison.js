// Two pictures of one size, one over the other, with a slider for the border between them.

import { el } from "../page/shared/elements.js";
import { write } from "./dom.js";

/** Make the comparison. Returns {element, show(before, after)}, whose pictures are addresses. */
export function comparison({ label = "Before and after" } = {}) {
  const before = el("img", { class: "pixels", alt: "" }),
    after = el("img", { class: "pixels after", alt: "" });
  const slider = el("input", {
    type: "range",
    min: 0,
    max: 100,
    value: 50,
    "aria-label": `${label}: share of the first picture`,
  });
  const text = el("span", { class: "small soft" });
  const sheet = el("div", { class: "sheet" }, before, after);
  const element = el("div", { class: "comparison stack tight" }, sheet, slider, text);
  slider.addEventListener("input", move);
  sheet.addEventListener("pointermove", event => {
    if (event.pointerType === "mouse" && !event.buttons) return;
    const box = sheet.getBoundingClientRect();
    slider.value = Math.round((100 * (event.clientX - box.left)) / box.width);
    move();
  });

  function move() {
    sheet.style.setProperty("--share", `${slider.value}%`);
  }

  move();
  return {
    element,
    show(one, other, names = ["before", "after"]) {
      before.src = one;
      after.src = other;
      before.alt = names[0];
      after.alt = names[1];
      write(text, `left: ${names[0]}; right: ${names[1]}`);
    },
  };
}
