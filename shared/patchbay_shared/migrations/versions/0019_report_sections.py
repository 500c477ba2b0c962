"""hosts may leave out the sections of a report that the server has"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0019"
down_revision: str | None = "0018"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column(
        "host",
        sa.Column(
            "section_digests",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default="{}",
            nullable=False,
            comment="section of a report to the digest of what is stored of it: what the host may leave out",
        ),
    )


def downgrade() -> None:
    op.drop_column("host", "section_digests")
