"""One stream and what can befall it: cuts, loss, several devices, half-open lines."""

from pathlib import Path
from random import Random
from uuid import UUID

import anyio
import pytest

from tests.support.client import TIMEOUT_S
from tests.support.contract import agrees, chat_of, opened, posted_once, text_of, until_said
from tests.support.driver import Driver, driving
from tests.support.hostile import Fault, Hostile
from tests.support.paced import said

PROMPT = "words=30 pause=5 title=About_it steps=1 n=1"
CUTS = 200


async def answered(driver: Driver, hostile: Hostile, user: UUID, port: int, prompt: str = PROMPT, lossy: bool = False) -> None:
    """Post, and see that all of the answer comes, once, whatever befalls it."""
    await opened(driver, hostile, user)
    await driver.post("answer", prompt=prompt)
    reading = driver.will("read", "answer")
    message = await driver.done("answer")
    assert text_of(message) == said(prompt) == await driver.text("answer")
    assert lossy or await reading == said(prompt)
    await agrees(driver, port, user, await chat_of(driver, message["id"]))
    await posted_once(port, user, prompt)


async def test_an_answer_comes_whole_with_its_steps_and_its_title(
    driver: Driver, hostile: Hostile, user: UUID, port: int
) -> None:
    await answered(driver, hostile, user, port)
    (held,) = (await driver.says("chats"))["chats"].values()
    assert held["title"] == "About it"
    assert [item["id"] for item in await driver.says("list")] == [held["id"]]
    assert hostile.ways[0].startswith("/api/v1/ws")
    assert len(hostile.ways) == 1


async def test_200_cuts_at_random_places_in_one_stream_lose_and_double_nothing(
    driver: Driver, hostile: Hostile, user: UUID, port: int, tmp_path: Path
) -> None:
    chance = Random(200)
    prompt = f"until={tmp_path / 'enough'} pause=6 n=1"
    await opened(driver, hostile, user)
    await driver.post("answer", prompt=prompt)
    reading = driver.will("read", "answer", within=100)
    for number in range(CUTS):
        await driver.live()
        if number % 4 == 3:
            await anyio.sleep(chance.random() / 50)
        hostile.next_cut, before = chance.randint(0, 1000), len(hostile.ways)
        with anyio.fail_after(TIMEOUT_S):
            while hostile.next_cut is not None or len(hostile.ways) == before:
                await hostile.happened.wait()
    (tmp_path / "enough").touch()
    message = await driver.done("answer")
    text = text_of(message)
    assert text == "".join(f"wörd{count}🙂€ " for count in range(text.count(" ")))
    assert await reading == text == await driver.text("answer")
    await agrees(driver, port, user, await chat_of(driver, message["id"]))
    await posted_once(port, user, prompt)
    assert len(hostile.ways) > CUTS


@pytest.mark.parametrize("fault", ["double", "pieces", "bytes", "unknown", "bare", "pause"])
async def test_frames_that_come_twice_in_pieces_strange_or_unnumbered_are_lived_with(
    driver: Driver, hostile: Hostile, user: UUID, port: int, fault: str
) -> None:
    hostile.history = [[Fault(fault, at, 30) for at in range(1, 40)] + [Fault("cut", 41, 300)]]
    await answered(driver, hostile, user, port)


async def test_a_wrong_epoch_makes_the_client_get_everything_anew(
    driver: Driver, hostile: Hostile, user: UUID, port: int
) -> None:
    hostile.history = [[Fault("cut", 20, 300)], [Fault("epoch"), Fault("cut", 9, 300)]]
    await answered(driver, hostile, user, port)


async def test_a_broken_order_is_noticed_and_mended(driver: Driver, hostile: Hostile, user: UUID, port: int) -> None:
    hostile.history = [[Fault("swap", 12), Fault("swap", 20)]]
    await answered(driver, hostile, user, port, lossy=True)
    assert len(hostile.ways) > 1


@pytest.mark.parametrize("events", [("complete",), ("initializeChat",), ("generatingResponseMessage",)])
async def test_lost_frames_are_mended(driver: Driver, hostile: Hostile, user: UUID, port: int, events: tuple[str, ...]) -> None:
    hostile.loses = set(events)
    await answered(driver, hostile, user, port, lossy=True)


