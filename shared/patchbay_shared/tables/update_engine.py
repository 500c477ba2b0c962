"""Written by update-engine: what hosts said (facts), and what follows from it (conclusions).

Facts: package, package_set, repository_reference, repository_set, host, package_event, receipt.
Conclusions: evaluation, verdict. `dead_letter` keeps what could not be handled.
"""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Computed,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from patchbay_shared.tables.metadata import at, metadata

_OS = "document #>> '{policy,os_release,%s}'"
_ECOSYSTEM = f"lower({_OS % 'ID'})"
_DISTRO_RELEASE = f"""
CASE
    WHEN {_ECOSYSTEM} IN ('debian', 'ubuntu') THEN coalesce(
        nullif({_OS % "VERSION_CODENAME"}, ''),
        CASE {_OS % "VERSION_ID"}
            WHEN '7' THEN 'wheezy' WHEN '8' THEN 'jessie' WHEN '9' THEN 'stretch' WHEN '14.04' THEN 'trusty' END,
        '')
    WHEN {_ECOSYSTEM} IN ('rocky', 'almalinux', 'centos', 'rhel', 'ol') THEN split_part({_OS % "VERSION_ID"}, '.', 1)
    WHEN {_ECOSYSTEM} IN ('arch', 'gentoo', 'opensuse-tumbleweed') THEN ''
    ELSE coalesce({_OS % "VERSION_ID"}, '')
END
"""
"""The codename for Debian and Ubuntu (old ones do not name theirs), the major version for rebuilds of one."""

package = Table(
    "package",
    metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    Column("digest", LargeBinary, nullable=False, unique=True, comment="16 bytes over the columns below"),
    Column("type", Text, nullable=False, comment="deb, rpm, pacman or gentoo"),
    Column("name", Text, nullable=False),
    Column("arch", Text, nullable=False),
    Column("evr", Text, nullable=False),
    Column("evr_key", LargeBinary, nullable=False),
    Column("details", JSONB, comment="source, source_version, vendor, modularitylabel, groups, content"),
    Column("source_name", Text, comment="of the source package: what Debian's and Ubuntu's advisories name"),
    Column("source_key", LargeBinary, comment="sort key of the source version, rebuilds (+b1) not counted"),
    Index("ix_package_name", "name", "evr_key"),
    Index("ix_package_source_name", "source_name"),
    info={"writer": "update-engine"},
)

package_set = Table(
    "package_set",
    metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    Column("digest", LargeBinary, nullable=False, unique=True, comment="of package_ids and held_ids"),
    Column("package_ids", ARRAY(Integer), nullable=False, comment="installed, ascending"),
    Column("held_ids", ARRAY(Integer), nullable=False, comment="those held in dpkg's selections"),
    Column("config_ids", ARRAY(Integer), nullable=False, comment="removed with configuration left"),
    Index("ix_package_set_package_ids", "package_ids", postgresql_using="gin"),
    info={"writer": "update-engine"},
)

repository_reference = Table(
    "repository_reference",
    metadata,
    Column("repository_id", Uuid, primary_key=True),
    Column("component", Text, primary_key=True, comment="apt; else empty"),
    Column("architecture", Text, primary_key=True, comment="apt; else empty"),
    Column("definition", JSONB, nullable=False, comment="ReportRepository of the first host that named it"),
    at("first_seen_at", now=True),
    info={"writer": "update-engine"},
)

repository_set = Table(
    "repository_set",
    metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("repository_ids", ARRAY(Uuid), nullable=False, comment="of the enabled repositories, ascending"),
    Column("document", JSONB, nullable=False, comment="repositories as reported, and the host's Policy"),
    Column("unchecked_ids", ARRAY(Uuid), comment="of those read without checking signatures; null: not looked at"),
    Column("unexpiring_ids", ARRAY(Uuid), comment="of those read past their Valid-Until"),
    Column("ecosystem", Text, Computed(_ECOSYSTEM, persisted=True), comment="os-release ID"),
    Column("distro_release", Text, Computed(_DISTRO_RELEASE, persisted=True), comment="as advisories name it"),
    Index("ix_repository_set_repository_ids", "repository_ids", postgresql_using="gin"),
    info={"writer": "update-engine"},
)

evaluation = Table(
    "evaluation",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("package_set_id", Integer, ForeignKey("package_set.id"), nullable=False),
    Column("repository_set_id", Integer, ForeignKey("repository_set.id"), nullable=False),
    Column("machine_id", Text, nullable=False, server_default="", comment="only where phasing decided"),
    Column(
        "catalogue_generations",
        ARRAY(BigInteger),
        nullable=False,
        comment="generation of each of the repository set's repository_ids, in their order",
    ),
    Column("incomplete_count", Integer, nullable=False, comment="enabled repositories not crawled yet"),
    Column(
        "advisory_generation",
        BigInteger,
        nullable=False,
        server_default="0",
        comment="of the distribution release's advisories: advisory_release",
    ),
    Column("rules_version", Integer, nullable=False, comment="of the engine's rules"),
    Column("listed_count", Integer, nullable=False),
    Column("security_count", Integer, nullable=False),
    Column("state_counts", JSONB, nullable=False, comment="State to number of verdicts"),
    at("evaluated_at"),
    UniqueConstraint("package_set_id", "repository_set_id", "machine_id"),
    Index("ix_evaluation_repository_set_id", "repository_set_id"),
    Index("ix_evaluation_evaluated_at", "evaluated_at"),
    info={"writer": "update-engine"},
)

