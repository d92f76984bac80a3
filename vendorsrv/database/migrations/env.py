"""Run the migrations on the connection that vendorsrv.database.schema gives."""

from alembic import context

from vendorsrv.pins.table import METADATA, VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"], target_metadata=METADATA, version_table=VERSION_TABLE
)
with context.begin_transaction():
    context.run_migrations()
