"""repositories filled from what hosts report as available"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0012"
down_revision: str | None = "0011"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("repository", sa.Column("reported_at", sa.DateTime(timezone=True), nullable=True))
    op.alter_column(
        "repository", "state", comment="pending, ok, failing, reported or untrusted", existing_nullable=False
    )


def downgrade() -> None:
    op.alter_column("repository", "state", comment="pending, ok, failing or untrusted", existing_nullable=False)
    op.drop_column("repository", "reported_at")
