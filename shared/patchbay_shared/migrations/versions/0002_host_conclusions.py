"""what follows for one host: restart, and the two opinions"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "reboot_verdict",
        sa.Column("host_id", sa.Uuid(), nullable=False),
        sa.Column("required", sa.Boolean(), nullable=True, comment="null: nothing says so"),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("boot_id", sa.Text(), nullable=False, comment="of the report that it was judged from"),
        sa.Column("judged_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["host_id"], ["host.id"], name=op.f("fk_reboot_verdict_host_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("host_id", name=op.f("pk_reboot_verdict")),
    )
    json = postgresql.JSONB(astext_type=sa.Text())
    op.create_table(
        "opinion",
        sa.Column("host_id", sa.Uuid(), nullable=False),
        sa.Column("client", json, nullable=False, comment="the package manager's own list: ClientUpdate"),
        sa.Column("only_client", json, comment="updates that only the client lists; null: not compared yet"),
        sa.Column("only_server", json, comment="updates that only Patchbay lists"),
        sa.Column("difference_count", sa.Integer(), comment="of both; null: not compared yet"),
        sa.Column("reported_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("compared_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["host_id"], ["host.id"], name=op.f("fk_opinion_host_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("host_id", name=op.f("pk_opinion")),
    )


def downgrade() -> None:
    op.drop_table("opinion")
    op.drop_table("reboot_verdict")
