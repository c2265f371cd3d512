"""The life of a chat after its first answer: follow-ups that wait their turn, retries, replacements, stops, gets and lists."""

from uuid import UUID, uuid4

import anyio
import anyio.lowlevel
import pytest

from tests.support.client import TIMEOUT_S, fold, is_end, unsettled
from tests.support.database import as_stored, count, rows, stored_chat
from tests.support.house import BOTH
from tests.support.life import Life, answer_of, first_delta, life, posted, share, until
from tests.support.world import BOB, MISSING, REVENUE

__all__ = ["life"]  # the fixture

ENGINES = BOTH


async def in_line(life: Life, chat_id: str, waiting: int) -> None:
    """Wait until one post runs in the chat and so many wait for it."""
    runs, chat = life.house.services.runs, UUID(chat_id)
    with anyio.fail_after(TIMEOUT_S):
        while not (run := runs.in_chat(chat)) or run.is_over or runs._turns[chat].statistics().tasks_waiting < waiting:
            await anyio.lowlevel.checkpoint()


async def test_a_second_post_in_a_chat_waits_for_the_first_and_knows_its_answer(life: Life) -> None:
    chat = await posted(life, "one")
    await life.client.send({"prompt": "two", "chat_id": chat["id"]}, id="2")
    await first_delta(life.client)
    await life.client.send({"prompt": "three", "chat_id": chat["id"]}, id="3")
    await in_line(life, chat["id"], 1)
    assert count(life.house.database, "messages") == 2
    life.agent.let_go("three")
    life.agent.let_go("two")
    await until(life.client, "complete", request_id="2")
    frames = await life.client.stream()
    assert {frame["request_id"] for frame in frames} == {"3"}
    assert frames[-1]["payload"]["title"] == "About one"
    assert len(frames[0]["payload"]["message_ids"]) == 3
    assert answer_of(frames[0]["payload"], 1) == "two begins, and ends"
    assert [message.id for message in life.agent.tasks[-1].history] == [
        message.id for message in life.agent.tasks[-1].history if str(message.id) in frames[0]["payload"]["message_ids"][:2]
    ]
    assert len(life.agent.tasks[-1].history) == 2


async def test_at_most_four_wait_in_a_chat(life: Life) -> None:
    chat = await posted(life, "first")
    for number in range(1, 6):
        await life.client.send({"prompt": str(number), "chat_id": chat["id"]}, id=str(number))
        await in_line(life, chat["id"], number - 1)
    await life.client.send({"prompt": "6", "chat_id": chat["id"]}, id="6")
    refused = await until(life.client, "postThread")
    assert refused["error"]["code"] == "TOO_MANY_REQUESTS"
    assert "seconds" in refused["error"]["message"]
    for number in range(1, 6):
        life.agent.let_go(str(number))
    for number in range(1, 6):
        assert (await until(life.client, "complete"))["request_id"] == str(number)
    assert count(life.house.database, "messages") == 6


async def test_a_post_in_another_chat_does_not_wait(life: Life) -> None:
    chat = await posted(life, "one")
    await life.client.send({"prompt": "held", "chat_id": chat["id"]})
    await first_delta(life.client)
    life.agent.let_go("free")
    await life.client.send({"prompt": "free"}, id="free")
    await until(life.client, "complete", request_id="free")


async def test_a_retry_of_a_finished_post_is_answered_by_its_end_alone(life: Life) -> None:
    id = str(uuid4())
    chat = await posted(life, "one", message_id=id)
    async with life.house.connect() as other:
        await life.client.send({"prompt": "one", "message_id": id}, id="again")
        frame = await life.client.frame()
        assert (frame["event"], frame["send_method"], frame["request_id"]) == ("complete", "SenderOnly", "again")
        assert frame["payload"] == chat
        assert (await other.refusal({}))["code"] == "BAD_REQUEST"  # and no `complete` came before
    assert len(life.agent.tasks) == count(life.house.database, "messages") == 1


async def test_a_retry_of_a_running_post_joins_it_without_loss_or_double(life: Life) -> None:
    id = str(uuid4())
    await life.client.send({"prompt": "one", "message_id": id})
    await first_delta(life.client)
    async with life.house.connect() as tab:
        await tab.send({"prompt": "one", "message_id": id}, id="again")
        joined = await tab.frame()
        assert (joined["event"], joined["send_method"], joined["request_id"]) == ("initializeChat", "SenderOnly", "again")
        assert answer_of(joined["payload"]) == "one begins"
        life.agent.let_go("one")
        frames = [joined, *await tab.stream()]
    assert unsettled(fold(frames)) == unsettled(frames[-1]["payload"])
    assert answer_of(frames[-1]["payload"]) == "one begins, and ends"
    own = await life.client.stream()
    assert [frame for frame in own if frame["send_method"] != "All"] == []
    assert sum(map(is_end, own)) == 1
    assert len(life.agent.tasks) == 1


