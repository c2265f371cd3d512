"""How a client is refused, by tokens, close codes, statuses and upgrades that never come; and Server-Sent Events instead."""

from uuid import UUID

import anyio
import pytest

from tests.support.contract import agrees, chat_of, opened, posted_once, text_of
from tests.support.crowd import member, token_of
from tests.support.driver import Driver, Refused
from tests.support.hostile import Fault, Hostile
from tests.support.paced import said

PROMPT = "words=30 pause=5 title=About_it n=1"
SOCKET, EVENTS = "/api/v1/ws", "/api/v1/events"


def ways(hostile: Hostile) -> list[str]:
    return [way.partition("?")[0] for way in hostile.ways]


async def answered(driver: Driver, user: UUID, port: int, prompt: str = PROMPT) -> None:
    """Post on an open client, and see that all of the answer comes, once."""
    await driver.post("answer", prompt=prompt)
    reading = driver.will("read", "answer")
    message = await driver.done("answer")
    assert text_of(message) == said(prompt) == await reading
    await agrees(driver, port, user, await chat_of(driver, message["id"]))
    await posted_once(port, user, prompt)


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012, 4001, 4008, 4029, 4401, 4503])
async def test_after_each_of_these_codes_it_connects_again(
    driver: Driver, hostile: Hostile, user: UUID, port: int, code: int
) -> None:
    hostile.history = [[Fault("close", 9, code)]]
    await opened(driver, hostile, user)
    await answered(driver, user, port)
    assert len(hostile.ways) >= 2
    if code in (4001, 4401):
        assert hostile.tokens[0] != hostile.tokens[1]


@pytest.mark.parametrize("code", [1002, 1007, 1009])
async def test_after_each_of_these_codes_it_is_closed_until_somebody_connects(
    driver: Driver, hostile: Hostile, user: UUID, port: int, code: int
) -> None:
    hostile.history = [[Fault("shut", 0, code)]]
    await opened(driver, hostile, user)
    await driver.says("until", state="closed")
    await anyio.sleep(0.5)
    assert len(hostile.ways) == 1
    await driver.says("connect")
    await answered(driver, user, port)


async def test_a_token_that_expires_in_the_middle_of_a_stream_is_followed_by_a_new_one(
    driver: Driver, hostile: Hostile, user: UUID, port: int
) -> None:
    await opened(driver, hostile, user, tokens=[token_of(user, 2), token_of(user)])
    await answered(driver, user, port, "words=300 pause=10 n=1")
    assert hostile.tokens == [hostile.tokens[0], hostile.tokens[-1]]
    assert hostile.tokens[0] != hostile.tokens[1]


async def test_a_plain_token_that_expires_is_refused_until_there_is_another(
    driver: Driver, hostile: Hostile, user: UUID, port: int
) -> None:
    await opened(driver, hostile, user, tokens=[token_of(user, 2)], plain=True)
    await driver.post("answer", prompt="words=300 pause=10 n=1")
    await driver.says("until", state="refused")
    before = len(hostile.ways)
    await anyio.sleep(0.5)
    assert len(hostile.ways) == before
    await driver.says("connect", token=token_of(user))
    assert text_of(await driver.done("answer")) == said("words=300 n=1")
    await agrees(driver, port, user)


@pytest.mark.parametrize("sse", [False, True])
async def test_a_bad_token_is_followed_by_a_new_one_and_two_are_refused(
    driver: Driver, hostile: Hostile, user: UUID, port: int, sse: bool
) -> None:
    await opened(driver, hostile, user, tokens=["bad", "worse", token_of(user)], **({"sse": True} if sse else {}))
    await driver.says("until", state="refused")
    await driver.says("connect")
    await answered(driver, user, port)
    assert hostile.tokens[-1] not in ("bad", "worse")


async def test_no_error_and_no_state_has_the_token(driver: Driver, hostile: Hostile, user: UUID) -> None:
    await opened(driver, hostile, user, tokens=["s3cret"], plain=True)
    await driver.says("until", state="refused")
    pending = driver.will("request", route="/chats/list", payload={})
    await driver.says("state")  # the request is on its way
    await driver.says("close")
    with pytest.raises(Refused) as refused:
        await pending
    assert refused.value.code == "CLOSED"
    assert "s3cret" not in str(refused.value.error)


