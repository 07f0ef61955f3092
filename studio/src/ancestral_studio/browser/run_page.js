// The page of a model: one file that samples it in any browser, made by a process and shown over the studio.

import { button, write } from "./dom.js";
import { openInside } from "./inner_page.js";
import { followProcess } from "./process_view.js";

const TITLE = "One file that samples this model in any browser, without this studio";

export class RunPage {
  constructor(app) {
    Object.assign(this, { app, id: null, end: null });
    this.button = button("Make a web page", () => this.make(), { class: "quiet", title: TITLE });
  }

  /** Another run is shown. */
  open(id) {
    this.end?.();
    this.id = id;
    this.mark(false);
  }

  mark(working) {
    this.button.disabled = working;
    write(this.button, working ? "Making the web page …" : "Make a web page");
  }

  async make() {
    const { app, id } = this,
      { path, name } = app.run(id);
    this.mark(true);
    try {
      const options = { run: path, to: "html" };
      const process = await app.api("POST", "/api/jobs", { command: "export", options });
      if (id === this.id) this.end = followProcess(process.id, one => this.follow(one, name));
    } catch (error) {
      this.mark(false);
      app.toast(error.message);
    }
    app.refresh();
  }

  follow(process, name) {
    if (process.state === "running") return;
    this.mark(false);
    if (process.page) openInside(`Page of ${name}`, process.page, `${name.split("/").at(-1)}.html`);
    else this.app.toast(process.error ?? "The page was not made.");
  }
}
