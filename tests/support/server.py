"""The program with the world loaded, tokens that it must refuse, and how it refuses."""

import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from backends.auth import LEEWAY_S
from tests.support.house import SECRET
from tests.support.program import Program, run
from tests.support.world import ALICE, MISSING, WORLD


def signed(**claims: object) -> str:
    """A token with these claims over good ones; None leaves a claim out."""
    good = {"sub": str(ALICE), "aud": "authenticated", "exp": int(time.time()) + 60}
    return jwt.encode({name: value for name, value in {**good, **claims}.items() if value is not None}, str(SECRET))


def refusal(url: str, **options: Any) -> tuple[int, dict[str, str], str]:
    with pytest.raises(InvalidStatus) as refused:
        connect(url, **options)
    response = refused.value.response
    return response.status_code, json.loads(response.body or b""), response.headers["content-type"]


BAD_TOKENS = {
    "not a token": "x",
    "empty header": "",
    "other secret": jwt.encode({"sub": str(ALICE), "aud": "authenticated", "exp": 2**31}, "another secret of 32 characters!!"),
    "no signature": jwt.encode({"sub": str(ALICE), "aud": "authenticated", "exp": 2**31}, "", algorithm="none"),
    "other algorithm": jwt.encode({"sub": str(ALICE), "aud": "authenticated", "exp": 2**31}, str(SECRET) * 2, "HS512"),
    "just expired": signed(exp=int(time.time())),
    "expired": signed(exp=int(time.time()) - 1),
    "issued after the leeway": signed(iat=int(time.time()) + LEEWAY_S + 60),
    "valid only after the leeway": signed(nbf=int(time.time()) + LEEWAY_S + 60),
    "no expiry": signed(exp=None),
    "expiry not a number": signed(exp="soon"),
    "no subject": signed(sub=None),
    "subject not a UUID": signed(sub="alice"),
    "unknown user": signed(sub=str(MISSING)),
    "no audience": signed(aud=None),
    "other audience": signed(aud="anon"),
    "several audiences": signed(aud=["authenticated", "api"]),
    "an API key that was never stored": signed(aud="api"),
}


def opened_socket(program: Program, token: str) -> ClientConnection:
    """Without a bounded queue: a client that closes with a full one waits for its own reading, in vain."""
    return connect(f"{program.url}?authentication={token}", max_queue=None)


def world(folder: Path) -> Path:
    """The folder with the world loaded into its database."""
    (folder / "world.json").write_bytes(WORLD)
    assert run(folder, "load", "world.json").returncode == 0
    return folder
