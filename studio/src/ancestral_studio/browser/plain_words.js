// Messages of the commands in the words of the forms: options by their names for people, not as the command line has them.

const FLAG = /(?<![\w-])(--?[a-z][a-z-]*)(?: (?=[^\s,;:.()]))?/g;
const titles = new Map(); // of the options of all forms so far, by their flags

/** Remember what options are called: {flag, title} each. */
export function rememberTitles(options) {
  for (const { flag, title } of options) if (flag) titles.set(flag, title);
}

/** A message in which options have their names for people, as in “Image size” 24. */
export function plainWords(text) {
  return String(text).replace(FLAG, (whole, flag) => {
    const refused = titles.get(flag.replace(/^--no-/, "--"));
    const title = titles.get(flag) ?? (refused && `no ${refused}`);
    return title ? `“${title}”${whole.endsWith(" ") ? " " : ""}` : whole;
  });
}
