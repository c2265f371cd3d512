"""A model's server that takes no time to think: streams BENCH_WORDS words, one each BENCH_DELAY_MS, to whatever it is asked."""

import asyncio
import json
import os
import sys

WORDS, DELAY_S = int(os.environ["BENCH_WORDS"]), float(os.environ["BENCH_DELAY_MS"]) / 1000
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


def _event(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one request, and close."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    if length := [line for line in head.lower().split("\r\n") if line.startswith("content-length:")]:
        await reader.readexactly(int(length[0].partition(":")[2]))
    writer.write(HEAD)
    word = _event({"content": "word "})
    for _ in range(WORDS):
        writer.write(word)
        await asyncio.sleep(DELAY_S)
    writer.write(_event({}, "stop") + b"data: [DONE]\n\n")
    await writer.drain()
    writer.close()


async def main(port: int) -> None:
    """Serve until the process is ended."""
    async with await asyncio.start_server(answer, "127.0.0.1", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
