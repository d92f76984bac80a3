"""The migrations of the database's schema, which ``vendorsrv db upgrade`` runs with alembic."""
