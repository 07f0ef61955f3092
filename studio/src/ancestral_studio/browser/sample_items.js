// Samples that are no pictures: recordings are played, volumes looked through slice by slice.

import { el, fill } from "../page/shared/elements.js";
import { Slices } from "./slices.js";
import { player } from "./sound.js";

const RECORDING = /(^|\/)(\d{6})\.wav$/,
  VOLUMES = /(^|\/)samples\.npz$/;
const MOST_PLAYERS = 64;

export class SampleItems {
  constructor(app) {
    this.app = app;
    this.players = el("div", { class: "stack tight", role: "group", "aria-label": "Recordings" });
    this.slices = new Slices();
    const look = () => this.look();
    this.item = el("input", { type: "range", min: 0, step: 1, value: 0, "aria-label": "Sample", on: { change: look } });
    this.volumes = el("div", { class: "stack tight", hidden: true }, this.item, this.slices.element);
    this.element = el("div", { class: "stack", hidden: true }, this.players, this.volumes);
  }

  /** Show the samples of an entry of the history; nothing of one that has pictures, or of null. */
  show(entry) {
    const files = entry?.files ?? [];
    const recordings = files.filter(file => RECORDING.test(file.name)).slice(0, MOST_PLAYERS);
    const isVolumes = files.some(file => VOLUMES.test(file.name));
    this.entry = entry;
    this.element.hidden = !isVolumes && !recordings.length;
    this.volumes.hidden = !isVolumes;
    this.item.max = (entry?.recipe?.n ?? 1) - 1;
    const label = file => `Sample ${Number(RECORDING.exec(file.name)[2])}`;
    const row = file => el("div", { class: "row" }, el("span", { class: "small" }, label(file)), player(file.url, label(file)));
    fill(this.players, recordings.map(row));
    if (isVolumes) this.look();
    else this.slices.hide();
  }

  /** Show the volume that the slider names. */
  async look() {
    const place = Number(this.item.value);
    try {
      await this.slices.show(`/api/history/${this.entry.id}/items/${place}`, `sample ${place}`);
      this.item.setAttribute("aria-valuetext", `sample ${place}`);
    } catch (error) {
      this.app.toast(error.message);
    }
  }
}
