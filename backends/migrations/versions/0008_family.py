"""Users' favourite chats, and what they think of an answer."""

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
