"""The state that an agent over AG-UI shares with whoever asks it, while a run goes on, and what a chat remembers of a run."""

import logging
from collections.abc import Sequence
from typing import Any

import msgspec

from backends.agent_events import JSON_BYTES
from backends.agents.json_patch import patched
from backends.statements import to_json

logger = logging.getLogger("threadcast")


class Waiting(msgspec.Struct, frozen=True):
    """An open question: its id here, that of the agent's interrupt, and that of the call that it is about."""

    question: str
    interrupt: str
    call: str | None = None


class Memory(msgspec.Struct, frozen=True):
    """The state and the open questions that a chat keeps between runs."""

    state: Any = None
    waiting: tuple[Waiting, ...] = ()


def memory_of(remembered: Any) -> Memory:
    """The memory, from `task.state`; an empty one where another agent has left something else."""
    try:
        return msgspec.convert(remembered, Memory)
    except msgspec.ValidationError:
        return Memory()


class RemoteState:
    """The state of one run. One that has become too large is dropped, and counts as none until the agent sends it anew."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.has_changed = False
        self._is_dropped = False

    def keep(self, value: Any) -> None:
        """Take a whole state."""
        self.has_changed = True
        if (size := len(to_json(value))) > JSON_BYTES:
            self.drop(size)
        else:
            self.value, self._is_dropped = value, False

    def patch(self, patch: Sequence[dict[str, Any]]) -> None:
        """Take a change. One that cannot be made changes nothing."""
        if self._is_dropped:
            return
        try:
            self.keep(patched(self.value, patch, JSON_BYTES))
        except ValueError as error:
            logger.warning("an agent's state cannot be changed as it says, and stays", extra={"trouble": str(error)})

    def drop(self, size: int) -> None:
        """Forget a state that is too large."""
        logger.warning("an agent's state is too large, and is dropped", extra={"bytes": size, "most": JSON_BYTES})
        self.value, self.has_changed, self._is_dropped = None, True, True
