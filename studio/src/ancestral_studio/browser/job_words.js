// What jobs do and how long, in words: for the header of the page and for the panel of a job.

import { clock } from "./dom.js";

const isNumber = value => value !== null && value !== undefined;

/** What a job waits for, as in "waits for 2 others, about 0:40". */
export function waitLine({ ahead, seconds }) {
  const others = ahead === 1 ? "waits for another job" : `waits for ${ahead} other jobs`;
  return [ahead ? others : "starts in a moment", ahead && isNumber(seconds) ? `about ${clock(seconds)}` : ""]
    .filter(Boolean)
    .join(", ");
}

/** How far work is, as in "sampling · 42 % · 0:12 left". */
export function workLine({ task, done, total, seconds }) {
  return [
    task,
    total ? `${Math.floor((100 * done) / total)} %` : "",
    isNumber(seconds) ? `${clock(seconds)} left` : "",
  ]
    .filter(Boolean)
    .join(" · ");
}

/** How a job of the overview stands. */
export function stateLine(job) {
  if (job.stopping) return "stopping";
  if (job.state === "waiting") return waitLine(job);
  const { progress, seconds } = job;
  if (!progress) return isNumber(seconds) ? `${clock(seconds)} left` : "working";
  const { task, done, total, unit } = progress;
  const steps = unit === "steps" && !task ? `step ${done.toLocaleString("en")} of ${total.toLocaleString("en")}` : "";
  return steps ? [steps, workLine({ seconds })].filter(Boolean).join(" · ") : workLine({ task, done, total, seconds });
}
