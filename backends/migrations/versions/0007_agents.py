"""What an agent asks its user, and what it remembers for the chat's next run."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("messages", sa.Column("approvals", sa.JSON))
    op.add_column("messages", sa.Column("state", sa.Text))
