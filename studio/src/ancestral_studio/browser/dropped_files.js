// All files of a drop, also those in folders.

import { filesOf } from "./image_drop.js";

/** The files of an event, in the order of their paths; those of folders without hidden ones. */
export async function allFiles(event) {
  const items = [...(event.dataTransfer?.items ?? [])];
  const entries = items.map(item => item.webkitGetAsEntry?.() ?? null); // now: they are gone once this function waits
  const files = filesOf(event);
  if (!entries.some(entry => entry?.isDirectory)) return files;
  return (await Promise.all(entries.filter(Boolean).map(inEntry))).flat();
}

/** Whether a drop is of several files, or of a folder. */
export const isSeveral = event =>
  filesOf(event).length > 1 ||
  [...(event.dataTransfer?.items ?? [])].some(item => item.webkitGetAsEntry?.()?.isDirectory);

/** Files without those that are hidden, by name. */
export const shownFiles = files =>
  files.filter(({ name }) => !name.startsWith(".")).sort((one, other) => one.name.localeCompare(other.name, "en", { numeric: true }));

async function inEntry(entry) {
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  const reader = entry.createReader(),
    entries = [];
  for (let more; (more = await new Promise((resolve, reject) => reader.readEntries(resolve, reject))).length;) {
    entries.push(...more); // a reader gives some at a time
  }
  return shownFiles((await Promise.all(entries.map(inEntry))).flat());
}
