// Requests to the studio's own server, and nothing else.

/** What the server refused: one line for the user, and the option that it concerns. */
export class Refusal extends Error {
  constructor(text, option, status) {
    super(text);
    this.option = option;
    this.status = status;
  }
}

/**
 * Send a request and return what the server answers as JSON.
 * A File or Blob is sent as it is, all else as JSON. Throws a Refusal; its status is 0 where no server answers.
 */
export async function api(method, path, body) {
  const raw = body instanceof Blob;
  let response;
  try {
    response = await fetch(path, {
      method,
      headers: body === undefined || raw ? {} : { "Content-Type": "application/json" },
      body: body === undefined || raw ? body : JSON.stringify(body),
      credentials: "same-origin",
      cache: "no-store",
    });
  } catch {
    throw new Refusal("the studio does not answer: is it still running?", null, 0);
  }
  const text = await response.text();
  let answer = null;
  try {
    answer = text ? JSON.parse(text) : null;
  } catch {
    /* not of the studio: the status says what is wrong */
  }
  if (response.ok) return answer;
  throw new Refusal(answer?.error ?? `the studio answered ${response.status}`, answer?.option ?? null, response.status);
}

export const ENDS = ["done", "failed", "cancelled"];
const KINDS = ["queued", "started", "planned", "stopping", "message", "work", "step", "file", ...ENDS];

/**
 * Follow a job. `handlers` has a function for some of the kinds of events, called with the data of the event; `any` is
 * called with kind and data, and `lost` if the server knows the job no more. Ends by itself after the last event.
 * A lost connection is taken up again where it broke. Returns a function that ends it.
 */
export function events(jobId, handlers) {
  const source = new EventSource(`/api/jobs/${encodeURIComponent(jobId)}/events`);
  for (const kind of KINDS) {
    source.addEventListener(kind, event => {
      if (ENDS.includes(kind)) source.close();
      const data = JSON.parse(event.data);
      handlers[kind]?.(data);
      handlers.any?.(kind, data);
    });
  }
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) handlers.lost?.();
  });
  return () => source.close();
}
