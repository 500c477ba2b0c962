"""What the fleet's vulnerabilities are measured by: exceptions, due dates, and the counts of each host.

Exceptions and policies are the operator's: api writes them. The counts are errata's conclusions.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)

from patchbay_shared.tables.metadata import at, metadata

risk_exception = Table(
    "risk_exception",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("kind", Text, nullable=False, comment="what is waived: cve, advisory or package"),
    Column("subject", Text, nullable=False, comment="its id; of a package the binary's or the source's name"),
    Column("scope", Text, nullable=False, comment="where: host, tag or group"),
    Column("target", Text, nullable=False, comment="the host's id, the tag, or the group's id"),
    Column("owner", Text, nullable=False, comment="who answers for it"),
    Column("reason", Text, nullable=False),
    Column("created_by", Text, nullable=False, comment="user name"),
    at("created_at", now=True),
    at("expires_at", nullable=True),
    at("ended_at", nullable=True),
    Column("ended_by", Text, comment="user name; null while ended_at is"),
    CheckConstraint("kind IN ('cve', 'advisory', 'package')", name="ck_risk_exception_kind"),
    CheckConstraint("scope IN ('host', 'tag', 'group')", name="ck_risk_exception_scope"),
    Index("ix_risk_exception_subject", "subject", "kind"),
    info={"writer": "api"},
)

remediation_policy = Table(
    "remediation_policy",
    metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    Column("scope", Text, nullable=False, comment="fleet, tag or group"),
    Column("target", Text, nullable=False, comment="the tag or the group's id; empty for the fleet"),
    Column("exploited_days", Integer, comment="null: no date follows from it"),
    Column("critical_days", Integer),
    Column("high_days", Integer),
    Column("medium_days", Integer),
    Column("low_days", Integer),
    Column("changed_by", Text, nullable=False, comment="user name"),
    at("changed_at", now=True),
    UniqueConstraint("scope", "target"),
    CheckConstraint("scope IN ('fleet', 'tag', 'group')", name="ck_remediation_policy_scope"),
    info={"writer": "api"},
)

host_exposure = Table(
    "host_exposure",
    metadata,
    Column("host_id", Uuid, ForeignKey("host.id", ondelete="CASCADE"), primary_key=True),
    Column("basis", Text, nullable=False, comment="digest of what the counts follow from; another one: count again"),
    Column("exposed_count", Integer, nullable=False, comment="CVEs that touch it and are not waived"),
    Column("fixable_count", Integer, nullable=False, comment="those of them with a fix to install"),
    Column("restart_count", Integer, nullable=False, comment="those fixed on disk, where the old code still runs"),
    Column("exploited_count", Integer, nullable=False, comment="those known to be exploited"),
    Column("overdue_count", Integer, nullable=False, comment="those past their due date"),
    Column("waived_count", Integer, nullable=False, comment="CVEs that touch it and are waived"),
    Column("next_due_on", Date, comment="the earliest due date of those not waived"),
    Column("worst_cve", Text, nullable=False, comment="the first in the order of priority; empty: none"),
    at("counted_at"),
    info={"writer": "errata"},
)

outstanding_security = Table(
    "outstanding_security",
    metadata,
    Column(
        "evaluation_id",
        BigInteger,
        ForeignKey("evaluation.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("basis", Text, nullable=False, comment="digest of what the rest follows from; another one: look again"),
    Column(
        "severity",
        Text,
        nullable=False,
        comment="the worst of its advisories: critical, high, medium, low; unknown: none is rated",
    ),
    Column("issued_at", DateTime(timezone=True), comment="of the oldest advisory; null: unknown"),
    info={"writer": "errata"},
)
"""How severe and how old the security updates are that an evaluation lists; only where it lists any."""
