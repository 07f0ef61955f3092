/* Text as tokens, as vocabulary.py makes them: lower case, split at spaces and around ASCII punctuation, and each word the
 * longest piece that it begins with, then the longest of the rest.
 */

const MARK = "\u2581"; // what a piece at the beginning of a word begins with
const SPACE = "\\t-\\r\\x1c- \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000"; // of Python's \s
const POINT = "!-\\/:-@[-`{-~"; // ASCII punctuation
const WORD = new RegExp(`[^${SPACE}${POINT}]+|[${POINT}]`, "gu");
const MEANING = /[\p{L}\p{N}\p{So}]/u; // what a word has that is more than punctuation
const NONE = "none"; // the name of a text that is absent

/**
 * The function that reads a text: its first `length` tokens, then -1, an Int32Array; the words that are `spelled` by
 * several tokens, the `unknown` ones without any, and the number of words that are `left` out behind the last token.
 */
export function tokenizer(pieces, length) {
  const index = new Map(pieces.map((piece, token) => [piece, token]));
  const longest = Math.max(...pieces.map(piece => [...piece].length));
  return text => {
    const plain = text === NONE ? "" : text.normalize("NFKC").toLowerCase().replaceAll(MARK, " ");
    const words = plain.match(WORD) || [];
    const parts = words.map(word => spelled(MARK + word, index, longest));
    const tokens = parts.flat();
    const named = is => [
      ...new Set(words.filter((word, i) => !index.has(MARK + word) && MEANING.test(word) && is(parts[i]))),
    ];
    let end = 0;
    return {
      tokens: Int32Array.from({ length }, (_, i) => tokens[i] ?? -1),
      spelled: named(part => part.length > 0),
      unknown: named(part => part.length === 0),
      left: parts.filter(part => part.length > 0 && (end += part.length) > length).length,
    };
  };
}

function spelled(word, index, longest) {
  const letters = [...word],
    tokens = [];
  if (index.has(word)) return [index.get(word)];
  for (let start = 0, size; start < letters.length; start += size || 1) {
    const part = () => index.get(letters.slice(start, start + size).join(""));
    size = Math.min(letters.length - start, longest);
    while (size && part() === undefined) size--;
    if (size) tokens.push(part());
  }
  return tokens;
}
