"""Run the migrations on the connection that vendorsrv.database.schema opened."""

from alembic import context

context.configure(**context.config.attributes)
with context.begin_transaction():
    context.run_migrations()
