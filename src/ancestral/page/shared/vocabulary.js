/* Text as tokens, as vocabulary.py makes them: lower case, split at spaces and around ASCII punctuation, and each word the
 * longest piece that it begins with, then the longest of the rest.
 */

const MARK = "\u2581"; // what a piece at the beginning of a word begins with
const SPACE = "\\t-\\r\\x1c- \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000"; // of Python's \s
const POINT = "!-\\/:-@[-`{-~"; // ASCII punctuation
const WORD = new RegExp(`[^${SPACE}${POINT}]+|[${POINT}]`, "gu");
const MEANING = new RegExp(`(?![${POINT}])[\\p{L}\\p{N}\\p{S}\\p{Mc}]`, "u"); // what a word has that is more than punctuation
const NONE = "none"; // the name of a text that is absent
const MOST_RANGES = 12; // the most characters, or ranges of neighbours, that a message names
const MOST_CHARACTERS = 60; // of a text in a message

/**
 * The function that reads a text: its first `length` tokens, then -1, an Int32Array; the words that are `spelled` to the
 * end by several tokens; whether it `skips` characters; and the number of words that are `left` out behind the last token.
 */
export function tokenizer(pieces, length) {
  const index = new Map(pieces.map((piece, token) => [piece, token]));
  const longest = Math.max(...pieces.map(piece => [...piece].length));
  return text => {
    const plain = isAbsent(text) ? "" : text.normalize("NFKC").toLowerCase().replaceAll(MARK, " ");
    const words = plain.match(WORD) || [];
    const parts = words.map(word => spelled(MARK + word, index, longest));
    const tokens = parts.flatMap(part => part.tokens);
    const isNew = (word, i) => !index.has(MARK + word) && MEANING.test(word) && !MEANING.test(parts[i].skipped);
    let end = 0;
    return {
      tokens: Int32Array.from({ length }, (_, i) => tokens[i] ?? -1),
      spelled: [...new Set(words.filter(isNew))],
      skips: parts.some(part => MEANING.test(part.skipped)),
      left: parts.filter(part => part.tokens.length > 0 && (end += part.tokens.length) > length).length,
    };
  };
}

/** The tokens of a word, and its characters that are left out. */
function spelled(word, index, longest) {
  const letters = [...word],
    tokens = [];
  let skipped = "";
  if (index.has(word)) return { tokens: [index.get(word)], skipped };
  for (let start = 0, size; start < letters.length; start += size || 1) {
    const part = () => index.get(letters.slice(start, start + size).join(""));
    size = Math.min(letters.length - start, longest);
    while (size && part() === undefined) size--;
    if (size) tokens.push(part());
    else if (start > 0) skipped += letters[start];
  }
  return { tokens, skipped };
}

/** Whether a text stands for none. */
const isAbsent = text => text.trim() === "" || text === NONE;

/** Why a model cannot take a text, of which it reads nothing, as Python says it; "" where it can. `reading` is that of the tokenizer. */
export function refusal(name, text, { vocabulary, example }, reading) {
  if (isAbsent(text) || reading.tokens[0] >= 0) return "";
  return (
    `${name} cannot be ${quoted(text)}, of which the model reads nothing: write it with the characters that it knows, ` +
    `${characters(vocabulary)}${example ? `, as in ${quoted(example)}` : ""}`
  );
}

/** What a model read of a text of which it leaves characters out, as Python says it; "" where it leaves out none. */
export function readInPart(name, text, { vocabulary }, { tokens, skips }) {
  const joined = [...tokens].filter(token => token >= 0).map(token => vocabulary[token]).join("");
  const read = joined.replaceAll(MARK, " ").trim().replace(/ ([,.;:!?)])/g, "$1");
  return skips && read ? `of the ${name} ${quoted(text)} the model read only: ${read}` : "";
}

/** The characters of the pieces, three neighbours or more as a range. */
function characters(pieces) {
  const points = [...new Set(pieces.join(""))].filter(one => one !== MARK).map(one => one.codePointAt(0));
  const ranges = [];
  for (const point of points.sort((a, b) => a - b)) {
    if (ranges.at(-1)?.at(-1) === point - 1) ranges.at(-1).push(point);
    else ranges.push([point]);
  }
  const text = range => range.map(point => String.fromCodePoint(point));
  const named = ranges.map(range => (range.length > 2 ? text([range[0], range.at(-1)]).join("–") : text(range).join(" ")));
  return [...named.slice(0, MOST_RANGES), ...(named.length > MOST_RANGES ? ["..."] : [])].join(" ");
}

/** A text in quotes, as Python writes it in a message. */
function quoted(text) {
  const mark = text.includes("'") && !text.includes('"') ? '"' : "'";
  const plain = text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll("\t", "\\t").replaceAll("\r", "\\r");
  const letters = [...`${mark}${mark === "'" ? plain.replaceAll("'", "\\'") : plain}${mark}`];
  return letters.length > MOST_CHARACTERS ? `${letters.slice(0, MOST_CHARACTERS).join("")}...` : letters.join("");
}
