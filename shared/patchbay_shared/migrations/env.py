"""Alembic's entry: run on the connection that `patchbay_shared.migrate` hands over."""

from alembic import context

from patchbay_shared.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transaction_per_migration=False,
)
context.run_migrations()
