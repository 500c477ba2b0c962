"""the addresses that hosts report from, and their names by reverse DNS"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0024"
down_revision: str | None = "0023"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column(
        "host",
        sa.Column(
            "peer_address",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="last report's IP address; empty: unknown",
        ),
    )
    op.create_table(
        "reverse_name",
        sa.Column("host_id", sa.Uuid(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False, comment="host.peer_address when it was looked up"),
        sa.Column(
            "state", sa.Text(), nullable=False, comment="named, none (the address has no name), unknown (no answer)"
        ),
        sa.Column("names", sa.ARRAY(sa.Text()), nullable=False, comment="in lower case, the canonical one first"),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["host_id"], ["host.id"], name=op.f("fk_reverse_name_host_id_host"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("host_id", name=op.f("pk_reverse_name")),
    )


def downgrade() -> None:
    op.drop_table("reverse_name")
    op.drop_column("host", "peer_address")