@pytest.mark.parametrize("finished", [True, False])
async def test_a_message_id_of_anybody_else_is_not_found(life: Life, finished: bool) -> None:
    id = str(uuid4())
    if finished:
        await posted(life, "one", message_id=id)
    else:
        await life.client.send({"prompt": "one", "message_id": id})
        await first_delta(life.client)
    async with life.house.connect(BOB) as bob:
        for payload in ({"prompt": "x", "message_id": id}, {"prompt": "x", "message_id": id, "chat_id": str(MISSING)}):
            assert await bob.refusal(payload) == {"code": "NOT_FOUND", "message": "not found"}
    await life.client.send({"prompt": "x", "message_id": id, "chat_id": str(MISSING)})
    assert (await until(life.client, "postThread"))["error"]["code"] == "NOT_FOUND"


async def test_a_message_of_another_author_in_a_shared_chat_is_neither_retried_nor_replaced(life: Life) -> None:
    id = str(uuid4())
    chat = await posted(life, "one", message_id=id)
    share(life.house, chat["id"], BOB, "can_edit")
    async with life.house.connect(BOB) as bob:
        for rest in ({}, {"chat_id": chat["id"]}):
            assert (await bob.refusal({"prompt": "x", "message_id": id, **rest}))["code"] == "NOT_FOUND"
    assert as_stored(chat) == stored_chat(life.house.database, chat["id"])


async def test_a_message_is_replaced_only_in_the_chat_that_holds_it(life: Life) -> None:
    id = str(uuid4())
    chat, other = await posted(life, "one", message_id=id), await posted(life, "two")
    refused = await life.client.refusal({"prompt": "x", "message_id": id, "chat_id": other["id"]})
    assert refused["code"] == "NOT_FOUND"
    assert as_stored(chat) == stored_chat(life.house.database, chat["id"])


async def test_the_same_post_fifty_times_at_once_is_one_chat_one_message_one_run(life: Life) -> None:
    payload = {"prompt": "one", "message_id": str(uuid4())}
    answers: dict[str, set[str]] = {}

    async def repeat(number: int) -> None:
        async with life.house.connect() as client:
            mine = {f"{number}-{turn}" for turn in range(10)}
            for id in mine:
                await client.send(payload, id=id)
            while mine - answers.keys():
                frame = await client.frame()
                if frame["event"] in ("initializeChat", "complete"):
                    answers.setdefault(frame["request_id"], set()).add(frame["event"])

    async with anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(repeat, number)
        await first_delta(life.client)
        life.agent.let_go("one")
    assert len(answers) == 50
    assert len(life.agent.tasks) == 1
    assert count(life.house.database, "chats") == count(life.house.database, "messages") == 1


async def test_a_message_of_the_chat_is_replaced_and_what_came_after_it_discarded(life: Life) -> None:
    id = str(uuid4())
    chat = await posted(life, "one", message_id=id)
    chat = await posted(life, "two", chat_id=chat["id"])
    chat = await posted(life, "better", chat_id=chat["id"], message_id=id)
    assert chat["message_ids"] == [id]
    assert answer_of(chat, 0) == "better begins, and ends"
    assert chat["messages"][id]["request_message"]["request"] == "better"
    assert life.agent.tasks[-1].history == ()  # what came after it is not what it answers to
    assert as_stored(chat) == stored_chat(life.house.database, chat["id"])


async def test_replacing_what_runs_stops_it_first(life: Life) -> None:
    id = str(uuid4())
    await life.client.send({"prompt": "one", "message_id": id}, id="1")
    chat_id = (await first_delta(life.client))["payload"]["chat_id"]
    life.agent.let_go("two")
    await life.client.send({"prompt": "two", "message_id": id, "chat_id": chat_id}, id="2")
    first = await until(life.client, "complete")
    assert first["request_id"] == "1"
    assert first["payload"]["messages"][id]["final_reasoning_message"] == "Stopped"
    frames = await life.client.stream()
    assert {frame["request_id"] for frame in frames} == {"2"}
    assert answer_of(frames[-1]["payload"]) == "two begins, and ends"
    assert frames[0]["payload"]["messages"][id]["response_messages"] == {}
    assert as_stored(frames[-1]["payload"]) == stored_chat(life.house.database, chat_id)


@pytest.mark.parametrize("named", [True, False])
async def test_a_stop_from_another_connection_keeps_what_was_said(life: Life, named: bool) -> None:
    await life.client.send({"prompt": "one"})
    frames = [await life.client.frame()]
    while frames[-1]["event"] != "generatingResponseMessage":
        frames.append(await life.client.frame())
    payload = frames[-1]["payload"]
    async with life.house.connect() as other:
        stop = {"id": payload["chat_id"], "message_id": payload["message_id"] if named else None}
        await other.send(stop, route="/chats/stop", event="stopChat")
        frames += await life.client.stream()
        chat = frames[-1]["payload"]
        assert answer_of(chat) == "one begins"
        message = chat["messages"][payload["message_id"]]
        assert (message["is_completed"], message["final_reasoning_message"]) == (True, "Stopped")
        assert unsettled(fold(frames)) == unsettled(chat)
        assert as_stored(chat) == stored_chat(life.house.database, chat["id"])
        assert life.agent.running == 0
        await until(other, "complete")
        await other.send(stop, route="/chats/stop")
        assert (await other.frame())["error"]["code"] == "NOT_FOUND"  # after the end, and no delta before


