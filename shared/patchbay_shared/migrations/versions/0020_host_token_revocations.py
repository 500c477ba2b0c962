"""operators revoke the token of one host"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0020"
down_revision: str | None = "0019"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "host_token_revocation",
        sa.Column(
            "host_id", sa.Uuid(), nullable=False, comment="tokens that it got before are void; it may enrol again"
        ),
        sa.Column("revoked_by", sa.Text(), nullable=False, comment="user name"),
        sa.Column("revoked_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("host_id", name=op.f("pk_host_token_revocation")),
    )


def downgrade() -> None:
    op.drop_table("host_token_revocation")
