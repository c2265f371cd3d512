"""Two servers of one database: whatever a client asks of one, about a run of the other, is as if there were one server."""

from typing import Any
from uuid import UUID, uuid4

import anyio
import anyio.lowlevel
import msgspec
import pytest

from backends.storage import Storage
from backends.stored import Stored, find_running
from handlers.nodes.cluster import Several
from handlers.nodes.notices import Stop
from settings import Settings
from tests.support.agents import HeldAgent
from tests.support.client import TIMEOUT_S, Client, is_end
from tests.support.database import as_stored, count, opened, rows, stored_chat
from tests.support.life import answer_of, first_delta, share
from tests.support.life import until as frame_of
from tests.support.linked import Node, good, open_nodes
from tests.support.over_http import request
from tests.support.pairs import Pair, is_waiting, pair
from tests.support.waiting import begun, until
from tests.support.world import ALICE, BOB, MISSING, REVENUE

__all__ = ["pair"]  # the fixture


async def test_what_is_posted_on_one_streams_on_both(pair: Pair) -> None:
    pair.agent.let_go("one")
    frames = await pair.on_a.post(prompt="one")
    assert await pair.on_b.stream() == frames
    assert as_stored(good(frames)) == stored_chat(pair.database, frames[0]["payload"]["id"])


@pytest.mark.parametrize("named", [True, False])
async def test_a_stop_ends_what_runs_on_the_other(pair: Pair, named: bool) -> None:
    frames = await begun(pair.on_a, "one")
    message = frames[-1]["payload"]
    stop = {"id": message["chat_id"], "message_id": message["message_id"] if named else None}
    await pair.on_b.send(stop, route="/chats/stop")
    chat = good([*frames, *await pair.on_a.stream()])
    assert chat["messages"][message["message_id"]]["final_reasoning_message"] == "Stopped"
    assert answer_of(chat) == "one begins"
    await frame_of(pair.on_b, "complete")
    await pair.on_b.send(stop, route="/chats/stop")
    assert (await pair.on_b.frame())["error"]["code"] == "NOT_FOUND"


async def test_a_stop_that_cannot_be_told_says_so(pair: Pair) -> None:
    chat_id = (await begun(pair.on_a, "one"))[-1]["payload"]["chat_id"]
    await first_delta(pair.on_b)
    pair.b.broker.cut = True
    for id, code in ((chat_id, "SERVICE_UNAVAILABLE"), (str(MISSING), "NOT_FOUND")):
        await pair.on_b.send({"id": id}, route="/chats/stop")
        assert (await frame_of(pair.on_b, "stopChat"))["error"]["code"] == code


