"""Thoughts that a model writes into its answer, between tags, told apart from the answer while both come in pieces."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from backends.agent_events import AgentEvent, ReasoningChunk, ResponseChunk, WasThought

TITLE = "Thinking"
NAMES = ("think", "thinking", "thought")  # DeepSeek-R1 and most others; Gemini's and Claude's imitators
OPENING = tuple(f"<{name}>" for name in NAMES)
CLOSING = tuple(f"</{name}>" for name in NAMES)
CLOSED = re.compile("|".join(CLOSING))
TAGS = re.compile("|".join(OPENING + CLOSING))
LONGEST_TAG = max(map(len, CLOSING))


def gather(gathered: list[AgentEvent], event: AgentEvent) -> None:
    """Add an event to those that are told together. Pieces of one text that come one after another become one."""
    last = gathered[-1] if gathered else None
    if isinstance(event, ResponseChunk) and isinstance(last, ResponseChunk):
        gathered[-1] = ResponseChunk(last.text + event.text)
    elif isinstance(event, ReasoningChunk) and isinstance(last, ReasoningChunk):
        gathered[-1] = ReasoningChunk(TITLE, last.text + event.text)
    else:
        gathered.append(event)


class Cut(NamedTuple):
    """A text, without its end where that may be the beginning of a tag."""

    text: str
    held: str


def _cut(text: str, tags: tuple[str, ...]) -> Cut:
    at = text.rfind("<", -LONGEST_TAG)
    if at >= 0 and any(tag.startswith(text[at:]) for tag in tags):
        return Cut(text[:at], text[at:])
    return Cut(text, "")


class Thoughts:
    """Reads one answer. Its thoughts stand at its beginning; a tag that comes later is part of the text.

    Where a template has put the opening tag into the prompt, the model writes only the closing one. What came before that was
    taken for the answer, and is taken back.
    """

    def __init__(self) -> None:
        self._held = ""  # not told yet: it may be the beginning of a tag
        self._state = self._begin
        self._has_thought = False
        self._ticks = 0  # backticks so far: within code a tag is text

    def feed(self, text: str) -> Iterator[AgentEvent]:
        """What the next characters of the content say."""
        self._held, text = "", self._held + text
        return self._state(text)

    def end(self) -> Iterator[AgentEvent]:
        """What was held back: nothing follows that could make a tag of it."""
        held, self._held = self._held, ""
        if held.strip():
            yield ReasoningChunk(TITLE, held) if self._state == self._think else ResponseChunk(held)

    def _begin(self, text: str) -> Iterator[AgentEvent]:
        start = text.lstrip()
        if any(start.startswith(tag) for tag in OPENING):
            self._state = self._think
            yield from self._think(start[start.index(">") + 1 :])
        elif not start or any(tag.startswith(start) for tag in OPENING):
            self._held = text
        else:
            self._state = self._answer
            yield from self._answer(text)

    def _think(self, text: str) -> Iterator[AgentEvent]:
        closed = CLOSED.search(text)
        told = (text[: closed.start()] if closed else _cut(text, CLOSING).text).rstrip("\n")
        if thought := told if self._has_thought else told.lstrip("\n"):
            self._has_thought = True
            yield ReasoningChunk(TITLE, thought)
        if closed:
            self._state = self._after
            yield from self._after(text[closed.end() :])
        else:  # lines that end here may be the last ones before the tag
            self._held = text[len(told) :]

    def _after(self, text: str) -> Iterator[AgentEvent]:
        """The answer begins at its first character that is no space."""
        if start := text.lstrip():
            self._state = self._rest
            yield from self._rest(start)

    def _answer(self, text: str) -> Iterator[AgentEvent]:
        """The answer, unless a closing tag says that all of it was a thought."""
        text, held = _cut(text, OPENING + CLOSING)
        tag = TAGS.search(text) if "<" in text else None
        if tag is None:
            self._held = held
            self._ticks += text.count("`")
            if text:
                yield ResponseChunk(text)
        elif tag[0] in OPENING or (self._ticks + text.count("`", 0, tag.start())) % 2:
            self._state = self._rest  # it speaks of tags
            yield ResponseChunk(text + held)
        else:
            if before := text[: tag.start()]:
                yield ResponseChunk(before)
            yield WasThought(TITLE)
            self._state = self._after
            yield from self._after(text[tag.end() :] + held)

    def _rest(self, text: str) -> Iterator[AgentEvent]:
        yield ResponseChunk(text)
