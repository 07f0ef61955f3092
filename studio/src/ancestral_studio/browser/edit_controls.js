// The tasks of an edit, and their controls.

import { el } from "../page/shared/elements.js";
import { listChoices } from "./choice_field.js";
import { guidanceSliders } from "./guidance_field.js";
import { operatorButtons } from "./operator_field.js";
import { RequestControls } from "./request_controls.js";

/** Of each task its title, what it does, and its main options. */
export const TASKS = {
  inpaint: {
    title: "Inpaint",
    text: "Paint over what changes; the rest stays as it is, to the bit.",
    names: ["n", "seed", "method", "steps", "soften"],
  },
  restore: {
    title: "Restore",
    text: "Sample what may have been measured as the image: a small, grey or blurred picture.",
    names: ["operator", "noise", "n", "seed", "method", "steps"],
  },
  vary: {
    title: "Vary",
    text: "Sample images that are like this one.",
    names: ["strength", "n", "seed", "steps"],
  },
  interpolate: {
    title: "Interpolate",
    text: "Walk from one image to another, or without images between two labels.",
    names: ["t", "n", "seed", "steps"],
  },
};
const ELSEWHERE = [
  "model", "task", "image", "extend", "other", "mask", "box", "changes", "label", "given", "avoid", "out", "like", "net",
];

/** Whether the server extends canvases, which it does by windows of its own. */
export const extendsCanvas = controls => controls.has("extend") && !controls.field("window")?.value();

/** Make the controls of a task. Raises an error if the model cannot be edited. */
export function editControls(app, read, task, changed) {
  const { model } = read;
  if (!model.editable) {
    throw new Error("A model of points cannot be edited: choose a run of images, signals or volumes.");
  }
  const { names } = TASKS[task];
  const unfit = Object.values(model.tasks)
    .flat()
    .filter(name => !model.tasks[task].includes(name)); // options of other tasks
  const leave = [...ELSEWHERE, ...unfit];
  const controls = new RequestControls(app, read, { command: "edit", names, leave, labelDefault: "none", changed });
  const { main, more } = controls;
  if (names.includes("method")) {
    listChoices(main, "method", model.methods, "auto: the best for this edit, with its reason");
  }
  if (names.includes("operator")) {
    operatorButtons(
      main,
      model.operators.map(({ name }) => name),
    );
  }
  if (names.includes("strength")) slide(main.field("strength"));
  if (more.field("sampler")) listChoices(more, "sampler", model.samplers, "that of the task");
  guidanceSliders(more, controls.conditions.names);
  return controls;
}

/** Put a slider from 0 to 1 beside the number of a field. */
function slide(field) {
  const { input: number, set } = field;
  const range = { type: "range", min: 0, max: 1, step: 0.01, value: 0.5, "aria-label": "strength by a slider" };
  const slider = el("input", range);
  const follow = () => {
    slider.value = number.value || 0.5;
  };
  slider.addEventListener("input", () => {
    number.value = slider.value;
  });
  number.addEventListener("input", follow);
  number.before(slider);
  field.set = value => {
    set(value);
    follow();
  };
}