verdict = Table(
    "verdict",
    metadata,
    Column(
        "evaluation_id",
        BigInteger,
        ForeignKey("evaluation.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("package_id", Integer, nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("arch", Text, nullable=False),
    Column("installed", Text, nullable=False),
    Column("candidate", Text),
    Column("candidate_arch", Text),
    Column("repository", Text, comment="as the host calls it"),
    Column("repositories", ARRAY(Text), nullable=False),
    Column("state", Text, nullable=False),
    Column("listed", Boolean, nullable=False),
    Column("security", Boolean, nullable=False),
    Column("advisories", ARRAY(Text), nullable=False),
    Column("security_repository", Text),
    Column("rule", Text, nullable=False),
    Column("why", Text, nullable=False),
    Index("ix_verdict_advisories", "advisories", postgresql_using="gin", postgresql_where=text("advisories <> '{}'")),
    info={"writer": "update-engine"},
)

host = Table(
    "host",
    metadata,
    Column("id", Uuid, primary_key=True, comment="given by ingest when the host enrolled"),
    Column("hostname", Text, nullable=False, index=True),
    Column("reported_hostname", Text, comment="its own, where an operator renamed it"),
    Column("machine_id", Text, nullable=False, index=True),
    Column(
        "machine_id_shared",
        Boolean,
        nullable=False,
        server_default="false",
        comment="another host reports the same machine-id: one was cloned from the other",
    ),
    Column("facts", JSONB, nullable=False, comment="os_release, arch, kernel, agent_version, reboot reasons, …"),
    Column("os_name", Text, nullable=False, comment="for people and grouping"),
    Column("arch", Text, nullable=False),
    Column("kernel", Text, nullable=False),
    Column("boot_id", Text, nullable=False),
    Column("tags", ARRAY(Text), nullable=False),
    Column("reboot_required", Boolean, comment="null: the host did not say"),
    Column("content_digest", LargeBinary, nullable=False, comment="of the last stored report's content"),
    Column(
        "section_digests",
        JSONB,
        nullable=False,
        server_default="{}",
        comment="section of a report to the digest of what is stored of it: what the host may leave out",
    ),
    Column("package_set_id", Integer, ForeignKey("package_set.id"), nullable=False, index=True),
    Column("repository_set_id", Integer, ForeignKey("repository_set.id"), nullable=False, index=True),
    Column(
        "group_repository_set_id",
        Integer,
        ForeignKey("repository_set.id"),
        index=True,
        comment="what it is judged by instead of its own repository_set_id; null: by its own",
    ),
    Column("evaluation_id", BigInteger, ForeignKey("evaluation.id"), index=True),
    Column("package_count", Integer, nullable=False),
    at("first_report_at"),
    at("last_report_at"),
    at("collected_at", nullable=True),
    at("changed_at"),
    Column(
        "peer_address", Text, nullable=False, server_default="", comment="last report's IP address; empty: unknown"
    ),
    Index("ix_host_tags", "tags", postgresql_using="gin"),
    info={"writer": "update-engine"},
)

package_event = Table(
    "package_event",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("host_id", Uuid, ForeignKey("host.id", ondelete="CASCADE"), nullable=False),
    at("at"),
    Column("added_ids", ARRAY(Integer), nullable=False),
    Column("removed_ids", ARRAY(Integer), nullable=False),
    Index("ix_package_event_host", "host_id", "at"),
    Index("ix_package_event_removed_ids", "removed_ids", postgresql_using="gin"),
    info={"writer": "update-engine"},
)

receipt = Table(
    "receipt",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("host_id", Uuid, nullable=False),
    Column("state", Text, nullable=False, comment="evaluated, stored (repositories pending), superseded, refused"),
    Column("unchanged", Boolean, nullable=False, server_default="false"),
    Column("reason", Text, nullable=False, server_default=""),
    Column("evaluation_id", BigInteger),
    Column("bytes", Integer, nullable=False, server_default="0"),
    at("received_at"),
    at("stored_at", nullable=True),
    at("evaluated_at", nullable=True),
    at("noted_at", now=True),  # when this row was last written
    Index("ix_receipt_host", "host_id", "received_at"),
    Index("ix_receipt_noted_at", "noted_at", postgresql_using="brin", postgresql_with={"autosummarize": "on"}),
    info={"writer": "update-engine"},
)

report_body = Table(
    "report_body",
    metadata,
    Column("receipt_id", Uuid, primary_key=True),
    Column("host_id", Uuid, nullable=False),
    at("received_at"),
    Column("header", JSONB, nullable=False, comment="ReportReceived"),
    Column("body", LargeBinary, nullable=False, comment="the report as it travelled (patchbay_shared.report_body)"),
    Index("ix_report_body_host", "host_id", "received_at"),
    info={"writer": "update-engine"},
)

dead_letter = Table(
    "dead_letter",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("queue", Text, nullable=False),
    Column("routing_key", Text, nullable=False),
    Column("headers", JSONB, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("error", Text, nullable=False),
    Column("attempts", SmallInteger, nullable=False),
    at("first_at"),
    at("last_at"),
    info={"writer": "update-engine", "whole_fleet": True},
)
