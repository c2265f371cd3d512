"""An index for `/chats/list`: a user's chats by time."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_index("ix_chats_created_by", "chats", ["created_by", "created_at"])
