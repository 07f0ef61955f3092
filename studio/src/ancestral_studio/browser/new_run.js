// The form that starts a training run. What was filled in stays when the page is loaded again.

import { el, fill } from "../page/shared/elements.js";
import { write } from "./dom.js";
import { commandLine, offer, optionForm } from "./form.js";
import { refused } from "./process_view.js";

const KEPT = "ancestral.train";

/**
 * Make the form. `started(process)` is called when a training run was started.
 * Returns {element, set(values), fail(option, text)}.
 */
export function newRun(app, started) {
  const line = el("code", { class: "command", "aria-label": "The same as a command" });
  const place = el("div"),
    button = el("button", { type: "submit", class: "primary" }, "Start training");
  const clear = el("button", { type: "button", class: "quiet" }, "Clear");
  const element = el(
    "form",
    { class: "panel stack", novalidate: true },
    el("div", { class: "row apart" }, el("h2", {}, "New run"), clear),
    place,
    el("div", { class: "row bottom" }, line, button),
  );
  let form = null,
    shown = null,
    values = JSON.parse(sessionStorage.getItem(KEPT) ?? "null") ?? {},
    suggestions = null;

  function changed() {
    values = form.values();
    sessionStorage.setItem(KEPT, JSON.stringify(values));
    write(line, commandLine("train", form.words()));
  }

  // once a name is typed to its end
  place.addEventListener("change", event => {
    if (["config", "data"].includes(event.target.name)) build();
  });

  /** The defaults that the form shows are those of the preset, or for the data. */
  async function build() {
    const wanted = new URLSearchParams({ preset: values.config ?? "", data: values.data ?? "" }).toString();
    if (wanted === shown) return;
    shown = wanted;
    let answer;
    try {
      answer = await app.api("GET", `/api/forms/train?${wanted}`);
    } catch (error) {
      if (form) return void form.fail(values.config ? "config" : "data", error.message);
      answer = await app.api("GET", "/api/forms/train");
    }
    if (wanted !== shown) return;
    const focused = document.activeElement?.closest?.("[data-option]")?.dataset.option,
      text = document.activeElement?.selectionStart;
    const open = place.querySelector("details")?.open;
    form = optionForm(answer.options, form ? form.values() : values, { changed, leave: ["resume", "verbose"] });
    fill(place, form.element);
    if (open) place.querySelector("details").open = true;
    write(line, commandLine("train", form.words()));
    offerNames();
    if (focused && form.field(focused)) {
      form.field(focused).focus();
      if (text !== undefined && text !== null) form.field(focused).input.setSelectionRange?.(text, text);
    }
  }

  function offerNames() {
    for (const [name, list] of [
      ["config", suggestions?.presets],
      ["data", suggestions?.builtins],
    ]) {
      if (list && form.field(name)) offer(form.field(name).input, list);
    }
  }

  element.addEventListener("submit", async event => {
    event.preventDefault();
    if (!form) return;
    button.disabled = true;
    form.fail(null, "");
    try {
      const { id } = await app.api("POST", "/api/jobs", { command: "train", options: form.values() });
      started(await app.api("GET", `/api/processes/${id}`));
    } catch (error) {
      refused(app, form, error);
    } finally {
      button.disabled = false;
    }
  });
  clear.addEventListener("click", () => {
    form?.set({});
    changed();
  });

  const ready = (async () => {
    await build();
    suggestions = await app.api("GET", "/api/data").catch(() => null);
    offerNames();
  })();
  return {
    element,
    async set(newValues) {
      await ready;
      form.set({ ...newValues });
      changed();
      await build();
    },
    async fail(option, text) {
      await ready;
      form.fail(option, text);
    },
  };
}
