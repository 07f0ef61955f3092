// A field for a text that samples are conditioned on. Enter sends its form, and Shift+Enter begins a line.

import { el } from "./elements.js";
import { readInPart, refusal, tokenizer } from "./vocabulary.js";

const WORDS = 6; // the most that a remark names

/** What a model does not read of texts as they are written, in a line; "" if there is nothing to say. */
function remark(name, texts, condition, read) {
  const readings = texts.map(read);
  const words = [...new Set(readings.flatMap(({ spelled }) => spelled))];
  const spelled = words.length > 0 && `spelled: ${words.slice(0, WORDS).join(", ")}${words.length > WORDS ? ", …" : ""}`;
  const left = Math.max(0, ...readings.map(reading => reading.left));
  const rest = left > 0 && (left > 1 ? `the last ${left} words are left out` : "the last word is left out");
  const doubts = texts.map(
    (text, i) => refusal(name, text, condition, readings[i]) || readInPart(name, text, condition, readings[i]),
  );
  return [spelled, ...new Set(doubts), rest].filter(Boolean).join(" · ");
}

/**
 * Make the field of a condition {vocabulary, length, example} of a name; `attributes` are further ones of its text area,
 * in which `text` stands at first. Below it stands what the model does not know. Each line is a text of its own where
 * `lines` is true.
 * Returns {element, input, read(text), set(text)}; `read` is that of the tokenizer, and raises an error for a text of
 * which the model reads nothing.
 */
export function wordsField(name, condition, attributes, { lines = false, text: first = condition.example } = {}) {
  const read = tokenizer(condition.vocabulary, condition.length);
  const note = el("p", { class: "hint small soft words-note", role: "status" });
  const input = el("textarea", { rows: 2, value: first, autocapitalize: "none", spellcheck: "false", ...attributes });
  const say = () => {
    note.textContent = remark(name, lines ? linesOf(input.value) : [input.value], condition, read);
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
    read(text) {
      const reading = read(text),
        problem = refusal(name, text, condition, reading);
      if (problem) throw new Error(problem);
      return reading;
    },
    set(text) {
      input.value = text;
      say();
    },
  };
}

/** The texts of lines. */
export const linesOf = text => text.split("\n").map(line => line.trim()).filter(Boolean);
