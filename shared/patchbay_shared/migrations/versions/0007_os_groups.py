"""groups of operating system variants, and the repositories that their hosts are judged by"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "os_group",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "use_host_repos",
            sa.Boolean(),
            server_default="true",
            nullable=False,
            comment="its hosts are judged by the repositories that they configure themselves",
        ),
        sa.Column(
            "generation",
            sa.BigInteger(),
            server_default="1",
            nullable=False,
            comment="+1 with each change of these",
        ),
        sa.Column("changed_by", sa.Text(), nullable=False, comment="user name"),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_os_group")),
        sa.UniqueConstraint("name", name=op.f("uq_os_group_name")),
    )
    op.create_table(
        "os_group_repository",
        sa.Column("group_id", sa.Integer(), nullable=False),
        sa.Column("repository_id", sa.Uuid(), nullable=False),
        sa.Column(
            "position", sa.SmallInteger(), nullable=False, comment="in the operator's order; pacman takes the first"
        ),
        sa.Column(
            "priority",
            sa.Integer(),
            nullable=True,
            comment="null: as the first host that named the repository has it",
        ),
        sa.ForeignKeyConstraint(
            ["group_id"], ["os_group.id"], name=op.f("fk_os_group_repository_group_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("group_id", "repository_id", name=op.f("pk_os_group_repository")),
    )
    op.create_table(
        "os_variant_group",
        sa.Column("os_name", sa.Text(), nullable=False, comment="host.os_name"),
        sa.Column("arch", sa.Text(), nullable=False, comment="host.arch"),
        sa.Column("group_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["group_id"], ["os_group.id"], name=op.f("fk_os_variant_group_group_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("os_name", "arch", name=op.f("pk_os_variant_group")),
    )
    op.create_index(op.f("ix_os_variant_group_group_id"), "os_variant_group", ["group_id"])
    op.create_table(
        "host_repository_choice",
        sa.Column("host_id", sa.Uuid(), nullable=False),
        sa.Column("use_host_repos", sa.Boolean(), nullable=False, comment="over that of its group"),
        sa.Column("changed_by", sa.Text(), nullable=False, comment="user name"),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("host_id", name=op.f("pk_host_repository_choice")),
    )
    op.create_table(
        "group_repository_set",
        sa.Column("own_set_id", sa.Integer(), nullable=False),
        sa.Column("group_id", sa.Integer(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False, comment="of the group that the set was made of"),
        sa.Column("set_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["own_set_id"],
            ["repository_set.id"],
            name=op.f("fk_group_repository_set_own_set_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["set_id"], ["repository_set.id"], name=op.f("fk_group_repository_set_set_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("own_set_id", "group_id", name=op.f("pk_group_repository_set")),
    )
    op.create_index("ix_group_repository_set_set_id", "group_repository_set", ["set_id"])
    op.add_column(
        "host",
        sa.Column(
            "group_repository_set_id",
            sa.Integer(),
            nullable=True,
            comment="what it is judged by instead of its own repository_set_id; null: by its own",
        ),
    )
    op.create_foreign_key(
        op.f("fk_host_group_repository_set_id"), "host", "repository_set", ["group_repository_set_id"], ["id"]
    )
    op.create_index(op.f("ix_host_group_repository_set_id"), "host", ["group_repository_set_id"])


def downgrade() -> None:
    op.drop_column("host", "group_repository_set_id")
    op.drop_table("group_repository_set")
    op.drop_table("host_repository_choice")
    op.drop_table("os_variant_group")
    op.drop_table("os_group_repository")
    op.drop_table("os_group")
