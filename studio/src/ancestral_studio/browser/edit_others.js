// What the tab Edit asks of other images than the one in it.

import { extendsCanvas } from "./edit_controls.js";

/** A function that gives the options of an image, as the controls are now. */
export async function optionsOfOthers(tab) {
  const { controls, input, picker, task } = tab;
  const values = { model: picker.value(), task, ...tab.values() };
  const own = task === "inpaint" ? await input.valuesOfOthers(extendsCanvas(controls)) : image => ({ image: image.ref });
  return async image => ({ ...values, ...(await own(image)) });
}

/** The same as a text, which changes with the task, the controls and the mask. */
export function whatIsAsked(tab) {
  const { controls, input, picker, task } = tab;
  const { mask, extension } = input.state;
  return JSON.stringify([picker.value(), task, controls && tab.values(), task === "inpaint" && [mask, extension]]);
}
