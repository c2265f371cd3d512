// @ts-check
// What a browser keeps for this page. In a frame of another site, and in some private windows, it may keep nothing: then all is
// kept as long as the page lasts. Only theme.js, which comes before all modules, touches the browser's own storage, too.

const PREFIX = `threadcast ${new URL(".", location.href).pathname} `; // other pages of this host have the same storage

/** @param {() => Storage} open @returns {Pick<Storage, "getItem" | "setItem" | "removeItem" | "clear">} */
function kept(open) {
  const memory = new Map(); // what the browser would not keep

  /** @param {(storage: Storage) => any} use */
  const tried = (use) => {
    try {
      return use(open());
    } catch {
      return null;
    }
  };
  return {
    getItem: (name) => memory.get(name) ?? tried((storage) => storage.getItem(PREFIX + name)),
    setItem(name, text) {
      memory.set(name, text);
      tried((storage) => {
        storage.removeItem(PREFIX + name); // if there is no room, nothing older stays either
        storage.setItem(PREFIX + name, text);
        memory.delete(name);
      });
    },
    removeItem(name) {
      memory.delete(name);
      tried((storage) => storage.removeItem(PREFIX + name));
    },
    clear() {
      memory.clear();
      tried((storage) => storage.clear());
    },
  };
}

/** Kept for this tab, over reloads and while a person signs in elsewhere. A tab that is opened from it begins with a copy. */
export const tab = kept(() => sessionStorage);

/** What is kept for this tab as JSON; null if there is none, or none that can be read. @param {string} name */
export function parsed(name) {
  try {
    return JSON.parse(tab.getItem(name) ?? "null");
  } catch {
    tab.removeItem(name);
    return null;
  }
}

/** Kept in this browser: how the page is laid out. */
export const browser = kept(() => localStorage);
