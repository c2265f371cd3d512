// @ts-check
// The theme: the system's, light or dark. It is a classic script in the head, so that the first picture has it already.

"use strict";

(() => {
  const root = document.documentElement;
  /** @param {string | null} theme */
  const apply = (theme) => {
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
    else delete root.dataset.theme;
  };
  const check = () => {
    const chosen = root.dataset.theme ?? "system";
    const radios = /** @type {NodeListOf<HTMLInputElement>} */ (document.querySelectorAll("#theme input"));
    for (const radio of radios) radio.checked = radio.value === chosen;
  };

  try {
    apply(localStorage.getItem("threadcast.theme"));
  } catch { // a browser that keeps nothing: then it is the system's
  }
  addEventListener("storage", ({ key, newValue }) => { // another tab has changed it
    if (key !== "threadcast.theme") return;
    apply(newValue);
    check();
  });
  document.addEventListener("DOMContentLoaded", () => {
    check();
    document.getElementById("theme")?.addEventListener("change", ({ target }) => {
      const { value } = /** @type {HTMLInputElement} */ (target);
      apply(value);
      try {
        localStorage.setItem("threadcast.theme", value);
      } catch { // for this visit, then
      }
    });
  });
})();
