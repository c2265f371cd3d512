"""Any server that speaks OpenAI's chat completions: OpenAI itself, LiteLLM, vLLM, llama.cpp, Ollama, and many others.

Needs the extra `openai`. docs/models.md has the settings for each server.
"""

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from backends.agent import AgentTask
from backends.agent_events import AgentEvent, Alive, AssetsFound, ReasoningChunk, ResponseChunk, WasThought
from backends.agents.answer import Answer
from backends.agents.completions import Completions
from backends.agents.history import Turn, fitting, messages_for, system_text, turns_of
from backends.agents.refusals import Cut, CutShort, Refused, told, without_refused
from backends.agents.titles import LONGEST, plain_title
from backends.logs import named

PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0)  # seconds before each next try, where the server does not say; the last again and again
SPARE_S = 0.5  # seconds before the run's own limit, so that a refusal is told as what it is
AFTERWARDS_S = 2.0  # seconds for what may follow an answer's end: what it has taken
MODELS_S = 10.0  # seconds for the list of models, which is only a help
MOST_THOUGHT = 20_000  # characters of thoughts before a title: more are not waited for

TITLE = "Write a title for a chat that begins with the user's message: at most eight words, no quotes, no full stop."

logger = logging.getLogger("threadcast")


@dataclass(frozen=True)
class Options:
    """How models are asked. `models`: those that a post may name; the first is asked when it names none."""

    models: tuple[str, ...]
    title_model: str | None  # None: titles are the prompt's first words
    context_chars: int
    first_token_seconds: float
    system_prompt: str | None = None
    system_role: str = "system"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    title_prompt: str | None = None
    title_parameters: Mapping[str, Any] = field(default_factory=dict)


