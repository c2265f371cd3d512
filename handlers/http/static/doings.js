// What a person does: writes, begins a chat, and names, favours, copies and deletes the one that is shown.

import { $, setText } from "./dom.js";

let page = null;

/** Have the page's buttons and keys do what they say. */
export function haveDoings(of) {
  page = of;
}

/** Draw the title of the chat that is shown, and what can be done to it. */
export function drawTitle({ client, view }) {
  const chat = client?.chats.get(view.chat);
  setText($("title"), chat?.title || (view.chat ? "untitled" : "New chat"));
  document.title = chat?.title ? `${chat.title} · Threadcast` : "Threadcast";
  $("doings").hidden = !chat;
  $("favourite").ariaPressed = String(Boolean(chat?.is_favorited));
  $("asset").disabled = Boolean(view.chat || view.post);
  $("asset").title = view.chat ? "a chat goes on about what it began with" : "";
}

const shown = () => page.client.chats.get(page.view.chat);

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const prompt = $("prompt").value.trim(), { chat } = page.view, chosen = chat ? "" : $("asset").value;
  const [type, id] = (chosen === "other" ? $("other-asset").value.trim() : chosen).split(":");
  setText($("notice"), "");
  if (!prompt && !type) return setText($("notice"), "Type a prompt, or pick an asset.");
  if (chosen && !id) return setText($("notice"), "An asset is a type and an id, such as metric:33333333-…");
  const about = type ? { asset: { type, id } } : chat ? { chatId: chat } : {};
  page.post({ ...about, ...(prompt && { prompt }) }, prompt || `Open ${$("asset").selectedOptions[0].textContent}`);
  $("prompt").value = $("asset").value = "";
  $("other-asset").hidden = true;
});
$("prompt").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $("composer").requestSubmit();
});
$("asset").addEventListener("change", () => { $("other-asset").hidden = $("asset").value !== "other"; });

addEventListener("keydown", (event) => {
  const isElsewhere = event.isComposing || $("inspector").contains(event.target) || document.querySelector("dialog[open]");
  if (event.key === "Escape" && !$("stop").hidden && !isElsewhere) $("stop").click();
  if (event.altKey && event.key.toLowerCase() === "n") {
    event.preventDefault();
    $("new-chat").click();
  }
});
$("new-chat").addEventListener("click", () => {
  page.show(null);
  $("prompt").focus();
});

$("favourite").addEventListener("click", () => {
  const { id, is_favorited } = shown();
  page.client.chats.update(id, { isFavorited: !is_favorited }).catch(page.notify);
});
$("copy").addEventListener("click", async () => {
  try {
    page.show((await page.client.chats.duplicate(page.view.chat)).id);
  } catch (error) {
    page.notify(error);
  }
});
$("rename").addEventListener("click", () => {
  $("new-title").value = shown().title ?? "";
  $("rename-dialog").returnValue = "";
  $("rename-dialog").showModal();
  $("new-title").select();
});
$("rename-cancel").addEventListener("click", () => $("rename-dialog").close());
$("rename-dialog").addEventListener("close", ({ target: { returnValue } }) => {
  const title = $("new-title").value.trim();
  if (returnValue === "rename" && title && page.view.chat) page.client.chats.update(page.view.chat, { title }).catch(page.notify);
});
$("delete").addEventListener("click", () => {
  setText($("delete-why"), `“${shown().title || "untitled"}” will be gone for everybody who can see it.`);
  $("delete-dialog").returnValue = "";
  $("delete-dialog").showModal();
});
$("delete-dialog").addEventListener("close", async ({ target: { returnValue } }) => {
  const id = page.view.chat;
  if (returnValue !== "delete" || !id) return;
  try {
    await page.client.chats.delete([id]);
    if (page.view.chat === id) page.show(null);
  } catch (error) {
    page.notify(error);
  }
});
