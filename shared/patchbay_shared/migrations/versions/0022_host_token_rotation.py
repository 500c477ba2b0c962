"""a host's token is followed by another one"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0022"
down_revision: str | None = "0021"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column(
        "host_credential",
        sa.Column(
            "replaced_by",
            sa.LargeBinary(),
            nullable=True,
            comment="token_hash of the token that ends this one once used",
        ),
    )
    op.add_column(
        "host_credential",
        sa.Column(
            "expires_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when it ends if its successor is never used",
        ),
    )


def downgrade() -> None:
    op.drop_column("host_credential", "expires_at")
    op.drop_column("host_credential", "replaced_by")