async def test_what_is_asked_of_a_closed_client_fails_at_once_until_it_connects_again(
    driver: Driver, hostile: Hostile, user: UUID, port: int
) -> None:
    await opened(driver, hostile, user)
    await driver.says("close")
    for asked in (driver.says("request", route="/chats/list", payload={}), driver.says("post", "refused", prompt="Hi")):
        with pytest.raises(Refused) as refused:
            await asked
        assert refused.value.code == "CLOSED"
    await driver.says("connect")
    await answered(driver, user, port)


@pytest.mark.parametrize(
    "fault", [Fault("shut", 0, 4029), Fault("shut", 0, 4503), Fault("refuse", 0, 503), Fault("refuse", 0, 429)]
)
async def test_a_full_server_is_asked_again_after_a_pause(
    driver: Driver, hostile: Hostile, user: UUID, port: int, fault: Fault
) -> None:
    hostile.history = [[fault], [fault]]
    await opened(driver, hostile, user)
    await answered(driver, user, port)
    assert len(hostile.ways) == 3


@pytest.mark.parametrize("status", [403, 500])
async def test_where_no_upgrade_comes_through_events_do_and_later_the_socket_again(
    driver: Driver, hostile: Hostile, user: UUID, port: int, status: int
) -> None:
    hostile.blocked = status
    hostile.history = [[], [Fault("cut", 9, 500)]]
    await opened(driver, hostile, user)
    await answered(driver, user, port)
    assert ways(hostile)[:2] == [SOCKET, EVENTS]
    hostile.blocked = 0
    hostile.cut()
    await driver.post("second", prompt="words=3 n=2")
    await driver.done("second")
    await driver.live()
    assert ways(hostile)[-1] == SOCKET


@pytest.mark.parametrize("fault", ["wrong", "hang"])
async def test_an_upgrade_that_is_answered_with_nonsense_or_never_is_followed_by_events(
    driver: Driver, hostile: Hostile, user: UUID, port: int, fault: str
) -> None:
    hostile.history = [[Fault(fault)]]
    await opened(driver, hostile, user)
    await answered(driver, user, port)
    assert ways(hostile)[:2] == [SOCKET, EVENTS]


async def test_a_socket_that_opens_and_never_says_a_word_is_left(
    driver: Driver, hostile: Hostile, user: UUID, port: int
) -> None:
    hostile.history = [[Fault("deaf")], [Fault("deaf")]]
    await opened(driver, hostile, user)
    await answered(driver, user, port)


async def test_without_a_socket_everything_goes_over_http(driver: Driver, hostile: Hostile, user: UUID, port: int) -> None:
    hostile.history = [[Fault("cut", 12, 500)], [Fault("bytes", at) for at in range(30)]]
    await opened(driver, hostile, user, sse=True)
    await answered(driver, user, port, f"{PROMPT} steps=1")
    assert set(ways(hostile)) == {EVENTS}
    assert hostile.requests == []


@pytest.mark.parametrize("fault", [Fault("lose"), Fault("unanswered"), Fault("refuse", 0, 503)])
async def test_over_http_a_post_that_is_lost_unanswered_or_refused_is_made_once(
    driver: Driver, hostile: Hostile, user: UUID, port: int, fault: Fault
) -> None:
    hostile.posts = [[fault]] * 4
    await opened(driver, hostile, user, sse=True)
    await answered(driver, user, port)


async def test_another_user_s_token_makes_the_client_forget_everything(
    driver: Driver, hostile: Hostile, user: UUID, port: int
) -> None:
    other = member(299)
    hostile.history = [[Fault("close", 60, 4001)]]
    await opened(driver, hostile, user, tokens=[token_of(user), token_of(other)])
    await driver.post("answer", prompt="words=3 n=1")
    await driver.done("answer")
    hostile.history = []
    await hostile.shut(4001)
    await driver.live()
    with anyio.fail_after(10):
        while (await driver.says("chats"))["chats"]:  # noqa: ASYNC110 - of another process
            await anyio.sleep(0.05)
    assert (await driver.says("chats"))["list"] == []
