// The report of a run over the page. The server says that it is a page of its own without scripts; the frame says so too.

import { el } from "../page/shared/elements.js";
import { button } from "./dom.js";

/** A button that opens the report at an address; `name` is that of the run. */
export function reportButton(name, address, text = "Report") {
  return button(text, () => openReport(name, address), { class: "quiet", "aria-haspopup": "dialog" });
}

function openReport(name, address) {
  const title = `Report of ${name}`;
  const dialog = el(
    "dialog",
    { class: "window report-window", "aria-label": title, on: { close: () => dialog.remove() } },
    el(
      "div",
      { class: "row apart" },
      el("h2", { class: "wrap" }, title),
      el(
        "div",
        { class: "row" },
        el("a", { class: "button", href: address, target: "_blank", rel: "noreferrer" }, "Open in a tab"),
        button("Close", () => dialog.close()),
      ),
    ),
    el("iframe", { src: address, title, sandbox: true, referrerpolicy: "no-referrer" }),
  );
  document.body.append(dialog);
  dialog.showModal();
}
