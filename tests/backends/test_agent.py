"""The offline agent: the same answer to the same task, from what there is, in as many words and as slowly as it is told."""

import asyncio
from datetime import UTC, datetime

import pytest

from backends.agent import AgentTask, OfflineAgent
from backends.agent_events import AgentEvent, AssetsFound, ReasoningChunk, ResponseChunk
from schemas.assets import METRIC, Asset
from tests.support.world import ACME, ALICE, uuid

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CONTENT = {"description": "Money.", "sql": "SELECT 1", "columns": [{"name": "week"}], "long": "x" * 1000}
ASSET = Asset(uuid(1), METRIC, "Revenue", CONTENT, 7, ACME, ALICE, NOW, NOW)


async def events(agent: OfflineAgent, task: AgentTask) -> list[AgentEvent]:
    return [event async for event in agent.answer(task)]


def said(events: list[AgentEvent]) -> list[str]:
    return [event.text for event in events if isinstance(event, ResponseChunk)]


async def test_the_same_task_gets_the_same_answer() -> None:
    task = AgentTask("What is it?", (ASSET,))
    assert await events(OfflineAgent(None, 0), task) == await events(OfflineAgent(None, 0), task)


async def test_it_names_the_asset_and_shows_each_field_of_its_definition() -> None:
    answer = "".join(said(await events(OfflineAgent(None, 0), AgentTask("What is it?", (ASSET,)))))
    assert "What is it?" in answer
    assert "“Revenue” (version 7)" in answer
    for field in ("- description: Money.", "- sql: SELECT 1", '- columns: [{"name": "week"}]', "- long: xxx"):
        assert field in answer
    assert len(answer) < 1000  # a long field is cut


async def test_it_says_that_there_is_no_model_and_what_to_set() -> None:
    answer = "".join(said(await events(OfflineAgent(None, 0), AgentTask("Hi"))))
    assert "No model is configured" in answer
    assert "`THREADCAST_AGENT" in answer
    assert "README" in answer


async def test_it_finds_the_asset_then_thinks_then_answers_word_by_word() -> None:
    found, *rest = await events(OfflineAgent(None, 0), AgentTask("Hi", (ASSET,)))
    assert found == AssetsFound("Found 1 asset", (ASSET,))
    kinds = [type(event) for event in rest]
    assert kinds == sorted(kinds, key=[ReasoningChunk, ResponseChunk].index)
    assert all(len(word.split()) == 1 for word in said(rest))
    assert not any(isinstance(event, AssetsFound) for event in await events(OfflineAgent(None, 0), AgentTask("Hi")))


@pytest.mark.parametrize("words", [1, 5, 500])
async def test_the_number_of_words_can_be_set(words: int) -> None:
    assert len("".join(said(await events(OfflineAgent(words, 0), AgentTask("Hi")))).split()) == words


async def test_the_title_is_the_prompts_beginning_in_words() -> None:
    task = AgentTask("one two  three\nfour five six seven eight nine ten")
    chunks = [chunk async for chunk in OfflineAgent(None, 0).title(task)]
    assert "".join(chunks) == "one two three four five six seven eight"
    assert len(chunks) == 8


async def test_it_pauses_before_each_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    answer = await events(OfflineAgent(3, 20), AgentTask("Hi"))
    assert slept == [0.02] * len(answer)
