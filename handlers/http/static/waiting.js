// @ts-check
// What must survive a reload: posts that the server has not answered yet, and prompts that are typed and not sent. They are
// kept in this tab, with the user whose they are, and are nothing to any other user.

import { tab } from "./kept.js";

const MOST_POSTS = 50;
const MOST_DRAFTS = 20;
const MOST_CHARACTERS = 200_000; // of all that is kept of each kind

/**
 * @import { Post } from "./frames.js"
 * @import { Answer } from "./threadcast.js"
 * @typedef {{ id: string, asked: Post, text: string, error: string | null, isSent: boolean }} Kept
 * @typedef {Kept & { answer: Answer | null, why: string | null }} Waiting `why` it waits
 */

/** A tab that was opened from this page begins with a copy of what the first one keeps, and sends it itself. */
const [entry] = /** @type {PerformanceNavigationTiming[]} */ (performance.getEntriesByType("navigation"));
const isCopy = Boolean(opener) && history.length === 1 && entry?.type === "navigate";

let user = /** @type {string | null} */ (null); // whose things may be kept; null until the server has said it
let isOver = false; // another user has come, and the page is about to be loaded anew
/** @type {Record<string, string>} */
let drafts = {}; // by chat id, or "" for a new chat

/** The newest of these that are within the bounds, in their order. @template T @param {T[]} items @param {number} most */
function bounded(items, most) {
  let size = 0;
  const from = items.findLastIndex((item) => (size += JSON.stringify(item).length) > MOST_CHARACTERS) + 1;
  return items.slice(Math.max(from, items.length - most));
}

/** @param {string} name @param {unknown[]} value */
function write(name, value) {
  if (!user || isOver) return;
  if (value.length) tab.setItem(name, JSON.stringify({ user, value }));
  else tab.removeItem(name);
}

/** @param {string} name @returns {any[]} */
function read(name) {
  try {
    const kept = JSON.parse(tab.getItem(name) ?? "{}");
    if (kept.user === user && Array.isArray(kept.value)) return kept.value;
  } catch { // written by another version of this page
  }
  tab.removeItem(name);
  return [];
}

/**
 * Posts by their message's id. What changes in them by other means than `set` and `delete` is kept by `keep`.
 * @extends {Map<string, Waiting>}
 */
export class Posts extends Map {
  /** @param {string} id @param {Waiting} post */
  set(id, post) {
    super.set(id, post);
    this.keep();
    return this;
  }

  /** @param {string} id */
  delete(id) {
    const wasThere = super.delete(id);
    if (wasThere) this.keep();
    return wasThere;
  }

  keep() {
    const posts = [...this.values()].map(({ id, asked, text, error, isSent }) => ({ id, asked, text, error, isSent }));
    write("posts", bounded(posts, MOST_POSTS));
  }
}

/**
 * The server says who this is. Gives what was kept of this user: at first, and no second time.
 * @param {string} id @returns {Kept[]}
 */
export function restore(id) {
  if (user === id || isOver) return [];
  const isFirst = user === null, typed = drafts;
  user = id;
  if (isCopy && isFirst) for (const name of ["drafts", "posts"]) tab.removeItem(name);
  drafts = { ...Object.fromEntries(read("drafts")), ...typed };
  write("drafts", Object.entries(drafts));
  return read("posts");
}

/** Nobody is to find any of it, and nothing is kept any more until the page is loaded anew. */
export function forget() {
  isOver = true;
  for (const name of ["drafts", "posts"]) tab.removeItem(name);
}

/** What is typed in a chat, or, null, for a new one. @param {string | null} chat */
export const draftOf = (chat) => drafts[chat ?? ""] ?? "";

/** Keep what is typed. @param {string | null} chat @param {string} text */
export function keepDraft(chat, text) {
  const { [chat ?? ""]: _, ...others } = drafts;
  drafts = Object.fromEntries(bounded([...Object.entries(others), ...(text ? [[chat ?? "", text]] : [])], MOST_DRAFTS));
  write("drafts", Object.entries(drafts));
}
