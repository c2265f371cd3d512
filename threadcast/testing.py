"""Runs an agent of one's own without a server: `answer = await run(mine.answer, "What is our revenue?")`.

What it yields is held against what it is to be, cleaned, and put together as the server does it, so `answer.message` is what
would be stored and told. Time limits do not count, and nothing is stored.
"""

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import msgspec

from backends.agent import AgentTask, AgentUser, CleanEvents
from backends.agents.own import agent_of
from handlers.approvals import answered
from handlers.transcript import Transcript
from schemas.assets import Asset
from schemas.chats import Approval, ChatMessage, ChatUserMessage, ChatWithMessages, ReasoningMessage, TextResponse
from schemas.requests import ApprovalAnswer

__all__ = ["Answer", "run"]

TESTER = AgentUser(uuid4(), "Tester", "tester@example.com")


@dataclass(frozen=True)
class Answer:
    """What an agent has answered, in a chat that may go on: give it as `after` to the next run."""

    chat: ChatWithMessages
    state: Any  # what it has `Remembered`, or an earlier run of the chat has

    @property
    def message(self) -> ChatMessage:
        """The message, as clients get it."""
        return self.chat.messages[self.chat.message_ids[-1]]

    @property
    def text(self) -> str:
        """The answer's text."""
        parts = (self.message.response_messages[id] for id in self.message.response_message_ids)
        return "".join(part.message or "" for part in parts if isinstance(part, TextResponse))

    @property
    def steps(self) -> list[ReasoningMessage]:
        """Thoughts, tools, sources and files, in order. A tool has its `title`, `message`, `status` and `tool`."""
        return [self.message.reasoning_messages[id] for id in self.message.reasoning_message_ids]

    @property
    def approvals(self) -> list[Approval]:
        """The questions of the agent to its user."""
        return list(self.message.approvals or ())


async def run(
    agent: object,
    prompt: str = "",
    *,
    after: Answer | None = None,
    approvals: Mapping[str, bool] | None = None,
    values: Mapping[str, Any] | None = None,
    assets: Sequence[Asset] = (),
    user: AgentUser = TESTER,
) -> Answer:
    """Let the agent, which is anything that `THREADCAST_AGENT` may name, answer a prompt, and return what came of it.

    `after`: an earlier answer, whose chat goes on. `approvals` answers what it has asked, by the questions' ids, and `values`
    are what comes with those answers. Raises what the agent raises, NoAgent when it is none, and BadRequest when `approvals`
    do not answer what was asked.
    """
    chat = msgspec.json.decode(msgspec.json.encode(after.chat), type=ChatWithMessages) if after else _chat(user)
    given: tuple[Approval, ...] = ()
    if approvals:
        said = tuple(ApprovalAnswer(id, approved, (values or {}).get(id)) for id, approved in approvals.items())
        asked = answered(chat, said)
        chat.messages[asked.id], given = asked, tuple(asked.approvals or ())
    history = tuple(chat.messages[id] for id in chat.message_ids)
    transcript = _begin(chat, prompt, user)
    message_id, state = transcript.message.id, after.state if after else None
    task = AgentTask(prompt, tuple(assets), history, user, chat.id, message_id, None, state, given)
    cleaner, asked_agent = CleanEvents(), agent_of(agent, getattr(agent, "__name__", type(agent).__name__))
    async with aclosing(asked_agent.answer(task)) as events:
        async for event in events:
            if clean := cleaner.clean(event):
                for _ in transcript.apply(clean):
                    pass
    for _ in transcript.close(ended=True):
        pass
    transcript.message.is_completed = True
    return Answer(chat, state if transcript.state is None else msgspec.json.decode(transcript.state))


def _begin(chat: ChatWithMessages, prompt: str, user: AgentUser) -> Transcript:
    request = ChatUserMessage(prompt, user.id, user.name, None) if prompt else None
    message = ChatMessage(uuid4(), request, [], {}, [], {}, datetime.now(UTC), None, False)
    chat.message_ids.append(message.id)
    chat.messages[message.id] = message
    return Transcript(chat, message)


def _chat(user: AgentUser) -> ChatWithMessages:
    now = datetime.now(UTC)
    return ChatWithMessages(uuid4(), "", False, [], {}, now, now, user.id, user.id, user.name, None)
