"""Users, assets, permissions, chats: all that posting a chat needs."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

GUID = sa.String(36).with_variant(sa.Uuid(), "postgresql")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", GUID, primary_key=True),
        sa.Column("email", sa.Text, nullable=False, unique=True),
        sa.Column("name", sa.Text),
        sa.Column("avatar_url", sa.Text),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
    )
    op.create_table(
        "organization_members",
        sa.Column("user_id", GUID, sa.ForeignKey("users.id"), primary_key=True),
        sa.Column("organization_id", GUID, primary_key=True),
    )
    op.create_table(
        "team_members",
        sa.Column("user_id", GUID, sa.ForeignKey("users.id"), primary_key=True),
        sa.Column("team_id", GUID, primary_key=True),
    )
    op.create_table(
        "api_keys",
        sa.Column("key_hash", sa.String(64), primary_key=True),
        sa.Column("owner_id", GUID, sa.ForeignKey("users.id"), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("deleted_at", MOMENT),
    )
    op.create_table(
        "assets",
        sa.Column("id", GUID, primary_key=True),
        sa.Column("asset_type", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("content", sa.JSON, nullable=False),
        sa.Column("version_number", sa.Integer, nullable=False),
        sa.Column("organization_id", GUID, nullable=False),
        sa.Column("created_by", GUID, sa.ForeignKey("users.id"), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("deleted_at", MOMENT),
    )
    op.create_table(
        "asset_permissions",
        sa.Column("asset_id", GUID, primary_key=True),
        sa.Column("asset_type", sa.Text, primary_key=True),
        sa.Column("identity_type", sa.Text, primary_key=True),
        sa.Column("identity_id", GUID, primary_key=True),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
    )
    op.create_table(
        "chats",
        sa.Column("id", GUID, primary_key=True),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("created_by", GUID, sa.ForeignKey("users.id"), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("deleted_at", MOMENT),
    )
    op.create_table(
        "messages",
        sa.Column("id", GUID, primary_key=True),
        sa.Column("chat_id", GUID, sa.ForeignKey("chats.id"), nullable=False, index=True),
        sa.Column("request", sa.Text),
        sa.Column("response_messages", sa.JSON, nullable=False),
        sa.Column("reasoning_messages", sa.JSON, nullable=False),
        sa.Column("final_reasoning_message", sa.Text),
        sa.Column("is_completed", sa.Boolean, nullable=False),
        sa.Column("created_by", GUID, sa.ForeignKey("users.id"), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
    )
    op.create_index(
        "ix_messages_unfinished",
        "messages",
        ["id"],
        sqlite_where=sa.text("is_completed = 0"),
        postgresql_where=sa.text("NOT is_completed"),
    )
    op.create_table(
        "messages_to_files",
        sa.Column("message_id", GUID, sa.ForeignKey("messages.id"), primary_key=True),
        sa.Column("file_id", GUID, sa.ForeignKey("assets.id"), primary_key=True),
        sa.Column("version_number", sa.Integer, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
    )
