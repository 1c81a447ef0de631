"""Alembic's entry: runs the migrations on the connection it is given, in one transaction."""

from alembic import context

from hindcast import rollup_tables  # noqa: F401  # adds its tables
from hindcast.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, version_table="hindcast_version")
with context.begin_transaction():
    context.run_migrations()
