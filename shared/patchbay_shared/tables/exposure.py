"""What the fleet's vulnerabilities are measured by: exceptions, due dates, and counts.

Exceptions and policies are the operator's: api writes them. The counts are errata's conclusions.
"""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

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

exposure_set = Table(
    "exposure_set",
    metadata,
    Column("id", Uuid, primary_key=True, comment="digest of the content"),
    Column("cves", ARRAY(Text), nullable=False, comment="those that touch a host, waived ones as well; in order"),
    Column("ranks", ARRAY(SmallInteger), nullable=False, comment="of each, its place in STATES"),
    Column(
        "levels",
        ARRAY(SmallInteger),
        nullable=False,
        comment="of each, the severity of the worst advisory: its place in LEVELS, from 1; 0: none rates it",
    ),
    info={"writer": "errata"},
)
"""The CVEs of hosts, stored once for all hosts that have the same ones in the same states."""

cve_exposure = Table(
    "cve_exposure",
    metadata,
    Column("cve", Text, primary_key=True),
    Column("host_count", Integer, nullable=False, comment="hosts that it touches and that do not waive it"),
    Column("state_counts", JSONB, nullable=False, comment="state to number of hosts"),
    Column(
        "level",
        SmallInteger,
        nullable=False,
        comment="severity of the worst advisory for these hosts: place in LEVELS, from 1; 0: none rates it",
    ),
    Column("urgency", Integer, nullable=False, comment="greater comes first; 0 without a host"),
    info={"writer": "errata", "whole_fleet": True},
)

advisory_exposure = Table(
    "advisory_exposure",
    metadata,
    Column("advisory", Text, primary_key=True, comment="advisory.name"),
    Column("host_count", Integer, nullable=False, comment="hosts with an outstanding update that applies it"),
    Column("urgency", Integer, nullable=False, comment="greater comes first"),
    Column("worst_cve", Text, comment="its most severe CVE for these hosts; null: none is rated"),
    Column("level", SmallInteger, comment="severity of that one: place in LEVELS, from 1"),
    info={"writer": "errata", "whole_fleet": True},
)

advisory_rating = Table(
    "advisory_rating",
    metadata,
    Column("advisory_id", BigInteger, primary_key=True, autoincrement=False, comment="advisory.id"),
    Column("cve", Text, nullable=False, comment="its worst one"),
    Column("level", SmallInteger, nullable=False, comment="severity of that one: place in LEVELS, from 1"),
    info={"writer": "errata"},
)
"""How severe an advisory is that its vendor does not rate, where it is outstanding on no host."""

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
    Column(
        "exposure_set_id",
        Uuid,
        ForeignKey("exposure_set.id"),
        index=True,
        comment="the CVEs; null: counted before there were sets",
    ),
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
