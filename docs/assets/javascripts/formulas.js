// Formulas: the Markdown extension arithmatex marks them as \(...\) and \[...\], KaTeX renders them.
document.addEventListener("DOMContentLoaded", () => {
  for (const formula of document.querySelectorAll(".arithmatex")) {
    const text = formula.textContent.trim()
    katex.render(text.slice(2, -2), formula, { displayMode: text.startsWith("\\["), throwOnError: false })
  }
})
