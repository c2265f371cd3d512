"""Model servers as they are: what a user sees of each habit of theirs, and what is stored."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from settings import Settings
from tests.programs.model import Exchange, StandIn, serving
from tests.support.client import Client, Frame, fold, unsettled
from tests.support.database import as_stored, rows, stored_chat
from tests.support.house import House, open_house
from tests.support.replays import CUT, FAMILIES, Replay


class Player:
    """Answers each request with the next try of the replay that is on."""

    def __init__(self) -> None:
        self.tries: list[tuple[bytes, ...]] = []

    async def play(self, exchange: Exchange) -> None:
        """Answer one request."""
        pieces = self.tries.pop(0) if len(self.tries) > 1 else self.tries[0]
        for piece in pieces:
            if piece == CUT:
                return exchange.cut()
            await exchange.wire(piece)


@asynccontextmanager
async def playing(settings: Settings) -> AsyncIterator[tuple[House, StandIn, Player]]:
    player = Player()
    settings = replace(settings, agent="openai", model="m", titles="words", first_token_seconds=2, rate_limit="10000/minute")
    async with serving(player.play) as model:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("OPENAI_API_KEY", "the key of the tests")
            patch.setenv("OPENAI_BASE_URL", model.url)
            async with open_house(settings) as house:
                yield house, model, player


def told(message: dict[str, Any], kind: str) -> str:
    parts = [message[f"{kind}_messages"][id] for id in message[f"{kind}_message_ids"]]
    return "".join(part["message"] or "" for part in parts if part["type"] == "text")


def seen(house: House, frames: list[Frame], chat_id: str) -> tuple[Any, ...]:
    """What a user has seen, which must be what is stored."""
    last, stored = frames[-1], stored_chat(house.database, chat_id)
    error = None
    if last["error"]:
        error = f"{last['error']['code']}: {last['error']['message']}"
    else:
        assert unsettled(fold(frames)) == unsettled(last["payload"])
        assert as_stored(last["payload"]) == stored
    (message,) = stored["messages"].values()
    assert message["is_completed"]
    return (
        told(message, "response"),
        told(message, "reasoning"),
        message["finish_reason"],
        message["final_reasoning_message"],
        error,
    )


async def played(house: House, client: Client, player: Player, replay: Replay) -> list[str]:
    """Play it. What is not as it should be."""
    player.tries = list(replay.tries)
    frames = await client.post(prompt="Hi")
    answer, thought, finish, how, error = seen(house, frames, frames[0]["payload"]["id"])
    wrong = []
    for what, is_so, should in (
        ("answer", answer, replay.answer),
        ("thought", thought, replay.thought),
        ("finish", finish, replay.finish),
    ):
        if is_so != should:
            wrong.append(f"{replay.name}: the {what} is {is_so[:80]!r} and not {should[:80]!r}")
    if not how.startswith(replay.how):
        wrong.append(f"{replay.name}: it says {how!r} and not {replay.how!r}")
    if (error or "")[: len(replay.error or "")] != (replay.error or "") or bool(error) != bool(replay.error):
        wrong.append(f"{replay.name}: the error is {error!r} and not {replay.error!r}")
    return wrong


@pytest.mark.parametrize("family", FAMILIES)
async def test_a_family_of_servers_is_understood_as_a_person_would(settings: Settings, family: str) -> None:
    async with playing(settings) as (house, _, player), house.connect() as client:
        wrong = [line for replay in FAMILIES[family] for line in await played(house, client, player, replay)]
        assert wrong == []
        assert len(rows(house.database, "SELECT id FROM messages WHERE NOT is_completed")) == 0


def test_there_are_a_hundred_of_them_by_different_names() -> None:
    names = [f"{family}: {replay.name}" for family, replays in FAMILIES.items() for replay in replays]
    assert len(set(names)) == len(names) >= 100
