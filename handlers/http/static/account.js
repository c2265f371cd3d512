// @ts-check
// Whose page this is: the token, where it comes from, and the question whether another one is to be taken.

import { bringsMore, clean } from "./addresses.js";
import { choose, chosen, offerAll, offerDemo } from "./assets.js";
import { write } from "./composer.js";
import { $, setText } from "./dom.js";
import { parsed, tab } from "./kept.js";

const meta = /** @type {HTMLMetaElement} */ (document.querySelector("meta[name=login-url]"));
const loginUrl = meta.content; // where people sign in; without it they need a token
const WORDS = loginUrl
  ? {
      none: "Sign in to ask something, and to see your chats.",
      expired: "Your sign-in has expired. Sign in again to go on where you are: what you have typed comes back.",
      revoked: "Your access to this server was ended. If you still need it, ask whoever runs the server.",
      unknown: "The server does not know this sign-in. Sign in again; if that does not help, ask whoever runs the server.",
      again: "You can sign in again, or as somebody else.",
    }
  : {
      none: "",
      expired: "Your token has expired. Enter a new one to go on where you are: what you have typed stays.",
      revoked: "The server does not take this token any more. Enter a new one, or ask whoever runs the server.",
      unknown: "The server does not know this token. Copy all of it once more, or enter another one.",
      again: "With another token this page is somebody else’s.",
    };

/** @type {(token: string) => void} */ let connect; // these are what `begin` was given
/** @type {() => string | null} */ let shownChat;
/** @type {(id: string) => void} */ let showChat;
let why = WORDS.none; // why nobody is signed in
let hasConnected = false;
let offered = /** @type {URLSearchParams | null} */ (null); // what an address has brought, while it is asked whether to take it

/**
 * Find out who this is. `connectWith(token)` is called now or later, and again with each other token. `chatShown()` gives the
 * id of the chat that the page shows; `show(id)` has it shown again when somebody has signed in elsewhere and comes back.
 * @param {(token: string) => void} connectWith @param {() => string | null} chatShown @param {(id: string) => void} show
 */
export function begin(connectWith, chatShown, show) {
  [connect, shownChat, showChat] = [connectWith, chatShown, show];
  if (loginUrl) {
    $("by-token").remove();
    $("sign-in").autofocus = true;
  }
  addEventListener("hashchange", () => bringsMore() && arrive()); // the same page is given another address
  arrive();
}

/** The server does not take the token. @param {string} reason the server's */
export function refused(reason) {
  if (offered) return switchTo(offered); // nobody's page any more
  const { exp } = claims(tab.getItem("token"));
  const isExpired = /expired/.test(reason) || exp * 1000 <= Date.now(); // of a token that it does not take, it says no more
  why = isExpired ? WORDS.expired : /revoked/.test(reason) ? WORDS.revoked : WORDS.unknown;
  setText($("token-button"), "Sign in");
  ask(why);
}

/** @param {string} text what is said first */
function ask(text) {
  setText($("token-why"), text);
  $("token-why").hidden = !text;
  if (!$("token-dialog").open) $("token-dialog").showModal();
}

/**
 * Be who the token says, in this tab and in those that it opens.
 * @param {string} pasted a token, which a terminal may have broken into lines
 */
function enter(pasted) {
  const token = pasted.replace(/[^\x21-\x7e]/g, "");
  tab.setItem("token", token);
  why = WORDS.none;
  setText($("token-button"), "Account");
  $("token-dialog").close();
  hasConnected = true;
  connect(token);
}

$("token-button").addEventListener("click", () => {
  const state = $("light").dataset.state, name = $("who").textContent;
  if (state === "closed") ask(why);
  else if (state === "connecting") ask("There is no connection to the server now. The page tries again by itself.");
  else ask(`You are signed in${name && ` as ${name}`}. ${WORDS.again}`);
});
$("token-cancel").addEventListener("click", () => $("token-dialog").close());
$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (loginUrl) return signIn();
  enter($("token").value);
});
$("token-dialog").addEventListener("close", () => { if (!loginUrl) $("token").value = ""; });

/** Go where people sign in. What is being done here is kept for when they come back; `switchTo` lets nobody else find it. */
function signIn() {
  tab.setItem("left", JSON.stringify({ chat: shownChat(), prompt: $("prompt").value, asset: chosen() }));
  const url = new URL(loginUrl), back = new URL(".", location.href).href;
  url.search += `${url.search ? "&" : "?"}return_to=${encodeURIComponent(back)}`;
  location.assign(url);
}

/** Go on with what was being done here before somebody went to sign in. */
function goOn() {
  const before = parsed("left");
  if (!before) return;
  tab.removeItem("left");
  if (before.chat) showChat(before.chat); // then there is a token, if an old one
  choose(before.asset);
  if (before.prompt) write(before.prompt);
}

/** What a token says of itself: only the server can say whether that is true. @param {string | null} token */
function claims(token) {
  try {
    return JSON.parse(atob((token ?? "").split(".")[1].replace(/-/g, "+").replace(/_/g, "/"))) ?? {};
  } catch {
    return {}; // a short one of a dev server
  }
}

/** Whose token it is. @param {string | null} token */
const subject = (token) => claims(token).sub ?? token;

/** The address may bring a token, assets and a chat after its #, which no server is sent. Only the chat stays there. */
function arrive() {
  const brought = new URLSearchParams(location.hash.slice(1));
  const before = tab.getItem("token"), token = brought.get("token");
  const isOther = before && token && subject(before) !== subject(token);
  if (isOther) clean();
  else clean(brought.get("chat"));
  if (!isOther) return take(brought);
  if (!hasConnected) take(new URLSearchParams()); // as who this tab was before it was loaded
  askToSwitch(brought);
}

/** @param {URLSearchParams} brought */
function take(brought) {
  if (brought.has("demo")) offerDemo();
  const assets = brought.getAll("asset").length ? brought.getAll("asset") : parsed("assets") ?? [];
  offerAll(assets);
  const token = brought.get("token") ?? tab.getItem("token");
  if (token) enter(token);
  else ask(why);
  goOn();
}

/** @param {URLSearchParams} brought */
function askToSwitch(brought) {
  offered = brought;
  const whose = $("who").textContent ? `${$("who").textContent}’s` : "somebody’s already";
  $("switch-why").textContent =
    `This page is ${whose}. The address that was opened brings the token of another account: ` +
    "what you write after a switch is that account’s.";
  const dialog = $("switch-dialog");
  dialog.returnValue = "";
  if (!dialog.open) dialog.showModal();
}

/** Begin anew as another user, who is to find nothing of the first one's. @param {URLSearchParams} brought */
async function switchTo(brought) {
  tab.clear();
  const assets = brought.getAll("asset");
  if (assets.length) tab.setItem("assets", JSON.stringify(assets));
  if (brought.has("demo")) await offerDemo();
  tab.setItem("token", brought.get("token") ?? "");
  clean(brought.get("chat"));
  location.reload();
}

$("switch-dialog").addEventListener("close", () => {
  const dialog = $("switch-dialog");
  if (dialog.open) return; // the event comes late: another address has asked meanwhile
  if (offered && dialog.returnValue === "switch") switchTo(offered);
  offered = null;
});
