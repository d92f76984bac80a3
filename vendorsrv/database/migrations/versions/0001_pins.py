"""The table of pins."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import MEDIUMBLOB

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the table, as vendorsrv.pins.table.PINS has it."""
    op.create_table(
        "pins",
        sa.Column("instance_id", sa.String(36), primary_key=True),
        sa.Column("handler", sa.String(63), primary_key=True),
        sa.Column("answer", sa.LargeBinary().with_variant(MEDIUMBLOB(), "mysql", "mariadb")),
        sa.Column("owner", sa.String(32)),
        sa.Column("claimed_at", sa.Double, nullable=False),
        sa.Column("pinned_at", sa.Double),
    )
    op.create_index("pins_by_age", "pins", ["pinned_at"])