async def test_a_stop_whose_notice_gets_lost_is_told_again(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handlers.nodes.elsewhere.ELSEWHERE_LOOK_S", 0.01)
    frames = await begun(pair.on_a, "one")
    pair.b.broker.deaf = True
    await pair.on_b.send({"id": frames[-1]["payload"]["chat_id"]}, route="/chats/stop")
    await until(lambda: len(pair.b.broker.told) > 2)
    pair.b.broker.deaf = False
    assert "Stopped" in str(good([*frames, *await pair.on_a.stream()]))


async def test_a_stop_that_nobody_hears_says_so(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handlers.nodes.elsewhere.ELSEWHERE_LOOK_S", 0.01)
    monkeypatch.setattr("handlers.nodes.elsewhere.ASK_S", 0.1)
    frames = await begun(pair.on_a, "one")
    pair.b.broker.deaf = True
    await pair.on_b.send({"id": frames[-1]["payload"]["chat_id"]}, route="/chats/stop")
    assert (await frame_of(pair.on_b, "stopChat"))["error"]["code"] == "SERVICE_UNAVAILABLE"
    pair.agent.let_go("one")
    assert answer_of(good([*frames, *await pair.on_a.stream()])) == "one begins, and ends"


async def test_what_runs_on_the_other_is_not_found_by_anybody_else(pair: Pair) -> None:
    frames = await begun(pair.on_a, "one")
    chat_id, message_id = (frames[-1]["payload"][key] for key in ("chat_id", "message_id"))
    async with pair.b.house.connect(BOB) as bob:
        for route, payload in (
            ("/chats/stop", {"id": chat_id}),
            ("/chats/stop", {"id": chat_id, "message_id": message_id}),
            ("/chats/get", {"id": chat_id}),
            ("/chats/post", {"prompt": "x", "chat_id": chat_id}),
            ("/chats/post", {"prompt": "x", "message_id": message_id}),
            ("/chats/post", {"prompt": "x", "message_id": message_id, "chat_id": chat_id}),
        ):
            assert await bob.refusal(payload, route=route) == {"code": "NOT_FOUND", "message": "not found"}
    await pair.on_b.send({"id": str(MISSING), "message_id": message_id}, route="/chats/stop")
    assert (await frame_of(pair.on_b, "stopChat"))["error"]["code"] == "NOT_FOUND"
    pair.agent.let_go("one")
    assert answer_of(good([*frames, *await pair.on_a.stream()])) == "one begins, and ends"


async def test_the_same_post_on_both_at_once_is_one_run_and_both_are_answered(pair: Pair) -> None:
    payload = {"prompt": "one", "message_id": str(uuid4())}
    for node, client in ((pair.a, pair.on_a), (pair.b, pair.on_b)):
        node.cable.hold()
        await client.send(payload, id=node.lease_id.hex)
    await until(lambda: pair.a.cable.held == pair.b.cable.held == 1)  # both have looked, and there was nothing
    for node in (pair.a, pair.b):
        node.cable.let_go()
    pair.agent.let_go("one")
    heard = {node.lease_id.hex: await own_end(client, node) for node, client in ((pair.a, pair.on_a), (pair.b, pair.on_b))}
    assert {answer_of(chat) for chat in heard.values()} == {"one begins, and ends"}
    assert len(pair.agent.tasks) == count(pair.database, "messages") == count(pair.database, "chats") == 1


async def own_end(client: Client, node: Node) -> dict[str, Any]:
    """Read on to the beginning that answers this connection's own request, and then to the end."""
    while True:
        frame = await client.frame()
        assert frame["error"] is None
        if frame.get("request_id") == node.lease_id.hex and frame["event"] in ("initializeChat", "complete"):
            break
    frames = [frame] if is_end(frame) else [frame, *await client.stream()]
    chat: dict[str, Any] = frames[-1]["payload"]
    return chat


async def test_a_retry_joins_what_runs_on_the_other_without_loss_or_double(pair: Pair) -> None:
    id = str(uuid4())
    frames = await begun(pair.on_a, "one", message_id=id)
    async with pair.b.house.connect() as tab:
        await tab.send({"prompt": "one", "message_id": id}, id="again")
        joined = await tab.frame()
        assert (joined["event"], joined["send_method"], joined["request_id"]) == ("initializeChat", "SenderOnly", "again")
        assert answer_of(joined["payload"]) == "one begins"
        pair.agent.let_go("one")
        assert answer_of(good([joined, *await tab.stream()])) == "one begins, and ends"
    own = [*frames, *await pair.on_a.stream()]
    assert {frame["send_method"] for frame in own} == {"All"}
    good(own)
    assert len(pair.agent.tasks) == 1
    await until(lambda: len(pair.b.house.services.posts) == 0)


@pytest.mark.parametrize("lost", ["deaf", "cut"])
async def test_a_retry_that_nobody_tells_anything_gets_at_least_the_end(pair: Pair, lost: str) -> None:
    id = str(uuid4())
    await begun(pair.on_a, "one", message_id=id)
    await first_delta(pair.on_b)
    setattr(pair.b.broker, lost, True)
    await pair.on_b.send({"prompt": "one", "message_id": id}, id="again")
    await until(lambda: len(pair.b.house.services.posts) == 1)
    pair.agent.let_go("one")
    end = await frame_of(pair.on_b, "complete", request_id="again")
    assert end["send_method"] == "SenderOnly"
    assert as_stored(end["payload"]) == stored_chat(pair.database, end["payload"]["id"])


async def test_over_http_a_retry_of_what_runs_on_the_other_is_answered_by_its_end(pair: Pair) -> None:
    id = str(uuid4())
    await begun(pair.on_a, "one", message_id=id)
    answers: list[tuple[int, Any]] = []

    async def post() -> None:
        body = b'{"prompt": "one", "message_id": "%s"}' % id.encode()
        status, chat, _ = await request(pair.b.house, body, pair.b.house.token())
        answers.append((status, chat))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(post)
        await until(lambda: len(pair.b.house.services.posts) == 1)
        pair.agent.let_go("one")
    ((status, chat),) = answers
    assert (status, answer_of(chat)) == (200, "one begins, and ends")
    assert len(pair.agent.tasks) == 1


async def test_get_of_what_runs_on_the_other_is_at_its_place_in_the_stream(pair: Pair) -> None:
    chat_id = (await begun(pair.on_a, "one"))[-1]["payload"]["chat_id"]
    async with pair.b.house.connect() as tab:
        await tab.send({"id": chat_id}, route="/chats/get", id="g")
        got = await tab.frame()
        assert (got["event"], got["send_method"], got["request_id"]) == ("getChat", "SenderOnly", "g")
        assert answer_of(got["payload"]) == "one begins"
        pair.agent.let_go("one")
        good([{**got, "event": "initializeChat"}, *await tab.stream()])
    await pair.on_b.send({"id": chat_id}, route="/chats/get")
    assert (await frame_of(pair.on_b, "getChat"))["payload"]["messages"] != {}


@pytest.mark.parametrize("lost", ["deaf", "cut"])
async def test_get_of_what_runs_where_nobody_answers_is_what_is_stored(
    pair: Pair, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handlers.nodes.elsewhere.ASK_S", 0.05)
    chat_id = (await begun(pair.on_a, "one"))[-1]["payload"]["chat_id"]
    setattr(pair.b.broker, lost, True)
    await pair.on_b.send({"id": chat_id}, route="/chats/get")
    chat = (await frame_of(pair.on_b, "getChat"))["payload"]
    assert as_stored(chat) == stored_chat(pair.database, chat_id)


async def test_a_shared_chat_in_which_somebody_else_runs_on_the_other_is_got_as_it_is_stored(pair: Pair) -> None:
    pair.agent.let_go("one")
    chat_id = (await pair.on_a.post(prompt="one"))[-1]["payload"]["id"]
    share(pair.a.house, chat_id, BOB, "can_view")
    await begun(pair.on_a, "two", chat_id=chat_id)
    async with pair.b.house.connect(BOB) as bob:
        await bob.send({"id": chat_id}, route="/chats/get")
        chat = (await bob.frame())["payload"]
        assert [message["is_completed"] for message in chat["messages"].values()] == [True, False]
        assert pair.b.broker.told == []


async def test_replacing_what_runs_on_the_other_stops_it_first(pair: Pair) -> None:
    id = str(uuid4())
    frames = await begun(pair.on_a, "one", message_id=id)
    chat_id = frames[-1]["payload"]["chat_id"]
    pair.agent.let_go("two")
    await pair.on_b.send({"prompt": "two", "message_id": id, "chat_id": chat_id}, id="2")
    first = good([*frames, *await pair.on_a.stream()])
    assert first["messages"][id]["final_reasoning_message"] == "Stopped"
    second = await pair.on_a.stream()
    assert {frame["request_id"] for frame in second} == {"2"}
    assert answer_of(good(second)) == "two begins, and ends"
    assert as_stored(second[-1]["payload"]) == stored_chat(pair.database, chat_id)
    assert rows(pair.database, "SELECT owner FROM messages") == [{"owner": str(pair.b.lease_id)}]


async def test_a_replacement_whose_stop_cannot_be_told_is_refused(pair: Pair) -> None:
    id = str(uuid4())
    chat_id = (await begun(pair.on_a, "one", message_id=id))[-1]["payload"]["chat_id"]
    await first_delta(pair.on_b)
    pair.b.broker.cut = True
    await pair.on_b.send({"prompt": "two", "message_id": id, "chat_id": chat_id})
    assert (await frame_of(pair.on_b, "postThread"))["error"]["code"] == "SERVICE_UNAVAILABLE"


async def test_get_of_what_has_ended_before_its_node_is_asked_is_its_end(pair: Pair) -> None:
    chat_id = (await begun(pair.on_a, "one"))[-1]["payload"]["chat_id"]
    pair.b.broker.hold()
    async with pair.b.house.connect() as tab:
        await tab.send({"id": chat_id}, route="/chats/get")
        await until(lambda: pair.b.broker.told)
        pair.agent.let_go("one")
        end = await frame_of(pair.on_a, "complete")
        pair.b.broker.let_go()
        assert (await frame_of(tab, "getChat"))["payload"] == end["payload"]


async def test_a_post_in_line_begins_after_the_end_that_another_node_has_stored_and_not_told_yet(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handlers.nodes.elsewhere.ELSEWHERE_LOOK_S", 0.1)
    has_looked = anyio.Event()

    async def find(storage: Storage, chat_id: UUID) -> Stored | None:
        found = await find_running(storage, chat_id)
        if found is None:
            monkeypatch.setattr("handlers.nodes.elsewhere.ELSEWHERE_LOOK_S", TIMEOUT_S)
            has_looked.set()
        return found

    monkeypatch.setattr("handlers.nodes.elsewhere.find_running", find)
    chat_id = (await begun(pair.on_a, "one"))[-1]["payload"]["chat_id"]
    pair.agent.let_go("two")
    await pair.on_b.send({"prompt": "two", "chat_id": chat_id}, id="2")
    await until(lambda: is_waiting(pair.b.house, chat_id))
    pair.a.broker.hold()
    pair.agent.let_go("one")
    await has_looked.wait()
    pair.agent.let_go("else")
    async with pair.b.house.connect(BOB) as bob:
        await bob.post(prompt="else")  # so the other post has come as far as it can
    pair.a.broker.let_go()
    ends = [await frame_of(pair.on_b, "complete"), await frame_of(pair.on_b, "initializeChat", request_id="2")]
    assert answer_of(ends[0]["payload"]) == "one begins, and ends"
    assert len(ends[1]["payload"]["message_ids"]) == 2


@pytest.mark.parametrize("route", ["/chats/get", "/chats/post"])
async def test_who_asks_for_what_another_node_has_stored_and_not_told_yet_is_answered_after_it(
    pair: Pair, route: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handlers.nodes.elsewhere.ELSEWHERE_LOOK_S", TIMEOUT_S)
    id = str(uuid4())
    chat_id = (await begun(pair.on_a, "one", message_id=id))[-1]["payload"]["chat_id"]
    await first_delta(pair.on_b)
    pair.a.broker.hold()
    pair.agent.let_go("one")
    await frame_of(pair.on_a, "complete")
    await pair.on_b.send({"id": chat_id} if route == "/chats/get" else {"prompt": "one", "message_id": id}, route, id="2")
    cluster = pair.b.house.services.cluster
    assert isinstance(cluster, Several)
    await until(lambda: UUID(chat_id) in cluster.node.awaited._ends)
    pair.a.broker.let_go()
    end = await frame_of(pair.on_b, "complete")
    assert end.get("request_id") != "2"
    answer = await pair.on_b.frame()
    assert (answer["request_id"], answer["payload"]) == ("2", end["payload"])


@pytest.mark.parametrize("is_old", [False, True])
async def test_a_stop_that_comes_late_does_not_stop_the_run_that_has_taken_its_place(pair: Pair, is_old: bool) -> None:
    id = uuid4()
    frames = await begun(pair.on_a, "one", message_id=str(id))
    notice = Stop(pair.a.lease_id, id, ALICE, None if is_old else uuid4())  # a node of the version before names no run
    pair.b.broker.tell(msgspec.json.encode(notice))
    async with pair.a.house.connect(BOB) as bob:
        await bob.refusal({})  # so the notice has arrived
    pair.agent.let_go("one")
    end = good([*frames, *await pair.on_a.stream()])
    assert ("Stopped" in str(end)) is is_old


async def test_a_notice_that_is_not_understood_harms_nobody(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    for notice in (b"", b"nonsense", b'{"type":"new"}', b'{"type":"stop"}', b"\xff", b"[" * 5000):
        pair.b.broker.tell(notice)
    pair.agent.let_go("one")
    await pair.on_a.post(prompt="one")
    assert caplog.text.count("was not understood") == 6


async def test_a_chat_whose_node_knows_nothing_of_its_run_is_looked_at_seldom(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handlers.nodes.elsewhere.ELSEWHERE_LOOK_S", 1000.0)
    monkeypatch.setattr("handlers.get_chat.BEGIN_S", 1000.0)
    async with open_nodes(settings, HeldAgent()) as (a, b), a.house.connect() as client:
        chat = (await client.post(metric_id=str(REVENUE)))[-1]["payload"]
        b.cable.hold()  # so it cannot close what it does not answer
        with opened(a.house.database) as connection:
            owner = str(b.lease_id)
            connection.execute("UPDATE messages SET is_completed = 0, final_reasoning_message = NULL, owner = ?", (owner,))
        await client.send({"id": chat["id"]}, "/chats/get")
        await until(lambda: any(b'"answered"' in notice for notice in b.broker.told))  # it has nothing to tell
        for _ in range(100):  # a loop without a pause would ask again at once
            await anyio.lowlevel.checkpoint()
        assert sum(b'"ask"' in notice for notice in a.broker.told) == 1
        with opened(a.house.database) as connection:
            connection.execute("UPDATE messages SET is_completed = 1")
        cluster = a.house.services.cluster
        assert isinstance(cluster, Several)
        cluster.node.awaited.ended(UUID(chat["id"]))
        assert (await frame_of(client, "getChat"))["payload"]["id"] == chat["id"]
        b.cable.let_go()
