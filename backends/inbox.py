"""The ASGI messages that an application has not received yet."""

import asyncio

from starlette.types import Message


class Inbox:
    """As much of `asyncio.Queue` as uvicorn's protocol needs. A queue takes 3 KB, an eighth of an idle connection's memory.

    There are few messages in it: uvicorn stops reading from the socket while there is one.
    """

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._came: asyncio.Future[None] | None = None

    def put_nowait(self, message: Message) -> None:
        """Add one, after the others."""
        self._messages.append(message)
        if self._came and not self._came.done():
            self._came.set_result(None)

    def empty(self) -> bool:
        """Whether the application has received all messages."""
        return not self._messages

    async def get(self) -> Message:
        """Wait for one, and take the first. Only one task may wait."""
        while not self._messages:
            self._came = asyncio.get_running_loop().create_future()
            await self._came
        return self._messages.pop(0)
