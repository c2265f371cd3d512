// What a project does that has installed the package: an answer over events, and an end.
import { Threadcast } from "threadcast-client";

const client = new Threadcast({ url: process.argv[2], token: process.argv[3], WebSocket: null });
const answer = client.post({ prompt: "What is this?" });
let text = "";
for await (const piece of answer) text += piece;
const message = await answer.done;
console.log(JSON.stringify({ text, whole: answer.text, finish: message.finish_reason, state: client.state }));
client.close();
