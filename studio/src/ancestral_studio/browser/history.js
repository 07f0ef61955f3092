// History: what was made, searched and marked; opened again with all its controls, compared, repeated, deleted with undo.

import { el, fill } from "../page/shared/elements.js";
import { deleteLater } from "./deletion.js";
import { icon, write } from "./dom.js";
import { historyCard } from "./history_card.js";
import { readNames } from "./recipe_words.js";
import { selectionBar } from "./history_selection.js";

const MOST = 60,
  TYPING_SECONDS = 0.2;

export function open(root, app) {
  return new HistoryTab(root, app);
}

class HistoryTab {
  constructor(root, app) {
    Object.assign(this, { root, app });
    this.answer = { entries: [], found: 0, total: 0, tags: [] };
    this.most = MOST;
    this.asked = 0; // answers of questions before the last are dropped
    this.cards = new Map();
    this.selected = new Map();
    this.hidden = new Set(); // deleted here, until their undo is gone
    this.bar = selectionBar(app, {
      select: entries => this.select(entries),
      all: () => this.all(),
      changed: () => this.read(),
      remove: entries => this.remove(entries),
    });
    this.build();
    this.listen();
  }

  build() {
    this.words = el("input", {
      type: "search",
      placeholder: "Find: seed=3, a class, a run, a tag",
      "aria-label": "Find in the history",
      title: "Words of the title, the run, the options, the recipe and the tags; all of them must be there",
    });
    const kinds = Object.entries({ "": "All kinds", sample: "Samples", edit: "Edits" });
    const options = kinds.map(([value, text]) => el("option", { value }, text));
    this.command = el("select", { "aria-label": "Kind" }, options);
    this.tag = el("select", { "aria-label": "Tag" });
    this.favourites = el("button", { type: "button", "aria-pressed": "false" }, icon("star"), "Favourites");
    this.count = el("p", { class: "soft small", role: "status" });
    this.grid = el("ul", { class: "made" });
    this.empty = el("p", { class: "empty", hidden: true });
    this.more = el("button", { type: "button", hidden: true }, "Show more");
    const filters = el("div", { class: "row filters" }, this.words, this.command, this.tag, this.favourites);
    this.root.append(
      el(
        "div",
        { class: "stack" },
        el("h1", {}, "History"),
        el("div", { class: "panel stack tight" }, filters, this.count),
        this.grid,
        this.empty,
        this.more,
        this.bar.element,
      ),
      ...this.bar.windows,
    );
  }

  listen() {
    let typing = 0,
      jobs = "";
    const anew = () => {
      this.most = MOST;
      this.read();
    };
    this.words.addEventListener("input", () => {
      clearTimeout(typing);
      typing = setTimeout(anew, TYPING_SECONDS * 1000);
    });
    for (const list of [this.command, this.tag]) list.addEventListener("change", anew);
    this.favourites.addEventListener("click", () => {
      const on = this.favourites.getAttribute("aria-pressed") === "true";
      this.favourites.setAttribute("aria-pressed", String(!on));
      anew();
    });
    this.more.addEventListener("click", () => {
      this.most += MOST;
      this.read();
    });
    this.app.subscribe(state => {
      const key = JSON.stringify(state.queue);
      if (key !== jobs && !this.root.hidden && jobs) this.read(); // a job began or ended
      jobs = key;
    });
  }

  show() {
    this.read();
  }

  // -- reading ----------------------------------------------------------------------------------------------------

  address(more) {
    const query = { words: this.words.value.trim(), command: this.command.value, tag: this.tag.value, ...more };
    if (this.favourites.getAttribute("aria-pressed") === "true") query.favourites = 1;
    return `/api/history?${new URLSearchParams(Object.entries(query).filter(([, value]) => value))}`;
  }

  async read() {
    const mine = ++this.asked;
    try {
      const [answer] = await Promise.all([
        this.app.api("GET", this.address({ count: this.most })),
        readNames(this.app),
      ]);
      if (mine !== this.asked) return;
      this.answer = answer;
      for (const entry of answer.entries) if (this.selected.has(entry.id)) this.selected.set(entry.id, entry);
    } catch (error) {
      this.app.toast(error.message);
    }
    this.draw();
  }

