"""What a client does for its user: posts in every state, stops, replaces, answers questions, and changes chats."""

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import anyio
import pytest

from tests.support.contract import agrees, chat_of, opened, posted_once, text_of, until_said
from tests.support.crowd import ask, crowd_served, crowded, port_of, token_of
from tests.support.driver import Driver, Refused, driving
from tests.support.hostile import Fault, Hostile
from tests.support.paced import said
from tests.support.world import ORG_METRIC, REVENUE

MOST_QUEUED = 100


async def post_and_done(driver: Driver, name: str, **what: str) -> None:
    """For what is refused, by the post or by its end."""
    await driver.post(name, **what)
    await driver.done(name, within=5)


async def test_posts_wait_for_a_server_and_are_sent_in_order_when_it_is_there(
    driver: Driver, hostile: Hostile, user: UUID, port: int
) -> None:
    hostile.absent = True
    await opened(driver, hostile, user)
    prompts = [f"words=3 n={number}" for number in range(3)]
    for number, prompt in enumerate(prompts):
        await driver.post(f"answer {number}", prompt=prompt)
    await anyio.sleep(0.5)
    hostile.absent = False
    for number, prompt in enumerate(prompts):
        assert text_of(await driver.done(f"answer {number}")) == said(prompt)
    await agrees(driver, port, user)
    await posted_once(port, user, *prompts)


async def test_more_posts_than_the_queue_holds_are_refused_at_once(driver: Driver, hostile: Hostile, user: UUID) -> None:
    hostile.absent = True
    await opened(driver, hostile, user)
    for number in range(MOST_QUEUED):
        await driver.post(f"answer {number}", prompt=f"n={number}")
    with pytest.raises(Refused):
        await post_and_done(driver, "one too many", prompt="n=too_many")
    waiting = driver.will("done", "answer 0")
    await driver.says("close")
    with pytest.raises(Refused) as refused:
        await waiting
    assert refused.value.code == "CLOSED"


async def test_a_full_queue_does_not_keep_the_client_from_going_live(driver: Driver, hostile: Hostile, user: UUID) -> None:
    hostile.absent = True
    await opened(driver, hostile, user)
    for number in range(MOST_QUEUED):
        await driver.post(f"answer {number}", prompt=f"words=1 n={number}")
    hostile.absent = False
    await driver.live()
    assert text_of(await driver.done("answer 0")) == said("words=1 n=0")


async def test_a_replacement_takes_the_place_of_what_was_said(driver: Driver, hostile: Hostile, user: UUID, port: int) -> None:
    await opened(driver, hostile, user)
    id = await driver.post("first", prompt="words=3 n=1")
    chat = await chat_of(driver, (await driver.done("first"))["id"])
    await driver.post("second", prompt="words=3 n=2", chatId=chat)
    await driver.done("second")
    assert await driver.post("instead", prompt="words=5 n=3", chatId=chat, messageId=id) == id
    message = await driver.done("instead")
    assert (message["id"], text_of(message)) == (id, said("words=5 n=3"))
    assert (await driver.says("chats"))["chats"][chat]["message_ids"] == [id]
    await agrees(driver, port, user, chat)
    await posted_once(port, user, "words=5 n=3")


async def test_an_answer_that_is_stopped_ends_with_what_there_is(
    driver: Driver, hostile: Hostile, user: UUID, port: int, tmp_path: Path
) -> None:
    await opened(driver, hostile, user)
    await driver.post("answer", prompt=f"words=10 wait={tmp_path / 'never'} n=1")
    reading = driver.will("read", "answer")
    await until_said(driver, "answer", said("words=5 n=1"))
    await driver.says("stop", "answer")
    message = await driver.done("answer")
    assert message["finish_reason"] == "stopped"
    assert await reading == text_of(message) == said("words=5 n=1")
    await agrees(driver, port, user)


