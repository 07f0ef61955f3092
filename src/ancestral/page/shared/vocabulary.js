/* Text as tokens, as vocabulary.py makes them: lower case, split at spaces and around ASCII punctuation, and each word the
 * longest piece that it begins with, then the longest of the rest.
 */

const MARK = "\u2581"; // what a piece at the beginning of a word begins with
const WORD = /[^\s!-\/:-@[-`{-~]+|[!-\/:-@[-`{-~]/gu;

/** The function that returns the first `length` tokens of a text, then -1: an Int32Array. */
export function tokenizer(pieces, length) {
  const index = new Map(pieces.map((piece, token) => [piece, token]));
  const longest = Math.max(...pieces.map((piece) => [...piece].length));
  return (text) => {
    const words = text.normalize("NFKC").toLowerCase().replaceAll(MARK, " ").match(WORD) || [];
    const tokens = words.flatMap((word) => spelled(MARK + word, index, longest)).slice(0, length);
    return Int32Array.from({ length }, (_, i) => tokens[i] ?? -1);
  };
}

function spelled(word, index, longest) {
  const whole = index.get(word), letters = [...word], tokens = [];
  if (whole !== undefined) return [whole];
  for (let start = 0, size; start < letters.length; start += size || 1) {
    const part = () => index.get(letters.slice(start, start + size).join(""));
    size = Math.min(letters.length - start, longest);
    while (size && part() === undefined) size--;
    if (size) tokens.push(part());
  }
  return tokens;
}
