"""Alembic's way in. Run by `migrate` below `backends/`, never by alembic's own command line."""

from alembic import context

from backends.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite alters a table by copying it
)
with context.begin_transaction():
    context.run_migrations()
