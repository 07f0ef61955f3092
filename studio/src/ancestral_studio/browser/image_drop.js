// Images that users give: a place to drop one on, or to choose a file.

import { el, fill } from "../page/shared/elements.js";
import { button, hiddenFileInput, write } from "./dom.js";

/**
 * Send a file to the server, which keeps it.
 * Returns {ref, name, width, height, url, recipe}; `ref` is the value of options.
 */
export async function upload(app, file, name = file.name ?? "image.png") {
  const { id, ...facts } = await app.api("PUT", `/api/uploads?name=${encodeURIComponent(name)}`, file);
  return { id, ref: `upload:${id}`, ...facts };
}

/** The image that a value of an option names: upload:ID, or history:ID/PATH of what was made here. */
export async function imageOf(ref, name = null) {
  const [, kind, path] = /^(upload|history):(.+)$/.exec(ref) ?? [];
  const url = kind === "upload" ? `/files/uploads/${path}` : `/files/history/${path}`;
  if (!kind) throw new Error("there is no such image");
  const image = new Image();
  image.src = url;
  await image.decode().catch(() => {
    throw new Error("this image is not there any more");
  });
  return {
    ref,
    name: name ?? (kind === "upload" ? "image" : path.split("/").at(-1)),
    url,
    width: image.naturalWidth,
    height: image.naturalHeight,
  };
}

/** Take a picture of the server, such as a sample, as an image that was given. */
export async function uploadFrom(app, url, name) {
  const response = await fetch(url, { credentials: "same-origin" });
  if (!response.ok) throw new Error("the picture is not there any more");
  return upload(app, await response.blob(), name);
}

/** The files of a drop or a paste. */
export const filesOf = event => [...((event.dataTransfer ?? event.clipboardData)?.files ?? [])];

/**
 * Make the place of an image. `chosen(image)` is called with what `upload` returned, or null once it was removed;
 * `offered(file)` may take a file for something else, and then returns true.
 * Returns {element, value, set(image), fail(text)}.
 */
export function imageDrop(app, { label, chosen = () => {}, offered = async () => false }) {
  let image = null;
  const input = hiddenFileInput("image/*,.npy,.npz,.nc", file => take(file));
  const shown = el("img", { class: "pixels thumb", alt: "", hidden: true });
  const text = el("span", { class: "small soft wrap grow" });
  const choose = button("Choose a file", () => input.click());
  const remove = button(
    "Remove",
    () => {
      drop.set(null);
      chosen(null);
    },
    { class: "quiet", hidden: true },
  );
  const problem = el("p", { class: "error", role: "alert", hidden: true });
  const element = el(
    "div",
    { class: "drop", role: "group", "aria-label": label },
    el("span", { class: "label" }, label),
    el("div", { class: "row given-image" }, shown, text),
    el("div", { class: "row" }, choose, remove),
    input,
    problem,
  );

  async function take(file) {
    drop.fail("");
    try {
      if (await offered(file)) return;
      drop.set(await upload(app, file));
      chosen(image);
    } catch (error) {
      drop.fail(error.message);
    }
  }

  element.addEventListener("dragover", event => {
    event.preventDefault();
    element.classList.add("over");
  });
  element.addEventListener("dragleave", () => element.classList.remove("over"));
  element.addEventListener("drop", event => {
    element.classList.remove("over");
    const [file] = filesOf(event);
    if (!file) return;
    event.preventDefault();
    event.stopPropagation();
    take(file);
  });

  const drop = {
    element,
    take,
    get value() {
      return image;
    },
    set(newImage) {
      image = newImage;
      shown.hidden = !image?.width;
      if (image?.width) shown.src = image.url;
      remove.hidden = !image;
      write(
        text,
        image ? `${image.name}${image.width ? `, ${image.width} × ${image.height}` : ""}` : "Drop an image here",
      );
      drop.fail("");
    },
    fail(line) {
      problem.hidden = !line;
      write(problem, line);
      if (line) fill(problem, line);
    },
  };
  drop.set(null);
  return drop;
}
