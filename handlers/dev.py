"""What `--dev` brings, so that a newcomer has something to talk to: a secret that is kept, demo data, a first token."""

import os
import secrets
from pathlib import Path
from urllib.parse import quote, urlencode

from starlette.datastructures import Secret

from backends.auth import PERSON, issue_token
from backends.storage import Storage
from handlers.load_file import DEMO_FILE, load_file

SECRET_FILE = Path("var/jwt_secret")
TOKEN_DAYS = 30


def dev_secret() -> Secret | None:
    """The secret that a dev server has made in this directory, if one has."""
    return Secret(SECRET_FILE.read_text()) if SECRET_FILE.exists() else None


def make_dev_secret() -> Secret:
    """The dev server's secret, made by its first start and readable by its owner only."""
    SECRET_FILE.parent.mkdir(exist_ok=True)
    if not SECRET_FILE.exists():
        descriptor = os.open(SECRET_FILE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(48))
    return Secret(SECRET_FILE.read_text())


async def load_demo(storage: Storage, secret: Secret, host: str, port: int) -> str:
    """Load the demo data and return what to tell the person at the terminal."""
    demo = await load_file(storage, DEMO_FILE.read_bytes())
    user = demo.users[0]
    token = issue_token(secret, user.id, TOKEN_DAYS * 86_400, PERSON)
    listed = [f"{asset.asset_type}:{asset.id}" for asset in demo.assets]
    assets = "\n".join(f"    {name}  {asset.name}" for name, asset in zip(listed, demo.assets, strict=True))
    # After the #, which no server is sent and no log has: the console takes it from there.
    brought = [("token", token), *(("asset", f"{name}:{asset.name}") for name, asset in zip(listed, demo.assets, strict=True))]
    return f"""
  Open this address, in as many tabs as you like:

http://{host}:{port}/#{urlencode(brought, quote_via=quote, safe=":")}

  Or talk to ws://{host}:{port}/api/v1/ws from another terminal:
    make chat PROMPT="What is this?"
    make chat ASSET={listed[0]}

  Demo user {user.email}, assets:
{assets}

  Token ({TOKEN_DAYS} days):
    {token}

  Ctrl-C stops it.
"""
