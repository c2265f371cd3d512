"""What a peer answers to a post: the frames of Threadcast's wire protocol as dicts, one for each word, and their pace.

BENCH_WORDS says how many words an answer has, BENCH_DELAY_MS how long each is waited for. Of a chat a frame shows what tells
one from another; the frames with the words, which are what is measured, are complete.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator
from typing import Any, TypeVar
from uuid import uuid4

WORDS = [f"word{number} " for number in range(int(os.environ.get("BENCH_WORDS", "200")))]
TEXT = "".join(WORDS)
DELAY_S = float(os.environ.get("BENCH_DELAY_MS", "0")) / 1000

Frame = dict[str, Any]
Item = TypeVar("Item")
running: set[asyncio.Task[None]] = set()  # the event loop keeps only weak references


def start(run: Coroutine[Any, Any, None]) -> None:
    """Let it run beside the loop that receives."""
    task = asyncio.create_task(run)
    running.add(task)
    task.add_done_callback(running.discard)


async def paced(items: Iterable[Item]) -> AsyncIterator[Item]:
    """The frames of an answer, the words among them each after the delay; without one, others get a turn after each frame."""
    for number, item in enumerate(items):
        if DELAY_S and 0 < number <= len(WORDS):  # the first frame is initializeChat
            await asyncio.sleep(DELAY_S)
        yield item
        if not DELAY_S:
            await asyncio.sleep(0)


def answer(user: str, prompt: str, chat_id: str = "", message_id: str = "") -> Iterator[Frame]:
    """All frames of one answer, each built when it is asked for. Ids that are not given are made."""
    chat_id, message_id, part_id = chat_id or str(uuid4()), message_id or str(uuid4()), str(uuid4())
    sender = {"id": user, "name": user}

    def frame(event: str, data: Frame) -> Frame:
        return {"route": "/chats/post", "event": event, "payload": data, "sent_by": sender, "error": None, "send_method": "All"}

    def chat(event: str, parts: dict[str, Frame]) -> Frame:
        message = {"id": message_id, "request_message": {"request": prompt, "sender_id": user, "sender_name": user}}
        message |= {"response_message_ids": list(parts), "response_messages": parts, "is_completed": bool(parts)}
        return frame(event, {"id": chat_id, "title": prompt, "message_ids": [message_id], "messages": {message_id: message}})

    def response(part: Frame, progress: str) -> Frame:
        payload = {"response_message": part, "chat_id": chat_id, "message_id": message_id, "progress": progress}
        return frame("generatingResponseMessage", payload)

    yield chat("initializeChat", {})
    for word in WORDS:
        part = {"id": part_id, "type": "text", "message": None, "message_chunk": word, "is_final_message": False}
        yield response(part, "in_progress")
    whole = {"id": part_id, "type": "text", "message": TEXT, "message_chunk": None, "is_final_message": True}
    yield response(whole, "completed")
    yield chat("complete", {part_id: whole})
