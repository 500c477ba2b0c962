"""which repositories hosts read unchecked follows what they report now"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0023"
down_revision: str | None = "0022"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column(
        "repository_set",
        sa.Column(
            "unchecked_ids",
            postgresql.ARRAY(sa.Uuid()),
            nullable=True,
            comment="of those read without checking signatures; null: not looked at",
        ),
    )
    op.add_column(
        "repository_set",
        sa.Column(
            "unexpiring_ids",
            postgresql.ARRAY(sa.Uuid()),
            nullable=True,
            comment="of those read past their Valid-Until",
        ),
    )


def downgrade() -> None:
    op.drop_column("repository_set", "unexpiring_ids")
    op.drop_column("repository_set", "unchecked_ids")
