// What a tab of the browser remembers over a reload: its own state first; a new tab begins with the last state of any.
// So two tabs do not disturb each other.

const PREFIX = "ancestral-";

export function remember(name, state) {
  const text = JSON.stringify(state);
  for (const store of [sessionStorage, localStorage]) {
    try {
      store.setItem(PREFIX + name, text);
    } catch {
      // the store is full or forbidden: what it held before would be another state
      try {
        store.removeItem(PREFIX + name);
      } catch {
        // nothing can be kept here
      }
    }
  }
}

export function recall(name) {
  for (const store of ["sessionStorage", "localStorage"]) {
    try {
      const text = window[store].getItem(PREFIX + name);
      if (text !== null) return JSON.parse(text);
    } catch {
      // forbidden, or no JSON: as if nothing was there
    }
  }
  return null;
}
