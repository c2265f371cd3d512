"""The tables. `backends/migrations` builds them; a test holds the two together."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import TSVECTOR

from backends.statements import AssetTypeName, Guid, Said


def _moment(name: str, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)  # always UTC; SQLite does not keep the zone


metadata = sa.MetaData()

users = sa.Table(
    "users",
    metadata,
    sa.Column("id", Guid, primary_key=True),
    sa.Column("email", sa.Text, nullable=False, unique=True),
    sa.Column("name", sa.Text),
    sa.Column("avatar_url", sa.Text),
    _moment("created_at"),
    _moment("updated_at"),
)

organization_members = sa.Table(
    "organization_members",
    metadata,
    sa.Column("user_id", Guid, sa.ForeignKey("users.id"), primary_key=True),
    sa.Column("organization_id", Guid, primary_key=True),
)

team_members = sa.Table(
    "team_members",
    metadata,
    sa.Column("user_id", Guid, sa.ForeignKey("users.id"), primary_key=True),
    sa.Column("team_id", Guid, primary_key=True),
)

api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("key_hash", sa.String(64), primary_key=True),  # SHA-256 in hex, so that a stolen database holds no keys
    sa.Column("owner_id", Guid, sa.ForeignKey("users.id"), nullable=False),
    _moment("created_at"),
    _moment("deleted_at", nullable=True),
)

assets = sa.Table(
    "assets",
    metadata,
    sa.Column("id", Guid, primary_key=True),
    sa.Column("asset_type", AssetTypeName, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("content", sa.JSON, nullable=False),
    sa.Column("version_number", sa.Integer, nullable=False),
    sa.Column("organization_id", Guid, nullable=False),
    sa.Column("created_by", Guid, sa.ForeignKey("users.id"), nullable=False),
    _moment("created_at"),
    _moment("updated_at"),
    _moment("deleted_at", nullable=True),
)

# asset_id has no foreign key, since it may also name a chat (asset_type "chat").
asset_permissions = sa.Table(
    "asset_permissions",
    metadata,
    sa.Column("asset_id", Guid, primary_key=True),
    sa.Column("asset_type", AssetTypeName, primary_key=True),
    sa.Column("identity_type", sa.Text, primary_key=True),
    sa.Column("identity_id", Guid, primary_key=True),
    sa.Column("role", sa.Text, nullable=False),
    _moment("created_at"),
    _moment("updated_at"),
)

sa.Index(
    "ix_asset_permissions_identity",  # what was shared with a user
    asset_permissions.c.identity_type,
    asset_permissions.c.identity_id,
    asset_permissions.c.asset_type,
)

chats = sa.Table(
    "chats",
    metadata,
    sa.Column("id", Guid, primary_key=True),
    sa.Column("title", Said, nullable=False),
    sa.Column("created_by", Guid, sa.ForeignKey("users.id"), nullable=False),
    _moment("created_at"),
    _moment("updated_at"),
    _moment("deleted_at", nullable=True),
)

# Of those that are deleted only: a whole index would also be taken for those that are not.
sa.Index(
    "ix_chats_deleted",
    chats.c.deleted_at,
    sqlite_where=sa.text("deleted_at IS NOT NULL"),
    postgresql_where=sa.text("deleted_at IS NOT NULL"),
)

sa.Index("ix_chats_listed", chats.c.created_by, chats.c.created_at, chats.c.id)  # a user's list, read from its end

favorites = sa.Table(
    "favorites",
    metadata,
    sa.Column("user_id", Guid, sa.ForeignKey("users.id"), primary_key=True),
    sa.Column("chat_id", Guid, sa.ForeignKey("chats.id"), primary_key=True),
    _moment("created_at"),
)

nodes = sa.Table(
    "nodes",
    metadata,
    sa.Column("id", Guid, primary_key=True),
    sa.Column("renewals", sa.Integer, nullable=False),
)

messages = sa.Table(
    "messages",
    metadata,
    sa.Column("id", Guid, primary_key=True),
    sa.Column("chat_id", Guid, sa.ForeignKey("chats.id"), nullable=False),
    sa.Column("position", sa.Integer),  # the order in its chat, from 1; given by the statement that inserts the message
    sa.Column("request", sa.Text),
    sa.Column("response_messages", sa.JSON, nullable=False),  # a list, in order
    sa.Column("reasoning_messages", sa.JSON, nullable=False),  # a list, in order
    sa.Column("final_reasoning_message", sa.Text),
    sa.Column("finish_reason", sa.Text),
    sa.Column("usage", sa.JSON(none_as_null=True)),
    sa.Column("feedback", sa.Text),
    sa.Column("approvals", sa.JSON(none_as_null=True)),  # what its agent has asked, in order
    sa.Column("state", sa.Text),  # JSON that the chat's next run is given; told to nobody
    sa.Column("is_completed", sa.Boolean, nullable=False),
    sa.Column("created_by", Guid, sa.ForeignKey("users.id"), nullable=False),
    sa.Column("owner", Guid),  # the node that answers it or has answered it, or the one that ended it instead
    sa.Column("run", Guid),  # the token of the one run that answers it
    _moment("created_at"),
    _moment("updated_at"),
)

sa.Index("ix_messages_position", messages.c.chat_id, messages.c.position)

# At most one unfinished message in a chat, over all nodes. The index is also small: few messages are unfinished at a time.
sa.Index(
    "ix_messages_unfinished",
    messages.c.chat_id,
    unique=True,
    sqlite_where=sa.text("is_completed = 0"),
    postgresql_where=sa.text("NOT is_completed"),
)

messages_to_files = sa.Table(
    "messages_to_files",
    metadata,
    sa.Column("message_id", Guid, sa.ForeignKey("messages.id"), primary_key=True),
    sa.Column("file_id", Guid, sa.ForeignKey("assets.id"), primary_key=True),
    sa.Column("version_number", sa.Integer, nullable=False),
    _moment("created_at"),
)

NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")  # SQLite numbers rows only where a key is called INTEGER

# The words of each chat, made of its rows later: a chat in `unindexed` has changed since. Triggers of the database add to that
# table, and take away at once what must not be found any more, so that it does not matter which program writes chats.
searchable = sa.Table(
    "searchable",
    metadata,
    sa.Column("place", NUMBER, primary_key=True, autoincrement=False),  # the list's order
    sa.Column("chat_id", Guid, nullable=False),
    sa.Column("words", sa.Text().with_variant(TSVECTOR(), "postgresql"), nullable=False),
)

sa.Index("ix_searchable_chat", searchable.c.chat_id, unique=True)
sa.Index(
    "ix_searchable_words",  # SQLite has the full-text table `searchable_words`
    searchable.c.words,
    postgresql_using="gin",
    postgresql_with={"fastupdate": "off"},
).ddl_if(dialect="postgresql")

unindexed = sa.Table(
    "unindexed",
    metadata,
    sa.Column("id", NUMBER, primary_key=True),
    sa.Column("chat_id", Guid, nullable=False),
    sqlite_autoincrement=True,  # a number is never given twice
)

sa.Index("ix_unindexed_chat", unindexed.c.chat_id)

# One row, (1, when): the node that moves the time erases what was deleted long ago.
sweeps = sa.Table(
    "sweeps",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    _moment("swept_at"),
)

# One row, (1, number of writes): it is written to see whether the database takes writes.
probes = sa.Table(
    "probes",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("writes", sa.Integer, nullable=False),
)
