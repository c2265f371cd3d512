"""A client of Threadcast for asyncio: chats that go on through every cut."""

from threadcast_client.answer import Answer
from threadcast_client.chats import Chats
from threadcast_client.client import Threadcast
from threadcast_client.errors import ThreadcastError
from threadcast_client.fold import Snapshot, text_of
from threadcast_client.owner import State

__all__ = ["Answer", "Chats", "Snapshot", "State", "Threadcast", "ThreadcastError", "text_of"]
