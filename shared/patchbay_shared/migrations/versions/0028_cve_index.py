"""every CVE that anybody names, with what lists of CVEs are filtered and sorted by"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0028"
down_revision: str | None = "0027"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "cve_index",
        sa.Column("cve", sa.Text(), nullable=False),
        sa.Column(
            "vendor_level",
            sa.SmallInteger(),
            nullable=False,
            comment="severity of the worst advisory of all: place in LEVELS, from 1; 0: none rates it",
        ),
        sa.Column("rated_level", sa.SmallInteger(), nullable=False, comment="the same by the CVSS score that counts"),
        sa.Column("score", sa.Float(), nullable=True, comment="CVSS, of the rating that counts; null: nobody's"),
        sa.Column("epss", sa.Float(), nullable=True),
        sa.Column("known_exploited", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("cve", name=op.f("pk_cve_index")),
    )
    op.create_index("ix_cve_index_prefix", "cve_index", ["cve"], postgresql_ops={"cve": "text_pattern_ops"})


def downgrade() -> None:
    op.drop_table("cve_index")
