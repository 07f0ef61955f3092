// The search reads a leading dash as "without this word". Names of options are searched for without their dashes.
document.addEventListener("input", ({ target }) => {
  if (!target.matches(".md-search__input")) return
  const plain = target.value.replace(/(^|\s)-+/g, "$1")
  if (plain !== target.value) target.value = plain
})
