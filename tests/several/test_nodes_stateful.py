"""The life of a chat in any order, as `test_chat_stateful.py` has it, on two servers: nobody can tell which one answers."""

from typing import Any

from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from settings import Settings
from tests.support.chat_machine import ChatLife, Ear
from tests.support.client import Frame
from tests.support.house import House
from tests.support.linked import open_nodes
from tests.support.world import ALICE


class ChatLifeOnTwo(ChatLife):
    """Alice says each thing to the one or the other of her two connections, and hears all on both."""

    def __init__(self) -> None:
        self.opened = 0
        self.asked: dict[str, Ear] = {}
        super().__init__()
        self.other = self.open()

    def enter(self, configuration: Settings) -> list[House]:
        nodes = self.stack.enter_context(self.portal.wrap_async_context_manager(open_nodes(configuration, self.agent)))
        return [node.house for node in nodes]

    def mine(self) -> list[Ear]:
        return [*super().mine(), self.other]

    def open(self, user: Any = ALICE) -> Ear:
        self.opened += 1
        self.house = self.houses[self.opened % 2]  # tabs and strangers come to either
        return super().open(user)

    def say(self, ear: Ear, payload: dict[str, object], route: str = "/chats/post") -> str:
        if ear is self.alice and self.number % 2:
            ear = self.other
        label = super().say(ear, payload, route)
        self.asked[label] = ear
        return label

    def hear(self, event: str, label: str, ear: Ear | None = None) -> Frame:
        return super().hear(event, label, ear or self.asked[label])


test_the_life_of_a_chat_in_any_order_on_two_nodes = ChatLifeOnTwo.TestCase
ChatLifeOnTwo.TestCase.settings = hypothesis_settings(
    max_examples=20, stateful_step_count=25, suppress_health_check=list(HealthCheck)
)
