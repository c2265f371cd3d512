// @ts-check
// What the page says of what went wrong, in words for everybody. What the server said itself is in the inspector.

/** @typedef {{ code: string, message?: string, retryAfter?: number, retry_after?: number }} Refusal */

const AGAIN = "Try again.";
const NOT_TAKEN = "The server could not take that. The inspector shows why.";
const GONE = "is not there, or it is not yours to see.";

/** How long, in words. @param {number} seconds */
const seconds = (seconds) => (seconds > 1 ? `${Math.ceil(seconds)} seconds` : "a second");

/** When it goes on, where the server says so. @param {Refusal} error @param {string} otherwise */
function later({ retryAfter, retry_after }, otherwise) {
  const after = retryAfter ?? retry_after;
  return after === undefined ? otherwise : `It goes on in ${seconds(after)}.`;
}

/** Requests that the server could not take for a reason that a person can do something about. @type {[RegExp, string][]} */
const BAD = [
  [/chat is full/, "This chat is full. Start another one."],
  [/already answered/, "This was already answered, maybe on another tab."],
  [/at `\$\.payload\.prompt`/, "The prompt is too long, or has characters that the server does not take."],
  [/at `\$\.payload\.title`|title must/, "The title has to be between 1 and 200 characters long."],
  [/asset/, "This asset does not exist. Pick another one."],
];

/**
 * By code: the sentence. `what` is what was asked for, such as “chat”.
 * @type {Record<string, (error: Refusal, what: string) => string>}
 */
const SENTENCES = {
  BAD_REQUEST: ({ message = "" }) => BAD.find(([pattern]) => pattern.test(message))?.[1] ?? NOT_TAKEN,
  UNAUTHORIZED: () => "You may not do this. Ask who it belongs to, or sign in anew.",
  FORBIDDEN: () => "You may not do this. Ask who it belongs to.",
  NOT_FOUND: (_, what) => `This ${what} ${GONE}`,
  TOO_MANY_REQUESTS: (error) => `That was a lot at once. ${later(error, "Try again in a moment.")}`,
  SERVICE_UNAVAILABLE: (error) => `The server is busy or restarts. ${later(error, "Try again in a moment.")}`,
  INTERNAL_SERVER_ERROR({ message = "" }) {
    const reference = /reference ([\w-]+)/.exec(message)?.[1];
    return `The server had a problem. ${reference ? `Reference ${reference}. ` : ""}${AGAIN}`;
  },
  QUEUE_FULL: () => "Too much waits for the connection already. Try again when it is back.",
  NO_ANSWER: () => "The connection went away, and it is not known whether this was done. Look before you try again.",
  CLOSED: () => "The connection is closed. Load the page anew.",
  REPLACED: () => "Somebody else has signed in here.",
};

/** A sentence for people about an error of the server's or the client's. @param {Refusal} error @param {string} [what] */
export function sentence(error, what = "chat") {
  return Object.hasOwn(SENTENCES, error.code) ? SENTENCES[error.code](error, what) : `Something went wrong. ${AGAIN}`;
}

export const NO_CHAT = "There is no such chat, or it is not yours to see.";
export const COPIED = "This goes on in a copy of the chat. The other chat is as it was.";
export const WAITS = "waits for the connection";
export const UNSURE = "The page was loaded anew before the server had answered. If you do not see your change, make it again.";

/** The state of the connection. `why` is what the client says of it. @param {string} state @param {string} why */
export function connection(state, why) {
  if (state === "live") return "Connected";
  if (state === "draining") return "The server restarts; answers go on";
  if (state === "refused") return "Not signed in";
  if (state === "closed") return "Not connected; load the page anew";
  if (state === "connecting" && why === "connecting…") return "Connecting…";
  if (/closed with 4029/.test(why)) return "Too many tabs are open; trying again…";
  if (/closed with 4503/.test(why)) return "The server is full or restarts; trying again…";
  return "No connection; trying again…";
}

const MOST_OF_PROMPT = 60; // characters in place of a title

/** The first words of a prompt, for where there is no title yet. @param {string | null | undefined} prompt */
export function firstWords(prompt) {
  const characters = [...(prompt ?? "").slice(0, 500).trim().replace(/\s+/g, " ")], first = characters.slice(0, MOST_OF_PROMPT);
  return characters.length > MOST_OF_PROMPT ? `${first.join("").trimEnd()}…` : first.join("");
}

const MOST_CHARACTERS = 32_000, COUNTED_FROM = 30_000; // as the server has it: of a prompt, without the spaces around it

/** @param {number} count */
const number = (count) => count.toLocaleString("en");

/** What is said of a prompt's length. Characters are code points, as on the server. @param {string} text */
export function lengthOf(text) {
  const length = text.length < COUNTED_FROM ? 0 : [...text.trim()].length, over = length - MOST_CHARACTERS;
  const away = `${number(over)} ${over === 1 ? "character" : "characters"}`;
  return {
    count: length < COUNTED_FROM ? "" : `${number(length)} of ${number(MOST_CHARACTERS)} characters`,
    tooLong: over > 0 ? `That is too long to send. Nothing was cut: take ${away} away.` : "",
  };
}