@pytest.mark.parametrize("kind_of_silence", ["mute", "orphan"])
async def test_a_half_open_line_is_left_after_two_heartbeats(
    driver: Driver, hostile: Hostile, user: UUID, port: int, kind_of_silence: str
) -> None:
    hostile.history = [[Fault(kind_of_silence, 15)]]
    await answered(driver, hostile, user, port)
    assert len(hostile.ways) == 2


async def test_a_line_that_carries_heartbeats_alone_is_kept(driver: Driver, hostile: Hostile, user: UUID, port: int) -> None:
    await opened(driver, hostile, user)
    await driver.live()
    await anyio.sleep(4)  # twice as long as a dead line is kept
    assert len(hostile.ways) == 1
    assert await driver.says("state") == "live"


@pytest.mark.parametrize("fault", ["lose", "unanswered"])
async def test_a_post_whose_line_is_cut_before_or_after_it_arrives_is_sent_again_and_made_once(
    driver: Driver, hostile: Hostile, user: UUID, port: int, fault: str
) -> None:
    hostile.history = [[Fault(fault, 0)], [Fault(fault, 0)], [Fault("lose", 0)]]
    await answered(driver, hostile, user, port)
    posts = [each["payload"] for each in hostile.requests if each["route"] == "/chats/post"]
    assert len({post["message_id"] for post in posts}) == 1
    assert all(post["once"] is True for post in posts)
    assert len(posts) > 1 or fault == "unanswered"  # what was missed tells that it arrived


async def test_a_follow_up_is_sent_again_safely_too(driver: Driver, hostile: Hostile, user: UUID, port: int) -> None:
    await opened(driver, hostile, user)
    await driver.post("first", prompt="words=2 n=1")
    chat = await chat_of(driver, (await driver.done("first"))["id"])
    hostile.history = [[], [Fault("unanswered", 0)], [Fault("lose", 0)]]
    hostile.cut()
    await driver.post("second", prompt="words=9 n=2", chatId=chat)
    await driver.done("second")
    assert await driver.text("second") == said("words=9 n=2")
    await agrees(driver, port, user, chat)
    await posted_once(port, user, "words=2 n=1", "words=9 n=2")


async def test_two_tabs_and_a_device_that_joins_in_the_middle_hold_the_same(
    driver: Driver, kind: str, hostile: Hostile, user: UUID, port: int, tmp_path: Path
) -> None:
    prompt = f"words=40 pause=3 steps=1 title=About_it wait={tmp_path / 'joined'} n=1"
    async with driving(kind) as tab, driving(kind) as late, Hostile(port).serving() as good:
        hostile.history = [[Fault("cut", 12, 500)], [Fault("double", 3)]]
        await opened(tab, good, user)
        await tab.live()
        await opened(driver, hostile, user)
        await driver.post("answer", prompt=prompt)
        await until_said(driver, "answer", said("words=20 n=1"))
        (chat,) = (await driver.says("chats"))["chats"]
        await opened(late, good, user)
        joined = await late.says("openChat", chat=chat)
        assert joined["message_ids"]
        assert not any(message["is_completed"] for message in joined["messages"].values())
        await tab.says("openChat", chat=chat)
        (tmp_path / "joined").touch()
        await driver.done("answer")
        for each in (driver, tab, late):
            await agrees(each, port, user, chat)


async def test_a_chat_that_is_closed_and_opened_again_is_true(
    driver: Driver, kind: str, hostile: Hostile, user: UUID, port: int
) -> None:
    await answered(driver, hostile, user, port)
    (chat,) = (await driver.says("chats"))["chats"]
    async with driving(kind) as other, Hostile(port).serving() as good:
        await opened(other, good, user)
        await other.says("openChat", chat=chat)
        await other.says("closeChat", chat=chat)
        await driver.post("more", prompt="words=3 n=2", chatId=chat)
        await driver.done("more")
        assert (await other.says("openChat", chat=chat))["message_ids"][1:]
        good.cut()
        await agrees(other, port, user, chat)
