// The button that makes an entry of the history a favourite.

import { button, icon } from "./dom.js";

/** Make the button. Returns {element, show(entry)}; without an entry it is disabled. */
export function favouriteButton(app) {
  let entry = null;
  const element = button([icon("star"), "Favourite"], change, { "aria-pressed": "false" });

  function show(next) {
    entry = next ?? null;
    element.disabled = !entry;
    element.setAttribute("aria-pressed", String(Boolean(entry?.favourite)));
  }

  async function change() {
    const changed = entry;
    try {
      await app.api("POST", `/api/history/${encodeURIComponent(changed.id)}`, { favourite: !changed.favourite });
      changed.favourite = !changed.favourite;
      if (entry === changed) show(entry);
    } catch (error) {
      app.toast(error.message);
    }
  }

  return { element, show };
}
