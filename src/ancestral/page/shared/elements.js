// Elements are made here: all text becomes text nodes, so what users wrote is never read as HTML.

const PROPERTIES = ["value", "checked", "disabled", "hidden", "indeterminate", "textContent"];
const KEPT_SECONDS = 60; // for which a file can be saved

const nodes = children => children.flat(9).filter(child => child !== null && child !== undefined && child !== false);

/**
 * Make an element. `attributes`: `class`, `on` ({event: function}), `data` (dataset), properties such as `value`,
 * `checked`, `disabled`, `hidden`; all others are attributes, left out when null or false. Children: nodes, texts,
 * null.
 */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined) continue;
    if (name === "class") element.className = value;
    else if (name === "on") for (const [event, call] of Object.entries(value)) element.addEventListener(event, call);
    else if (name === "data") Object.assign(element.dataset, value);
    else if (PROPERTIES.includes(name)) element[name] = value;
    else if (value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...nodes(children));
  return element;
}

/** Replace what an element holds. */
export function fill(element, ...children) {
  element.replaceChildren(...nodes(children));
  return element;
}

/** Call `taken(file)` with each file that is chosen in an input, also with the same one again. Returns the input. */
export function onFile(input, taken) {
  input.addEventListener("change", () => {
    const [file] = input.files;
    input.value = "";
    if (file) taken(file);
  });
  return input;
}

/** Let files be dropped anywhere while an element is shown. `taken(file, event)` gets the first. */
export function onDrop(root, taken) {
  document.addEventListener("dragover", event => {
    if (root.hidden || !event.dataTransfer.types.includes("Files")) return;
    event.preventDefault(); // the browser would leave the page for the file
    root.classList.add("dropping");
  });
  document.addEventListener("dragleave", event => {
    if (!event.relatedTarget) root.classList.remove("dropping");
  });
  document.addEventListener("drop", event => {
    root.classList.remove("dropping");
    const [file] = event.dataTransfer?.files ?? [];
    if (!file || root.hidden) return;
    event.preventDefault();
    taken(file, event);
  });
}

/** Save a Blob as a file. */
export function saveFile(blob, name) {
  const url = URL.createObjectURL(blob);
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), KEPT_SECONDS * 1000);
}
