// What changes of a run while it trains, read from the server again and again.

import { api } from "./api.js";

const TRAINING_SECONDS = 1,
  IDLE_SECONDS = 5,
  MISSING_SECONDS = 1;

/**
 * Follow a run. `changed(feed)` is called after each answer. The feed has `data` (the last answer, null before the
 * first), `rows` (all rows of the log), `missing` (null, or without a folder the state of its process, such as
 * "starting"), `lost` (there is no such run), `again()`, which reads now, and `stop()`.
 */
export function follow(runId, changed) {
  const feed = { id: runId, data: null, rows: [], missing: null, lost: false, stop, again: read };
  let timer = 0,
    version = "",
    ended = false,
    reading = false;

  async function read() {
    clearTimeout(timer);
    if (ended || reading) return;
    let seconds = IDLE_SECONDS;
    if (!document.hidden || !feed.data) {
      reading = true;
      try {
        const after = feed.rows.length ? feed.rows[feed.rows.length - 1][0] : -1;
        const data = await api("GET", `/api/runs/${runId}/live?after=${after}&version=${encodeURIComponent(version)}`);
        if (ended) return;
        if (data.version === null) {
          feed.missing = data.state;
          if (data.state === "starting") seconds = MISSING_SECONDS;
          return;
        }
        feed.rows = data.anew ? data.log : feed.rows.concat(data.log);
        if (!data.by_time.length && feed.data) data.by_time = feed.data.by_time;
        feed.data = data;
        feed.missing = null;
        version = data.version;
        if (data.state === "training") seconds = TRAINING_SECONDS;
      } catch (error) {
        if (ended) return;
        feed.lost = error.status === 404;
      } finally {
        reading = false;
        if (!ended) changed(feed);
        if (!ended && !feed.lost) timer = setTimeout(read, seconds * 1000);
      }
    } else timer = setTimeout(read, seconds * 1000);
  }

  function stop() {
    ended = true;
    clearTimeout(timer);
  }

  read();
  return feed;
}

/** The points of a column of a feed over the steps. */
export function column(feed, name) {
  const place = feed.data?.columns.indexOf(name) ?? -1;
  return place < 0 ? [] : feed.rows.map(row => [row[0], row[place] ?? NaN]);
}

/** The points of the validation loss of a feed. */
export function validation(feed) {
  const table = feed.data?.validation,
    place = table?.columns.indexOf("validation") ?? -1;
  return place < 0 ? [] : table.rows.map(row => [row[0], row[place] ?? NaN]);
}
