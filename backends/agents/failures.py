"""The ways in which an agent fails, by kind, as clients and the metrics are told of them."""

from schemas.errors import BadRequest, ServiceUnavailable, TooManyRequests


class ModelBusy(ServiceUnavailable):
    """The model's server is overloaded, or starts."""

    kind = "busy"

    def __init__(self, retry_after: float) -> None:
        super().__init__("the model is busy", retry_after)


class ModelLimited(TooManyRequests):
    """The model's server takes no more requests from us for a while."""

    kind = "busy"

    def __init__(self, retry_after: float) -> None:
        super().__init__("model", "the model takes no more requests for now", retry_after)


class ChatTooLong(BadRequest):
    """Not even the prompt and what it is about fit into the model's context."""

    kind = "too_long"

    def __init__(self) -> None:
        super().__init__("the chat is too long for the model")


class Filtered(BadRequest):
    """The model's server does not pass the prompt on to the model."""

    kind = "filtered"

    def __init__(self) -> None:
        super().__init__("the model's provider does not allow this prompt")


class Misconfigured(Exception):
    """A key, a model's name or an address in the settings is wrong. The message is for the log."""

    kind = "misconfigured"


class ModelBroken(Exception):
    """The model's server broke off, said nothing, or sent what cannot be understood. The message is for the log."""

    kind = "broken"
