// The theme: the system's, light or dark. It is a classic script in the head, so that the first picture has it already.

"use strict";

(() => {
  const root = document.documentElement;
  const apply = (theme) => {
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
    else delete root.dataset.theme;
  };
  const check = () => {
    const chosen = root.dataset.theme ?? "system";
    for (const radio of document.querySelectorAll("#theme input")) radio.checked = radio.value === chosen;
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
    document.getElementById("theme").addEventListener("change", ({ target }) => {
      apply(target.value);
      try {
        localStorage.setItem("threadcast.theme", target.value);
      } catch { // for this visit, then
      }
    });
  });
})();
