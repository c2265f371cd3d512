"""Why an answer ended, for programs, and the tokens that it has taken."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("messages", sa.Column("finish_reason", sa.Text))
    op.add_column("messages", sa.Column("usage", sa.JSON))
