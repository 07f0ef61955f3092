// History: what was made, with favourites; opened again with all its controls, deleted with undo, exported.

import { el, fill } from "../page/shared/elements.js";
import { icon, newId, write } from "./dom.js";

const MOST = 60;

export async function open(root, app) {
  let entries = [],
    most = MOST;
  const hidden = new Set(),
    pending = new Map(),
    chosen = new Set();
  const search = el("input", {
    type: "search",
    placeholder: "Find by name, run or option",
    "aria-label": "Find in the history",
  });
  const command = el(
    "select",
    { "aria-label": "Kind" },
    [
      ["", "All kinds"],
      ["sample", "Samples"],
      ["edit", "Edits"],
    ].map(([value, text]) => el("option", { value }, text)),
  );
  const favourites = el("button", { type: "button", "aria-pressed": "false" }, icon("star"), "Favourites");
  const name = el("input", { type: "text", id: newId(), value: "export", size: 14 });
  const exporting = el("button", { type: "submit" }, "Export");
  const form = el("form", { class: "row" }, el("label", { class: "small", for: name.id }, "Folder"), name, exporting);
  const count = el("p", { class: "soft small", role: "status" });
  const grid = el("ul", { class: "made" }),
    empty = el("p", { class: "empty", hidden: true }),
    more = el("button", { type: "button", hidden: true }, "Show more");
  root.append(
    el(
      "div",
      { class: "stack" },
      el("h1", {}, "History"),
      el(
        "div",
        { class: "panel stack tight" },
        el("div", { class: "row apart" }, el("div", { class: "row grow filters" }, search, command, favourites), form),
        count,
      ),
      grid,
      empty,
      more,
    ),
  );

  const cards = new Map();
  const words = entry =>
    [entry.title, entry.command, entry.run_name, JSON.stringify(entry.options ?? {})].join(" ").toLowerCase();
  const settings = entry =>
    Object.entries(entry.options ?? {})
      .filter(([option]) => !["model", "image", "mask"].includes(option))
      .map(([option, value]) => `${option} ${[value].flat().join(" ")}`);
  const matching = () =>
    entries.filter(
      entry =>
        !hidden.has(entry.id) &&
        (!command.value || entry.command === command.value) &&
        (favourites.getAttribute("aria-pressed") === "false" || entry.favourite) &&
        search.value
          .toLowerCase()
          .split(/\s+/)
          .every(word => words(entry).includes(word)),
    );

  function card(entry) {
    if (cards.has(entry.id)) return cards.get(entry.id);
    const picture = el("img", { class: "pixels", alt: "", loading: "lazy" }),
      title = el("span", { class: "name wrap" }),
      line = el("span", { class: "small soft wrap" });
    const state = el("span", { class: "badge", hidden: true });
    const star = el("button", { type: "button", class: "icon quiet star" }, icon("star"));
    const bin = el("button", { type: "button", class: "icon quiet" }, icon("bin"));
    const box = el("input", { type: "checkbox" });
    const again = el("a", { class: "button" }, "Open");
    const next = el("a", { class: "button quiet" }, "Edit");
    const element = el(
      "li",
      { class: "panel card" },
      el("a", { class: "cover" }, picture),
      el(
        "div",
        { class: "stack tight" },
        el("div", { class: "row apart" }, title, state),
        line,
        el(
          "div",
          { class: "row apart" },
          el("div", { class: "row" }, again, next),
          el("div", { class: "row" }, star, bin, el("label", { class: "pick" }, box)),
        ),
      ),
    );
    let now = entry;
    star.addEventListener("click", async () => {
      const favourite = !now.favourite;
      now.favourite = favourite;
      draw();
      try {
        await app.api("POST", `/api/history/${entry.id}`, { favourite });
      } catch (error) {
        now.favourite = !favourite;
        app.toast(error.message);
        draw();
      }
    });
    bin.addEventListener("click", () => remove(now));
    box.addEventListener("change", () => {
      if (box.checked) chosen.add(entry.id);
      else chosen.delete(entry.id);
      drawCount();
    });
    const made = {
      element,
      draw(fresh) {
        now = fresh;
        const text = fresh.title || `${fresh.command} ${fresh.run_name ?? ""}`;
        write(title, text);
        write(line, [...settings(fresh), new Date(fresh.created * 1000).toLocaleString()].join(" · "));
        state.hidden = fresh.state === "done";
        state.className = `badge ${fresh.state === "failed" ? "failed" : "stopped"}`;
        write(state, fresh.state);
        if (fresh.overview && picture.getAttribute("src") !== fresh.overview) picture.src = fresh.overview;
        picture.hidden = !fresh.overview;
        const address = `#${fresh.command}/${fresh.run}?entry=${fresh.id}`;
        again.href = element.querySelector(".cover").href = address;
        element.querySelector(".cover").setAttribute("aria-label", `Open ${text}`);
        write(again, fresh.command === "edit" ? "Open in Edit" : "Open in Sample");
        next.href = `#edit/${fresh.run}?entry=${fresh.id}`;
        next.hidden = fresh.command === "edit" || !fresh.overview;
        star.setAttribute("aria-pressed", String(fresh.favourite));
        star.setAttribute("aria-label", `Favourite: ${text}`);
        bin.setAttribute("aria-label", `Delete ${text}`);
        bin.disabled = ["running", "waiting"].includes(fresh.state);
        box.checked = chosen.has(fresh.id);
        box.setAttribute("aria-label", `Choose ${text} for an export`);
      },
    };
    cards.set(entry.id, made);
    return made;
  }

  function draw() {
    const all = matching(),
      shown = all.slice(0, most),
      wanted = shown.map(entry => card(entry).element);
    for (const entry of shown) card(entry).draw(entry);
    if (wanted.length !== grid.children.length || wanted.some((element, index) => grid.children[index] !== element))
      fill(grid, wanted);
    more.hidden = all.length <= most;
    empty.hidden = Boolean(all.length);
    write(
      empty,
      entries.length ? "Nothing in the history fits." : "Nothing was made yet. What you sample and edit is kept here.",
    );
    drawCount(all.length);
  }

  function drawCount(number = matching().length) {
    write(count, `${number} of ${entries.length - hidden.size}${chosen.size ? `, ${chosen.size} chosen` : ""}`);
    write(exporting, chosen.size ? `Export ${chosen.size} chosen` : "Export all shown");
    exporting.disabled = !number && !chosen.size;
  }

  /** An entry is deleted on the disk only when its undo is gone. */
  function remove(entry) {
    const cards = [...grid.children],
      place = cards.indexOf(card(entry).element);
    hidden.add(entry.id);
    chosen.delete(entry.id);
    draw();
    (grid.children[Math.min(place, grid.children.length - 1)]?.querySelector(".star") ?? search).focus();
    const forget = () => {
      pending.delete(entry.id);
      return app
        .api("DELETE", `/api/history/${entry.id}`)
        .then(read)
        .catch(error => {
          hidden.delete(entry.id);
          app.toast(error.message);
          draw();
        });
    };
    pending.set(entry.id, forget);
    app.toast(`Deleted ${entry.title || entry.command}`, {
      action: {
        label: "Undo",
        run() {
          pending.delete(entry.id);
          hidden.delete(entry.id);
          draw();
        },
      },
      ended: forget,
    });
  }
  addEventListener("pagehide", () => {
    for (const id of pending.keys()) fetch(`/api/history/${id}`, { method: "DELETE", keepalive: true });
  });

  async function read() {
    try {
      entries = await app.api("GET", "/api/history");
    } catch (error) {
      app.toast(error.message);
    }
    draw();
  }

  search.addEventListener("input", draw);
  command.addEventListener("change", draw);
  favourites.addEventListener("click", () => {
    favourites.setAttribute("aria-pressed", String(favourites.getAttribute("aria-pressed") === "false"));
    draw();
  });
  more.addEventListener("click", () => {
    most += MOST;
    draw();
  });
  form.addEventListener("submit", async event => {
    event.preventDefault();
    try {
      const ids = chosen.size ? [...chosen] : matching().map(entry => entry.id);
      const { path } = await app.api("POST", "/api/history/export", { ids, name: name.value.trim() || "export" });
      app.toast(`Exported to ${path}`, { seconds: 12 });
    } catch (error) {
      app.toast(error.message);
    }
  });
  return { show: read };
}
