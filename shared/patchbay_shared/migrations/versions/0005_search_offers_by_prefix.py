"""offered packages are found by the beginning of their name"""

from collections.abc import Sequence

from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.drop_index("ix_available_package_name", table_name="available_package")
    op.create_index(
        "ix_available_package_name",
        "available_package",
        ["name"],
        postgresql_ops={"name": "text_pattern_ops"},
    )


def downgrade() -> None:
    op.drop_index("ix_available_package_name", table_name="available_package")
    op.create_index("ix_available_package_name", "available_package", ["name"])
