// Pictures that hold their recipe: dropped anywhere on a tab, they set every control again.

import { filesOf } from "./image_drop.js";

const COMMANDS = { sample: "sample", edit: "edit" };

/**
 * Restore the recipe of an upload on the tab of its command. `restore(recipe)` sets the controls of this tab, whose command
 * is `command`; other tabs are opened by their address.
 */
export async function openRecipe(app, id, command, restore) {
  const recipe = await app.api("POST", "/api/recipe", { upload: id });
  if (recipe.command === command) await restore(recipe);
  else if (recipe.command in COMMANDS) app.navigate(`#${COMMANDS[recipe.command]}?recipe=${encodeURIComponent(id)}`);
}

/** Let pictures be dropped anywhere while a tab is shown, or pasted. `taken(file)` gets the first. */
export function acceptDrops(root, taken) {
  const take = event => {
    root.classList.remove("dropping");
    const [file] = filesOf(event);
    if (!file || root.hidden) return;
    event.preventDefault();
    taken(file);
  };
  document.addEventListener("dragover", event => {
    if (root.hidden || !event.dataTransfer.types.includes("Files")) return;
    event.preventDefault(); // the browser would leave the page for the file
    root.classList.add("dropping");
  });
  document.addEventListener("dragleave", event => {
    if (!event.relatedTarget) root.classList.remove("dropping");
  });
  document.addEventListener("drop", take);
  document.addEventListener("paste", take);
}
