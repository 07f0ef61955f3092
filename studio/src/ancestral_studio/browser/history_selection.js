// What can be done with the entries of the history that are selected: several at once.

import { el, fill } from "../page/shared/elements.js";
import { button, icon, newId, write } from "./dom.js";
import { compareWindow } from "./history_compare.js";
import { isBeingMade } from "./history_card.js";
import { repeatWindow } from "./history_repeat.js";

const MOST_SENT = 1000; // entries of an archive: their ids stand in its address

const plural = (number, one, several) => `${number} ${number === 1 ? one : several}`;

/**
 * Make the bar. `select(entries)` sets what is selected, `all()` returns a promise of all entries that are found,
 * `changed()` is called after a change on the server, `remove(entries)` deletes. Returns {element, windows,
 * draw({selected, found, tags})}.
 */
export function selectionBar(app, { select, all, changed, remove }) {
  let now = { selected: [], found: 0, tags: [] };
  const compare = compareWindow(app),
    repeat = repeatWindow(app, changed);
  const ids = () => now.selected.map(entry => entry.id);
  const attempt = async run => {
    try {
      await run();
    } catch (error) {
      app.toast(error.message);
    }
  };
  const change = body => attempt(() => app.api("POST", "/api/history", { ids: ids(), ...body }).then(changed));

  const count = el("strong", { class: "number", role: "status" });
  const whole = button("", () => attempt(async () => select(await all())), { class: "quiet" });
  const clear = button("Select none", () => select([]), { class: "quiet" });
  const star = button([icon("star"), el("span", {}, "Favourite")], () =>
    change({ favourite: !now.selected.every(entry => entry.favourite) }),
  );
  const download = el("a", { class: "button", download: "history.zip" }, icon("download"), "Download");
  const comparing = button("Compare two", () => attempt(() => compare.open(...now.selected)));
  const repeating = button("Repeat on another run …", () => repeat.open(now.selected));
  const bin = button([icon("bin"), "Delete"], () => remove(now.selected), { class: "danger" });
  const tagging = tagForm(change);
  const exporting = exportForm(app, ids, attempt);
  const element = el(
    "section",
    { class: "panel stack tight selection", "aria-label": "What is selected", hidden: true },
    el("div", { class: "row apart" }, count, el("div", { class: "row" }, whole, clear)),
    el("div", { class: "row" }, star, comparing, repeating, download, bin),
    el(
      "details",
      { open: matchMedia("(min-width: 621px)").matches },
      el("summary", { class: "small" }, "Tags and export"),
      el("div", { class: "row forms" }, tagging.element, exporting),
    ),
  );

  return {
    element,
    windows: [compare.element, repeat.element],
    draw(next) {
      now = next;
      const { selected, found } = now,
        number = selected.length;
      element.hidden = !number;
      write(count, `${number} selected`);
      write(whole, `Select all ${found} that are found`);
      whole.hidden = number >= found;
      star.setAttribute("aria-pressed", String(number > 0 && selected.every(entry => entry.favourite)));
      comparing.disabled = number !== 2;
      comparing.title = number === 2 ? "" : "Select two entries";
      bin.disabled = selected.some(isBeingMade);
      download.href = `/files/history.zip?ids=${ids().join(",")}`;
      download.hidden = number > MOST_SENT;
      tagging.draw(now);
    },
  };
}

/** The form that adds a tag, with a button for each tag that the selected entries have. */
function tagForm(change) {
  const id = newId(),
    known = newId();
  const name = el("input", { type: "text", id, list: known, size: 12, maxlength: 40, required: true });
  const list = el("datalist", { id: known }),
    own = el("span", { class: "row tags" });
  const element = el(
    "form",
    {
      class: "row",
      on: {
        submit(event) {
          event.preventDefault();
          const tag = name.value.trim();
          if (!tag) return;
          name.value = "";
          change({ tag });
        },
      },
    },
    el("label", { class: "small", for: id }, "Tag"),
    name,
    list,
    el("button", { type: "submit" }, "Add the tag"),
    own,
  );
  return {
    element,
    draw({ selected, tags }) {
      fill(
        list,
        tags.map(tag => el("option", { value: tag.name })),
      );
      const theirs = [...new Set(selected.flatMap(entry => entry.tags))].sort();
      own.hidden = !theirs.length;
      fill(
        own,
        theirs.map(tag =>
          button([icon("close"), `Remove tag ${tag}`], () => change({ untag: tag }), { class: "chip small" }),
        ),
      );
    },
  };
}

/** The form that copies the selected entries into a folder on the machine of the studio. */
function exportForm(app, ids, attempt) {
  const name = el("input", { type: "text", id: newId(), value: "export", size: 12 });
  const send = () =>
    attempt(async () => {
      const { path } = await app.api("POST", "/api/history/export", { ids: ids(), name: name.value.trim() || "export" });
      app.toast(`Exported ${plural(ids().length, "entry", "entries")} to ${path}`, { seconds: 12 });
    });
  return el(
    "form",
    { class: "row", on: { submit: event => (event.preventDefault(), send()) } },
    el("label", { class: "small", for: name.id }, "Folder"),
    name,
    el("button", { type: "submit" }, "Export to the folder"),
  );
}
