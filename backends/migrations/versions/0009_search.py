"""The words of chats, and triggers that say which chats are to be indexed.

Triggers do it, since nodes of the version before store chats beside ours and know nothing of an index. A trigger only says that
a chat has changed; a node of ours makes its words later. Words that must not be found any more a trigger takes away at once.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TSVECTOR

revision = "0009"
down_revision = "0008"

TRIGGERS = {  # by name: when, on which table, under which condition, what, and the column with the chat's id
    "message_added": ("INSERT", "messages", "NEW.is_completed", "mark", "NEW.chat_id"),
    "message_ended": (
        "UPDATE OF request, response_messages, is_completed",
        "messages",
        "NEW.is_completed AND NOT OLD.is_completed",
        "mark",
        "NEW.chat_id",
    ),
    "message_changed": (
        "UPDATE OF request, response_messages, is_completed",
        "messages",
        "OLD.is_completed",
        "drop",
        "OLD.chat_id",
    ),
    "message_gone": ("DELETE", "messages", "OLD.is_completed", "drop", "OLD.chat_id"),
    "chat_named": ("UPDATE OF title", "chats", "NEW.deleted_at IS NULL AND NEW.title <> OLD.title", "drop", "OLD.id"),
    "chat_deleted": ("UPDATE OF deleted_at", "chats", "NEW.deleted_at IS NOT NULL", "forget", "OLD.id"),
    "chat_back": ("UPDATE OF deleted_at", "chats", "NEW.deleted_at IS NULL", "mark", "OLD.id"),
    "chat_gone": ("DELETE", "chats", "true", "forget", "OLD.id"),
    "chat_shared": ("INSERT", "asset_permissions", "NEW.asset_type = 'chat'", "mark", "NEW.asset_id"),
    "chat_unshared": ("DELETE", "asset_permissions", "OLD.asset_type = 'chat'", "drop", "OLD.asset_id"),
}
# The marks go before the words: a node that is indexing the chat holds its mark, and is so waited for.
FORGET = "DELETE FROM unindexed WHERE chat_id = {0}; DELETE FROM searchable WHERE chat_id = {0}; "
MARK = "INSERT INTO unindexed (chat_id) VALUES ({0}); "
WORK = {"mark": MARK, "drop": FORGET + MARK, "forget": FORGET}

# `searchable_words` has the numbers of rows of `searchable` by word, no copy of their text. All tokens have been made before:
# what is not ASCII is never cut or folded here, and `_` begins what is no word.
ON_SQLITE = (
    """
    CREATE VIRTUAL TABLE searchable_words USING fts5(
        words, content='searchable', content_rowid='place', detail=none, columnsize=0, tokenize="ascii tokenchars '_'"
    )
    """,
    """
    CREATE TRIGGER searchable_added AFTER INSERT ON searchable BEGIN
        INSERT INTO searchable_words (rowid, words) VALUES (NEW.place, NEW.words);
    END
    """,
    """
    CREATE TRIGGER searchable_gone AFTER DELETE ON searchable BEGIN
        INSERT INTO searchable_words (searchable_words, rowid, words) VALUES ('delete', OLD.place, OLD.words);
    END
    """,
    """
    CREATE VIEW searched AS SELECT searchable_words.rowid AS place, chat_id, searchable_words.searchable_words AS words
    FROM searchable_words CROSS JOIN searchable ON searchable.place = searchable_words.rowid
    """,
)
# The words are kept beside the rows, which are then so narrow that a word of all chats is found and sorted quickly. Without
# statistics PostgreSQL takes each word for a rare one, and so always uses the index: to look into the words is far slower.
ON_POSTGRES = (
    "ALTER TABLE searchable SET (toast_tuple_target = 128)",
    "ALTER TABLE searchable ALTER words SET STORAGE EXTERNAL",  # not compressed, since small tables are looked through
    "ALTER TABLE searchable ALTER words SET STATISTICS 0",
    "CREATE INDEX ix_searchable_words ON searchable USING gin (words) WITH (fastupdate = off)",
    "CREATE VIEW searched AS SELECT place, chat_id, words FROM searchable",
)


def upgrade() -> None:
    guid = sa.String(36).with_variant(sa.Uuid(), "postgresql")
    number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "searchable",
        sa.Column("place", number, primary_key=True, autoincrement=False),
        sa.Column("chat_id", guid, nullable=False),
        sa.Column("words", sa.Text().with_variant(TSVECTOR(), "postgresql"), nullable=False),
    )
    op.create_index("ix_searchable_chat", "searchable", ["chat_id"], unique=True)
    op.create_table(
        "unindexed",
        sa.Column("id", number, primary_key=True),
        sa.Column("chat_id", guid, nullable=False),
        sqlite_autoincrement=True,
    )
    on_postgres = op.get_context().dialect.name == "postgresql"
    for statement in ON_POSTGRES if on_postgres else ON_SQLITE:
        op.execute(statement)
    for name, (when, table, condition, what, id) in TRIGGERS.items():
        work = WORK[what].format(id)
        if on_postgres:
            op.execute(f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {work} RETURN NULL; END $$")
            run = f"FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION {name}()"
        else:
            run = f"WHEN {condition} BEGIN {work} END"
        op.execute(f"CREATE TRIGGER {name} AFTER {when} ON {table} {run}")
    # After the triggers, so that no chat is left out. All existing chats are only named here, and indexed by the servers, step
    # by step, those first that come last.
    op.execute("INSERT INTO unindexed (chat_id) SELECT id FROM chats WHERE deleted_at IS NULL ORDER BY created_at")
    op.create_index("ix_unindexed_chat", "unindexed", ["chat_id"])
