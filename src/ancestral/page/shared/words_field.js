// A field for a text that samples are conditioned on. Enter sends its form, and Shift+Enter begins a line.

import { el } from "./elements.js";
import { tokenizer } from "./vocabulary.js";

const WORDS = 6; // the most that a remark names
const MARKS = /^[!-/:-@[-`{-~]$/; // of punctuation, which models may do without

/** What a model does not read of texts as they are written, in a line; "" if there is nothing to say. */
function remark(readings) {
  const all = key => [...new Set(readings.flatMap(reading => reading[key]))].filter(word => !MARKS.test(word));
  const left = Math.max(0, ...readings.map(reading => reading.left));
  const named = (what, words) =>
    words.length > 0 && `${what}: ${words.slice(0, WORDS).join(", ")}${words.length > WORDS ? ", …" : ""}`;
  const rest = left > 0 && (left > 1 ? `the last ${left} words are left out` : "the last word is left out");
  return [named("spelled", all("spelled")), named("unknown", all("unknown")), rest].filter(Boolean).join(" · ");
}

/**
 * Make the field of a condition {vocabulary, length, example}; `attributes` are further ones of its text area. Below it
 * stands what the model does not know. Each line is a text of its own where `lines` is true.
 * Returns {element, input, read(text), set(text)}; `read` is that of the tokenizer.
 */
export function wordsField({ vocabulary, length, example }, attributes, { lines = false } = {}) {
  const read = tokenizer(vocabulary, length);
  const note = el("p", { class: "hint small soft words-note", role: "status" });
  const input = el("textarea", { rows: 2, value: example, autocapitalize: "none", spellcheck: "false", ...attributes });
  const say = () => {
    note.textContent = remark((lines ? linesOf(input.value) : [input.value]).map(read));
    note.hidden = !note.textContent;
  };
  input.addEventListener("input", say);
  input.addEventListener("keydown", event => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || lines) return;
    event.preventDefault();
    input.form.requestSubmit();
  });
  say();
  return {
    element: el("div", { class: "words" }, input, note),
    input,
    read,
    set(text) {
      input.value = text;
      say();
    },
  };
}

/** The texts of lines. */
export const linesOf = text => text.split("\n").map(line => line.trim()).filter(Boolean);
