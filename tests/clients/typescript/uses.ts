// Uses of the client that have to be right, and, behind `@ts-expect-error`, some that have to be wrong. Only its types are read.
import { Threadcast, ThreadcastError } from "threadcast-client";
import type { Frame, Request } from "threadcast-client/frames";

const client = new Threadcast({ url: "https://host", token: async () => "fetched" });
new Threadcast({ url: new URL("https://host"), token: "plain", WebSocket: null, heartbeat: 5 });
// @ts-expect-error a token is needed
new Threadcast({ url: "https://host" });
// @ts-expect-error a number is no token
new Threadcast({ url: "https://host", token: 7 });

export async function posts(): Promise<string> {
  const answer = client.post({ prompt: "hi", asset: { type: "metric", id: "x" } });
  for await (const piece of answer) piece.toUpperCase();
  const message = await answer.done, reason: "stop" | string | null = message.finish_reason;
  await answer.stop();
  client.post({ chatId: answer.chatId, approvals: [{ id: "publish", approved: true, value: { any: 1 } }] });
  // @ts-expect-error the names are those of JavaScript
  client.post({ prompt: "hi", chat_id: "x" });
  // @ts-expect-error the answer may not have begun
  answer.message.id;
  // @ts-expect-error text is not to be set
  answer.text = "";
  return reason ?? answer.text + (answer.chat?.title ?? "");
}

export async function chats(): Promise<void> {
  const leave: () => void = client.chats.subscribe(() => {});
  const { list, chats } = client.chats.getSnapshot();
  list[0]?.title.trim();
  chats["x"]?.message_ids.length;
  // @ts-expect-error a snapshot is not to be changed
  list.push(list[0]);
  (await client.chats.open("x"))?.messages;
  await client.chats.update("x", { title: "y", isFavorited: true });
  await client.chats.feedback("x", null);
  // @ts-expect-error there is no such feedback
  await client.chats.feedback("x", "great");
  leave();
}

export function states(): string {
  switch (client.state) {
    case "connecting": case "waiting": case "live": case "draining": case "refused": case "closed":
      return client.why;
    // @ts-expect-error there is no such state
    case "open":
      return "";
  }
}

export function narrows(frame: Frame): unknown {
  if (frame.event === "complete") return frame.payload.id;
  if (frame.event === "generatingResponseMessage") {
    const part = frame.payload.response_message;
    // @ts-expect-error a file has no message
    part.message;
    return part.type === "text" ? part.message_chunk : part.file_name;
  }
  if (frame.event === "getChat") {
    // @ts-expect-error it may be an error
    frame.payload.title;
    return frame.error ? frame.error.retry_after?.toFixed() : frame.payload.title;
  }
  if (frame.route === "/stream" && frame.event === "resumed") return frame.payload.recovered;
  // @ts-expect-error there is no such event
  return frame.event === "completed";
}

export const asked: Request = { route: "/chats/get", payload: { id: "x" } };
// @ts-expect-error the route's payload is another
export const wrong: Request = { route: "/chats/delete", payload: { id: "x" } };
export const retry = (error: unknown): number | undefined => (error instanceof ThreadcastError ? error.retryAfter : undefined);
