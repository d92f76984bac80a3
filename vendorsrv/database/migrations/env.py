"""Run the migrations on the connection that vendorsrv.database.schema opened."""

from alembic import context

from vendorsrv.database.schema import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
with context.begin_transaction():
    context.run_migrations()