  /** All entries that are found, also those that are not shown yet. */
  async all() {
    const { ids, entries } = await this.app.api("GET", this.address({ ids: 1, count: 1000 }));
    const known = new Map(entries.map(entry => [entry.id, entry]));
    return ids.map(id => known.get(id) ?? { id, tags: [], title: "", favourite: false, state: "done" });
  }

  // -- drawing ----------------------------------------------------------------------------------------------------

  card(entry) {
    if (!this.cards.has(entry.id)) {
      const card = historyCard(entry, {
        favour: one => this.favour(one),
        remove: one => this.remove([one]),
        select: (one, on) => this.pick(one, on),
        showTag: tag => this.showTag(tag),
      });
      this.cards.set(entry.id, card);
    }
    return this.cards.get(entry.id);
  }

  draw() {
    const { entries, found, total } = this.answer,
      shown = entries.filter(entry => !this.hidden.has(entry.id)),
      gone = entries.length - shown.length;
    for (const entry of shown) this.card(entry).draw(entry, this.selected.has(entry.id));
    const wanted = shown.map(entry => this.card(entry).element),
      drawn = this.grid.children;
    if (wanted.length !== drawn.length || wanted.some((element, index) => drawn[index] !== element)) {
      fill(this.grid, wanted);
    }
    this.more.hidden = found <= entries.length;
    this.empty.hidden = shown.length > 0;
    write(
      this.empty,
      total ? "Nothing in the history fits." : "Nothing was made yet. What you sample and edit is kept here.",
    );
    write(this.count, `${(found - gone).toLocaleString("en")} of ${(total - gone).toLocaleString("en")}`);
    this.drawTags();
    this.drawBar();
  }

  drawTags() {
    const chosen = this.tag.value,
      tags = this.answer.tags.map(tag => [tag.name, `${tag.name} (${tag.count})`]);
    if (chosen && !tags.some(([name]) => name === chosen)) tags.push([chosen, `${chosen} (0)`]);
    this.tag.hidden = !tags.length;
    const rows = [["", "All tags"], ...tags],
      key = JSON.stringify(rows);
    if (key === this.drawnTags) return;
    this.drawnTags = key;
    fill(
      this.tag,
      rows.map(([value, text]) => el("option", { value }, text)),
    );
    this.tag.value = chosen;
  }

  drawBar() {
    const { found, tags } = this.answer;
    this.bar.draw({ selected: [...this.selected.values()], found: found - this.hidden.size, tags });
  }

  showTag(tag) {
    this.tag.value = tag;
    this.most = MOST;
    this.read();
    this.tag.focus();
  }

  // -- changes ----------------------------------------------------------------------------------------------------

  select(entries) {
    this.selected = new Map(entries.map(entry => [entry.id, entry]));
    this.draw();
    if (!entries.length) this.words.focus(); // the button that was pressed is gone
  }

  pick(entry, on) {
    if (on) this.selected.set(entry.id, entry);
    else this.selected.delete(entry.id);
    this.card(entry).draw(entry, on);
    this.drawBar();
  }

  async favour(entry) {
    entry.favourite = !entry.favourite;
    this.draw();
    try {
      await this.app.api("POST", `/api/history/${entry.id}`, { favourite: entry.favourite });
    } catch (error) {
      entry.favourite = !entry.favourite;
      this.app.toast(error.message);
      this.draw();
    }
  }

  /** Entries are deleted on the disk only when their undo is gone. */
  remove(entries) {
    const ids = entries.map(entry => entry.id),
      place = [...this.grid.children].findIndex(element => ids.includes(element.dataset.entry));
    for (const id of ids) {
      this.hidden.add(id);
      this.selected.delete(id);
    }
    this.draw();
    const next = this.grid.children[Math.min(Math.max(place, 0), this.grid.children.length - 1)];
    (next?.querySelector(".star") ?? this.words).focus();
    const back = () => {
      for (const id of ids) this.hidden.delete(id);
      this.draw();
    };
    deleteLater(this.app, entries, { back, done: () => this.read().then(back) });
  }
}