async def test_an_agent_s_failure_rejects_the_answer_and_keeps_what_was_said(
    driver: Driver, hostile: Hostile, user: UUID, port: int
) -> None:
    await opened(driver, hostile, user)
    await driver.post("answer", prompt="words=4 fail=1 n=1")
    with pytest.raises(Refused) as refused:
        await driver.done("answer")
    assert refused.value.code == "INTERNAL_SERVER_ERROR"
    assert await driver.text("answer") == said("words=4 n=1")
    await agrees(driver, port, user)


@pytest.mark.parametrize(
    ("what", "code"),
    [({}, "BAD_REQUEST"), ({"prompt": "n=1", "chatId": str(REVENUE)}, "NOT_FOUND")],
)
async def test_a_refused_post_rejects_and_is_not_sent_again(
    driver: Driver, hostile: Hostile, user: UUID, what: dict[str, str], code: str
) -> None:
    await opened(driver, hostile, user)
    with pytest.raises(Refused) as refused:
        await post_and_done(driver, "answer", **what)
    assert refused.value.code == code
    await anyio.sleep(0.5)
    assert len([each for each in hostile.requests if each["route"] == "/chats/post"]) <= 1


@pytest.mark.parametrize("sse", [False, True])
async def test_a_post_that_comes_too_early_is_sent_again_when_it_may(
    driver: Driver, user: UUID, tmp_path: Path, sse: bool
) -> None:
    with crowd_served(crowded(tmp_path), RATE_LIMIT="2/second") as program:
        async with Hostile(port_of(program)).serving() as hostile:
            await opened(driver, hostile, user, **({"sse": True} if sse else {}))
            await driver.live()
            prompts = [f"words=2 n={number}" for number in range(6)]
            for number, prompt in enumerate(prompts):
                await driver.post(f"answer {number}", prompt=prompt)
            for number, prompt in enumerate(prompts):
                assert text_of(await driver.done(f"answer {number}")) == said(prompt)
            await posted_once(port_of(program), user, *prompts)
            await agrees(driver, port_of(program), user)


async def test_a_question_of_the_agent_is_answered(driver: Driver, hostile: Hostile, user: UUID, port: int) -> None:
    await opened(driver, hostile, user)
    await driver.post("asked", prompt="words=2 ask=1 n=1")
    message = await driver.done("asked")
    assert [(each["id"], each["approved"]) for each in message["approvals"]] == [("publish", None)]
    chat = await chat_of(driver, message["id"])
    await driver.post("answer", chatId=chat, approvals=[{"id": "publish", "approved": True}])
    assert text_of(await driver.done("answer")) == "publish: True"
    await agrees(driver, port, user, chat)


async def test_an_asset_is_opened_without_a_prompt(driver: Driver, hostile: Hostile, user: UUID, port: int) -> None:
    await opened(driver, hostile, user)
    await driver.post("opened", asset={"type": "metric", "id": str(ORG_METRIC)})
    message = await driver.done("opened")
    assert "file" in {part["type"] for part in message["response_messages"].values()}
    await agrees(driver, port, user, await chat_of(driver, message["id"]))


async def until_gone(driver: Driver, chat: str) -> None:
    """Wait until the client holds the chat no more, and lists it no more."""
    with anyio.fail_after(10):
        while chat in json.dumps(await driver.says("chats")):  # noqa: ASYNC110 - of another process
            await anyio.sleep(0.05)


