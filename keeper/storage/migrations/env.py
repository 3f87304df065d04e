"""Alembic's entry point, which migrates the journal's connection."""

from alembic import context

from keeper.storage.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
