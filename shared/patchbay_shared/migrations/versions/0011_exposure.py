"""exceptions, due dates, counts of vulnerabilities; updateinfo beside the feeds; signed kernels by their source"""

import re
from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from patchbay_shared.source_packages import source_of
from patchbay_shared.versions import evr_key

revision: str = "0011"
down_revision: str | None = "0010"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "risk_exception",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="what is waived: cve, advisory or package"),
        sa.Column(
            "subject", sa.Text(), nullable=False, comment="its id; of a package the binary's or the source's name"
        ),
        sa.Column("scope", sa.Text(), nullable=False, comment="where: host, tag or group"),
        sa.Column("target", sa.Text(), nullable=False, comment="the host's id, the tag, or the group's id"),
        sa.Column("owner", sa.Text(), nullable=False, comment="who answers for it"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False, comment="user name"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_by", sa.Text(), nullable=True, comment="user name; null while ended_at is"),
        sa.CheckConstraint("kind IN ('cve', 'advisory', 'package')", name="ck_risk_exception_kind"),
        sa.CheckConstraint("scope IN ('host', 'tag', 'group')", name="ck_risk_exception_scope"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_risk_exception")),
    )
    op.create_index("ix_risk_exception_subject", "risk_exception", ["subject", "kind"], unique=False)
    op.create_table(
        "remediation_policy",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False, comment="fleet, tag or group"),
        sa.Column("target", sa.Text(), nullable=False, comment="the tag or the group's id; empty for the fleet"),
        sa.Column("exploited_days", sa.Integer(), nullable=True, comment="null: no date follows from it"),
        sa.Column("critical_days", sa.Integer(), nullable=True),
        sa.Column("high_days", sa.Integer(), nullable=True),
        sa.Column("medium_days", sa.Integer(), nullable=True),
        sa.Column("low_days", sa.Integer(), nullable=True),
        sa.Column("changed_by", sa.Text(), nullable=False, comment="user name"),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("scope IN ('fleet', 'tag', 'group')", name="ck_remediation_policy_scope"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_remediation_policy")),
        sa.UniqueConstraint("scope", "target", name=op.f("uq_remediation_policy_scope_target")),
    )
    op.create_table(
        "host_exposure",
        sa.Column("host_id", sa.Uuid(), nullable=False),
        sa.Column(
            "basis",
            sa.Text(),
            nullable=False,
            comment="digest of what the counts follow from; another one: count again",
        ),
        sa.Column("exposed_count", sa.Integer(), nullable=False, comment="CVEs that touch it and are not waived"),
        sa.Column("fixable_count", sa.Integer(), nullable=False, comment="those of them with a fix to install"),
        sa.Column(
            "restart_count",
            sa.Integer(),
            nullable=False,
            comment="those fixed on disk, where the old code still runs",
        ),
        sa.Column("exploited_count", sa.Integer(), nullable=False, comment="those known to be exploited"),
        sa.Column("overdue_count", sa.Integer(), nullable=False, comment="those past their due date"),
        sa.Column("waived_count", sa.Integer(), nullable=False, comment="CVEs that touch it and are waived"),
        sa.Column("next_due_on", sa.Date(), nullable=True, comment="the earliest due date of those not waived"),
        sa.Column("worst_cve", sa.Text(), nullable=False, comment="the first in the order of priority; empty: none"),
        sa.Column("counted_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["host_id"], ["host.id"], name=op.f("fk_host_exposure_host_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("host_id", name=op.f("pk_host_exposure")),
    )
    op.add_column(
        "errata_source",
        sa.Column(
            "repository_id",
            sa.Uuid(),
            nullable=True,
            comment="whose updateinfo it is, read by repo-sync; null: a feed",
        ),
    )
    op.create_index(
        "ix_package_event_removed_ids", "package_event", ["removed_ids"], unique=False, postgresql_using="gin"
    )
    _name_sources_of_signed_packages()


def _name_sources_of_signed_packages() -> None:
    """Packages that were stored under the source package that only signs them."""
    connection = op.get_bind()
    rows = connection.execute(
        sa.text(
            "SELECT id, source_name, evr, details->>'source_version' AS version FROM package "
            "WHERE type = 'deb' AND source_name LIKE '%signed%'"
        )
    ).all()
    for row in rows:
        name, version = source_of(row.source_name, row.version or re.sub(r"\+b[0-9]+\Z", "", row.evr))
        if name != row.source_name:
            connection.execute(
                sa.text("UPDATE package SET source_name = :name, source_key = :key WHERE id = :id"),
                {"name": name, "key": evr_key("deb", version), "id": row.id},
            )


def downgrade() -> None:
    op.drop_index("ix_package_event_removed_ids", table_name="package_event")
    op.drop_column("errata_source", "repository_id")
    op.drop_table("host_exposure")
    op.drop_table("remediation_policy")
    op.drop_table("risk_exception")