@pytest.mark.parametrize("sse", [False, True])
async def test_chats_are_changed_and_every_device_has_it(
    driver: Driver, kind: str, hostile: Hostile, user: UUID, port: int, sse: bool
) -> None:
    more = {"sse": True} if sse else {}
    async with driving(kind) as other:
        await opened(driver, hostile, user, **more)
        await opened(other, hostile, user, **more)
        ids = []
        for number in range(2):
            await driver.post(f"answer {number}", prompt=f"words=2 n={number}")
            message = await driver.done(f"answer {number}")
            ids.append(await chat_of(driver, message["id"]))
        one, two = ids
        for id in ids:
            await other.says("openChat", chat=id)
        await driver.says("update", chat=one, title="Renamed", isFavorited=True)
        await driver.says("feedback", messageId=message["id"], feedback="positive")
        copy = await driver.says("duplicate", chat=one)
        part = await driver.says("duplicate", chat=two, messageId=message["id"])
        assert (await driver.says("openChat", chat=two))["messages"][message["id"]]["feedback"] == "positive"
        assert {chat["id"] for chat in await driver.says("list")} == {one, two, copy["id"], part["id"]}
        assert len(await driver.says("list", pageSize=1, pageToken=1)) == 1
        for each in (driver, other):
            await agrees(each, port, user, one, two)
        await driver.says("delete", ids=[two])
        await driver.says("feedback", messageId=next(iter(copy["messages"])), feedback=None)
        for each in (driver, other):
            await until_gone(each, two)
            await agrees(each, port, user, one)
        (renamed,) = (chat for chat in await driver.says("list") if chat["id"] == one)
        assert (renamed["title"], renamed["is_favorited"]) == ("Renamed", True)


async def test_what_is_refused_rejects_with_the_server_s_code(driver: Driver, hostile: Hostile, user: UUID) -> None:
    await opened(driver, hostile, user)
    for doing in (
        driver.says("openChat", chat=str(REVENUE)),
        driver.says("update", chat=str(REVENUE), title="x"),
        driver.says("duplicate", chat=str(REVENUE)),
        driver.says("request", route="/chats/get", payload={"id": str(REVENUE)}),
    ):
        with pytest.raises(Refused) as refused:
            await doing
        assert refused.value.code == "NOT_FOUND"


async def test_a_request_whose_line_goes_is_asked_again_but_a_duplication_is_not(
    driver: Driver, hostile: Hostile, user: UUID, port: int
) -> None:
    await opened(driver, hostile, user)
    await driver.post("answer", prompt="words=2 n=1")
    chat = await chat_of(driver, (await driver.done("answer"))["id"])
    hostile.mute()
    listing = driver.will("list")
    got = driver.will("request", route="/chats/get", payload={"id": chat})
    copying = driver.will("duplicate", chat=chat)
    await hostile.heard("/chats/duplicate")
    hostile.cut()
    assert len(await listing) in (1, 2)
    assert (await got)["id"] == chat
    with pytest.raises(Refused):
        await copying
    await anyio.sleep(0.3)
    assert len(await ask(port, user, "/chats/list", {})) <= 2


async def test_close_ends_everything_and_the_process(driver: Driver, hostile: Hostile, user: UUID, tmp_path: Path) -> None:
    await opened(driver, hostile, user)
    await driver.post("answer", prompt=f"words=10 wait={tmp_path / 'never'} n=1")
    await hostile.heard("/chats/post")
    pending = driver.will("done", "answer")
    reading = driver.will("read", "answer")
    await driver.says("close")
    with pytest.raises(Refused) as refused:
        await pending
    assert refused.value.code == "CLOSED"
    with suppress(Refused):  # an iteration may raise it too, and ends in any case
        await reading
    assert await driver.says("state") == "closed"
    with anyio.fail_after(10):
        while hostile.lines:
            await hostile.happened.wait()
    assert await driver.exited() == 0


@pytest.mark.parametrize("moment", ["absent", "hang", "live"])
async def test_close_ends_the_process_whatever_the_client_is_at(
    driver: Driver, hostile: Hostile, user: UUID, moment: str
) -> None:
    hostile.absent = moment == "absent"
    hostile.history = [[Fault("hang")]] if moment == "hang" else []
    await opened(driver, hostile, user)
    if moment == "live":
        await driver.live()
    else:
        await asyncio.sleep(0.4)
    await driver.says("close")
    assert await driver.exited() == 0
    assert token_of(user) not in driver.stderr
