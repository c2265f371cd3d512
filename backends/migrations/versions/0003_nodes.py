"""Who answers a message: the nodes, and at most one unfinished message in each chat."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

GUID = sa.String(36).with_variant(sa.Uuid(), "postgresql")

messages = sa.table(
    "messages",
    sa.column("id"),
    sa.column("chat_id"),
    sa.column("created_at"),
    sa.column("is_completed", sa.Boolean),
    sa.column("final_reasoning_message"),
)


def upgrade() -> None:
    op.create_table(
        "nodes",
        sa.Column("id", GUID, primary_key=True),
        sa.Column("renewals", sa.Integer, nullable=False),
    )
    op.add_column("messages", sa.Column("owner", GUID))
    later = messages.alias()
    is_later = sa.or_(
        later.c.created_at > messages.c.created_at,
        sa.and_(later.c.created_at == messages.c.created_at, later.c.id > messages.c.id),
    )
    op.execute(  # of those that killed servers left unfinished, only a chat's last: the next start or read finishes it
        sa.update(messages)
        .where(
            sa.not_(messages.c.is_completed),
            sa.exists().where(later.c.chat_id == messages.c.chat_id, sa.not_(later.c.is_completed), is_later),
        )
        .values(is_completed=True, final_reasoning_message="Interrupted")
    )
    op.drop_index("ix_messages_unfinished", "messages")
    op.create_index(
        "ix_messages_unfinished",
        "messages",
        ["chat_id"],
        unique=True,
        sqlite_where=sa.text("is_completed = 0"),
        postgresql_where=sa.text("NOT is_completed"),
    )
