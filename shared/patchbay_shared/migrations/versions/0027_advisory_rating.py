"""the severity of advisories that their vendors do not rate, by their worst CVEs"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0027"
down_revision: str | None = "0026"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column(
        "advisory_exposure",
        sa.Column(
            "worst_cve", sa.Text(), nullable=True, comment="its most severe CVE for these hosts; null: none is rated"
        ),
    )
    op.add_column(
        "advisory_exposure",
        sa.Column("level", sa.SmallInteger(), nullable=True, comment="severity of that one: place in LEVELS, from 1"),
    )
    op.create_table(
        "advisory_rating",
        sa.Column("advisory_id", sa.BigInteger(), autoincrement=False, nullable=False, comment="advisory.id"),
        sa.Column("cve", sa.Text(), nullable=False, comment="its worst one"),
        sa.Column(
            "level", sa.SmallInteger(), nullable=False, comment="severity of that one: place in LEVELS, from 1"
        ),
        sa.PrimaryKeyConstraint("advisory_id", name=op.f("pk_advisory_rating")),
    )
    op.create_index(
        "ix_advisory_published",
        "advisory",
        [sa.text("coalesce(issued_at, '1970-01-01 00:00:00+00'::timestamptz)"), "id"],
        postgresql_include=["name", "vendor", "type", "severity"],
        postgresql_where=sa.text("type <> 'cve'"),
    )


def downgrade() -> None:
    op.drop_index("ix_advisory_published", table_name="advisory")
    op.drop_table("advisory_rating")
    op.drop_column("advisory_exposure", "level")
    op.drop_column("advisory_exposure", "worst_cve")
