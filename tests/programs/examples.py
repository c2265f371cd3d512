"""`make examples`: what real servers and a client say to each other, as the examples of `/asyncapi.json` and `/openapi.json`.

Of each kind of frame the first is kept. Ids, times and the like are replaced by ones that stay, so that a later run writes
the same, but for what has changed.
"""

import json
import logging
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio

from backends.agent_events import ResponseChunk
from handlers.http.documents import EXAMPLES_FILE
from settings import Settings
from tests.support.agents import HeldAgent, ScriptedAgent
from tests.support.house import House, open_house, settings_in
from tests.support.life import share
from tests.support.recorder import Record, tab
from tests.support.world import ALICE, BOARD, CAROL, MISSING, REVENUE

CHATS = "/api/v1/chats"
GOOD: dict[str, object] = {"asset_id": str(REVENUE), "asset_type": "metric_file"}


async def answered(record: Record, settings: Settings) -> None:
    """Both flows, a follow-up, what can be read, and a connection that can resume."""
    async with open_house(settings) as house:
        async with tab(record, house) as it:
            asset: dict[str, object] = {"prompt": "What is this?", "asset_id": str(BOARD), "asset_type": "dashboard"}
            await it.ask("/chats/post", "postThread", asset, id="c-1")
            chat = (await it.hear("complete"))["payload"]["id"]
            follow_up: dict[str, object] = {"prompt": "And why?", "chat_id": chat, "message_id": str(uuid4()), "once": True}
            await it.ask("/chats/post", "postThread", follow_up, id="c-2")
            await it.hear("complete")
            await it.ask("/chats/get", "getChat", {"id": chat}, id="c-3")
            await it.hear("getChat")
            await it.ask("/chats/list", "getChatsList", {"page_token": 0, "page_size": 25, "query": "what is thi"})
            await it.hear("getChatsList")
            await it.ask("/chats/update", "updateChat", {"id": chat, "title": "The board", "is_favorited": True})
            await it.hear("updateChat")
            await it.ask("/messages/update", "updateMessage", {"id": follow_up["message_id"], "feedback": "positive"})
            await it.hear("updateMessage")
            await it.ask("/chats/duplicate", "duplicateChat", {"id": chat, "message_id": None})
            copy = (await it.hear("duplicateChat"))["payload"]["id"]
            await it.ask("/chats/delete", "deleteChats", {"ids": [copy]})
            await it.hear("deleteChats")
        async with tab(record, house, "?since=") as it:
            await it.hear("resumed")
            await it.ask("/chats/post", "postThread", GOOD)
            await it.hear("complete")
        for path in ("/healthz", "/readyz"):
            await record.http(house, path)
        for payload in (GOOD, {"prompt": "What is this?"}):
            await record.http(house, CHATS, payload, house.token())
        await family(record, house, chat, follow_up["message_id"])


async def family(record: Record, house: House, chat: str, message: Any) -> None:
    """The same over HTTP."""
    token = house.token()
    await record.http(house, CHATS, token=token)
    await record.http(house, f"{CHATS}/{{id}}", token=token, id=chat)
    await record.http(house, f"{CHATS}/{{id}}", {"title": "The board"}, token, "PUT", chat)
    await record.http(house, "/api/v1/messages/{id}", {"feedback": "negative"}, token, "PUT", message)
    copy = await record.http(house, f"{CHATS}/duplicate", {"id": chat}, token)
    await record.http(house, CHATS, [copy["id"]], token, "DELETE")


async def refused(record: Record, settings: Settings) -> None:
    """What is wrong, missing or forbidden."""
    async with open_house(settings) as house:
        async with house.connect(CAROL) as carol:
            chat = (await carol.post(prompt="Mine"))[-1]["payload"]["id"]
        share(house, chat, ALICE, "can_view")
        async with tab(record, house) as it:
            await it.refused({})
            await it.refused({"metric_id": str(MISSING)}, id="c-1")
            await it.refused({"prompt": "And mine?", "chat_id": chat})
            await it.refused({"id": str(MISSING)}, "/chats/get", "getChat")
            await it.refused({"page_size": 0}, "/chats/list", "getChatsList")
            await it.refused({"id": chat}, "/chats/stop", "stopChat")
            await it.refused({"id": chat, "title": "Mine"}, "/chats/update", "updateChat")
            await it.refused({"ids": []}, "/chats/delete", "deleteChats")
            await it.refused({"id": str(MISSING)}, "/chats/duplicate", "duplicateChat")
            await it.refused({"id": str(MISSING), "feedback": "good"}, "/messages/update", "updateMessage")
            await it.refused({}, "/chats/like", "likeChat", event="likeChat", id="c-2")
            await it.client.socket.send("What is this?")
            await it.hear("error")
        await record.http(house, CHATS, {})
        await record.http(house, CHATS, {}, house.token())
        await record.http(house, CHATS, {"metric_id": str(MISSING)}, house.token())


async def limited(record: Record, settings: Settings) -> None:
    """One post a minute, and two posts."""
    async with open_house(replace(settings, rate_limit="1/minute")) as house, tab(record, house) as it:
        await it.client.post(metric_id=str(REVENUE))
        await it.refused({"prompt": "What is this?"})
        await record.http(house, CHATS, GOOD, house.token())


async def failed(record: Record, settings: Settings) -> None:
    """An agent that fails in the middle of its answer."""
    async with open_house(settings, ScriptedAgent(ResponseChunk("Half"), error=OSError("gone"))) as house:
        async with tab(record, house) as it:
            await it.refused({"prompt": "What is this?"})
        await record.http(house, CHATS, {"prompt": "What is this?"}, house.token())


async def stopped(record: Record, settings: Settings) -> None:
    """An answer that is stopped, and a server that is."""
    agent = HeldAgent()
    async with open_house(replace(settings, drain_seconds=20), agent) as house, tab(record, house) as it:
        await it.client.send({"prompt": "One"})
        chat = (await it.client.until("generatingResponseMessage"))[0]["payload"]["id"]
        await it.ask("/chats/stop", "stopChat", {"id": chat})
        await it.hear("complete")
        await it.client.send({"prompt": "One and a half"})
        chat = (await it.client.until("generatingResponseMessage"))[0]["payload"]["id"]
        await record.http(house, f"{CHATS}/{{id}}/stop", {}, house.token(), "POST", chat)
        await it.hear("complete")
        await it.client.send({"prompt": "Two"})
        await it.client.until("generatingResponseMessage")
        house.server.should_exit = True
        await it.hear("goingAway")
        await it.refused({"prompt": "Three"})
        await record.http(house, "/readyz")
        await record.http(house, CHATS, GOOD, house.token())
        agent.let_go("Two")
        await it.client.until("complete")


async def quiet(record: Record, settings: Settings) -> None:
    """A connection on which nothing happens."""
    async with open_house(replace(settings, ping_seconds=1)) as house, tab(record, house, "?since=") as it:
        it.client.hears_heartbeats = True
        await it.hear("heartbeat")


async def recorded(folder: Path) -> dict[str, Any]:
    """The record of all that, with databases in this folder."""
    record = Record()
    for number, scenario in enumerate([answered, refused, limited, failed, stopped, quiet]):
        place = folder / str(number)
        place.mkdir()
        await scenario(record, settings_in(place))
    return record.steady()


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)  # of the servers that run in this process
    with tempfile.TemporaryDirectory() as folder:
        made = anyio.run(recorded, Path(folder), backend_options={"use_uvloop": True})
    EXAMPLES_FILE.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n")
    print(f"{EXAMPLES_FILE}: {sum(map(len, made['messages'].values()))} frames of {len(made['messages'])} kinds")
