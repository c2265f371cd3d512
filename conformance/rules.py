"""All rules, in the order in which they are checked."""

from conformance import (
    again,
    answers,
    chats,
    closing,
    connecting,
    contents,
    family,
    limits,
    payloads,
    requests,
    rest,
    resuming,
    streams,
    subjects,
)
from conformance.rule import Rule

RULES: list[Rule] = [
    *closing.EXPIRING_RULES,  # first: their token has not long to live
    *connecting.RULES,
    *requests.RULES,
    *chats.RULES,
    *family.RULES,
    *answers.RULES,
    *payloads.RULES,
    *subjects.RULES,
    *again.RULES,
    *streams.RULES,
    *contents.RULES,
    *resuming.RULES,
    *closing.RULES,
    *rest.RULES,
    *limits.RULES,  # last: of what they have used up others would have too little
]
