/* The samples of a job as they come about, and at the slider. */

import { $ } from "./page_messages.js";

const PLAY = 3; // seconds of a whole run

export class Player {
  /** `view()`: what is shown of a state, "x" or "x0". */
  constructor(grid, view) {
    Object.assign(this, { grid, view, job: null }); // the last job, with the frames of its samples
    Object.assign(this, { running: false, live: true, playing: false, position: 0, queued: false });
    $("play").onclick = () => this.play(!this.playing);
    $("at").oninput = () => this.moveTo(Number($("at").value));
    $("views").onchange = () => this.draw();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  begin(job) {
    this.play(false);
    Object.assign(this, { job, running: true, live: true, position: 0 });
    this.grid.build(job.captions);
  }

  end() {
    this.running = this.live = false;
    this.position = Math.max(0, ...this.job.frames.map((frames) => frames.length - 1));
  }

  /** Takes a state of a sample from a Worker. */
  receive({ position: item, t, x, x0 }) {
    if (!x) return;
    const frame = { t, x: this.grid.seen(x), x0: this.grid.seen(x0) }, { last, edit, frames } = this.job;
    if (t === 0) {
      last[item] = x;
      if (edit) { // what is known of an image is that image, to the bit
        const { mask, bytes } = edit;
        frame.x = frame.x0 = frame.x.map((byte, i) => (mask[i % mask.length] ? byte : bytes[i]));
      }
    }
    frames[item].push(frame);
    this.requestDraw();
  }

  requestDraw() {
    if (this.queued) return;
    this.queued = true;
    requestAnimationFrame(() => {
      this.queued = false;
      this.draw();
    });
  }

  /** Draws the last state of each sample while they are computed, else the state at the slider. */
  draw() {
    if (!this.job) return;
    const { frames } = this.job, reached = frames.map((one) => one.length - 1);
    if (this.live) this.position = Math.max(0, Math.min(...reached));
    const seen = frames.map((one, i) => one[this.live ? reached[i] : Math.min(this.position, reached[i])]);
    const times = seen.filter(Boolean).map(({ t }) => t);
    $("at").value = this.position;
    $("time").value = times.length ? `t = ${Math.max(...times)}` : "";
    $("at").setAttribute("aria-valuetext", $("time").value);
    this.grid.draw(seen.map((frame) => frame && frame[this.view()]));
  }

  play(on) {
    this.playing = on && !!this.job && !this.running;
    $("play").classList.toggle("playing", this.playing);
    $("play").ariaLabel = this.playing ? "Pause" : "Play";
    if (!this.playing) return;
    const last = this.job.shown.length - 1, start = performance.now(), from = this.position >= last ? 0 : this.position;
    const frame = (now) => {
      if (!this.playing) return;
      this.position = Math.min(last, Math.floor(from + (Math.max(now - start, 0) / 1000 / PLAY) * last));
      this.draw();
      if (this.position < last) requestAnimationFrame(frame);
      else this.play(false);
    };
    requestAnimationFrame(frame);
  }

  moveTo(to) {
    this.play(false);
    this.live = false;
    this.position = Math.min(Math.max(to, 0), Number($("at").max));
    this.draw();
  }
}
