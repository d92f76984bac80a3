"""Whose instance a pin is of, and when the pin expires."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = None

INDEX = "pins_by_expiry"


def upgrade() -> None:
    """Add what is missing: MariaDB keeps what an interrupted migration has added."""
    tables = sa.inspect(op.get_bind())
    there = {column["name"] for column in tables.get_columns("pins")}
    for column in (sa.Column("project_id", sa.String(255)), sa.Column("expires_at", sa.Double)):
        if column.name not in there:
            op.add_column("pins", column)
    if INDEX not in {index["name"] for index in tables.get_indexes("pins")}:
        # Few pins expire: where a database can, it has only these in the index.
        few = sa.text("expires_at IS NOT NULL")
        op.create_index(INDEX, "pins", ["expires_at"], postgresql_where=few, sqlite_where=few)
