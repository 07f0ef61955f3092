// One run: its curve, beside those of others, its previews, and what to do with it.

import { el, fill } from "../page/shared/elements.js";
import { clock, short, write } from "./dom.js";
import { follow } from "./feed.js";
import { PreviewPlayer } from "./previews.js";
import { followProcess, processView } from "./process_view.js";
import { runControls } from "./run_controls.js";
import { runCurves } from "./run_curves.js";
import { RunSymptoms } from "./run_symptoms.js";

const TEXTS = {
  missing: "There is no such run; it may have been moved or deleted.",
  starting: "The run folder is made when the first step begins.",
};

/** Make the view. Returns {element, open(id, beside), close()}: `beside` are ids of runs whose curves are drawn too. */
export function runDetail(app, { changeOptions }) {
  return new RunDetail(app, changeOptions);
}

class RunDetail {
  constructor(app, changeOptions) {
    Object.assign(this, { app, changeOptions });
    this.id = null;
    this.feeds = new Map();
    this.endProcess = null;
    this.processId = null;
    this.details = null;
    this.detailsKey = "";
    this.title = el("h2", { class: "wrap grow" });
    this.badge = el("span", { class: "badge" });
    this.other = el("span", { class: "badge warning", hidden: true });
    this.bar = el("progress", { max: 1, value: 0, "aria-label": "Steps" });
    this.facts = el("p", { class: "soft number", role: "status" });
    this.controls = runControls(app, {
      stopped: () => this.draw(),
      resumed: process => {
        this.showProcess(process.id);
        this.starting.hidden = false;
      },
    });
    this.process = processView(app, { title: false });
    this.curves = runCurves(run => this.runName(run));
    this.symptoms = new RunSymptoms(app);
    this.player = new PreviewPlayer();
    this.build();
  }

  build() {
    this.change = el("button", { type: "button" }, "Change the options");
    this.starting = el(
      "div",
      { class: "panel stack", hidden: true },
      el("h3", {}, "Messages of the training"),
      this.process.element,
      this.change,
    );
    this.notes = el("ul", { class: "stack tight small wrap" });
    this.settings = el("div", { class: "columns" });
    this.notesPanel = el("details", { class: "panel" }, el("summary", {}, "Notes"), this.notes);
    const previews = el(
      "section",
      { class: "panel stack tight", "aria-label": "Previews" },
      el("h3", {}, "Previews"),
      this.player.element,
    );
    const head = el("div", { class: "row" }, this.title, this.badge, this.other);
    this.element = el(
      "div",
      { class: "stack run-detail", hidden: true },
      el("div", { class: "panel stack tight" }, head, this.bar, this.facts, this.controls.element),
      this.starting,
      el("div", { class: "run-parts" }, previews, el("div", { class: "stack" }, this.curves.element, this.symptoms.element)),
      this.notesPanel,
      el("details", { class: "panel" }, el("summary", {}, "Settings"), this.settings),
    );
  }

  runName(run) {
    return this.app.run(run)?.name ?? "run";
  }

  // -- drawing ----------------------------------------------------------------------------------------------------

  draw() {
    const feed = this.feeds.get(this.id),
      data = feed?.data;
    write(this.title, this.app.run(this.id)?.name ?? "New run");
    if (!data) return this.drawMissing(feed);
    this.controls.show(data, this.details);
    const stopping = data.state === "training" && (data.stopping || this.controls.stopping === this.id);
    this.drawState(stopping ? "stopping" : data.state);
    this.other.hidden = data.state !== "training" || (data.mine ?? false);
    write(this.other, data.mine !== undefined ? "another visitor's" : "started in a terminal");
    this.bar.max = Math.max(1, data.steps);
    this.bar.value = Math.min(data.step, this.bar.max);
    write(this.facts, this.factsOf(feed, data, stopping).join(" · "));
    this.drawCurves();
    this.curves.drawBars(data.by_time.map(value => value ?? NaN));
    const withData = [...this.feeds.values()].filter(one => one.data);
    this.player.show(withData.map(one => ({ name: this.runName(one.id), previews: one.data.previews })));
    this.drawNotes(data.notes);
    if (data.process) this.showProcess(data.process);
    const key = `${data.state} ${data.has_model} ${data.previews.length} ${data.notes.length}`;
    if (key !== this.detailsKey) {
      this.detailsKey = key;
      this.readDetails();
    }
    return undefined;
  }

