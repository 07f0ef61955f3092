// The frame of the studio: tabs by hash, the state that all tabs share, and messages.
//
// A tab is a module with `open(root, app)`, called once, when the tab is first shown; its elements stay afterwards.
// It may return {show(route), hide()}: `show` is called each time the tab or its route is shown, with
// route = {tab, path: [...], query: {...}} of a hash such as #sample/runs-digits?entry=x; `hide` when it is left.

import { el, fill } from "../page/shared/elements.js";
import { activityPanel } from "./activity.js";
import { api, events } from "./api.js";
import { button, write } from "./dom.js";
import { openKeys } from "./keys.js";
import { explainBy, preferencesPanel } from "./preferences.js";

const TABS = {
  data: "Data",
  train: "Train",
  sample: "Sample",
  edit: "Edit",
  evaluate: "Evaluate",
  compare: "Compare",
  history: "History",
};
const BUSY_SECONDS = 2,
  IDLE_SECONDS = 8;

const main = document.getElementById("main");
const tabs = new Map();
const listeners = new Set();
let timer = 0,
  current = null;

const app = {
  api,
  events,
  /** The overview of the server: runs, folders, queue, what runs, version. Empty until it was read. */
  state: { version: "", folders: [], runs: [], queue: { running: 0, waiting: 0 }, jobs: [] },
  /** Show what a hash stands for, as in app.navigate("#edit/RUN?entry=ID"). */
  navigate(hash) {
    if (location.hash === hash) route();
    else location.hash = hash;
  },
  /** Replace the hash without a step in the history of the browser, where a control changes what is shown. */
  remember(hash) {
    history.replaceState(null, "", hash);
    mark();
  },
  /** Call a function now and after each change of the state. Returns a function that ends it. */
  subscribe(listener) {
    listeners.add(listener);
    listener(app.state);
    return () => listeners.delete(listener);
  },
  /** Read the state anew. */
  async refresh() {
    clearTimeout(timer);
    try {
      app.state = await api("GET", "/api/overview");
      document.getElementById("banner").hidden = true;
      for (const listener of listeners) listener(app.state);
      drawActivity(app.state);
    } catch (error) {
      const banner = document.getElementById("banner");
      write(
        banner,
        error.status
          ? error.message
          : "The studio's server does not answer. Trainings go on without it; start it again with: ancestral studio",
      );
      banner.hidden = false;
    }
    clearTimeout(timer);
    const busy = app.state.runs.some(run => run.state === "training") || app.state.jobs.length;
    timer = setTimeout(app.refresh, (busy ? BUSY_SECONDS : IDLE_SECONDS) * 1000);
    return app.state;
  },
  /** The run of an id, if there is one. */
  run(id) {
    return app.state.runs.find(run => run.id === id) ?? null;
  },
  /**
   * Show a message for a while. `action` {label, run} adds a button; `ended` is called once the message is gone
   * without it. Returns a function that removes the message.
   */
  toast(text, { action = null, ended = null, seconds = action ? 10 : 6 } = {}) {
    let left = seconds,
      acted = false;
    const close = () => {
      if (!toast.isConnected) return;
      clearInterval(ticking);
      toast.remove();
      if (!acted) ended?.();
    };
    const answer =
      action &&
      button(action.label, () => {
        acted = true;
        close();
        action.run();
      });
    const toast = el("div", { class: "toast" }, el("span", { class: "grow" }, text), answer);
    const held = () => toast.matches(":hover") || toast.contains(document.activeElement);
    const ticking = setInterval(() => {
      if (!held() && --left <= 0) close();
    }, 1000);
    document.getElementById("toasts").append(toast);
    return close;
  },
};

function parsed(hash) {
  const [path, query = ""] = hash.replace(/^#/, "").split("?");
  const [tab, ...parts] = path.split("/").map(decodeURIComponent);
  return {
    tab: tab in TABS ? tab : "train",
    path: parts.filter(Boolean),
    query: Object.fromEntries(new URLSearchParams(query)),
  };
}

function mark() {
  const { tab } = parsed(location.hash);
  for (const link of document.querySelectorAll("#tabs a")) {
    if (link.dataset.tab === tab) {
      link.setAttribute("aria-current", "page");
      link.scrollIntoView({ block: "nearest", inline: "nearest" });
    } else link.removeAttribute("aria-current");
  }
}

async function route() {
  const wanted = parsed(location.hash);
  mark();
  document.title = `${TABS[wanted.tab]} – Ancestral studio`;
  if (current && current !== wanted.tab) tabs.get(current)?.then(tab => tab?.hide?.());
  current = wanted.tab;
  for (const section of main.children) section.hidden = section.dataset.tab !== wanted.tab;
  if (!tabs.has(wanted.tab)) {
    const root = el("section", { data: { tab: wanted.tab }, "aria-label": TABS[wanted.tab] });
    main.append(root);
    tabs.set(
      wanted.tab,
      import(`./${wanted.tab}.js`).then(module => module.open(root, app)).then(tab => tab ?? {}),
    );
  }
  try {
    const tab = await tabs.get(wanted.tab);
    if (current === wanted.tab) tab.show?.(wanted);
  } catch (error) {
    tabs.delete(wanted.tab);
    fill(
      main.querySelector(`[data-tab="${wanted.tab}"]`),
      el("p", { class: "error" }, `This part could not be opened: ${error.message}`),
    );
    throw error;
  }
}

fill(
  document.getElementById("tabs"),
  Object.entries(TABS).map(([name, title]) => el("a", { href: `#${name}`, data: { tab: name } }, title)),
);
const drawActivity = activityPanel(app, document.getElementById("activity"));
explainBy(document.getElementById("explain"));
fill(document.getElementById("preferences"), preferencesPanel());
document.getElementById("keys-button").addEventListener("click", openKeys);
document.addEventListener("keydown", event => {
  if (event.key === "?" && !event.target.closest("input, select, textarea, dialog")) openKeys();
});
document.getElementById("skip").addEventListener("click", () => main.focus());
addEventListener("hashchange", () => {
  scrollTo(0, 0);
  route();
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) app.refresh();
});
// the token is in a cookie now: no link shows it
if (location.search) history.replaceState(null, "", `/${location.hash}`);
app.refresh();
route();
