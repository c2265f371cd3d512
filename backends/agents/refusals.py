"""What model servers say when they refuse, in one list: each family has its own words for the few things that matter to us."""

import json
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from backends.agents.failures import ChatTooLong, Filtered, Misconfigured, ModelBroken, ModelBusy, ModelLimited

Kind = Literal["limited", "busy", "quota", "too_long", "filtered", "misconfigured", "parameter", "broken"]

RETRY_S = 5.0  # seconds, where the server does not say when to come back
QUOTA_RETRY_S = 60.0  # seconds; a quota is filled up by a person, or by the next day
LONGEST_RETRY_S = 60.0  # seconds, of what a client is told: it may ask again all the same

# In the order in which they are looked for, in the error's code, type and message together, in small letters. OpenAI and Azure:
# context_length_exceeded, insufficient_quota, content_filter. vLLM: "maximum context length". llama.cpp:
# exceed_context_size_error, "Loading model". Mistral: "too large for model". Anthropic: "prompt is too long",
# overloaded_error. Gemini: "exceeds the maximum number of tokens", RESOURCE_EXHAUSTED. DeepSeek: "Insufficient Balance".
WORDS: tuple[tuple[Kind, str], ...] = (
    (
        "too_long",
        r"context_length_exceeded|exceed_context_size|context[ _](length|size|window)|prompt is too long|input is too long"
        r"|too large for model|exceeds the maximum number of (input )?tokens|too many (input )?tokens|maximum input length"
        r"|string_above_max_length|request too large|reduce the length|input token count|longer than the maximum",
    ),
    ("filtered", r"content_?filter|content_?policy|content management policy|responsible ?ai|safety|moderation|flagged"),
    ("quota", r"insufficient[ _](quota|balance|credits?)|exceeded your current quota|billing|out of credits|payment required"),
    ("limited", r"rate[ _]?limit|too many requests|resource_?exhausted|throttl"),
    ("busy", r"overloaded|loading|unavailable|capacity|insufficient_system_resource|no slot"),
    ("parameter", r"stream_options|include_usage|['\"`]user['\"`]|\buser\b.{0,40}(not|extra|unknown|unsupported|unrecognized)"),
)
STATUSES: Mapping[int, Kind] = {402: "quota", 413: "too_long", 429: "limited", 503: "busy", 529: "busy"}
KNOWN_BY_WORDS = ("quota", "limited", "busy", "too_long")  # also where the status is a clear one
PARAMETERS = ("stream_options", "user")  # what we ask for and can do without
UNSURE = (400, 422)  # statuses that say nothing: the words do
AGAIN = (408, 409, 425)  # statuses of what may succeed when it is tried again
NOT_AGAIN = (501, 505)


class Cut(Exception):
    """The answer broke off before its end, or never began. What came before is worth keeping."""

    def __init__(self, what: str, cause: str = "") -> None:
        super().__init__(f"{what}{cause and ': '}{cause}")


class CutShort(Cut):
    """The answer's body ended as bodies do, and the answer never said that it ends there."""


class Refused(Exception):
    """The server refuses. `kind` is what to do about it, `retry_after` the seconds that it asks for."""

    def __init__(self, kind: Kind, status: int, retry_after: float | None, body: str) -> None:
        super().__init__(f"status {status}, {kind}")
        self.kind = kind
        self.retry_after = retry_after
        self.body = body  # the server's own words, which may quote the prompt

    @property
    def may_pass(self) -> bool:
        """Whether the same request may succeed soon."""
        return self.kind in ("limited", "busy", "broken")


def refused(status: int, headers: Mapping[str, str], body: str, *, says_why: bool = True) -> Refused:
    """The refusal of a response. `says_why`: its words count, too."""
    return Refused(_kind(status, _words(body) if says_why else ""), status, _retry_after(headers), body)


def refused_within(error: object) -> Refused:
    """The refusal that came as an event of a stream, whose status was 200."""
    match error:
        case {"code": int() as status}:
            pass
        case _:
            status = 200
    body = error if isinstance(error, str) else json.dumps(error)
    return Refused(_kind(status, _words(body)), status, None, body)


def told(trouble: Refused | Cut, server: str = "the model's server") -> Exception:
    """What the trouble is when it cannot be mended."""
    if isinstance(trouble, Cut):
        return ModelBroken(str(trouble))
    wait = min(max(trouble.retry_after or 0, RETRY_S), LONGEST_RETRY_S)
    match trouble.kind:
        case "limited":
            return ModelLimited(wait)
        case "quota":
            return ModelLimited(QUOTA_RETRY_S)
        case "busy":
            return ModelBusy(wait)
        case "too_long":
            return ChatTooLong()
        case "filtered":
            return Filtered()
        case "broken":
            return ModelBroken(f"{server} has failed: {trouble}")
        case _:
            return Misconfigured(f"{server} refuses: {trouble}")


def without_refused(request: dict[str, Any], refusal: Refused) -> dict[str, Any] | None:
    """The request without the parameter of ours that the server does not know; None when there is none left to leave out."""
    named = [name for name in PARAMETERS if name in request and name in refusal.body] or [
        name for name in PARAMETERS if name in request
    ]
    return {key: value for key, value in request.items() if key not in named[:1]} if named else None


def _words(body: str) -> str:
    """What the body says, without what it may quote of the request where that stands apart."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return body.lower()
    match found:
        case {"error": {"message": message, **rest}}:
            return f"{rest.get('code')} {rest.get('type')} {rest.get('status')} {message}".lower()
        case _:
            return body.lower()


def _kind(status: int, words: str) -> Kind:
    if status in (401, 403, 404, 405):
        return "misconfigured"
    may_pass = status >= 500 or status in (*UNSURE, *AGAIN, 200, 429)
    for kind, pattern in WORDS:
        if (status in (*UNSURE, 200) or kind in KNOWN_BY_WORDS) and (may_pass or kind != "busy") and re.search(pattern, words):
            return kind
    if status in STATUSES:
        return STATUSES[status]
    if status in NOT_AGAIN or (300 <= status < 500 and status not in AGAIN):
        return "misconfigured"
    return "broken"


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, of `Retry-After` (RFC 9110 section 10.2.3) or OpenAI's `retry-after-ms`; None where neither can be read."""
    try:
        if milliseconds := headers.get("retry-after-ms"):
            return max(0.0, float(milliseconds) / 1000)
        after = headers.get("retry-after", "")
        if after and not after.replace(".", "", 1).isdecimal():
            return max(0.0, parsedate_to_datetime(after).timestamp() - time.time())
        return float(after) if after else None
    except (ValueError, OverflowError):
        return None
