"""A stream that connections here have heard begin and not end."""

from backends.messages import Owner


class Stream:
    """A stream of another node that has begun; or of this one, while it is `own`."""

    __slots__ = (
        "chat_id",
        "has_gap",
        "is_doubtful",
        "is_failing",
        "looks",
        "message_id",
        "node",
        "own",
        "owner",
        "turn",
        "user_id",
    )

    def __init__(self, user_id: str, chat_id: str, message_id: str, turn: int, node: str | None, own: bool = False) -> None:
        self.user_id = user_id
        self.chat_id = chat_id
        self.message_id = message_id
        self.node = node  # the node that sends it, by the broker's name for it, if known
        self.own = own
        self.turn = turn  # the turn in which it was last heard
        self.is_failing = False  # its node has announced that it ends with an error
        self.is_doubtful = False  # an error was heard that may have been its end
        self.has_gap = False  # since it was heard, another Redis has taken the place of the first
        self.owner = Owner(None, None)  # the message's owner, when it was last seen to have ended
        self.looks = 0  # looks in a row at which it was stored as ended, with that owner
