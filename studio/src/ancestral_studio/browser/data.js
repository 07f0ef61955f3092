// Data: choose a folder or a built-in data set, see what doctor says of it, and train on it. #data?source=PATH

import { el, fill } from "../page/shared/elements.js";
import { button, icon, write } from "./dom.js";
import { optionForm } from "./form.js";
import { followProcess, processView, refused, resultParts } from "./process_view.js";

const LEVELS = { error: "Error", warning: "Warning", note: "Note" };
const FIRST_OPTIONS = ["image_size", "channels", "fit", "given", "steps"];

export async function open(root, app) {
  let source = null,
    processId = null,
    end = null,
    form = null;
  const builtins = el("div", { class: "row" }),
    path = el("nav", { class: "row tight wrap", "aria-label": "Folder" });
  const folders = el("ul", { class: "list folders" });
  const choose = el("button", { type: "button" }, "Choose this folder");
  const title = el("h2", { class: "wrap grow" }),
    train = el("button", { type: "button", class: "primary" }, "Train on this");
  const inspect = el("button", { type: "submit" }, "Inspect");
  const place = el("div"),
    view = processView(app, { title: false }),
    report = el("div", { class: "stack", "aria-live": "polite" });
  const options = el("details", {}, el("summary", {}, "Options of the inspection"), place);
  const chosen = el(
    "form",
    { class: "panel stack", hidden: true, novalidate: true },
    el("div", { class: "row apart" }, title, el("div", { class: "row" }, inspect, train)),
    options,
    view.element,
  );
  const hint = el(
    "p",
    { class: "empty" },
    "Choose data on this page: what is wrong with them, and what training on them takes, is shown here.",
  );
  root.append(
    el(
      "div",
      { class: "workbench" },
      el(
        "div",
        { class: "stack" },
        el("h1", {}, "Data"),
        el(
          "section",
          { class: "panel stack tight", "aria-label": "Built-in data" },
          el("h3", {}, "Built-in"),
          builtins,
        ),
        el(
          "section",
          { class: "panel stack tight", "aria-label": "Folders" },
          el("h3", {}, "Folders"),
          path,
          folders,
          choose,
        ),
      ),
      el("div", { class: "stack" }, hint, chosen, report),
    ),
  );

  // -- choosing

  let folder = "";
  async function browse(to) {
    let listing;
    try {
      listing = await app.api("GET", `/api/data?path=${encodeURIComponent(to)}`);
    } catch (error) {
      app.toast(error.message);
      return;
    }
    folder = listing.path;
    const focused = folders.contains(document.activeElement) || path.contains(document.activeElement);
    if (!builtins.childElementCount) {
      fill(
        builtins,
        listing.builtins.map(name =>
          button(name, () => select(name), { data: { source: name }, "aria-pressed": String(name === source) }),
        ),
      );
    }
    fill(
      path,
      folder ? button([icon("up"), "Up"], () => browse(listing.parent ?? ""), { class: "quiet" }) : null,
      folder
        ? el("span", { class: "mono small" }, folder)
        : el("span", { class: "soft small" }, "The folders that the studio was started with"),
    );
    const entry = (name, count, click) =>
      el(
        "li",
        {},
        button([el("span", { class: "name" }, name), el("span", { class: "small soft number" }, count)], click, {
          class: "item file",
        }),
      );
    fill(
      folders,
      listing.folders.map(one =>
        entry(one.name, `${one.items.toLocaleString("en")}${one.whole ? "" : " or more"} items`, () =>
          browse(one.path),
        ),
      ),
      listing.files.map(one => entry(one.name, `${(one.bytes / 1e6).toPrecision(2)} MB`, () => select(one.path))),
      listing.folders.length || listing.files.length ? null : el("li", { class: "soft small" }, "No folders in it."),
      listing.more ? el("li", { class: "soft small" }, `And ${listing.more} more.`) : null,
    );
    choose.hidden = !folder;
    choose.textContent = listing.items
      ? `Choose this folder (${listing.items.toLocaleString("en")} items in it)`
      : "Choose this folder";
    if (focused) (path.querySelector("button") ?? folders.querySelector("button"))?.focus();
  }
  choose.addEventListener("click", () => select(folder));

  async function select(name) {
    app.remember(`#data?source=${encodeURIComponent(name)}`);
    if (name === source) return;
    source = name;
    for (const button of builtins.children) button.setAttribute("aria-pressed", String(button.dataset.source === name));
    write(title, name);
    hint.hidden = true;
    chosen.hidden = false;
    view.hide();
    fill(report);
    end?.();
    processId = null;
    form?.fail(null, "");
    const before = await app.api("GET", "/api/processes?command=doctor").catch(() => []);
    const last = before.find(one => one.source === name && one.state !== "failed");
    if (source !== name) return;
    if (last) follow(last.id);
    else if (form) chosen.requestSubmit();
  }

  // -- inspecting

  function fail(error) {
    const known = Boolean(form.field(error.option));
    if (known) options.open = true;
    refused(app, known ? form : null, error);
  }

  function follow(id) {
    end?.();
    processId = id;
    end = followProcess(id, process => {
      if (process.id !== processId) return;
      view.show(process);
      if (process.report) {
        view.hide();
        show(process);
      } else if (process.state === "failed") fail({ option: process.option, message: process.error });
    });
  }

  chosen.addEventListener("submit", async event => {
    event.preventDefault();
    if (!source) return;
    form.fail(null, "");
    fill(report);
    inspect.disabled = true;
    try {
      follow((await app.api("POST", "/api/jobs", { command: "doctor", options: { ...form.values(), source } })).id);
    } catch (error) {
      fail(error);
    }
    inspect.disabled = false;
  });

  train.addEventListener("click", () => {
    const settings = Object.fromEntries(
      Object.entries(form.values()).filter(([name]) => !["steps", "threads", "device"].includes(name)),
    );
    app.navigate(`#train/new?values=${encodeURIComponent(JSON.stringify({ ...settings, data: source }))}`);
  });

  function show({ report: data, parts, pictures }) {
    const counts = Object.values(data.classes),
      most = Math.max(...counts, 1);
    fill(
      report,
      el(
        "div",
        { class: "panel stack" },
        el(
          "div",
          { class: "row" },
          el(
            "span",
            { class: `badge ${data.trainable ? "finished" : "failed"}` },
            data.trainable ? "can be trained on" : "cannot be trained on",
          ),
          el("span", { class: "number" }, `${data.count.toLocaleString("en")} items of ${data.values.shape.join("×")}`),
        ),
        data.command ? el("code", { class: "command" }, data.command) : null,
        data.findings.length
          ? el(
              "ul",
              { class: "list" },
              data.findings.map(finding =>
                el(
                  "li",
                  { class: "finding" },
                  el("span", { class: `badge ${finding.level}` }, LEVELS[finding.level] ?? finding.level),
                  el(
                    "div",
                    { class: "stack tight" },
                    el("p", { class: "wrap" }, finding.text),
                    finding.advice ? el("p", { class: "soft small wrap" }, finding.advice) : null,
                    Object.keys(finding.names).length
                      ? el(
                          "details",
                          { class: "small" },
                          el("summary", {}, `${Object.keys(finding.names).length} named`),
                          el(
                            "ul",
                            { class: "names" },
                            Object.entries(finding.names).map(([name, remark]) =>
                              el("li", { class: "wrap" }, el("code", {}, name), remark ? ` ${remark}` : ""),
                            ),
                          ),
                        )
                      : null,
                  ),
                ),
              ),
            )
          : el("p", { class: "soft" }, "Nothing was found that is wrong."),
      ),
      pictures.length
        ? el(
            "figure",
            { class: "panel stack tight" },
            el("figcaption", {}, el("h3", {}, "Contact sheet")),
            el("img", { src: pictures[0], alt: `Contact sheet of ${data.source}`, class: "sheet" }),
          )
        : null,
      counts.length
        ? el(
            "section",
            { class: "panel stack tight", "aria-label": "Classes" },
            el("h3", {}, `${counts.length} classes`),
            el(
              "div",
              { class: "classes" },
              Object.entries(data.classes).map(([name, count]) =>
                el(
                  "div",
                  { class: "class" },
                  el("span", { class: "wrap small" }, name),
                  el("progress", { max: most, value: count, "aria-hidden": "true" }),
                  el("span", { class: "small number" }, count.toLocaleString("en")),
                ),
              ),
            ),
          )
        : null,
      Object.keys(data.conditions).length
        ? el(
            "section",
            { class: "panel stack tight", "aria-label": "Conditions" },
            el("h3", {}, "Conditions"),
            el(
              "div",
              { class: "scroll" },
              el(
                "table",
                {},
                el(
                  "thead",
                  {},
                  el(
                    "tr",
                    {},
                    ["Name", "Kind", "Missing", "Values"].map(text => el("th", { scope: "col" }, text)),
                  ),
                ),
                el(
                  "tbody",
                  {},
                  Object.entries(data.conditions).map(([name, one]) =>
                    el(
                      "tr",
                      {},
                      el("th", { scope: "row" }, name),
                      el("td", {}, one.made_by ? `${one.kind}, made by ${one.made_by}` : one.kind),
                      el("td", {}, one.missing.toLocaleString("en")),
                      el("td", { class: "wrap" }, valuesOf(one)),
                    ),
                  ),
                ),
              ),
            ),
          )
        : null,
      el(
        "section",
        { class: "panel stack tight", "aria-label": "Facts" },
        el("h3", {}, "Facts, and what training takes"),
        resultParts(parts.filter(isFacts)),
      ),
    );
  }

  // findings and classes are drawn above
  const isFacts = part => part.rows && !part.rows.some(row => row.some(text => /^█+$/.test(text)));

  function valuesOf(one) {
    if (Object.keys(one.classes).length)
      return Object.entries(one.classes)
        .map(([name, count]) => `${name}: ${count}`)
        .join(", ");
    if (one.shape.length) return one.shape.join("×");
    return one.low.map((low, index) => `${low.toPrecision(3)} to ${one.high[index].toPrecision(3)}`).join(", ");
  }

  const { options: declared } = await app.api("GET", "/api/forms/doctor");
  form = optionForm(declared, {}, { leave: ["source"], first: FIRST_OPTIONS });
  fill(place, form.element);
  await browse("");
  return {
    show(route) {
      if (route.query.source) select(route.query.source);
    },
  };
}
