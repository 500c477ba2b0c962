"""Written by errata: advisories and CVEs as their vendors publish them, and the feeds that they come from."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Date,
    Float,
    ForeignKey,
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

errata_source = Table(
    "errata_source",
    metadata,
    Column("name", Text, primary_key=True),
    Column("url", Text, nullable=False),
    Column("enabled", Boolean, nullable=False, comment="by the settings of the last process that started"),
    Column("state", Text, nullable=False, server_default="pending", comment="pending, ok, shrunk or failing"),
    Column("message", Text, nullable=False, server_default="", comment="what happened, for people"),
    Column("etag", Text),
    Column("last_modified", Text),
    Column("sha256", LargeBinary, comment="of the feed last stored, as it was sent"),
    Column("cursor", Text, nullable=False, server_default="", comment="how far a crawl of many documents has come"),
    Column("record_count", Integer, nullable=False, server_default="0"),
    Column("rejected_count", Integer, nullable=False, server_default="0"),
    Column("rejected", JSONB, nullable=False, server_default="[]", comment="[place, reason] of the first of them"),
    Column("failure_count", Integer, nullable=False, server_default="0", comment="in a row"),
    Column("parser_version", Integer, nullable=False, server_default="0", comment="that the stored records are of"),
    at("checked_at", nullable=True),
    at("changed_at", nullable=True),
    at("next_check_at", now=True),
    Column("lease_owner", Text),
    at("leased_until", nullable=True),
    Column("repository_id", Uuid, comment="whose updateinfo it is, read by repo-sync; null: a feed"),
    info={"writer": "errata"},
)

advisory = Table(
    "advisory",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False, comment="digest of source, name and part"),
    Column("source", Text, ForeignKey("errata_source.name", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False, comment="the vendor's id, unchanged"),
    Column("part", SmallInteger, nullable=False, comment="1, and 2… where a feed repeats an id"),
    Column("digest", BigInteger, nullable=False, comment="of the record: equal means unchanged"),
    Column("vendor", Text, nullable=False),
    Column("type", Text, nullable=False, comment="security, bugfix, …; cve: what a tracker says of one CVE"),
    Column("severity", Text, nullable=False, comment="low, medium, high, critical or empty"),
    Column("vendor_severity", Text, nullable=False),
    Column("status", Text, nullable=False, comment="final, testing, pending or retracted"),
    Column("title", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("url", Text, nullable=False),
    at("issued_at", nullable=True),
    at("updated_at", nullable=True),
    Column("links", ARRAY(Text), nullable=False),
    UniqueConstraint("source", "name", "part"),
    Index("ix_advisory_name", "name"),
    Index("ix_advisory_issued", "issued_at", "id"),
    Index(
        "ix_advisory_published",
        text("coalesce(issued_at, '1970-01-01 00:00:00+00'::timestamptz)"),
        "id",
        postgresql_include=["name", "vendor", "type", "severity"],
        postgresql_where=text("type <> 'cve'"),
    ),
    info={"writer": "errata"},
)

advisory_fix = Table(
    "advisory_fix",
    metadata,
    Column("advisory_id", BigInteger, ForeignKey("advisory.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("ecosystem", Text, nullable=False, comment="os-release ID"),
    Column("distro_release", Text, nullable=False, comment="as advisory_release has it"),
    Column("package", Text, nullable=False),
    Column("kind", Text, nullable=False, comment="source or binary"),
    Column("arch", Text, nullable=False, comment="empty: any"),
    Column("module", Text, nullable=False, comment="name:stream; empty: none"),
    Column("pocket", Text, nullable=False, comment="esm-…: not there for everybody; empty: for everybody"),
    Column("state", Text, nullable=False, comment="fixed, open, undetermined or no-fix-planned"),
    Column("evr", Text, nullable=False, comment="first fixed version; empty: none"),
    Column("evr_key", LargeBinary, comment="null: there is none, or its order is not known"),
    Column("introduced_key", LargeBinary, comment="versions below are not affected; null: all are"),
    Column("note", Text, nullable=False),
    Index("ix_advisory_fix_package", "package", "ecosystem", "distro_release"),
    info={"writer": "errata"},
)

advisory_cve = Table(
    "advisory_cve",
    metadata,
    Column("advisory_id", BigInteger, ForeignKey("advisory.id", ondelete="CASCADE"), primary_key=True),
    Column("cve", Text, primary_key=True),
    Index("ix_advisory_cve_cve", "cve"),
    info={"writer": "errata"},
)

advisory_release = Table(
    "advisory_release",
    metadata,
    Column("ecosystem", Text, primary_key=True),
    Column("distro_release", Text, primary_key=True),
    Column("generation", BigInteger, nullable=False, comment="+1 with each change of its security fixes"),
    at("changed_at"),
    info={"writer": "errata"},
)

cve = Table(
    "cve",
    metadata,
    Column("id", Text, primary_key=True),
    Column("source", Text, ForeignKey("errata_source.name", ondelete="CASCADE"), primary_key=True),
    Column("digest", BigInteger, nullable=False),
    Column("state", Text, nullable=False, comment="published or rejected"),
    Column("description", Text, nullable=False),
    Column("score", Float, comment="of the rating that is shown; null: nobody rated it"),
    Column("severity", Text, nullable=False),
    Column("vector", Text, nullable=False),
    Column("cvss_version", Text, nullable=False),
    Column("provider", Text, nullable=False, comment="who rated it so"),
    Column("metrics", JSONB, nullable=False, comment="every rating, with who gave it"),
    Column("cwes", ARRAY(Text), nullable=False),
    at("published_at", nullable=True),
    at("updated_at", nullable=True),
    Index("ix_cve_source", "source"),
    info={"writer": "errata"},
)

cve_index = Table(
    "cve_index",
    metadata,
    Column("cve", Text, primary_key=True),
    Column(
        "vendor_level",
        SmallInteger,
        nullable=False,
        comment="severity of the worst advisory of all: place in LEVELS, from 1; 0: none rates it",
    ),
    Column("rated_level", SmallInteger, nullable=False, comment="the same by the CVSS score that counts"),
    Column("score", Float, comment="CVSS, of the rating that counts; null: nobody's"),
    Column("epss", Float),
    Column("known_exploited", Boolean, nullable=False),
    Index("ix_cve_index_prefix", "cve", postgresql_ops={"cve": "text_pattern_ops"}),
    info={"writer": "errata"},
)
"""Every CVE that an advisory, NVD or CISA names: what a list of them is filtered and sorted by."""

known_exploited = Table(
    "known_exploited",
    metadata,
    Column("cve", Text, primary_key=True),
    Column("added_on", Date, nullable=False),
    Column("due_on", Date),
    Column("ransomware", Boolean, nullable=False),
    Column("title", Text, nullable=False),
    Column("action", Text, nullable=False),
    info={"writer": "errata"},
)

exploit_score = Table(
    "exploit_score",
    metadata,
    Column("cve", Text, primary_key=True),
    Column("score", Float, nullable=False, comment="EPSS: probability of exploitation within 30 days"),
    Column("percentile", Float),
    Column("model", Text, nullable=False, comment="scores of different models are not comparable"),
    Column("scored_on", Date),
    info={"writer": "errata"},
)

lifecycle = Table(
    "lifecycle",
    metadata,
    Column("ecosystem", Text, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("codename", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("released_on", Date),
    Column("ends_on", Date, comment="of free security updates for everybody"),
    Column("extended_ends_on", Date, comment="of longer support"),
    Column("source", Text, nullable=False),
    info={"writer": "errata"},
)
