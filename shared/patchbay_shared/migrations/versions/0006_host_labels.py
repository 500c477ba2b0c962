"""what operators say of hosts: groups, tags, notes"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "host_group",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_host_group")),
        sa.UniqueConstraint("name", name=op.f("uq_host_group_name")),
    )
    op.create_table(
        "host_label",
        sa.Column("host_id", sa.Uuid(), nullable=False),
        sa.Column("group_id", sa.Integer(), nullable=True, comment="a host is in one group or in none"),
        sa.Column(
            "tags",
            sa.ARRAY(sa.Text()),
            server_default="{}",
            nullable=False,
            comment="beside host.tags, which it reports",
        ),
        sa.Column("notes", sa.Text(), server_default="", nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False, comment="user name"),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["host_id"], ["host.id"], name=op.f("fk_host_label_host_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["group_id"], ["host_group.id"], name=op.f("fk_host_label_group_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("host_id", name=op.f("pk_host_label")),
    )
    op.create_index(op.f("ix_host_label_group_id"), "host_label", ["group_id"], unique=False)
    op.create_index("ix_host_label_tags", "host_label", ["tags"], unique=False, postgresql_using="gin")
    op.create_index("ix_host_tags", "host", ["tags"], unique=False, postgresql_using="gin")


def downgrade() -> None:
    op.drop_index("ix_host_tags", table_name="host", postgresql_using="gin")
    op.drop_table("host_label")
    op.drop_table("host_group")