async def test_a_stop_before_the_first_token_ends_with_nothing_said(life: Life) -> None:
    chat = await posted(life, "one")
    id = str(uuid4())
    await life.client.send({"prompt": "two", "chat_id": chat["id"]})
    await first_delta(life.client)
    await life.client.send({"prompt": "three", "chat_id": chat["id"], "message_id": id}, id="3")
    await in_line(life, chat["id"], 1)
    await life.client.send({"id": chat["id"], "message_id": id}, route="/chats/stop")
    await life.client.send({}, route="/chats/list")
    await until(life.client, "getChatsList")  # answered later than the stop, which waits for nothing
    life.agent.let_go("two")
    end = await until(life.client, "complete", request_id="3")
    message = end["payload"]["messages"][id]
    assert (message["response_messages"], message["final_reasoning_message"]) == ({}, "Stopped")
    assert [task.prompt for task in life.agent.tasks] == ["one", "two"]


async def test_nobody_else_can_stop_or_see_a_run(life: Life) -> None:
    await life.client.send({"prompt": "one"})
    chat_id = (await first_delta(life.client))["payload"]["chat_id"]
    async with life.house.connect(BOB) as bob:
        for route in ("/chats/stop", "/chats/get"):
            await bob.send({"id": chat_id}, route=route)
            assert (await bob.frame())["error"] == {"code": "NOT_FOUND", "message": "not found"}
    life.agent.let_go("one")
    assert answer_of((await until(life.client, "complete"))["payload"]) == "one begins, and ends"


async def test_get_answers_the_sender_with_the_chat_as_its_end_was(life: Life) -> None:
    chat = await posted(life, "one")
    await life.client.send({"id": chat["id"]}, route="/chats/get", event="getChat", id="g")
    frame = await life.client.frame()
    assert (frame["event"], frame["send_method"], frame["request_id"]) == ("getChat", "SenderOnly", "g")
    assert frame["payload"] == chat


async def test_get_of_a_running_chat_is_what_was_said_so_far_and_the_stream_goes_on_from_there(life: Life) -> None:
    await life.client.send({"prompt": "one"})
    chat_id = (await first_delta(life.client))["payload"]["chat_id"]
    async with life.house.connect() as tab:
        await tab.send({"id": chat_id}, route="/chats/get")
        got = await tab.frame()
        assert got["event"] == "getChat"
        assert answer_of(got["payload"]) == "one begins"
        life.agent.let_go("one")
        frames = [{**got, "event": "initializeChat"}, *await tab.stream()]
    assert unsettled(fold(frames)) == unsettled(frames[-1]["payload"])


async def test_list_is_the_newest_first_in_pages(life: Life) -> None:
    ids = [(await posted(life, str(number)))["id"] for number in range(5)]
    pages = []
    for page in range(4):
        await life.client.send({"page_token": page, "page_size": 2}, route="/chats/list", event="getChatsList")
        frame = await life.client.frame()
        assert (frame["event"], frame["send_method"]) == ("getChatsList", "SenderOnly")
        pages.append([chat["id"] for chat in frame["payload"]])
    assert pages == [ids[4:2:-1], ids[2:0:-1], ids[:1], []]
    async with life.house.connect(BOB) as bob:
        await bob.send({}, route="/chats/list")
        assert (await bob.frame())["payload"] == []
        await bob.send({"page_size": 101}, route="/chats/list")
        assert (await bob.frame())["error"]["code"] == "BAD_REQUEST"


async def test_a_shared_chat_is_listed_and_got_by_who_may_view_it(life: Life) -> None:
    chat = await posted(life, "one")
    share(life.house, chat["id"], BOB, "can_view")
    async with life.house.connect(BOB) as bob:
        await bob.send({}, route="/chats/list")
        (listed,) = (await bob.frame())["payload"]
        assert listed["id"] == chat["id"]
        assert listed["created_by_name"] == "Alice"
        assert listed["last_edited"] == listed["updated_at"] == chat["updated_at"]
        await bob.send({"id": chat["id"]}, route="/chats/get")
        assert (await bob.frame())["payload"] == chat


async def test_a_stopped_prompt_less_post_is_complete_all_the_same(life: Life) -> None:
    frames = await life.client.post(metric_id=str(REVENUE))
    await life.client.send({"id": frames[0]["payload"]["id"]}, route="/chats/stop")
    assert (await life.client.frame())["error"]["code"] == "NOT_FOUND"
    assert rows(life.house.database, "SELECT final_reasoning_message FROM messages") == [{"final_reasoning_message": None}]
