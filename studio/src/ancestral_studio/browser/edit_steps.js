// The steps of an edit by their names: each is a button that goes back, or forth, to it.

import { el, fill } from "../page/shared/elements.js";
import { button } from "./dom.js";

const MOVES = { ArrowUp: -1, ArrowDown: 1, Home: -Infinity, End: Infinity };

export class EditSteps {
  /** `go(place)` is called for the step that is chosen. */
  constructor(go) {
    this.go = go;
    this.buttons = [];
    this.list = el("ol", { class: "list", "aria-label": "What was done", on: { keydown: event => this.press(event) } });
    this.element = el("div", { class: "stack tight edit-steps" }, el("h4", {}, "What was done"), this.list);
  }

  /** Show steps by their names, of which the one at a place is the present one. */
  show(names, place) {
    const focused = this.list.contains(document.activeElement);
    this.buttons = names.map((name, number) =>
      button(name, () => this.go(number), {
        class: "step",
        "aria-current": number === place ? "step" : null,
        tabindex: number === place ? "0" : "-1",
        title: number < place ? "Go back to this step" : number > place ? "Go forth to this step" : "",
        data: { undone: String(number > place) },
      }),
    );
    fill(
      this.list,
      this.buttons.map(one => el("li", {}, one)),
    );
    const present = this.buttons[place];
    this.list.scrollTop = present.offsetTop - this.list.clientHeight / 2;
    if (focused) present.focus();
  }

  press(event) {
    if (!(event.key in MOVES)) return;
    event.preventDefault();
    const to = this.buttons.indexOf(document.activeElement) + MOVES[event.key];
    this.buttons[Math.min(this.buttons.length - 1, Math.max(0, to))].focus();
  }
}
