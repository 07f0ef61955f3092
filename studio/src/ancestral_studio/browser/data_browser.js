// Choosing data: the built-in sets, and the folders that the studio was started with.

import { el, fill } from "../page/shared/elements.js";
import { button, icon } from "./dom.js";

const panel = (title, label, ...parts) =>
  el("section", { class: "panel stack tight", "aria-label": label }, el("h3", {}, title), parts);

const entry = (name, count, click) =>
  el(
    "li",
    {},
    button([el("span", { class: "name" }, name), el("span", { class: "small soft number" }, count)], click, {
      class: "item file",
    }),
  );

export class DataBrowser {
  /** `chosen(name)` is called with the name or the path of data. */
  constructor(app, chosen) {
    Object.assign(this, { app, chosen, folder: "" });
    this.builtins = el("div", { class: "row" });
    this.path = el("nav", { class: "row tight wrap", "aria-label": "Folder" });
    this.folders = el("ul", { class: "list folders" });
    this.choose = button("Choose this folder", () => chosen(this.folder));
    this.elements = [
      panel("Built-in", "Built-in data", this.builtins),
      panel("Folders", "Folders", this.path, this.folders, this.choose),
    ];
  }

  /** Show the folders that the studio was started with, or what is in the only one. */
  async begin() {
    const listing = await this.browse("");
    if (listing?.folders.length === 1) await this.browse(listing.folders[0].path);
  }

  /** Show what is in a folder, and choose it if all that it holds is items. */
  async enter(to) {
    const listing = await this.browse(to);
    if (listing?.items && !listing.folders.length) this.chosen(listing.path);
  }

  /** Show a folder. Returns what is in it, or null if it cannot be read. */
  async browse(to) {
    let listing;
    try {
      listing = await this.app.api("GET", `/api/data?path=${encodeURIComponent(to)}`);
    } catch (error) {
      this.app.toast(error.message);
      return null;
    }
    this.folder = listing.path;
    const { folders, path } = this;
    const focused = folders.contains(document.activeElement) || path.contains(document.activeElement);
    this.draw(listing);
    if (focused) (path.querySelector("button") ?? folders.querySelector("button"))?.focus();
    return listing;
  }

  draw(listing) {
    const { folder, builtins, path, folders, choose } = this;
    if (!builtins.childElementCount) {
      fill(
        builtins,
        listing.builtins.map(name =>
          button(name, () => this.chosen(name), { data: { source: name }, "aria-pressed": "false" }),
        ),
      );
    }
    fill(
      path,
      folder ? button([icon("up"), "Up"], () => this.browse(listing.parent ?? ""), { class: "quiet" }) : null,
      folder
        ? el("span", { class: "mono small" }, folder)
        : el("span", { class: "soft small" }, "The folders that the studio was started with"),
    );
    const items = one => `${one.items.toLocaleString("en")}${one.whole ? "" : " or more"} items`;
    fill(
      folders,
      listing.folders.map(one => entry(one.name, items(one), () => this.enter(one.path))),
      listing.files.map(one => entry(one.name, `${(one.bytes / 1e6).toPrecision(2)} MB`, () => this.chosen(one.path))),
      listing.folders.length || listing.files.length ? null : el("li", { class: "soft small" }, "No folders in it."),
      listing.more ? el("li", { class: "soft small" }, `And ${listing.more} more.`) : null,
    );
    choose.hidden = !folder;
    choose.textContent = listing.items
      ? `Choose this folder (${listing.items.toLocaleString("en")} items in it)`
      : "Choose this folder";
  }

  /** Mark the built-in data that are chosen. */
  mark(name) {
    for (const one of this.builtins.children) one.setAttribute("aria-pressed", String(one.dataset.source === name));
  }
}
