"""What a user changes on one server of a chat that the other answers: the end tells it, and nothing is written over."""

from tests.support.client import Frame
from tests.support.database import as_stored, stored_chat
from tests.support.life import until as frame_of
from tests.support.linked import good
from tests.support.pairs import Pair, pair
from tests.support.waiting import begun

__all__ = ["pair"]  # the fixture


async def test_a_chat_that_one_answers_may_be_named_and_rated_on_the_other(pair: Pair) -> None:
    frames = await begun(pair.on_a, "one")
    chat, message = frames[-1]["payload"]["chat_id"], frames[-1]["payload"]["message_id"]
    await pair.on_b.send({"id": chat, "title": "Mine", "is_favorited": True}, "/chats/update")
    named: Frame = await frame_of(pair.on_b, "updateChat")
    assert (named["payload"]["title"], named["payload"]["is_favorited"]) == ("Mine", True)
    await pair.on_b.send({"id": message, "feedback": "positive"}, "/messages/update")
    await frame_of(pair.on_b, "updateMessage")
    pair.agent.let_go("one")
    end = await frame_of(pair.on_a, "complete")
    assert (end["payload"]["title"], end["payload"]["is_favorited"]) == ("Mine", True)
    await pair.on_b.send({"id": chat}, "/chats/get")
    got = (await frame_of(pair.on_b, "getChat"))["payload"]
    assert got["messages"][message]["feedback"] == "positive"
    assert as_stored(got) == stored_chat(pair.database, chat)
    assert got["title"] == "Mine"


async def test_a_chat_that_one_answers_is_stopped_and_deleted_on_the_other(pair: Pair) -> None:
    frames = await begun(pair.on_a, "one")
    chat = frames[-1]["payload"]["chat_id"]
    await pair.on_b.send({"ids": [chat]}, "/chats/delete")
    stopped = good([*frames, *await pair.on_a.stream()])
    assert [message["final_reasoning_message"] for message in stopped["messages"].values()] == ["Stopped"]
    assert (await frame_of(pair.on_a, "deleteChats"))["payload"] == {"ids": [chat]}
    await pair.on_a.send({"id": chat}, "/chats/get")
    assert (await frame_of(pair.on_a, "getChat"))["error"]["code"] == "NOT_FOUND"
