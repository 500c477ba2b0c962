"""hosts that operators have removed"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0013"
down_revision: str | None = "0012"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "host_removal",
        sa.Column("host_id", sa.Uuid(), nullable=False, comment="its tokens end, and its reports are refused"),
        sa.Column("removed_by", sa.Text(), nullable=False, comment="user name"),
        sa.Column("removed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("host_id", name=op.f("pk_host_removal")),
    )


def downgrade() -> None:
    op.drop_table("host_removal")
