// A page of its own in a window over the studio, of which it has no part: the page of a model, or a report.

import { el } from "../page/shared/elements.js";
import { button, icon, write } from "./dom.js";

export class InnerPage {
  /** `scripts`: whether the page may run its own, and save what it makes. */
  constructor({ scripts = false } = {}) {
    this.title = el("h2", { class: "grow wrap" });
    this.frame = el("iframe", { sandbox: scripts ? "allow-scripts allow-forms allow-downloads" : "" });
    this.tab = el("a", { class: "button", target: "_blank", rel: "noreferrer" }, "Open in a tab");
    this.download = el("a", { class: "button", download: "" }, icon("download"), "Download");
    const close = { class: "icon", "aria-label": "Close (Escape)", title: "Close (Escape)" };
    this.element = el(
      "dialog",
      { class: "inner-page", on: { close: () => this.frame.removeAttribute("src") } },
      el("header", { class: "row" }, this.title, this.tab, this.download, button(icon("close"), () => this.element.close(), close)),
      this.frame,
    );
  }

  /** Show the page at an address; its file is called `name` where it is saved. */
  show(title, address, name) {
    write(this.title, title);
    this.element.setAttribute("aria-label", title);
    this.frame.title = title;
    this.frame.src = this.tab.href = this.download.href = address;
    this.download.download = name;
    this.element.showModal();
  }
}
