"""how many hosts each CVE touches, and on how many each advisory is outstanding"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0026"
down_revision: str | None = "0025"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "exposure_set",
        sa.Column("id", sa.Uuid(), nullable=False, comment="digest of the content"),
        sa.Column(
            "cves",
            sa.ARRAY(sa.Text()),
            nullable=False,
            comment="those that touch a host, waived ones as well; in order",
        ),
        sa.Column("ranks", sa.ARRAY(sa.SmallInteger()), nullable=False, comment="of each, its place in STATES"),
        sa.Column(
            "levels",
            sa.ARRAY(sa.SmallInteger()),
            nullable=False,
            comment="of each, the severity of the worst advisory: its place in LEVELS, from 1; 0: none rates it",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exposure_set")),
    )
    op.create_table(
        "cve_exposure",
        sa.Column("cve", sa.Text(), nullable=False),
        sa.Column(
            "host_count", sa.Integer(), nullable=False, comment="hosts that it touches and that do not waive it"
        ),
        sa.Column(
            "state_counts",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="state to number of hosts",
        ),
        sa.Column(
            "level",
            sa.SmallInteger(),
            nullable=False,
            comment="severity of the worst advisory for these hosts: place in LEVELS, from 1; 0: none rates it",
        ),
        sa.Column("urgency", sa.Integer(), nullable=False, comment="greater comes first; 0 without a host"),
        sa.PrimaryKeyConstraint("cve", name=op.f("pk_cve_exposure")),
    )
    op.create_table(
        "advisory_exposure",
        sa.Column("advisory", sa.Text(), nullable=False, comment="advisory.name"),
        sa.Column(
            "host_count", sa.Integer(), nullable=False, comment="hosts with an outstanding update that applies it"
        ),
        sa.Column("urgency", sa.Integer(), nullable=False, comment="greater comes first"),
        sa.PrimaryKeyConstraint("advisory", name=op.f("pk_advisory_exposure")),
    )
    op.add_column(
        "host_exposure",
        sa.Column(
            "exposure_set_id", sa.Uuid(), nullable=True, comment="the CVEs; null: counted before there were sets"
        ),
    )
    op.create_foreign_key(
        op.f("fk_host_exposure_exposure_set_id_exposure_set"),
        "host_exposure",
        "exposure_set",
        ["exposure_set_id"],
        ["id"],
    )
    op.create_index(op.f("ix_host_exposure_exposure_set_id"), "host_exposure", ["exposure_set_id"])


def downgrade() -> None:
    op.drop_index(op.f("ix_host_exposure_exposure_set_id"), table_name="host_exposure")
    op.drop_constraint(op.f("fk_host_exposure_exposure_set_id_exposure_set"), "host_exposure", type_="foreignkey")
    op.drop_column("host_exposure", "exposure_set_id")
    op.drop_table("advisory_exposure")
    op.drop_table("cve_exposure")
    op.drop_table("exposure_set")
