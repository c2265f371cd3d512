"""The parts of `--dev`, by which a newcomer has something to talk to: a secret that is kept, demo data, a first token."""

import base64
import hmac
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from starlette.datastructures import Secret
from starlette.requests import Request
from starlette.responses import Response

from backends.auth import PERSON, issue_token
from handlers.authenticate import json_response
from handlers.load_file import DEMO_FILE, FILE_DECODER
from schemas.load import LoadFile

FOLDER = Path("var")
SECRET_FILE, URL_FILE = FOLDER / "jwt_secret", FOLDER / "url"
TOKEN_DAYS = 30
SECRET_CHARACTERS = 64  # of 6 random bits each
SHORT_BYTES = 12  # 96 bits cannot be guessed, and with 16 characters the address fits on a line


class NoSecret(Exception):
    """The dev secret's file is of no use. The message says what to do."""


def dev_secret() -> Secret | None:
    """The secret that a dev server has made in this directory, if one has. Raises NoSecret."""
    try:
        secret = SECRET_FILE.read_text()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise NoSecret(f"{SECRET_FILE} cannot be read: {error}") from None
    if len(secret) < SECRET_CHARACTERS:
        raise NoSecret(
            f"{SECRET_FILE} has {len(secret)} characters and not the {SECRET_CHARACTERS} of a secret: delete it, and the next "
            "start makes another one, or set THREADCAST_JWT_SECRET"
        )
    return Secret(secret)


def make_dev_secret() -> Secret:
    """The dev server's secret, made by its first start and readable by its owner only. Raises NoSecret."""
    if secret := dev_secret():
        return secret
    # The link is made when the file is whole. If two servers start first, both read the same secret.
    try:
        FOLDER.mkdir(exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=FOLDER) as file:  # its mode is 0600
            file.write(secrets.token_urlsafe(SECRET_CHARACTERS * 3 // 4))
            file.flush()
            os.fsync(file.fileno())
            with suppress(FileExistsError):
                os.link(file.name, SECRET_FILE)
    except OSError as error:
        raise NoSecret(f"the dev server's secret cannot be kept in {FOLDER}: {error.strerror}") from None
    return make_dev_secret()


@cache
def demo_data() -> LoadFile:
    """The demo user and assets, which only a dev server needs."""
    return FILE_DECODER.decode(DEMO_FILE.read_bytes())


def short_token(secret: Secret) -> str:
    """A password that a dev server takes in place of the demo user's token. It is short, so that the address fits on a line,
    and the same at each start, so that open pages stay logged in.
    """
    made = hmac.digest(str(secret).encode(), b"the demo user's short token", "sha256")
    return base64.urlsafe_b64encode(made[:SHORT_BYTES]).decode()


def demo_token(secret: Secret) -> str:
    """A token of the demo user."""
    return issue_token(secret, demo_data().users[0].id, TOKEN_DAYS * 86_400, PERSON)


async def demo_assets(request: Request) -> Response:
    """`GET /demo.json`: the demo assets, for the page. There in development only."""
    return json_response([f"{asset.asset_type}:{asset.id}:{asset.name}" for asset in demo_data().assets])


@contextmanager
def url_kept(address: str) -> Iterator[None]:
    """Until the block ends, keep the server's address in a file for `make chat`. If it cannot be written, there is none."""
    with suppress(OSError):
        FOLDER.mkdir(exist_ok=True)
        URL_FILE.write_text(f"ws://{address}/api/v1/ws")
    try:
        yield
    finally:
        with suppress(OSError):
            URL_FILE.unlink()


def welcome(secret: Secret, address: str) -> str:
    """The text that tells the person at the terminal how to reach the server, and as whom."""
    demo = demo_data()
    listed = [f"{asset.asset_type}:{asset.id}" for asset in demo.assets]
    assets = "\n".join(f"    {name}  {asset.name}" for name, asset in zip(listed, demo.assets, strict=True))
    # The token comes after the #, where the page finds it: no browser sends that part, and so no log has it.
    return f"""
  Open this address, in as many tabs as you like:

    http://{address}/#token={short_token(secret)}&demo

  Or talk to ws://{address}/api/v1/ws from another terminal:
    make chat PROMPT="What is this?"
    make chat ASSET={listed[0]}

  Demo user {demo.users[0].email}, assets:
{assets}

  Token, for any other client:
    {short_token(secret)}

  Ctrl-C stops it.
"""