class OpenAIAgent:
    """Streams a model's answer. `titles`: the server that makes the titles."""

    def __init__(self, server: Completions, titles: Completions, options: Options) -> None:
        self._server = server
        self._titles = titles
        self._options = options
        self._extras: dict[str, Any] = {"stream_options": {"include_usage": True}, "user": ""}  # until the server refuses one
        # By the task's identity: set when the server has begun to answer, so that the request for a title is behind that.
        self._asked: dict[int, asyncio.Event] = {}
        self._looking = asyncio.create_task(self._look())

    async def answer(self, task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        if task.assets:
            yield AssetsFound("Found 1 asset", task.assets[:1])
        asked = self._asked.setdefault(id(task), asyncio.Event())
        try:
            async with aclosing(self._tried(task)) as events:
                async for event in events:
                    asked.set()
                    yield event
        finally:
            asked.set()
            self._asked.pop(id(task), None)

    async def _tried(self, task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        """Ask until the first word, for as long as a run has for that, and with less of the chat where all is too much."""
        until = time.monotonic() + self._options.first_token_seconds - SPARE_S
        system = len(system_text(self._options.system_prompt, task.assets))
        turns = fitting(turns_of(task), self._options.context_chars - system - len(task.prompt))
        extras, tries, has_told = self._extras, 0, False
        while True:
            request = self._request(task, turns, extras)
            try:
                async with aclosing(self._attempt(self._server, request)) as events:
                    async for event in events:
                        has_told = has_told or not isinstance(event, Alive)
                        yield event
                return
            except (Refused, Cut) as trouble:
                refusal = trouble if isinstance(trouble, Refused) else None
                if not tries:
                    _log(trouble, self._server.host)
                if has_told:
                    raise told(trouble) from None
                if refusal and refusal.kind == "too_long" and turns:
                    turns = turns[(len(turns) + 1) // 2 :]
                elif refusal and refusal.kind == "parameter" and (fewer := without_refused(extras, refusal)) is not None:
                    self._extras = extras = fewer
                elif (refusal and not refusal.may_pass) or (wait := _pause(tries, refusal)) > until - time.monotonic():
                    raise told(trouble) from None
                else:
                    tries += 1
                    await asyncio.sleep(wait)

    def _request(self, task: AgentTask, turns: Sequence[Turn], extras: Mapping[str, Any]) -> dict[str, Any]:
        options = self._options
        messages = messages_for(task, turns, options.system_prompt, options.system_role)
        own = {name: _opaque(task) if name == "user" else value for name, value in extras.items()}
        return {"model": task.model or options.models[0], "messages": messages, "stream": True, **own, **options.parameters}

    async def _attempt(self, server: Completions, request: dict[str, Any]) -> AsyncGenerator[AgentEvent, None]:
        """Ask once. What comes is told as far as a read has brought it."""
        answer = Answer(str(request["model"]))
        try:
            async with aclosing(server.ask(request)) as events:
                async for event in events:
                    if event and (answer.take(event) or answer.has_ended):
                        break
                    if event is None or not event.more:
                        for said in answer.so_far():
                            yield said
                        yield Alive()
                for said in answer.so_far():
                    yield said
                with suppress(Cut, TimeoutError):
                    async with asyncio.timeout(AFTERWARDS_S):
                        async for event in events:
                            if event and answer.take(event):
                                break
            last = answer.end()
        except (Refused, Cut):
            for said in answer.so_far():
                yield said
            raise
        for said in last:
            yield said

    async def title(self, task: AgentTask) -> AsyncGenerator[str, None]:
        options = self._options
        if options.title_model is None:
            return
        try:
            await self._asked.setdefault(id(task), asyncio.Event()).wait()
        finally:
            self._asked.pop(id(task), None)
        request = {
            "model": options.title_model,
            "messages": [
                {"role": "system", "content": options.title_prompt or TITLE},
                {"role": "user", "content": task.prompt[: options.context_chars]},
            ],
            "stream": True,
            **options.title_parameters,
        }
        said, thought = "", 0
        try:
            async with aclosing(self._attempt(self._titles, request)) as events:
                async for event in events:
                    match event:
                        case ResponseChunk(text):
                            said += text
                        case ReasoningChunk(_, text):
                            thought += len(text)
                        case WasThought():
                            said = ""
                    if len(said) >= LONGEST or thought >= MOST_THOUGHT:
                        break
        except CutShort:
            pass  # what it has said may be a title all the same
        except (Refused, Cut) as trouble:
            raise told(trouble) from None
        yield plain_title(said)

    async def aclose(self) -> None:
        self._looking.cancel()
        await asyncio.wait([self._looking])
        for server in {self._server, self._titles}:
            await server.aclose()

    async def _look(self) -> None:
        """Warn of models that the server does not have. Many servers do not say what they have."""
        try:
            async with asyncio.timeout(MODELS_S):
                there = await self._server.models()
        except Exception as error:
            logger.debug("the model's server does not list its models", extra={"error": named(error)})
            return
        for model in self._options.models:
            if not any(model == name or name.endswith(f"/{model}") for name in there):
                logger.warning("the model's server has no such model", extra={"model": model, "host": self._server.host})


def _opaque(task: AgentTask) -> str:
    """The same for each post of a user, and says nothing of who it is."""
    return sha256(task.user.id.bytes).hexdigest() if task.user else ""


def _pause(tries: int, refusal: Refused | None) -> float:
    """Seconds until the next try. Jittered, since all runs that wait would come at once.

    The first time it is what the server asks for; later at least the usual pause, whatever the server says.
    """
    usual = PAUSES_S[min(tries, len(PAUSES_S) - 1)] * random.uniform(0.5, 1.0)  # noqa: S311 (no secret)
    asked = refusal.retry_after if refusal else None
    return usual if asked is None else max(asked, usual if tries else 0)


def _log(trouble: Refused | Cut, host: str) -> None:
    logger.warning("trouble with the model's server", extra={"host": host, "trouble": str(trouble)})
    if isinstance(trouble, Refused):
        logger.debug("the model's server says", extra={"body": trouble.body})  # it may quote the prompt
