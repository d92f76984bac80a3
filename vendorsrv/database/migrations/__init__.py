"""The schema of the pin store, by alembic; ``vendorsrv db upgrade`` runs it."""
