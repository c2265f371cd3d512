"""Users' favourite chats, what they think of an answer, and when deleted chats were last erased."""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    guid = sa.String(36).with_variant(sa.Uuid(), "postgresql")
    op.create_table(
        "favorites",
        sa.Column("user_id", guid, sa.ForeignKey("users.id"), primary_key=True),
        sa.Column("chat_id", guid, sa.ForeignKey("chats.id"), primary_key=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.add_column("messages", sa.Column("feedback", sa.Text))
    deleted = sa.text("deleted_at IS NOT NULL")
    op.create_index("ix_chats_deleted", "chats", ["deleted_at"], sqlite_where=deleted, postgresql_where=deleted)
    sweeps = op.create_table(
        "sweeps",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("swept_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.bulk_insert(sweeps, [{"id": 1, "swept_at": datetime(2000, 1, 1, tzinfo=UTC)}])
