"""hosts that operators have merged into others"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0018"
down_revision: str | None = "0017"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "host_merge",
        sa.Column("host_id", sa.Uuid(), nullable=False, comment="was another entry of the same machine"),
        sa.Column(
            "into_id", sa.Uuid(), nullable=False, comment="the host that stays: its tokens and reports go there"
        ),
        sa.Column("merged_by", sa.Text(), nullable=False, comment="user name"),
        sa.Column("merged_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("host_id", name=op.f("pk_host_merge")),
    )
    op.create_index("ix_host_merge_into_id", "host_merge", ["into_id"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_host_merge_into_id", table_name="host_merge")
    op.drop_table("host_merge")
