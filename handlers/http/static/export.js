// @ts-check
// A chat as a Markdown file.

/** @import { ChatMessage, ChatWithMessages, FileResponse, TextResponse } from "./frames.js" */

const MOST_OF_NAME = 200; // bytes of a title in a file's name: file systems take 255
const RESERVED = /^(con|prn|aux|nul|com\d|lpt\d)$/i; // names that Windows keeps for itself

/** @type {Record<string, string>} */
const KINDS = { metric: "Metric", dashboard: "Dashboard" };

/** The answer's text as Markdown, as the agent wrote it; a card is a line. @param {ChatMessage} message */
export function answerOf(message) {
  const parts = message.response_message_ids.map((id) => message.response_messages[id]);
  return parts.map(cardOrText).filter(Boolean).join("\n\n");
}

/** @param {TextResponse | FileResponse | undefined} part */
function cardOrText(part) {
  if (part?.type === "file") return `**${KINDS[part.file_type] ?? "File"}** ${line(part.file_name)} (${part.id})`;
  return part?.type === "text" ? (part.message ?? "") : "";
}

/** Its title, the day, and each prompt and answer as they are. @param {ChatWithMessages} chat @param {string} [title] */
export function markdownOf(chat, title = chat.title) {
  const day = new Date(chat.created_at).toLocaleDateString("en", { day: "numeric", month: "long", year: "numeric" });
  const messages = chat.message_ids.map((id) => chat.messages[id]).flatMap((message) => {
    const { request, sender_name } = message.request_message ?? {}, answer = answerOf(message);
    return [request && `## ${line(sender_name || "You")}\n\n${request}`, answer && `## Answer\n\n${answer}`];
  });
  return [`# ${line(title || "Untitled chat")}`, day, ...messages].filter(Boolean).join("\n\n") + "\n";
}

/** @param {string} text */
const line = (text) => text.replace(/\s+/g, " ").trim();

/** A name for the file that every system takes. @param {string} title */
export function fileName(title) {
  const safe = title.normalize("NFC").replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Co}<>:"/\\|?*\s]+/gu, " ");
  const cut = new TextDecoder().decode(new TextEncoder().encode(safe).slice(0, MOST_OF_NAME));
  const name = cut.replace(/\uFFFD+$/, "").replace(/^[.\s]+|[.\s]+$/g, ""); // without half a character
  return `${!name || RESERVED.test(name) ? `chat ${name}`.trim() : name}.md`;
}

/** Have the browser save it. @param {ChatWithMessages} chat @param {string} title */
export function save(chat, title) {
  const url = URL.createObjectURL(new Blob([markdownOf(chat, title)], { type: "text/markdown" }));
  Object.assign(document.createElement("a"), { href: url, download: fileName(title || "Untitled chat") }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000); // when it is saved for sure
}
