// What doctor says of data: findings with buttons that follow their advice, the contact sheet, classes and conditions.

import { el } from "../page/shared/elements.js";
import { dataItems, hasItems } from "./data_items.js";
import { button } from "./dom.js";
import { plainWords } from "./plain_words.js";
import { resultParts } from "./process_view.js";

const LEVELS = { error: "Error", warning: "Warning", note: "Note" };
const FLAG = /(--[a-z][a-z-]*)(?: ([^\s,;:()]+))?/g;

/** Whether a word behind a flag is its value, rather than the next word of the sentence. */
function isValue({ kind, choices, repeats }, word) {
  if (repeats) return true; // a column, as in --given weight
  if (kind === "choice") return choices.map(String).includes(word);
  return kind === "text" ? /[\d=:#/]/.test(word) : Number.isFinite(Number(word));
}

/**
 * The settings that a text advises, as in "--channels 4 keeps the transparency": [{name, value, title}] of those that
 * have a value, by the options of a form.
 */
export function remedies(advice, options) {
  const found = [...advice.matchAll(FLAG)].map(([, flag, value]) => {
    const of = word => options.find(option => option.flag === word);
    const refused = of(flag.replace(/^--no-/, "--"));
    const option = of(flag) ?? refused;
    if (option?.kind === "flag") {
      const on = option !== refused || option.flag === flag;
      return { name: option.name, value: on, title: on ? option.title : `${option.title}: no` };
    }
    const title = option?.repeats ? `Use ${value}` : `${option?.title}: ${value}`;
    return option && value && isValue(option, value) && { name: option.name, value, title };
  });
  return found.filter(Boolean);
}

function findingItem(finding, options, follow) {
  const names = Object.entries(finding.names);
  const buttons = remedies(finding.advice, options).map(({ name, value, title }) => {
    const one = button(title, () => {
      follow(name, value);
      one.setAttribute("aria-pressed", "true");
    });
    return one;
  });
  return el(
    "li",
    { class: "finding" },
    el("span", { class: `badge ${finding.level}` }, LEVELS[finding.level] ?? finding.level),
    el(
      "div",
      { class: "stack tight" },
      el("p", { class: "wrap" }, plainWords(finding.text)),
      finding.advice ? el("p", { class: "soft small wrap" }, plainWords(finding.advice)) : null,
      buttons.length ? el("div", { class: "row" }, buttons) : null,
      names.length ? namesList(names) : null,
    ),
  );
}

const namesList = names =>
  el(
    "details",
    { class: "small" },
    el("summary", {}, names.length === 1 ? "Show its name" : `Show the ${names.length} names`),
    el(
      "ul",
      { class: "names" },
      names.map(([name, remark]) => el("li", { class: "wrap" }, el("code", {}, name), remark ? ` ${remark}` : "")),
    ),
  );

function summary(data, options, follow) {
  const trainable = data.trainable;
  return el(
    "div",
    { class: "panel stack" },
    el(
      "div",
      { class: "row" },
      el(
        "span",
        { class: `badge ${trainable ? "finished" : "failed"}` },
        trainable ? "can be trained on" : "cannot be trained on",
      ),
      el("span", { class: "number" }, `${data.count.toLocaleString("en")} items of ${data.values.shape.join("×")}`),
    ),
    data.command ? el("code", { class: "command" }, data.command) : null,
    data.findings.length
      ? el(
          "ul",
          { class: "list" },
          data.findings.map(finding => findingItem(finding, options, follow)),
        )
      : el("p", { class: "soft" }, "Nothing was found that is wrong."),
  );
}

function classBars(classes) {
  const counts = Object.values(classes),
    most = Math.max(...counts, 1);
  if (!counts.length) return null;
  const bars = Object.entries(classes).map(([name, count]) =>
    el(
      "div",
      { class: "class" },
      el("span", { class: "wrap small" }, name),
      el("progress", { max: most, value: count, "aria-hidden": "true" }),
      el("span", { class: "small number" }, count.toLocaleString("en")),
    ),
  );
  return el(
    "section",
    { class: "panel stack tight", "aria-label": "Classes" },
    el("h3", {}, `${counts.length} classes`),
    el("div", { class: "classes" }, bars),
  );
}

function valuesOf(one) {
  if (Object.keys(one.classes).length) {
    return Object.entries(one.classes)
      .map(([name, count]) => `${name}: ${count}`)
      .join(", ");
  }
  if (one.texts?.length) return one.texts.map(text => `“${text}”`).join(", ");
  if (one.shape.length) return one.shape.join("×");
  return one.low.map((low, index) => `${low.toPrecision(3)} to ${one.high[index].toPrecision(3)}`).join(", ");
}

function conditionTable(conditions) {
  if (!Object.keys(conditions).length) return null;
  const heads = ["Name", "Kind", "Missing", "Values"].map(text => el("th", { scope: "col" }, text));
  const rows = Object.entries(conditions).map(([name, one]) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, name),
      el("td", {}, one.made_by ? `${one.kind}, made by ${one.made_by}` : one.kind),
      el("td", {}, one.missing.toLocaleString("en")),
      el("td", { class: "wrap" }, valuesOf(one)),
    ),
  );
  return el(
    "section",
    { class: "panel stack tight", "aria-label": "Conditions" },
    el("h3", {}, "Conditions"),
    el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, heads)), el("tbody", {}, rows))),
  );
}

// findings and classes are drawn above
const isFacts = part => part.rows && !part.rows.some(row => row.some(text => /^█+$/.test(text)));

/**
 * The elements of a report. `options` are those of the form that the advice can set, by `follow(name, value)`.
 */
export function dataReport({ id, report: data, parts, pictures }, options, follow) {
  const [sheet] = pictures;
  return [
    summary(data, options, follow),
    sheet &&
      el(
        "figure",
        { class: "panel stack tight" },
        el("figcaption", {}, el("h3", {}, "Contact sheet")),
        el("img", { src: sheet, alt: `Contact sheet of ${data.source}`, class: "sheet" }),
      ),
    hasItems(data) && dataItems(id, data),
    classBars(data.classes),
    conditionTable(data.conditions),
    el(
      "section",
      { class: "panel stack tight", "aria-label": "Facts" },
      el("h3", {}, "Facts, and what training takes"),
      resultParts(parts.filter(isFacts)),
    ),
  ];
}
