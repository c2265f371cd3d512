"""An order of a chat's messages that no clock decides, a token of the run that answers each, and a row for trying to write."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

GUID = sa.String(36).with_variant(sa.Uuid(), "postgresql")

probes = sa.table("probes", sa.column("id"), sa.column("writes"))

# By way of a table of its own: SQLite has UPDATE ... FROM only since 3.33, and to count the earlier messages of each message
# takes time in proportion to the square of a chat's length.
NUMBER_STORED = (
    """
    CREATE TEMPORARY TABLE numbered AS
    SELECT id, row_number() OVER (PARTITION BY chat_id ORDER BY created_at, id) AS position FROM messages
    """,
    "CREATE UNIQUE INDEX ix_numbered ON numbered (id)",
    "UPDATE messages SET position = (SELECT numbered.position FROM numbered WHERE numbered.id = messages.id)",
    "DROP TABLE numbered",
)

# Nodes of the version before store messages without a position beside ours. Each of them first updates the chat's row, as
# ours do, so what the trigger reads no other transaction changes. SQLite has one server, and so no older one beside it.
NUMBER = """
CREATE FUNCTION number_message() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT coalesce(max(position), 0) + 1 INTO NEW.position FROM messages WHERE chat_id = NEW.chat_id;
    RETURN NEW;
END
$$
"""
NUMBER_UNNUMBERED = """
CREATE TRIGGER number_message BEFORE INSERT ON messages
FOR EACH ROW WHEN (NEW.position IS NULL) EXECUTE FUNCTION number_message()
"""


def upgrade() -> None:
    op.add_column("messages", sa.Column("position", sa.Integer))
    op.add_column("messages", sa.Column("run", GUID))
    for statement in NUMBER_STORED:
        op.execute(statement)
    op.create_index("ix_messages_position", "messages", ["chat_id", "position"])
    op.drop_index("ix_messages_chat_id", "messages")  # the new index serves the same queries
    op.create_table(
        "probes",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("writes", sa.Integer, nullable=False),
    )
    op.execute(sa.insert(probes).values(id=1, writes=0))
    if op.get_context().dialect.name == "postgresql":
        op.execute(NUMBER)
        op.execute(NUMBER_UNNUMBERED)
