"""saved views, jobs, kept answers; hosts that operators renamed; what changed lately"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0016"
down_revision: str | None = "0015"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_NOW = sa.text("now()")


def upgrade() -> None:
    op.create_table(
        "kept_answer",
        sa.Column("caller", sa.Text(), nullable=False, comment="user name"),
        sa.Column("key", sa.Text(), nullable=False, comment="the request's Idempotency-Key"),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False, comment="SHA-256 of method, address and body"),
        sa.Column("status", sa.SmallInteger(), nullable=True, comment="null: the request is at work"),
        sa.Column("content_type", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "sealed", sa.LargeBinary(), nullable=True, comment="the body, encrypted by patchbay_shared.sealing"
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.PrimaryKeyConstraint("caller", "key", name=op.f("pk_kept_answer")),
    )
    op.create_index("ix_kept_answer_created_at", "kept_answer", ["created_at"], unique=False)
    op.create_table(
        "saved_view",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False, comment="user name"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("list", sa.Text(), nullable=False, comment="which list it is a view of, as hosts"),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("sort", sa.Text(), nullable=False),
        sa.Column(
            "fields", sa.ARRAY(sa.Text()), nullable=False, comment="columns that are shown; empty: the usual ones"
        ),
        sa.Column("shared", sa.Boolean(), nullable=False, comment="everybody sees it"),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_saved_view")),
        sa.UniqueConstraint("owner", "name", name=op.f("uq_saved_view_owner_name")),
    )
    op.create_table(
        "job",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column(
            "query", sa.Text(), nullable=False, comment="which hosts were asked for; empty where they were named"
        ),
        sa.Column("parameters", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False, comment="user name"),
        sa.Column("requested_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.Column(
            "subject_ids",
            sa.ARRAY(sa.Uuid()),
            nullable=False,
            comment="of the hosts, or the repositories, ascending",
        ),
        sa.Column("part_count", sa.Integer(), nullable=False, comment="parts handed to update-engine; 0: none"),
        sa.Column("done_count", sa.Integer(), nullable=False, comment="done at once, by api itself"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job")),
    )
    op.create_index("ix_job_requested_at", "job", ["requested_at", "id"], unique=False)
    op.create_table(
        "job_part",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("done_count", sa.Integer(), nullable=False),
        sa.Column("failed_count", sa.Integer(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False, comment="why some failed"),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_job_part_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "part", name=op.f("pk_job_part")),
    )
    op.create_index("ix_job_part_finished_at", "job_part", ["finished_at"], unique=False)
    op.add_column(
        "host",
        sa.Column("reported_hostname", sa.Text(), nullable=True, comment="its own, where an operator renamed it"),
    )


def downgrade() -> None:
    op.drop_column("host", "reported_hostname")
    op.drop_table("job_part")
    op.drop_table("job")
    op.drop_table("saved_view")
    op.drop_table("kept_answer")
