"""The life of a chat in any order: hypothesis makes up what happens, a model knows what must have come of it.

Which run is in the middle of its answer is decided by the rules and never by time: the agent is held until it is let go.
"""

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import anyio
import anyio.from_thread
import anyio.lowlevel
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from backends.broker import MemoryBroker
from backends.limits import MemoryQuota
from settings import Settings
from tests.support.agents import HeldAgent
from tests.support.client import TIMEOUT_S, Client, Frame, fold, is_end, unsettled
from tests.support.database import as_stored, rows, stored_chat
from tests.support.house import House, open_house, settings_in
from tests.support.world import ALICE, BOB


class Ear:
    """A connection, and all that it has heard."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.heard: list[Frame] = []

    async def until(self, wanted: Callable[[Frame], bool]) -> Frame:
        """The first frame like this, heard or still to come."""
        for frame in self.heard:
            if wanted(frame):
                return frame
        while True:
            self.heard.append(await self.client.frame())
            if wanted(self.heard[-1]):
                return self.heard[-1]


class Run:
    """What the model knows of one run."""

    def __init__(self, prompt: str, label: str, message_id: str) -> None:
        self.prompt = prompt
        self.label = label
        self.message_id = message_id
        self.chat_id = ""
        self.waits_for: Run | None = None
        self.is_discarded = False


class ChatLife(RuleBasedStateMachine):
    """One user's chats, with another user beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        folder = self.stack.enter_context(tempfile.TemporaryDirectory())
        backend = {"use_uvloop": True}
        self.portal = self.stack.enter_context(anyio.from_thread.start_blocking_portal("asyncio", backend))
        self.agent = self.portal.call(HeldAgent)
        self.houses = self.enter(settings_in(Path(folder)))
        self.house = self.houses[0]
        self.alice = self.open()
        self.tabs: list[Ear] = []
        self.runs: list[Run] = []
        self.held: list[Run] = []
        self.waiting: list[Run] = []
        self.number = 0

    def enter(self, configuration: Settings) -> list[House]:
        """The servers, one here."""
        house = open_house(configuration, self.agent)
        return [self.stack.enter_context(self.portal.wrap_async_context_manager(house))]

    def open(self, user: Any = ALICE) -> Ear:
        client = self.stack.enter_context(self.portal.wrap_async_context_manager(self.house.connect(user)))
        return Ear(client)

    def mine(self) -> list[Ear]:
        """All of Alice's connections."""
        return [self.alice, *self.tabs]

    def say(self, ear: Ear, payload: dict[str, object], route: str = "/chats/post") -> str:
        """Send a request, and return its label."""
        self.number += 1
        label = f"request {self.number}"

        async def send() -> None:
            await ear.client.send(payload, route=route, id=label)

        self.portal.call(send)
        return label

    def hear(self, event: str, label: str, ear: Ear | None = None) -> Frame:
        """Wait for the frame of this event that answers this request."""
        return self.portal.call(
            (ear or self.alice).until, lambda frame: (frame["event"], frame.get("request_id")) == (event, label)
        )

    def begin(self, **rest: object) -> Run:
        """Post, without waiting for anything."""
        prompt = f"prompt {self.number}"
        message_id = str(rest.get("message_id") or uuid4())
        run = Run(prompt, self.say(self.alice, {"prompt": prompt, **rest, "message_id": message_id}), message_id)
        run.chat_id = str(rest.get("chat_id") or "")
        return run

    def is_held(self, run: Run) -> None:
        """Wait until the run is in the middle of its answer."""
        run.chat_id = self.hear("generatingResponseMessage", run.label)["payload"]["chat_id"]
        self.runs.append(run)
        self.held.append(run)

    def is_over(self, run: Run) -> Frame:
        """Wait until the run has ended; who waited for it is then held."""
        end = self.hear("complete", run.label)
        self.held.remove(run)
        for next_one in [waiting for waiting in self.waiting if waiting.waits_for is run]:
            self.waiting.remove(next_one)
            self.is_held(next_one)
        return end

    def idle(self) -> list[Run]:
        """The ended runs whose chat nobody is answering in, the last of each message."""
        busy = {run.chat_id for run in [*self.held, *self.waiting]}
        kept = [run for run in self.runs if not run.is_discarded and run.chat_id not in busy]
        return list({run.message_id: run for run in kept}.values())

    def discard_after(self, message_id: str, chat_id: str) -> None:
        """A message of the chat is replaced: what came after it, in the order in which messages were first stored, is gone."""
        order = list(dict.fromkeys(run.message_id for run in self.runs if run.chat_id == chat_id))
        for run in self.runs:
            run.is_discarded |= run.chat_id == chat_id and run.message_id in order[order.index(message_id) + 1 :]

    @rule()
    def post(self) -> None:
        self.is_held(self.begin())

    @precondition(lambda self: self.idle())
    @rule(data=st.data())
    def follow_up(self, data: st.DataObject) -> None:
        self.is_held(self.begin(chat_id=data.draw(st.sampled_from(self.idle())).chat_id))

    @precondition(lambda self: len(self.held) > len(self.waiting))
    @rule(data=st.data())
    def follow_up_and_wait(self, data: st.DataObject) -> None:
        taken = [run.waits_for for run in self.waiting]
        first = data.draw(st.sampled_from([run for run in self.held if run not in taken]))
        run = self.begin(chat_id=first.chat_id)
        run.waits_for = first
        self.waiting.append(run)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def let_go(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from(self.held))
        self.portal.call(self.agent.let_go, run.prompt)
        message = self.is_over(run)["payload"]["messages"][run.message_id]
        assert message["final_reasoning_message"].startswith("Reasoned for ")
        assert f"{run.prompt} begins, and ends" in str(message)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), named=st.booleans())
    def stop(self, data: st.DataObject, named: bool) -> None:
        run = data.draw(st.sampled_from(self.held))
        ear = data.draw(st.sampled_from([self.alice, *self.tabs]))
        self.say(ear, {"id": run.chat_id, "message_id": run.message_id if named else None}, "/chats/stop")
        message = self.is_over(run)["payload"]["messages"][run.message_id]
        assert message["final_reasoning_message"] == "Stopped"
        assert f"{run.prompt} begins" in str(message)
        assert "and ends" not in str(message)

    @precondition(lambda self: self.idle())
    @rule(data=st.data(), once=st.booleans())
    def retry_what_is_finished(self, data: st.DataObject, once: bool) -> None:
        run = data.draw(st.sampled_from(self.idle()))
        rest = {"chat_id": run.chat_id, "once": True} if once else {}
        label = self.say(self.alice, {"prompt": run.prompt, "message_id": run.message_id, **rest})
        frame = self.hear("complete", label)
        assert frame["send_method"] == "SenderOnly"
        assert as_stored(frame["payload"]) == stored_chat(self.house.database, run.chat_id)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), once=st.booleans())
    def retry_what_runs(self, data: st.DataObject, once: bool) -> None:
        run = data.draw(st.sampled_from(self.held))
        rest = {"chat_id": run.chat_id, "once": True} if once else {}
        frame = self.hear("initializeChat", self.say(self.alice, {"prompt": run.prompt, "message_id": run.message_id, **rest}))
        assert frame["send_method"] == "SenderOnly"
        assert f"{run.prompt} begins" in str(frame["payload"]["messages"][run.message_id])

    @precondition(lambda self: self.idle())
    @rule(data=st.data())
    def replace(self, data: st.DataObject) -> None:
        before = data.draw(st.sampled_from(self.idle()))
        self.is_held(self.begin(chat_id=before.chat_id, message_id=before.message_id))
        self.discard_after(before.message_id, before.chat_id)

    @precondition(lambda self: len(self.held) > len(self.waiting))
    @rule(data=st.data())
    def replace_what_runs(self, data: st.DataObject) -> None:
        taken = [run.waits_for for run in self.waiting]
        before = data.draw(st.sampled_from([run for run in self.held if run not in taken]))
        run = self.begin(chat_id=before.chat_id, message_id=before.message_id)
        stopped = self.is_over(before)["payload"]["messages"][run.message_id]
        assert stopped["final_reasoning_message"] == "Stopped"
        self.is_held(run)

    @precondition(lambda self: self.runs)
    @rule()
    def get_each(self) -> None:
        for chat_id in {run.chat_id for run in self.runs}:
            chat = self.hear("getChat", self.say(self.alice, {"id": chat_id}, "/chats/get"))["payload"]
            kept = [run.message_id for run in self.runs if run.chat_id == chat_id and not run.is_discarded]
            assert chat["message_ids"] == list(dict.fromkeys(kept))
            answering = {run.message_id: run for run in self.held if run.chat_id == chat_id}
            assert {id for id, message in chat["messages"].items() if not message["is_completed"]} == set(answering)
            for id, run in answering.items():
                assert f"{run.prompt} begins" in str(chat["messages"][id])

    @rule()
    def list_chats(self) -> None:
        listed = self.hear("getChatsList", self.say(self.alice, {"page_size": 100}, "/chats/list"))["payload"]
        assert {chat["id"] for chat in listed} == {run.chat_id for run in self.runs}

    @rule()
    def open_a_tab(self) -> None:
        self.tabs.append(self.open())

    @precondition(lambda self: self.tabs)
    @rule(cut=st.booleans())
    def close_a_tab(self, cut: bool) -> None:
        socket = self.tabs.pop().client.socket
        self.portal.call(socket.transport.abort if cut else socket.close)

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def another_user_finds_nothing(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from(self.runs))
        bob = self.open(BOB)
        for route, payload in (("/chats/get", {}), ("/chats/stop", {}), ("/chats/post", {"prompt": "x"})):
            event = {"/chats/get": "getChat", "/chats/stop": "stopChat", "/chats/post": "postThread"}[route]
            key = "chat_id" if route == "/chats/post" else "id"
            frame = self.hear(event, self.say(bob, {key: run.chat_id, **payload}, route), bob)
            assert frame["error"] == {"code": "NOT_FOUND", "message": "not found"}
        assert self.hear("getChatsList", self.say(bob, {}, "/chats/list"), bob)["payload"] == []
        assert all(frame["sent_by"]["id"] == str(BOB) for frame in bob.heard)

    def teardown(self) -> None:
        with self.stack:
            while self.held:
                self.portal.call(self.agent.let_go, self.held[0].prompt)
                self.is_over(self.held[0])
            self.portal.call(self.quiet)
            self.check_streams()
            assert rows(self.house.database, "SELECT id FROM messages WHERE NOT is_completed") == []
            for house in self.houses:
                runs = house.services.runs
                counted = cast(MemoryQuota, house.backends.run_quota).members
                assert [runs._runs, runs._in_chat, runs._turns, counted] == [{}, {}, {}, {}]
            assert self.agent.running == 0
            for ear in self.mine():
                self.portal.call(ear.client.socket.close)
            self.portal.call(self.deserted)

    def check_streams(self) -> None:
        last: dict[str, Frame] = {}
        for run in self.runs:
            stream = [f for f in self.alice.heard if f.get("request_id") == run.label and f["send_method"] == "All"]
            assert sum(map(is_end, stream)) == 1
            assert unsettled(fold(stream)) == unsettled(stream[-1]["payload"])
        for frame in self.alice.heard:
            assert frame["sent_by"]["id"] == str(ALICE)
            if frame["event"] == "complete" and frame["send_method"] == "All":
                last[frame["payload"]["id"]] = frame["payload"]
        for chat_id, chat in last.items():
            assert as_stored(chat) == stored_chat(self.house.database, chat_id)

    async def quiet(self) -> None:
        """Wait until no run is left, and hear what it said last."""
        with anyio.fail_after(TIMEOUT_S):
            while any(len(house.services.runs) for house in self.houses):
                await anyio.lowlevel.checkpoint()
        await self.alice.client.send({}, id="quiet")
        await self.alice.until(lambda frame: frame.get("request_id") == "quiet")

    async def deserted(self) -> None:
        """Wait until the broker has nobody left, Bob's connections apart."""
        for house in self.houses:
            broker = house.backends.broker
            assert isinstance(broker, MemoryBroker)
            with anyio.fail_after(TIMEOUT_S):
                while ALICE in broker._users:
                    await anyio.lowlevel.checkpoint()


test_the_life_of_a_chat_in_any_order = ChatLife.TestCase
