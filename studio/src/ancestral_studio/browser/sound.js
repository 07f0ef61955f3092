// Sound: a small player. One plays at a time.

import { el } from "../page/shared/elements.js";

let playing = null;

/** Make a player of a recording at an address; `label` says which it is. */
export function player(address, label) {
  const play = () => {
    if (playing !== element) playing?.pause();
    playing = element;
  };
  const element = el("audio", { src: address, controls: true, preload: "metadata", "aria-label": label, on: { play } });
  return element;
}
