"""Section 1: who is let in, and how the others are told."""

import base64
import hashlib
import hmac
import json
from typing import Any

from conformance.assets import ALICE, BOB
from conformance.room import Room, expect_refusal
from conformance.rule import Rule, expect, expect_equal
from conformance.wire import LIST, Line


async def header(room: Room) -> None:
    async with room.open() as line:
        await expect_user(line, ALICE)
    async with room.open(BOB) as line:
        await expect_user(line, BOB)


async def query(room: Room) -> None:
    async with room.open(in_query=True) as line:
        await expect_user(line, ALICE)


async def no_token(room: Room) -> None:
    expect_refusal(await room.refusal(), 401, "UNAUTHORIZED", "no token")


async def bad_tokens(room: Room) -> None:
    for token in ("nonsense", "a.b.c", *forged(room.token)):
        headers = {"Authorization": f"Bearer {token}"}
        expect_refusal(await room.refusal(headers=headers), 401, "UNAUTHORIZED", "invalid token")
        expect_refusal(await room.refusal({"authentication": token}), 401, "UNAUTHORIZED", "invalid token")


async def closes(room: Room) -> None:
    for token, reason in (
        ("", "no token"),
        ("nonsense", "invalid token"),
        *((each, "invalid token") for each in forged(room.token)),
    ):
        async with room.open(token=token, in_query=True, refuse="close") as line:
            expect_equal(await line.close_code(), 4401, f"the code for the token {token}")
            expect_equal(line.socket.close_reason, reason, f"the reason for the token {token}")


async def closes_nobody_else(room: Room) -> None:
    async with room.open(in_query=True, refuse="close") as line:
        await expect_user(line, ALICE)


async def trailing_slash(room: Room) -> None:
    async with room.open(path="/") as line:
        await expect_user(line, ALICE)
    expect_refusal(await room.refusal(path="/"), 401, "UNAUTHORIZED", "no token")


async def other_paths(room: Room) -> None:
    for path in ("x", "/x", "//"):
        headers = {"Authorization": f"Bearer {room.token}"}
        expect_equal((await room.refusal(headers=headers, path=path)).status, 404, f"the status of an upgrade of .../ws{path}")


async def api_key(room: Room) -> None:
    async with room.open(token=room.api_key) as line:
        await expect_user(line, ALICE)
    answer = await room.rest({}, token=room.api_key)
    expect_equal(answer.status, 400, "the status of an empty post over HTTP")


async def expect_user(line: Line, user: str) -> None:
    """Go on only if the connection is this user's."""
    sent_by = (await line.answer({}, LIST)).frame.get("sent_by")
    expect(isinstance(sent_by, dict), "an answer without sent_by")
    expect_equal(dict(sent_by or {}).get("id"), user, "the user of the connection")


def forged(token: str) -> list[str]:
    """What only a server would take that does not look at the signature, or lets the token say how to."""
    parts = token.split(".")
    expect(len(parts) == 3, "the token that was given is no JWT")
    header, claims, signature = parts
    bobs = encoded({**decoded(claims), "sub": BOB})
    by_another = f"{encoded({'alg': 'HS256', 'typ': 'JWT'})}.{claims}"
    unsigned = encoded({"alg": "none", "typ": "JWT"})
    return [
        f"{header}.{bobs}.{signature}",
        f"{by_another}.{signed(by_another, b'a secret of nobody, 32 characters')}",
        f"{unsigned}.{claims}.",
        f"{header}.{claims}.",
    ]


def encoded(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def decoded(part: str) -> dict[str, Any]:
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims


def signed(text: str, secret: bytes) -> str:
    digest = hmac.new(secret, text.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


RULES = [
    Rule("1.1", "A token in the header `Authorization: Bearer` opens a connection of its user.", header),
    Rule("1.2", "A token in the query, `?authentication=`, is as good.", query),
    Rule("1.3", "Without a token the upgrade is refused: HTTP 401, UNAUTHORIZED, “no token”.", no_token),
    Rule("1.4", "A bad or forged token is refused: HTTP 401, UNAUTHORIZED, “invalid token”.", bad_tokens),
    Rule("1.5", "A token of audience `api` that is a stored key acts as its owner.", api_key, needs="--api-key TOKEN"),
    Rule("1.6", "With refuse=close a bad token is told by a close with 4401, after the upgrade.", closes),
    Rule("1.7", "With refuse=close a good token is as good as without.", closes_nobody_else),
    Rule("1.8", "The path may end in a slash.", trailing_slash),
    Rule("1.9", "An upgrade of any other path is answered by HTTP 404.", other_paths),
]
