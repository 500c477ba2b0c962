"""what changed lately is found by its time"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0017"
down_revision: str | None = "0016"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column(
        "receipt", sa.Column("noted_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)
    )
    op.create_index(
        "ix_receipt_noted_at",
        "receipt",
        ["noted_at"],
        unique=False,
        postgresql_using="brin",
        postgresql_with={"autosummarize": "on"},
    )
    op.create_index("ix_evaluation_evaluated_at", "evaluation", ["evaluated_at"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_evaluation_evaluated_at", table_name="evaluation")
    op.drop_index("ix_receipt_noted_at", table_name="receipt", postgresql_using="brin")
    op.drop_column("receipt", "noted_at")
