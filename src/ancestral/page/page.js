/* The page of a model: it samples by its settings, and saves and opens pictures with them. */

import { tabulated } from "./diffusion.js";
import { FillIn } from "./page_fill.js";
import { Grid } from "./page_grid.js";
import { $, fail, say, tried } from "./page_messages.js";
import { load } from "./page_model.js";
import { Player } from "./page_player.js";
import { readRecipe } from "./page_recipe.js";
import { Settings } from "./page_settings.js";
import { onDrop, onFile, saveFile } from "./shared/elements.js";
import { pngTexts, writePng } from "./shared/png.js";

class Page {
  constructor(model, workers) {
    Object.assign(this, { model, workers, form: $("page") });
    const value = (name) => this.settings.value(name);
    this.fill = new FillIn(model, { tool: () => value("tool"), width: () => Number(value("width")) });
    const schedule = tabulated(model.signal, model.noise, model.prior_std);
    this.settings = new Settings(this.form, model, schedule, this.fill);
    this.grid = new Grid($("grid"), model, (i) => this.editSample(i));
    this.player = new Player(this.grid, () => value("view"));
    this.connect();
    this.showState();
  }

  connect() {
    const open = tried((file) => this.open(file));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.sample();
    });
    $("stop").onclick = () => this.workers.stop();
    $("save").onclick = tried(() => this.save());
    $("new-seed").onclick = () => {
      this.settings.control("seed").value = crypto.getRandomValues(new Uint32Array(1))[0] % 1000000;
      this.sample();
    };
    onFile($("edit-file"), tried((file) => this.fill.openFile(file)));
    onFile($("open-file"), open);
    onDrop(document.body, (file, event) => {
      const place = this.settings.conditions.find((one) => one.take && one.part.contains(event.target));
      (place ? tried(place.take) : open)(file);
    });
    document.addEventListener("keydown", (event) => this.press(event));
  }

  press(event) {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || !this.player.job) return;
    if (event.target !== document.body && event.target !== document.documentElement) return;
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === " ") this.player.play(!this.player.playing);
    else if (step) this.player.moveTo(this.player.position + step);
    else return;
    event.preventDefault();
  }

  showState() {
    const { job, running } = this.player;
    $("run").disabled = false;
    $("stop").disabled = !running;
    $("save").disabled = running || !(job && job.seconds);
    $("play").disabled = running || !job;
    Object.assign($("at"), { max: job ? job.shown.length - 1 : 0, disabled: !job });
    this.form.dataset.state = running ? "running" : "ready";
  }

  async sample() {
    let job;
    this.form.dataset.state = "running";
    try {
      job = await this.settings.job();
    } catch (error) {
      this.showState();
      return say(error.message);
    }
    $("alert").hidden = true;
    this.player.begin(job);
    this.showState();
    const start = performance.now(), seconds = () => (performance.now() - start) / 1000;
    const result = await this.run(job, seconds).catch((error) => fail(`The page cannot go on: ${error.message}`));
    if (job !== this.player.job) return; // another job has begun
    if (result) Object.assign(job, result, { seconds: seconds() });
    this.player.end();
    $("progress").value = 0;
    say(result ? this.summary() : result === null ? "Stopped." : "");
    this.showState();
    this.player.draw();
  }

  /** Samples the items of a job, and shows its states and its progress. Resolves to what `Workers.run` does. */
  run(job, seconds) {
    const { key, steps, options, clip, spacing } = job.sampler, { seed, guidance } = job.recipe;
    const { rescale, absent, shown, visited, items } = job, edit = job.edit && job.edit.sent;
    const sent = { sampler: key, steps, options, clip, spacing, seed, guidance, rescale, absent, shown, edit };
    let states = 0;
    return this.workers.run(sent, items, (state) => {
      states++;
      this.player.receive(state);
      $("progress").value = states / (items.length * visited);
      const step = Math.min(Math.floor(states / items.length), visited - 1);
      say("", `Step ${step} of ${visited - 1} · ${seconds().toFixed(1)} s`);
    });
  }

  summary() {
    const { seconds, evaluations, milliseconds, workers, items } = this.player.job, count = items.length;
    const what = this.model.isPoints ? "points" : count > 1 ? "samples" : "sample";
    const digits = (number) => (number < 10 ? 1 : 0), each = milliseconds / evaluations;
    return [
      `${count} ${what} in ${seconds.toFixed(1 + digits(seconds))} s`,
      `${evaluations.toLocaleString("en")} evaluations of ${Number(each.toPrecision(2))} ms`,
      `${workers} ${workers > 1 ? "processors" : "processor"}`,
    ].join(" · ");
  }

  editSample(i) {
    const { last, edit } = this.player.job;
    if (last[i]) this.fill.openSample(last[i], edit);
  }

  async save() {
    const { saved, recipe, edit, frames } = this.player.job, texts = { "ancestral-page": JSON.stringify(saved) };
    const repeatable = recipe.model && !edit && Object.values(recipe.given).every(([text]) => text);
    if (repeatable) texts.ancestral = JSON.stringify(recipe); // `ancestral sample --like` reads it
    const picture = this.grid.picture(frames.map((one) => one.at(-1).x));
    const name = `${this.model.name}-seed${recipe.seed}.png`;
    saveFile(await writePng(...picture, texts), name);
    say(`Saved ${name}.`);
  }

  /** Takes a file: a PNG with settings, or an image to fill in. */
  async open(file) {
    const settings = readRecipe(await pngTexts(file), this.model);
    if (settings) this.settings.restore(settings);
    else if (this.model.isImage) return this.fill.openFile(file);
    else throw new Error("This file holds no settings of the page.");
    say("These are the settings of the picture. Press Sample to make it again.");
  }

  /** The state of the page. */
  current() {
    const { job, running } = this.player;
    return job && {
      running, recipe: job.recipe, samples: job.last, frames: job.frames, times: job.frames[0].map(({ t }) => t),
      seconds: job.seconds, evaluations: job.evaluations, workers: job.workers,
    };
  }
}

async function start() {
  let page;
  try {
    page = new Page(...(await load()));
  } catch (error) {
    const old = typeof DecompressionStream === "undefined" || typeof WebAssembly === "undefined";
    const reason = old ? "this browser is too old for it" : error.message;
    return fail(`The page cannot start: ${reason}.`);
  }
  globalThis.AncestralPage = { model: page.model, current: () => page.current(), say }; // for the console
  page.sample();
}

start();
