"""what people prefer to see, kept with their accounts"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0021"
down_revision: str | None = "0020"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column(
        "user_account",
        sa.Column(
            "preferences",
            postgresql.JSONB(),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="name to texts, as pages keep them",
        ),
    )


def downgrade() -> None:
    op.drop_column("user_account", "preferences")
