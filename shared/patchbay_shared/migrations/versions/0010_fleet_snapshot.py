"""the fleet's figures over time"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0010"
down_revision: str | None = "0009"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "fleet_snapshot",
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("dimension", sa.Text(), nullable=False, comment="fleet, os, severity or age"),
        sa.Column("value", sa.Text(), nullable=False, comment="which of them; empty for fleet"),
        sa.Column("figures", postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment="name to number"),
        sa.PrimaryKeyConstraint("at", "dimension", "value", name=op.f("pk_fleet_snapshot")),
    )


def downgrade() -> None:
    op.drop_table("fleet_snapshot")