  /** A run without a folder, or one that is not read yet. */
  drawMissing(feed) {
    const state = feed?.lost ? "missing" : (feed?.missing ?? "reading");
    this.drawState(state, state === "starting" ? "running" : state);
    write(this.facts, TEXTS[state] ?? "");
    this.other.hidden = true;
    this.controls.hide();
    if (["starting", "reading"].includes(state)) this.bar.removeAttribute("value");
    else this.bar.value = 0;
    this.drawCurves();
  }

  drawState(state, kind = state) {
    this.badge.className = `badge ${kind}`;
    write(this.badge, state);
  }

  drawCurves() {
    this.curves.draw([...this.feeds.values()]);
  }

  factsOf(feed, data, stopping) {
    const training = data.state === "training",
      row = feed.rows.at(-1),
      at = name => row?.[data.columns.indexOf(name)];
    const texts = [`step ${short(data.step)} of ${short(data.steps)}`];
    if (row) texts.push(`loss ${short(at("loss"))}`);
    if (training && row) texts.push(`${short(at("images_per_second"), 3)} images/s`);
    if (training && Number.isFinite(data.seconds_left)) texts.push(`${clock(data.seconds_left)} left`);
    if (stopping) texts.push("stopping after this step");
    const problem = this.app.run(this.id)?.problem;
    return problem ? [...texts, problem] : texts;
  }

  drawNotes(lines) {
    if (this.notes.childElementCount !== lines.length) {
      fill(
        this.notes,
        lines.map(line => el("li", {}, line)),
      );
    }
    this.notesPanel.hidden = !lines.length;
  }

  async readDetails() {
    const wanted = this.id;
    const answer = await this.app.api("GET", `/api/runs/${wanted}`).catch(() => null);
    if (!answer || wanted !== this.id) return;
    this.details = answer;
    this.controls.links(answer);
    this.symptoms.show(answer);
    fill(this.settings, answer.settings.map(settingsSection));
    this.draw();
  }

  // -- the process that trains the run ----------------------------------------------------------------------------

  /** The messages of the process that trains the run, while it starts and where it failed. */
  showProcess(id) {
    if (id === this.processId) return;
    this.processId = id;
    this.endProcess?.();
    this.endProcess = followProcess(id, answer => {
      this.process.show(answer);
      const begun = this.feeds.get(this.id)?.data;
      this.starting.hidden = Boolean(begun) && answer.state !== "failed";
      this.change.hidden = answer.state !== "failed" || Boolean(begun);
      this.change.onclick = () => this.changeOptions(answer);
      this.feeds.get(this.id)?.again();
    });
  }

  async findProcess() {
    const wanted = this.id;
    const trainings = await this.app.api("GET", "/api/processes?command=train").catch(() => []);
    const last = trainings.find(one => one.run === wanted);
    if (last && wanted === this.id) this.showProcess(last.id);
  }

  // -- which run --------------------------------------------------------------------------------------------------

  close() {
    for (const feed of this.feeds.values()) feed.stop();
    this.feeds = new Map();
    this.endProcess?.();
    this.endProcess = this.processId = null;
    this.player.pause();
  }

  open(runId, beside = []) {
    if (runId !== this.id) {
      this.close();
      this.id = runId;
      this.details = null;
      this.detailsKey = "";
      this.starting.hidden = true;
      this.controls.open(runId);
      this.symptoms.hide();
      fill(this.settings);
      fill(this.notes);
      this.findProcess();
    } else this.readDetails(); // what was measured meanwhile
    this.element.hidden = false;
    const wanted = [runId, ...beside.filter(other => other !== runId)],
      old = this.feeds;
    this.feeds = new Map(wanted.map(run => [run, old.get(run) ?? follow(run, () => this.draw())]));
    for (const [run, feed] of old) if (!this.feeds.has(run)) feed.stop();
    this.draw();
  }
}

function settingsSection({ section, rows }) {
  return el(
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
  );
}
