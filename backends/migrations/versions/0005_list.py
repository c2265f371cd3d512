"""Indexes for `/chats/list`: a user's chats in its order, and what was shared with a user."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_index("ix_chats_listed", "chats", ["created_by", "created_at", "id"])
    op.drop_index("ix_chats_created_by", "chats")  # the new index serves the same queries
    op.create_index("ix_asset_permissions_identity", "asset_permissions", ["identity_type", "identity_id", "asset_type"])
