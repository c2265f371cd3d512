// Whose page this is: the token, where it comes from, and the question whether another one is to be taken.

import { offerAll, offerDemo } from "./assets.js";
import { $ } from "./dom.js";

let connect = null; // with a token
let hasConnected = false;
let offered = null; // what an address has brought, while it is asked whether to take it

/** Find out who this is. `connectWith(token)` is called now or later, and again with each other token. */
export function begin(connectWith) {
  connect = connectWith;
  addEventListener("hashchange", () => location.hash && arrive()); // the same page is given another address
  arrive();
}

/** The server does not take the token. */
export function refused(why) {
  if (offered) switchTo(offered); // nobody's page any more
  else askForToken(why);
}

function askForToken(why) {
  $("token-why").textContent = why;
  if (!$("token-dialog").open) $("token-dialog").showModal();
}

/** Be who the token says, in this tab and in those that it opens. A terminal may have broken it into lines. */
function enter(pasted) {
  const token = pasted.replace(/[^\x21-\x7e]/g, "");
  sessionStorage.setItem("token", token);
  hasConnected = true;
  connect(token);
}

$("token-button").addEventListener("click", () => {
  askForToken($("light").dataset.state === "live" ? "You are connected." : "You are not connected.");
});
$("token-cancel").addEventListener("click", () => $("token-dialog").close());
$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  $("token-dialog").close();
  enter($("token").value);
  $("token").value = "";
});

/** Whose token it is: only the server can say whether that is true. */
function subject(token) {
  try {
    return JSON.parse(atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/"))).sub;
  } catch {
    return token; // a short one of a dev server
  }
}

/** The address may bring a token and assets after its #, which no server is sent. They do not stay there. */
function arrive() {
  const brought = new URLSearchParams(location.hash.slice(1));
  history.replaceState(null, "", location.pathname);
  const before = sessionStorage.getItem("token"), token = brought.get("token");
  if (!before || !token || subject(before) === subject(token)) return take(brought);
  if (!hasConnected) take(new URLSearchParams()); // as who this tab was before it was loaded
  askToSwitch(brought);
}

function take(brought) {
  if (brought.has("demo")) offerDemo();
  const assets = brought.getAll("asset").length ? brought.getAll("asset") : JSON.parse(sessionStorage.getItem("assets") ?? "[]");
  offerAll(assets);
  const token = brought.get("token") ?? sessionStorage.getItem("token");
  if (token) enter(token);
  else askForToken("");
}

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

/** Begin anew as another user, who is to find nothing of the first one's. */
async function switchTo(brought) {
  sessionStorage.clear();
  const assets = brought.getAll("asset");
  if (assets.length) sessionStorage.setItem("assets", JSON.stringify(assets));
  if (brought.has("demo")) await offerDemo();
  sessionStorage.setItem("token", brought.get("token"));
  location.reload();
}

$("switch-dialog").addEventListener("close", ({ target: dialog }) => {
  if (dialog.open) return; // the event comes late: another address has asked meanwhile
  if (offered && dialog.returnValue === "switch") switchTo(offered);
  offered = null;
});
