"""The table of deleted instances: an outbox, and the memory of their end."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

TABLE = "deletions"
INDEXES = {"deletions_by_due": ["handler", "due_at"], "deletions_by_end": ["handler", "ended_at"]}


def upgrade() -> None:
    """Create what is missing, as vendorsrv.lifecycle.table.DELETIONS has it: MariaDB keeps what was created before."""
    if not sa.inspect(op.get_bind()).has_table(TABLE):
        op.create_table(
            TABLE,
            sa.Column("instance_id", sa.String(36), primary_key=True),
            sa.Column("handler", sa.String(63), primary_key=True),
            sa.Column("project_id", sa.String(255)),
            sa.Column("added_at", sa.Double, nullable=False),
            sa.Column("due_at", sa.Double),
            sa.Column("tries", sa.Integer, nullable=False),
            sa.Column("owner", sa.String(32)),
            sa.Column("last_error", sa.String(255)),
            sa.Column("ended_at", sa.Double),
        )
    there = {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(TABLE)}
    for name, columns in INDEXES.items():
        if name not in there:
            op.create_index(name, TABLE, columns)
