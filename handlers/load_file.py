"""Loading users, assets, permissions and API keys from a JSON file: checked whole, then written whole or not at all."""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import msgspec

from backends.storage import Storage
from backends.upserts import find_emails, find_types, write_file
from handlers.context import KINDS, known_type_hook
from schemas.assets import AssetType
from schemas.load import LoadFile

DEMO_FILE = Path(__file__).parent / "demo.json"

FILE_DECODER = msgspec.json.Decoder(LoadFile, dec_hook=known_type_hook)


class LoadError(Exception):
    """The file is not fit to be loaded; the message says where, in one line."""


async def load_file(storage: Storage, data: bytes) -> LoadFile:
    """Load the file's text and return what was in it. Loading it again changes nothing. Raises LoadError."""
    try:
        file = FILE_DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LoadError(" ".join(str(error).split())) from None
    emails, types = await find_emails(storage), await find_types(storage)
    for defect in _defects(file, emails, types):
        raise LoadError(defect)
    await write_file(storage, file)
    return file


def _defects(file: LoadFile, emails: dict[UUID, str], types: dict[UUID, AssetType]) -> Iterator[str]:
    """Defects that decoding cannot see: references to nothing, addresses taken, content that does not fit its type."""
    loaded = {user.id for user in file.users}
    owners = {email: id for id, email in emails.items() if id not in loaded}
    emails = emails | {user.id: user.email for user in file.users}
    types = types | {asset.id: asset.asset_type for asset in file.assets}
    for index, user in enumerate(file.users):
        if owners.setdefault(user.email, user.id) != user.id:
            yield f"another user has this address - at `$.users[{index}].email`"
    for index, asset in enumerate(file.assets):
        if asset.created_by not in emails:
            yield f"no such user - at `$.assets[{index}].created_by`"
        content = KINDS[asset.asset_type].content
        if content is None:
            yield f"a {asset.asset_type} cannot be loaded - at `$.assets[{index}].asset_type`"
        elif defect := _misfit(asset.content, content):
            what, _, where = defect.partition(" - at `$")
            yield f"{what} - at `$.assets[{index}].content{where or '`'}"
    for index, permission in enumerate(file.permissions):
        if types.get(permission.asset_id) != permission.asset_type:
            yield f"no such {permission.asset_type} - at `$.permissions[{index}].asset_id`"
        if permission.identity_type.value == "user" and permission.identity_id not in emails:
            yield f"no such user - at `$.permissions[{index}].identity_id`"
    for index, key in enumerate(file.api_keys):
        if key.owner_id not in emails:
            yield f"no such user - at `$.api_keys[{index}].owner_id`"


def _misfit(content: object, struct: type[msgspec.Struct]) -> str | None:
    try:
        msgspec.convert(content, struct)
    except msgspec.ValidationError as error:
        return str(error)
    return None
