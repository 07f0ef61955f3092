// The stage: the part of a tab where what was made stays in sight, beside the controls.

import { el } from "../page/shared/elements.js";

const LEAST_HEIGHT = 120; // of the room for pictures, where a window is low

/** Make a stage that calls `resized()` when its size changes. */
export function stage(resized, ...parts) {
  const element = el("div", { class: "stage-column stack" }, parts);
  let before = "";
  const look = () => {
    const size = `${element.clientWidth} ${getComputedStyle(element).maxHeight}`;
    if (size !== before && element.clientWidth) resized();
    before = size;
  };
  new ResizeObserver(look).observe(element);
  addEventListener("resize", look);
  return element;
}

/**
 * The {width, height} that an element may have in its stage so that nothing of the stage is out of sight but the
 * messages of its job, which stand last.
 */
export function roomIn(element) {
  const column = element.closest(".stage-column");
  const most = Number.parseFloat(getComputedStyle(column).maxHeight) || innerHeight;
  const others = [...column.children].reduce((sum, child) => sum + (child.hidden ? 0 : child.offsetHeight + 16), 0);
  const messages = column.querySelector(".messages")?.offsetHeight ?? 0;
  return {
    width: element.clientWidth,
    height: Math.max(LEAST_HEIGHT, most - (others - messages - element.offsetHeight)),
  };
}
