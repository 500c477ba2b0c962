"""hosts are found by the advisories that their updates apply"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0015"
down_revision: str | None = "0014"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_index(
        "ix_verdict_advisories",
        "verdict",
        ["advisories"],
        unique=False,
        postgresql_using="gin",
        postgresql_where=sa.text("advisories <> '{}'"),
    )


def downgrade() -> None:
    op.drop_index("ix_verdict_advisories", table_name="verdict", postgresql_using="gin")
