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
        self.node = node  # the broker's name of the node that tells it, if that is known
        self.own = own
        self.turn = turn  # the turn in which it was heard last
        self.is_failing = False  # its node has said that it ends with an error
        self.is_doubtful = False  # an error was heard that may have been its end
        self.has_gap = False  # another Redis has taken the place of the one by which it was heard
        self.owner = Owner(None, None)  # of the message, when it was last seen to have ended
        self.looks = 0  # for how many looks in a row it has been stored as ended, under that owner
