"""how severe and how old the security updates are that an evaluation lists"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0025"
down_revision: str | None = "0024"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "outstanding_security",
        sa.Column("evaluation_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "basis",
            sa.Text(),
            nullable=False,
            comment="digest of what the rest follows from; another one: look again",
        ),
        sa.Column(
            "severity",
            sa.Text(),
            nullable=False,
            comment="the worst of its advisories: critical, high, medium, low; unknown: none is rated",
        ),
        sa.Column(
            "issued_at", sa.DateTime(timezone=True), nullable=True, comment="of the oldest advisory; null: unknown"
        ),
        sa.ForeignKeyConstraint(
            ["evaluation_id"],
            ["evaluation.id"],
            name=op.f("fk_outstanding_security_evaluation_id_evaluation"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("evaluation_id", name=op.f("pk_outstanding_security")),
    )


def downgrade() -> None:
    op.drop_table("outstanding_security")
