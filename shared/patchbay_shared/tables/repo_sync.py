"""Written by repo-sync: the catalogue of what repositories offer.

`mirror_access` is the operator's own: api writes it, repo-sync reads it.
"""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
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
)
from sqlalchemy.dialects.postgresql import JSONB

from patchbay_shared.tables.metadata import at, metadata

repository = Table(
    "repository",
    metadata,
    Column("id", Uuid, primary_key=True, comment="patchbay_shared.repositories.repository_id of its identity"),
    Column("type", Text, nullable=False, comment="deb, rpm-md, susetags or pacman"),
    Column("name", Text, nullable=False, comment="for people; from the first host that named it"),
    Column("url", Text, nullable=False, comment="base URL, mirrorlist or metalink, variables expanded"),
    Column("suite", Text, nullable=False, server_default="", comment="apt only"),
    Column("enabled", Boolean, nullable=False, server_default="true"),
    Column("security", Boolean, comment="the operator's or the distribution's label; null: nobody said"),
    Column("generation", BigInteger, nullable=False, server_default="0", comment="+1 with each swapped change"),
    Column(
        "state", Text, nullable=False, server_default="pending", comment="pending, ok, failing, reported or untrusted"
    ),
    Column("message", Text, nullable=False, server_default="", comment="what happened, for people"),
    Column("release", JSONB, comment="ReleaseInfo, apt only"),
    Column(
        "verified_by", Text, nullable=False, server_default="", comment="fingerprint of the signing key, if checked"
    ),
    Column("failure_count", Integer, nullable=False, server_default="0", comment="in a row"),
    Column(
        "linked_to",
        Uuid,
        ForeignKey("repository.id", ondelete="SET NULL"),
        index=True,
        comment="the repository whose syncs serve this one as well",
    ),
    at("published_at", nullable=True),  # what the stored entry document says of its own age
    at(
        "reported_at", nullable=True
    ),  # last filled from what hosts report as available; null: what is stored was crawled
    at("created_at", now=True),
    at("checked_at", nullable=True),
    at("changed_at", nullable=True),
    at("next_sync_at", now=True),
    Column("lease_owner", Text),
    at("leased_until", nullable=True),
    Index("ix_repository_due", "next_sync_at"),
    info={"writer": "repo-sync"},
)

mirror = Table(
    "mirror",
    metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    Column("repository_id", Uuid, ForeignKey("repository.id", ondelete="CASCADE"), nullable=False),
    Column("url", Text, nullable=False),
    Column("rank", SmallInteger, nullable=False, comment="lower is tried first"),
    Column("state", Text, nullable=False, server_default="pending", comment="a repository's, or lagging"),
    Column("message", Text, nullable=False, server_default=""),
    Column("failure_count", Integer, nullable=False, server_default="0"),
    at("published_at", nullable=True),  # what its entry document said of its own age
    Column("etag", Text, comment="of the Release or repomd.xml last seen"),
    Column("last_modified", Text),
    Column("entry_sha256", LargeBinary, comment="of the Release or repomd.xml last swapped in"),
    at("checked_at", nullable=True),
    UniqueConstraint("repository_id", "url"),
    info={"writer": "repo-sync"},
)

repository_index = Table(
    "repository_index",
    metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    Column("repository_id", Uuid, ForeignKey("repository.id", ondelete="CASCADE"), nullable=False),
    Column("component", Text, nullable=False, comment="apt; else empty"),
    Column("architecture", Text, nullable=False, comment="apt; else empty"),
    Column("path", Text, nullable=False, server_default=""),
    Column("checksum", Text, nullable=False, server_default="", comment="algorithm:hex of the swapped index"),
    Column("package_count", Integer, nullable=False, server_default="0"),
    Column("present", Boolean, nullable=False, server_default="false", comment="the mirror has this index"),
    Column("content", LargeBinary, comment="zstd of msgpack of IndexContent: modules and advisories"),
    at("changed_at", nullable=True),
    UniqueConstraint("repository_id", "component", "architecture"),
    info={"writer": "repo-sync"},
)

available_package = Table(
    "available_package",
    metadata,
    Column("index_id", Integer, ForeignKey("repository_index.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("arch", Text, nullable=False),
    Column("evr", Text, nullable=False),
    Column("evr_key", LargeBinary, nullable=False),
    Column("digest", BigInteger, nullable=False, comment="of the source record"),
    Column("source", Text),
    Column("source_version", Text),
    Column("vendor", Text),
    Column("phased_percentage", SmallInteger),
    Column("content", Text),
    Column("obsoletes", ARRAY(Text)),
    Column("relations", LargeBinary),
    Index("ix_available_package_index_digest", "index_id", "digest"),
    Index("ix_available_package_name", "name", postgresql_ops={"name": "text_pattern_ops"}),
    info={"writer": "repo-sync"},
)

repository_sync = Table(
    "repository_sync",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("repository_id", Uuid, ForeignKey("repository.id", ondelete="CASCADE"), nullable=False),
    at("started_at"),
    at("finished_at", nullable=True),
    Column(
        "result",
        Text,
        nullable=False,
        server_default="running",
        comment="running, changed, unchanged, failed",
    ),
    Column("message", Text, nullable=False, server_default=""),
    Column("transferred_bytes", BigInteger, nullable=False, server_default="0"),
    Column("phase", Text, nullable=False, server_default="", comment="while it runs: fetching or storing"),
    Column("read_count", Integer, nullable=False, server_default="0", comment="packages read so far"),
    Column("added_count", Integer, nullable=False, server_default="0"),
    Column("removed_count", Integer, nullable=False, server_default="0"),
    Index("ix_repository_sync_repository", "repository_id", "started_at"),
    info={"writer": "repo-sync"},
)

mirror_access = Table(
    "mirror_access",
    metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    Column("url", Text, nullable=False, unique=True, comment="prefix of the URLs that it is for"),
    Column("kinds", ARRAY(Text), nullable=False, comment="basic, bearer, certificate, authorities, proxy"),
    Column("sealed", LargeBinary, nullable=False, comment="MirrorAccess, encrypted by patchbay_shared.sealing"),
    Column("changed_by", Text, nullable=False, comment="user name"),
    at("changed_at", now=True),
    info={"writer": "api"},
)
