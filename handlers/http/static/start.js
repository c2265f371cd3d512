// @ts-check
// The start: what is shown while no chat is. It says what this is, and offers something to begin with.

import { write } from "./composer.js";
import { $, childrenOf, keyed, made, setText } from "./dom.js";

const PROMPTS = [
  ["Find out", "What can you help me with?"],
  ["Explain", "Explain compound interest with a small table"],
  ["Write", "Write a friendly reply that moves a meeting to Friday"],
  ["Plan", "Plan a first week for somebody who joins our team"],
];
const MOST_CARDS = 6;
/** @type {Record<string, string>} */
const WORDS = { metric: "Metric", metric_file: "Metric", dashboard: "Dashboard", dashboard_file: "Dashboard" };

const assets = made("ul");
const section = made("section", { hidden: true },
  made("h3", {}, "Or open an asset"),
  made("p", {}, "An asset is something that you can ask about: a metric is a number that is followed over time, " +
    "a dashboard is a page of metrics."),
  assets);

/** Draw it, or hide it while a chat is shown. @param {{ chat: string | null, post: string | null }} view */
export function drawStart({ chat, post }) {
  $("start").hidden = Boolean(chat || post);
  $("messages").tabIndex = $("start").hidden ? 0 : -1; // there is nothing to be scrolled
}

/** Send this, and leave what is half typed where it is. @param {"prompt" | "asset"} field @param {string} value */
function send(field, value) {
  const draft = $("prompt").value;
  $(field).value = value;
  $("composer").requestSubmit();
  if (field === "prompt") write(draft);
}

function drawAssets() {
  const options = [...$("asset").options].filter((option) => option.value.includes(":")).slice(0, MOST_CARDS);
  section.hidden = !options.length;
  keyed(assets, options, (option) => option.value, ({ value }) => {
    const onclick = () => send("asset", value);
    return made("li", {}, made("button", { type: "button", onclick }, made("span", { className: "text" }), made("small")));
  }, (item, { value, text }) => {
    const [name, kind] = childrenOf(item.children[0]), type = value.split(":")[0];
    setText(name, text.replace(` (${type})`, ""));
    setText(kind, WORDS[type] ?? type);
  });
}

$("start").append(
  made("div", {},
    made("h2", {}, "What would you like to know?"),
    made("p", {}, "Threadcast answers your questions while you watch, and keeps each chat so that you can go on with it " +
      "anywhere.")),
  made("ul", { ariaLabel: "Examples" }, ...PROMPTS.map(([kind, prompt]) => {
    const button = made("button", { type: "button", onclick: () => send("prompt", prompt) }, made("small", {}, kind), prompt);
    return made("li", {}, button);
  })),
  section);
new MutationObserver(drawAssets).observe($("asset"), { childList: true });
drawAssets();
