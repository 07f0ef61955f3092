// Frames of the playground take the palette of the site: light or dark.
document.addEventListener("DOMContentLoaded", () => {
  const frames = document.querySelectorAll("iframe.pg-lesson")
  const show = (frame) => frame.contentWindow.postMessage({ scheme: document.body.dataset.mdColorScheme }, "*")
  for (const frame of frames) frame.addEventListener("load", () => show(frame))
  new MutationObserver(() => frames.forEach(show)).observe(document.body, { attributeFilter: ["data-md-color-scheme"] })
})
