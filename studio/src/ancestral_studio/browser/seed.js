// Dice beside the seed, which is a number that the user sees and can keep.

import { button, icon } from "./dom.js";

const MOST_SEED = 2 ** 31;

/** A button that sets another seed in a field of a form. */
export function dice(form) {
  const roll = () => {
    const field = form.field("seed");
    field.set(crypto.getRandomValues(new Uint32Array(1))[0] % MOST_SEED);
    field.element.dispatchEvent(new Event("input", { bubbles: true }));
  };
  return button(icon("dice"), roll, { class: "icon", title: "Another seed", "aria-label": "Another seed" });
}
