"""Functions that want to be told something."""

import asyncio
from collections.abc import Callable
from typing import Any


class Listeners:
    """Called one after the other. One that fails disturbs no other: the loop's exception handler gets its error."""

    def __init__(self) -> None:
        self._all: dict[object, Callable[..., object]] = {}

    def add(self, listener: Callable[..., object]) -> Callable[[], None]:
        """Returns what removes it again, once or more often."""
        key = object()
        self._all[key] = listener
        return lambda: (self._all.pop(key, None), None)[1]

    def tell(self, *what: Any) -> None:
        for listener in list(self._all.values()):
            try:
                listener(*what)
            except Exception as error:
                context = {"message": "a listener of threadcast_client failed", "exception": error}
                asyncio.get_running_loop().call_exception_handler(context)
