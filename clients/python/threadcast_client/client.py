"""A user's chats on a Threadcast server, through every cut."""

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self
from uuid import uuid4

import msgspec

from threadcast_client.answer import Answer, parts_of
from threadcast_client.chats import Chats, Id, as_id
from threadcast_client.keeper import Keeper
from threadcast_client.link import HEARTBEAT_S, Link, Token
from threadcast_client.owner import State

Event = Literal["frame", "sent", "note", "state", "replaced"]


class Threadcast:
    """`url` is the server's base, such as `https://host/prefix`; `token` a string, or a function that fetches one.

    `heartbeat`: seconds between the server's signs of life, until it says so itself. `websocket=False` uses Server-Sent Events
    alone, which need the extra `sse`; with that installed they are also tried when a WebSocket does not open.
    """

    def __init__(self, url: str, token: Token, *, heartbeat: float = HEARTBEAT_S, websocket: bool = True) -> None:
        self._link = Link(url, heartbeat, websocket)
        self._link.token = token
        self._keeper = keeper = Keeper(self._link)
        self.chats = Chats(keeper.fold, keeper.ask, keeper.chats_told, keeper.open_ids)

    async def __aenter__(self) -> Self:
        self.connect()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        await self.close()

    @property
    def state(self) -> State:
        """How the connection stands; the README has the table."""
        return self._link.state

    def subscribe(self, listener: Callable[[State], object]) -> Callable[[], None]:
        """Have the listener called with each new state. Returns what ends that."""
        return self.on("state", listener)

    def on(self, event: Event, listener: Callable[..., object]) -> Callable[[], None]:
        """Be told each frame's text that comes (`frame`) or goes (`sent`), what ends a connection (`note`), each new state,
        or that the token is another user's and all was forgotten (`replaced`). Returns what ends that."""
        return self._keeper.told[event].add(listener)

    def connect(self, token: Token | None = None) -> None:
        """Connect, also after `refused` and `closed`; with another token if one is given."""
        if token is not None:
            self._link.token = token
            self._link.renew("another token")
        self._link.start()

    async def close(self) -> None:
        """Close. What is still waited for fails with `CLOSED`, and nothing is left running."""
        try:
            await self._link.stop()
        finally:
            self._keeper.on_over("the client was closed")

    def post(
        self,
        prompt: str | None = None,
        *,
        asset: tuple[str, Id] | None = None,
        chat_id: Id | None = None,
        message_id: Id | None = None,
        model: str | None = None,
        approvals: Sequence[Mapping[str, Any]] | None = None,
    ) -> Answer:
        """Ask, now or once connected, until the server has it. A `message_id` with its `chat_id` replaces that message.

        Raises ThreadcastError if the client is closed, or 100 posts wait already. Else the answer tells what becomes of it.
        """
        asset_type, asset_id = asset or (None, None)
        message = as_id(message_id, "message_id") if message_id else uuid4()
        given = {
            "prompt": prompt,
            "asset_type": asset_type,
            "asset_id": asset_id and str(as_id(asset_id, "asset")),
            "chat_id": chat_id and str(as_id(chat_id, "chat_id")),
            "message_id": str(message),
            "model": model,
            "approvals": approvals and list(approvals),
        }
        payload: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        before = None
        if message_id and chat_id and not approvals:
            chat = self.chats.get(chat_id)
            held = chat and chat.messages.get(message)
            before = parts_of(held) if held else None
        else:
            payload["once"] = True
        answer = Answer(message, payload, self._keeper.stop, before)
        self._keeper.post(answer)
        return answer

    async def request(self, route: str, payload: Mapping[str, Any]) -> Any:
        """Ask on any route: the payload of the answer, as JSON has it. It is asked again after a cut if that does no harm."""
        return msgspec.json.decode((await self._keeper.ask(route, dict(payload))).payload)
