"""A log of a user's latest frames, so that a connection that was cut can get the rest. Protocol section 6."""

from collections import deque
from dataclasses import dataclass
from uuid import uuid4

from backends.frame import Frame, joined_frames


@dataclass(frozen=True)
class ResumeLimits:
    """Bounds of a user's log: frames, bytes, and seconds after their last connection has gone."""

    entries: int
    size: int
    seconds: float


@dataclass(frozen=True)
class Resumption:
    """Where a connection goes on: after `offset`, with `frames`. Not `recovered`: what it has missed is not known any more."""

    epoch: str
    offset: int
    recovered: bool
    frames: list[Frame]


class ResumeLog:
    """One user's frames, numbered from 1. An epoch is one life of the log: offsets of another mean nothing in it.

    Past its limits it first joins the frames of its older half. A client whose place is between two joined frames cannot
    resume then; a client whose place is before them can. If that is not enough, it forgets the oldest frames.
    """

    def __init__(self, limits: ResumeLimits) -> None:
        self.epoch = uuid4().hex[:16]
        self.offset = 0  # the newest frame's, kept or not
        self._limits = limits
        self._frames: deque[Frame] = deque()
        self._size = 0
        self._forgotten = 0  # frames up to this offset are gone

    def number(self, frame: Frame) -> None:
        """Give the frame the next number."""
        self.offset += 1
        frame.first = frame.offset = self.offset

    def keep(self, frame: Frame) -> None:
        """Keep a numbered frame for whoever resumes from before it."""
        self._frames.append(frame)
        self._size += frame.size
        if self._is_over():
            self._compact()
        while self._is_over():
            oldest = self._frames.popleft()
            self._size -= oldest.size
            self._forgotten = oldest.offset

    def resume(self, since: str) -> Resumption:
        """The answer to `since`, which is `<epoch>:<offset>`, or empty for from now on."""
        if not since:
            return Resumption(self.epoch, self.offset, True, [])
        frames = self._after(since)
        if frames is None:
            return Resumption(self.epoch, self.offset, False, [])
        return Resumption(self.epoch, int(since.rpartition(":")[2]), True, frames)

    def _after(self, since: str) -> list[Frame] | None:
        epoch, _, offset = since.rpartition(":")
        if epoch != self.epoch or not (offset.isascii() and offset.isdigit() and len(offset) < 20):
            return None
        if not self._forgotten <= int(offset) <= self.offset:
            return None
        frames = [frame for frame in self._frames if frame.offset > int(offset)]
        if frames and frames[0].first <= int(offset):  # the offset is in the middle of a joined frame
            return None
        return list(joined_frames(frames))

    def _is_over(self) -> bool:
        return len(self._frames) > self._limits.entries or self._size > self._limits.size

    def _compact(self) -> None:
        older = [self._frames.popleft() for _ in range(len(self._frames) // 2)]
        self._frames.extendleft(reversed(list(joined_frames(older))))
        self._size = sum(frame.size for frame in self._frames)
