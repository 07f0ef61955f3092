// One run: its curve, beside those of others, its previews, and what to do with it.

import { el, fill } from "../page/shared/elements.js";
import { chart, smooth } from "./chart.js";
import { clock, short, write } from "./dom.js";
import { column, follow, validation } from "./feed.js";
import { PreviewPlayer } from "./previews.js";
import { followProcess, processView } from "./process_view.js";

const KEPT = "ancestral.curves";

/** Make the view. Returns {element, open(id, beside), close()}: `beside` are ids of runs whose curves are drawn too. */
export function runDetail(app, { changeOptions }) {
  const view = JSON.parse(sessionStorage.getItem(KEPT) ?? "null") ?? { log: true, smoothing: 0 };
  let id = null,
    stopping = null, // the run that is to stop, until it has
    feeds = new Map(),
    endProcess = null,
    processId = null,
    details = null,
    detailsKey = "";

  const title = el("h2", { class: "wrap grow" }),
    badge = el("span", { class: "badge" });
  const bar = el("progress", { max: 1, value: 0, "aria-label": "Steps" });
  const facts = el("p", { class: "soft number", role: "status" });
  const stop = el("button", { type: "button", class: "danger" }, "Stop");
  const resume = el("button", { type: "button", class: "primary" }, "Resume");
  const more = el("input", {
    type: "text",
    inputmode: "numeric",
    "aria-label": "Steps to which training goes on",
    class: "steps",
  });
  const moreLabel = el("span", { class: "soft small" }, "to step");
  const links = el("div", { class: "row" });
  const process = processView(app, { title: false });
  const change = el("button", { type: "button" }, "Change the options");
  const starting = el(
    "div",
    { class: "panel stack", hidden: true },
    el("h3", {}, "Messages of the training"),
    process.element,
    change,
  );

  const curve = chart("Loss over steps: the arrow keys move a cursor");
  const logBox = el("input", { type: "checkbox", checked: view.log });
  const smoothing = el("input", {
    type: "range",
    min: 0,
    max: 0.98,
    step: 0.02,
    value: view.smoothing,
    "aria-label": "Smoothing",
  });
  const byTime = el("div", { class: "bars" });
  const player = new PreviewPlayer();
  const notes = el("ul", { class: "stack tight small wrap" }),
    settings = el("div", { class: "columns" });
  const notesPanel = el("details", { class: "panel" }, el("summary", {}, "Notes"), notes);
  const settingsPanel = el("details", { class: "panel" }, el("summary", {}, "Settings"), settings);

  const element = el(
    "div",
    { class: "stack", hidden: true },
    el(
      "div",
      { class: "panel stack tight" },
      el("div", { class: "row" }, title, badge),
      bar,
      facts,
      el("div", { class: "row" }, stop, resume, moreLabel, more, links),
    ),
    starting,
    el(
      "div",
      { class: "run-parts" },
      el(
        "section",
        { class: "panel stack tight", "aria-label": "Previews" },
        el("h3", {}, "Samples of the averaged weights"),
        player.element,
      ),
      el(
        "section",
        { class: "panel stack tight", "aria-label": "Loss" },
        el(
          "div",
          { class: "row apart" },
          el("h3", {}, "Loss"),
          el(
            "div",
            { class: "row" },
            el("label", { class: "row small" }, logBox, "log axis"),
            el("label", { class: "row small smoothing" }, "smoothing", smoothing),
          ),
        ),
        curve.element,
        el("details", {}, el("summary", { class: "small" }, "Loss by noise level"), byTime),
      ),
    ),
    notesPanel,
    settingsPanel,
  );

  function drawCurves() {
    const all = [...feeds.values()].filter(feed => feed.data),
      single = all.length < 2;
    const series = [];
    all.forEach((feed, index) => {
      const points = column(feed, "loss"),
        name = runName(feed.id);
      if (view.smoothing > 0 && points.length > 2) {
        series.push({ name, colour: index + 1, points, faint: true });
        series.push({
          name: single ? "loss, smoothed" : name,
          colour: index + 1,
          points: smooth(points, view.smoothing),
        });
      } else series.push({ name: single ? "loss" : name, colour: index + 1, points });
      const held = validation(feed);
      if (held.length)
        series.push({
          name: single ? "validation loss" : `${name}, validation`,
          colour: single ? 2 : index + 1,
          points: held,
          dashed: true,
        });
    });
    curve.draw(series, { log: view.log });
  }

  const runName = run => app.run(run)?.name ?? "run";

  function drawBars(values) {
    const known = values.filter(Number.isFinite),
      top = Math.max(...known, 0) || 1;
    fill(
      byTime,
      values.map((value, index) => {
        const meter = el("progress", {
          max: 1,
          value: Number.isFinite(value) ? value / top : 0,
          "aria-label": `Loss of part ${index + 1} of ${values.length} of the times, from clean to noise`,
        });
        return el(
          "div",
          { class: "bar" },
          el("span", { class: "small soft" }, `${index + 1} of ${values.length}`),
          meter,
          el("span", { class: "small number" }, short(value, 3)),
        );
      }),
      el("p", { class: "small soft" }, "From the least noise, 1, to the most."),
    );
  }

  function draw() {
    const feed = feeds.get(id),
      data = feed?.data,
      run = app.run(id);
    write(title, run?.name ?? "New run");
    if (!data) {
      const state = feed?.lost ? "missing" : (feed?.missing ?? "reading");
      badge.className = `badge ${state === "starting" ? "running" : state}`;
      write(badge, state);
      const texts = {
        missing: "There is no such run; it may have been moved or deleted.",
        starting: "The run folder is made when the first step begins.",
      };
      write(facts, texts[state] ?? "");
      stop.hidden = resume.hidden = more.hidden = moreLabel.hidden = true;
      if (["starting", "reading"].includes(state)) bar.removeAttribute("value");
      else bar.value = 0;
      drawCurves();
      return;
    }
    const training = data.state === "training",
      row = feed.rows.at(-1),
      at = name => row?.[data.columns.indexOf(name)];
    badge.className = `badge ${data.state}`;
    write(badge, data.state);
    bar.max = Math.max(1, data.steps);
    bar.value = Math.min(data.step, bar.max);
    const texts = [`step ${short(data.step)} of ${short(data.steps)}`];
    if (row) texts.push(`loss ${short(at("loss"))}`);
    if (training && row) texts.push(`${short(at("images_per_second"), 3)} images/s`);
    if (training && Number.isFinite(data.seconds_left)) texts.push(`${clock(data.seconds_left)} left`);
    if (!training && stopping === id) stopping = null;
    if (stopping === id) texts.push("stopping after this step");
    stop.disabled = stopping === id;
    if (run?.problem) texts.push(run.problem);
    write(facts, texts.join(" · "));
    const resumable = !training && data.state !== "model" && details?.resumable;
    stop.hidden = !training || !data.process;
    resume.hidden = more.hidden = moreLabel.hidden = !resumable;
    write(resume, data.step >= data.steps ? "Train further" : "Resume");
    if (document.activeElement !== more && !more.dataset.touched)
      more.value = data.step >= data.steps ? data.steps * 2 : data.steps;
    drawCurves();
    drawBars(data.by_time.map(value => value ?? NaN));
    player.show(
      [...feeds.values()].filter(one => one.data).map(one => ({ name: runName(one.id), previews: one.data.previews })),
    );
    const lines = data.notes;
    if (notes.childElementCount !== lines.length)
      fill(
        notes,
        lines.map(line => el("li", {}, line)),
      );
    notesPanel.hidden = !lines.length;
    if (data.process) showProcess(data.process);
    const key = `${data.state} ${data.has_model} ${data.previews.length}`;
    if (key !== detailsKey) {
      detailsKey = key;
      readDetails();
    }
  }

  async function readDetails() {
    const wanted = id;
    const answer = await app.api("GET", `/api/runs/${wanted}`).catch(() => null);
    if (!answer || wanted !== id) return;
    details = answer;
    fill(
      links,
      answer.has_model
        ? [
            ["sample", "Sample"],
            ["edit", "Edit"],
            ["evaluate", "Evaluate"],
          ].map(([tab, text]) => el("a", { class: "button quiet", href: `#${tab}/${wanted}` }, text))
        : null,
      answer.report
        ? el("a", { class: "button quiet", href: answer.report, target: "_blank", rel: "noreferrer" }, "Report")
        : null,
    );
    fill(
      settings,
      answer.settings.map(({ section, rows }) =>
        el(
          "div",
          { class: "stack tight" },
          el("h4", {}, section),
          el(
            "dl",
            { class: "facts small" },
            rows.flatMap(row => [
              el("dt", { title: `${row.flag}: ${row.text}` }, row.title),
              el("dd", { class: row.changed ? "changed" : null }, row.value || "–"),
            ]),
          ),
        ),
      ),
    );
    draw();
  }

  /** The messages of the process that trains the run, while it starts and where it failed. */
  function showProcess(newId) {
    if (newId === processId) return;
    processId = newId;
    endProcess?.();
    endProcess = followProcess(newId, answer => {
      process.show(answer);
      const begun = feeds.get(id)?.data;
      starting.hidden = Boolean(begun) && answer.state !== "failed";
      change.hidden = answer.state !== "failed" || Boolean(begun);
      change.onclick = () => changeOptions(answer);
      feeds.get(id)?.again();
    });
  }

  async function findProcess() {
    const wanted = id;
    const trainings = await app.api("GET", "/api/processes?command=train").catch(() => []);
    const last = trainings.find(one => one.run === wanted);
    if (last && wanted === id) showProcess(last.id);
  }

  stop.addEventListener("click", async () => {
    stopping = id;
    stop.disabled = true;
    try {
      await app.api("POST", `/api/runs/${id}/stop`);
      app.toast("Stopping after this step; the run is saved and can be resumed.");
    } catch (error) {
      stopping = null;
      stop.disabled = false;
      app.toast(error.message);
    }
  });
  more.addEventListener("input", () => {
    more.dataset.touched = "yes";
  });
  resume.addEventListener("click", async () => {
    resume.disabled = true;
    try {
      const steps = more.value.trim() ? Number(more.value) : null,
        same = steps === feeds.get(id)?.data?.steps;
      if (steps !== null && !Number.isInteger(steps)) throw new Error("the number of steps must be whole");
      const answer = await app.api("POST", `/api/runs/${id}/resume`, same || steps === null ? {} : { steps });
      delete more.dataset.touched;
      showProcess(answer.id);
      starting.hidden = false;
      app.refresh();
    } catch (error) {
      app.toast(error.message);
    }
    resume.disabled = false;
  });
  const changedView = () => {
    view.log = logBox.checked;
    view.smoothing = Number(smoothing.value);
    sessionStorage.setItem(KEPT, JSON.stringify(view));
    drawCurves();
  };
  logBox.addEventListener("change", changedView);
  smoothing.addEventListener("input", changedView);

  function close() {
    for (const feed of feeds.values()) feed.stop();
    feeds = new Map();
    endProcess?.();
    endProcess = processId = null;
    player.pause();
  }

  return {
    element,
    close,
    open(runId, beside = []) {
      if (runId !== id) {
        close();
        id = runId;
        details = null;
        detailsKey = "";
        delete more.dataset.touched;
        starting.hidden = true;
        fill(links);
        fill(settings);
        fill(notes);
        findProcess();
      }
      element.hidden = false;
      const wanted = [runId, ...beside.filter(other => other !== runId)],
        old = feeds;
      feeds = new Map(wanted.map(run => [run, old.get(run) ?? follow(run, () => draw())]));
      for (const [run, feed] of old) if (!feeds.has(run)) feed.stop();
      draw();
    },
  };
}
