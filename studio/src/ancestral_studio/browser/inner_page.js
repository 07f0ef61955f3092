// A page of its own in a window over the studio, of which it has no part: the page of a model, or the report of a run. The
// server says so of both, and the frame says so too.

import { el } from "../page/shared/elements.js";
import { button, icon } from "./dom.js";

/** Open the page at an address. `name`: that of its file where it may run its own scripts and be saved; else null. */
export function openInside(title, address, name = null) {
  const link = { class: "button", href: address };
  const download = name && el("a", { ...link, download: name }, icon("download"), "Download");
  const dialog = el(
    "dialog",
    { class: "window inner-page", "aria-label": title, on: { close: () => dialog.remove() } },
    el(
      "div",
      { class: "row apart" },
      el("h2", { class: "wrap" }, title),
      el(
        "div",
        { class: "row" },
        el("a", { ...link, target: "_blank", rel: "noreferrer" }, "Open in a tab"),
        download,
        button("Close", () => dialog.close()),
      ),
    ),
    el("iframe", {
      src: address,
      title,
      sandbox: name ? "allow-scripts allow-forms allow-downloads" : true,
      referrerpolicy: "no-referrer",
    }),
  );
  document.body.append(dialog);
  dialog.showModal();
}

/** A button that opens the report at an address; `name` is that of the run. */
export function reportButton(name, address, text = "Report") {
  return button(text, () => openInside(`Report of ${name}`, address), { class: "quiet", "aria-haspopup": "dialog" });
}
