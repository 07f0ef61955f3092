// One sample: its pictures, its recipe, the training images next to it, and what can be done with it.

import { el, fill } from "../page/shared/elements.js";
import { button, icon, short } from "./dom.js";
import { drawTile } from "./grid.js";
import { uploadFrom } from "./image_drop.js";
import { favouriteButton } from "./star.js";

const NEIGHBOURS = 5;
const UNSHOWN = ["schema", "single"];
const isEmpty = value => !Object.keys(value).length;

/** The file of the sample at a place of an entry: single pictures are named by the index of their sample. */
export function fileOf(entry, place, index) {
  const single = (entry?.files ?? []).filter(file => /(^|\/)\d{6}\.png$/.test(file.name));
  const name = `${String(index).padStart(6, "0")}.png`;
  return single.find(file => file.name.endsWith(name)) ?? single[place] ?? null;
}

/**
 * Make the panel. `left()` is called before the user goes where a sample is used.
 * Returns {element, pictures, size(), show({entry, run, place, index, caption, images, layout}), title, clear()}:
 * `pictures` holds the noisy state and the estimate, of which `size()` gives {width, height} in pixels.
 */
export function sampleDetails(app, { conditions = () => [], useAsCondition = () => {}, left = () => {} } = {}) {
  let shown = null,
    asked = 0,
    title = "";
  const canvases = { x: el("canvas", { class: "pixels" }), x0: el("canvas", { class: "pixels" }) };
  const pictures = el("div", { class: "viewer-pictures" }, canvases.x, canvases.x0);
  const facts = el("dl", { class: "facts small" });
  const near = el("div", { class: "row near", "aria-live": "polite" });
  const star = favouriteButton(app);
  const download = el("a", { class: "button", download: "" }, icon("download"), "Download");
  const edit = button("Edit this", editThis);
  const use = el("span", { class: "row" });
  const element = el(
    "div",
    { class: "stack details" },
    el("div", { class: "row" }, star.element, download, edit, use),
    el("div", { class: "stack tight" }, el("h4", {}, "Nearest training images"), near),
    el("div", { class: "stack tight" }, el("h4", {}, "Recipe"), facts),
  );

  const picture = () => fileOf(shown.entry, shown.place, shown.index);

  async function given(run) {
    const file = picture();
    if (!file) return app.toast("this sample is in no file of its own yet");
    try {
      return await run(await uploadFrom(app, file.url, file.name.split("/").at(-1)));
    } catch (error) {
      return app.toast(error.message);
    }
  }

  function editThis() {
    given(image => {
      left();
      app.navigate(
        `#edit/${encodeURIComponent(shown.run)}?${new URLSearchParams({ image: image.ref, name: image.name })}`,
      );
    });
  }

  async function neighbours() {
    const mine = ++asked,
      { entry, place, run } = shown;
    fill(near, el("span", { class: "small soft" }, "looking …"));
    try {
      const query = new URLSearchParams({ entry: entry.id, index: place, k: NEIGHBOURS });
      const { items, searched, total } = await app.api("GET", `/api/runs/${encodeURIComponent(run)}/nearest?${query}`);
      if (mine !== asked) return;
      fill(
        near,
        items.map(({ url, distance, label }, number) =>
          el(
            "figure",
            { title: `root mean square difference of the pixels: ${short(distance)}` },
            el("img", {
              class: "pixels thumb",
              src: url,
              alt: `training image ${number + 1}${label ? `, ${label}` : ""}`,
            }),
            el("figcaption", { class: "small soft number" }, [label, short(distance, 2)].filter(Boolean).join(" · ")),
          ),
        ),
        searched < total
          ? el("span", { class: "small soft" }, `among ${short(searched)} of ${short(total)} training images`)
          : null,
      );
    } catch (error) {
      if (mine === asked) fill(near, el("span", { class: "small soft wrap" }, error.message));
    }
  }

  function drawFacts() {
    const recipe = shown.entry?.recipe ?? {};
    const rows = Object.entries(recipe).filter(
      ([name, value]) => !UNSHOWN.includes(name) && value !== null && !(typeof value === "object" && isEmpty(value)),
    );
    fill(
      facts,
      rows.map(([name, value]) => [
        el("dt", {}, name),
        el("dd", {}, typeof value === "object" ? JSON.stringify(value) : String(value)),
      ]),
    );
  }

  return {
    element,
    pictures,
    size() {
      const drawn = Object.values(canvases).filter(canvas => !canvas.hidden);
      return { width: drawn.reduce((sum, { width }) => sum + width, 0), height: drawn[0]?.height ?? 0 };
    },
    get title() {
      return title;
    },
    /** Show a sample; `entry` is null while it is made. Pictures may be drawn again for another step. */
    show(sample) {
      const same = shown && shown.entry === sample.entry && shown.index === sample.index && shown.entry;
      shown = sample;
      title = `Sample ${sample.index}${sample.caption ? `: ${sample.caption}` : ""}`;
      for (const [kind, canvas] of Object.entries(canvases)) {
        canvas.hidden = !sample.images[kind];
        if (sample.images[kind]) drawTile(canvas, sample.images[kind], sample.layout, sample.place);
        canvas.setAttribute("aria-label", `${title}, ${kind === "x" ? "noisy state" : "estimate"}`);
        canvas.setAttribute("role", "img");
      }
      const file = sample.entry && picture();
      for (const button of [edit, ...use.querySelectorAll("button")]) button.disabled = !file;
      star.show(sample.entry);
      download.hidden = !file;
      if (file) download.href = file.url;
      if (same) return;
      const names = conditions();
      fill(
        use,
        names.length > 0 &&
          names.map(name =>
            button(
              names.length > 1 ? `Use as ${name}` : "Use as condition",
              () =>
                given(image => {
                  left();
                  useAsCondition(name, image);
                }),
              { disabled: !file },
            ),
          ),
      );
      drawFacts();
      if (sample.entry) neighbours();
      else fill(near, el("span", { class: "small soft" }, "once the samples are made"));
    },
    clear() {
      shown = null;
    },
  };
}
