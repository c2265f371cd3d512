"""The one place where an exception becomes what a client may know of it."""

import logging
from uuid import uuid4

from msgspec import UNSET

from backends.agents.failures import Misconfigured
from schemas.errors import ThreadcastError, WsError, WsErrorCode

logger = logging.getLogger("threadcast")


def describe(error: Exception) -> WsError:
    """A refusal with its own words; anything else as a reference, under which the log has the traceback."""
    if isinstance(error, ThreadcastError):
        return WsError(error.code, str(error), UNSET if error.retry_after is None else error.retry_after)
    reference = uuid4().hex[:12]
    what = "the server's model is not set up right" if isinstance(error, Misconfigured) else "internal error"
    logger.error("%s, reference %s", what, reference, exc_info=error)
    return WsError(WsErrorCode.INTERNAL_SERVER_ERROR, f"{what}, reference {reference}")
