// Deleting entries of the history: what is deleted is out of sight at once, and off the disk once its undo is gone.

import { titleOf } from "./history_card.js";

const MOST_AT_ONCE = 3000;
const pending = new Set(); // lists of ids whose undo is still there

/**
 * Offer an undo, and delete entries once it is gone. `back()` is called if they come back, `done()` is a promise that
 * begins once they are deleted.
 */
export function deleteLater(app, entries, { back, done = async () => {} }) {
  const ids = entries.map(entry => entry.id);
  const undo = () => {
    pending.delete(ids);
    back();
  };
  const forget = async () => {
    await app.api("DELETE", "/api/history", { ids }).catch(error => app.toast(error.message));
    pending.delete(ids);
    await done();
  };
  pending.add(ids);
  const text = ids.length === 1 ? `Deleted ${titleOf(entries[0])}` : `Deleted ${ids.length} entries`;
  app.toast(text, { action: { label: "Undo", run: undo }, ended: forget });
}

// the page goes: a request that outlives it, and so may hold 64 kB
addEventListener("pagehide", () => {
  for (const ids of pending) {
    const headers = { "Content-Type": "application/json" },
      body = JSON.stringify({ ids: ids.slice(0, MOST_AT_ONCE) });
    fetch("/api/history", { method: "DELETE", keepalive: true, headers, body });
  }
});
