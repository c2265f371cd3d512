"""What agents say, made into text that can be encoded: JSON can have halves of characters, and UTF-8 cannot."""

from backends.agent import AgentEvent, ReasoningChunk, ResponseChunk

HIGH = "\ud800", "\udbff"  # the first half of a character beyond U+FFFF, in UTF-16


def clean(text: str) -> str:
    """Without lone halves. Two halves that belong together become their character."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class Cleaner:
    """Cleans one text that comes in pieces: the halves of a character may come in two of them."""

    __slots__ = ("_half",)

    def __init__(self) -> None:
        self._half = ""  # a first half, until the second comes

    def clean(self, piece: str) -> str:
        """What can be told of the piece. A first half that nothing follows is never told."""
        if piece.isascii() and not self._half:
            return piece
        piece, self._half = self._half + piece, ""
        if piece and HIGH[0] <= piece[-1] <= HIGH[1]:
            piece, self._half = piece[:-1], piece[-1]
        return clean(piece)


class CleanEvents:
    """Cleans the answer and the thoughts of one agent."""

    def __init__(self) -> None:
        self._answer, self._thought = Cleaner(), Cleaner()

    def clean(self, event: AgentEvent) -> AgentEvent | None:
        """The event; None when nothing of it can be told yet."""
        if isinstance(event, ResponseChunk):
            text = self._answer.clean(event.text)
            return event if text is event.text else ResponseChunk(text) if text else None
        if isinstance(event, ReasoningChunk):
            text = self._thought.clean(event.text)
            return event if text is event.text else ReasoningChunk(event.title, text) if text else None
        return event
