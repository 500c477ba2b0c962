"""repositories as an operator handles them: links, ages, progress, access"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column(
        "repository",
        sa.Column("linked_to", sa.Uuid(), nullable=True, comment="the repository whose syncs serve this one as well"),
    )
    op.add_column("repository", sa.Column("published_at", sa.DateTime(timezone=True), nullable=True))
    op.create_foreign_key(
        op.f("fk_repository_linked_to"), "repository", "repository", ["linked_to"], ["id"], ondelete="SET NULL"
    )
    op.create_index(op.f("ix_repository_linked_to"), "repository", ["linked_to"], unique=False)
    op.add_column("mirror", sa.Column("published_at", sa.DateTime(timezone=True), nullable=True))
    op.alter_column("mirror", "state", comment="a repository's, or lagging", existing_nullable=False)
    op.add_column(
        "repository_sync",
        sa.Column(
            "phase", sa.Text(), server_default="", nullable=False, comment="while it runs: fetching or storing"
        ),
    )
    op.add_column(
        "repository_sync",
        sa.Column("read_count", sa.Integer(), server_default="0", nullable=False, comment="packages read so far"),
    )
    op.create_table(
        "mirror_access",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("url", sa.Text(), nullable=False, comment="prefix of the URLs that it is for"),
        sa.Column(
            "kinds",
            sa.ARRAY(sa.Text()),
            nullable=False,
            comment="basic, bearer, certificate, authorities, proxy",
        ),
        sa.Column(
            "sealed",
            sa.LargeBinary(),
            nullable=False,
            comment="MirrorAccess, encrypted by patchbay_shared.sealing",
        ),
        sa.Column("changed_by", sa.Text(), nullable=False, comment="user name"),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mirror_access")),
        sa.UniqueConstraint("url", name=op.f("uq_mirror_access_url")),
    )


def downgrade() -> None:
    op.drop_table("mirror_access")
    op.drop_column("repository_sync", "read_count")
    op.drop_column("repository_sync", "phase")
    op.drop_column("mirror", "published_at")
    op.drop_index(op.f("ix_repository_linked_to"), table_name="repository")
    op.drop_column("repository", "published_at")
    op.drop_column("repository", "linked_to")
