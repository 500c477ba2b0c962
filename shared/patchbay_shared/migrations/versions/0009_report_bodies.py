"""reports travel as their clients compressed them"""

from collections.abc import Sequence

from alembic import op

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.alter_column(
        "report_body",
        "body",
        comment="the report as it travelled (patchbay_shared.report_body)",
        existing_nullable=False,
    )


def downgrade() -> None:
    op.alter_column(
        "report_body", "body", comment="zstd of msgpack of Report, as it travelled", existing_nullable=False
    )
