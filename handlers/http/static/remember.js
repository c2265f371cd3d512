// What this browser remembers of how the page is laid out. A browser may keep nothing: then it is forgotten with the page.

/** @param {string} key @returns {string | null} */
export function remembered(key) {
  try {
    return localStorage.getItem(`threadcast.${key}`);
  } catch {
    return null;
  }
}

/** @param {string} key @param {string} value */
export function remember(key, value) {
  try {
    localStorage.setItem(`threadcast.${key}`, value);
  } catch { // then it is forgotten
  }
}
