"""advisories, CVEs, lifecycles, and the feeds that they come from"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

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


def upgrade() -> None:
    op.add_column(
        "repository_set",
        sa.Column("ecosystem", sa.Text(), sa.Computed(_ECOSYSTEM, persisted=True), comment="os-release ID"),
    )
    op.add_column(
        "repository_set",
        sa.Column(
            "distro_release",
            sa.Text(),
            sa.Computed(_DISTRO_RELEASE, persisted=True),
            comment="as advisories name it",
        ),
    )
    _sources()
    _advisories()
    _cves()
    op.create_table(
        "lifecycle",
        sa.Column("ecosystem", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("codename", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("released_on", sa.Date()),
        sa.Column("ends_on", sa.Date(), comment="of free security updates for everybody"),
        sa.Column("extended_ends_on", sa.Date(), comment="of longer support"),
        sa.Column("source", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("ecosystem", "version", name=op.f("pk_lifecycle")),
    )
    op.add_column(
        "package",
        sa.Column(
            "source_name", sa.Text(), comment="of the source package: what Debian's and Ubuntu's advisories name"
        ),
    )
    op.add_column(
        "package",
        sa.Column(
            "source_key", sa.LargeBinary(), comment="sort key of the source version, rebuilds (+b1) not counted"
        ),
    )
    op.execute("UPDATE package SET source_name = coalesce(details->>'source', name), source_key = evr_key")
    op.create_index("ix_package_source_name", "package", ["source_name"])
    op.add_column(
        "evaluation",
        sa.Column(
            "advisory_generation",
            sa.BigInteger(),
            nullable=False,
            server_default="0",
            comment="of the distribution release's advisories: advisory_release",
        ),
    )


def _sources() -> None:
    op.create_table(
        "errata_source",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column(
            "enabled", sa.Boolean(), nullable=False, comment="by the settings of the last process that started"
        ),
        sa.Column(
            "state", sa.Text(), nullable=False, server_default="pending", comment="pending, ok, shrunk or failing"
        ),
        sa.Column("message", sa.Text(), nullable=False, server_default="", comment="what happened, for people"),
        sa.Column("etag", sa.Text()),
        sa.Column("last_modified", sa.Text()),
        sa.Column("sha256", sa.LargeBinary(), comment="of the feed last stored, as it was sent"),
        sa.Column(
            "cursor",
            sa.Text(),
            nullable=False,
            server_default="",
            comment="how far a crawl of many documents has come",
        ),
        sa.Column("record_count", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("rejected_count", sa.Integer(), nullable=False, server_default="0"),
        sa.Column(
            "rejected",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            server_default="[]",
            comment="[place, reason] of the first of them",
        ),
        sa.Column("failure_count", sa.Integer(), nullable=False, server_default="0", comment="in a row"),
        sa.Column(
            "parser_version",
            sa.Integer(),
            nullable=False,
            server_default="0",
            comment="that the stored records are of",
        ),
        sa.Column("checked_at", sa.DateTime(timezone=True)),
        sa.Column("changed_at", sa.DateTime(timezone=True)),
        sa.Column("next_check_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("lease_owner", sa.Text()),
        sa.Column("leased_until", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_errata_source")),
    )


def _advisories() -> None:
    op.create_table(
        "advisory",
        sa.Column(
            "id", sa.BigInteger(), autoincrement=False, nullable=False, comment="digest of source, name and part"
        ),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False, comment="the vendor's id, unchanged"),
        sa.Column("part", sa.SmallInteger(), nullable=False, comment="1, and 2… where a feed repeats an id"),
        sa.Column("digest", sa.BigInteger(), nullable=False, comment="of the record: equal means unchanged"),
        sa.Column("vendor", sa.Text(), nullable=False),
        sa.Column(
            "type", sa.Text(), nullable=False, comment="security, bugfix, …; cve: what a tracker says of one CVE"
        ),
        sa.Column("severity", sa.Text(), nullable=False, comment="low, medium, high, critical or empty"),
        sa.Column("vendor_severity", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False, comment="final, testing, pending or retracted"),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True)),
        sa.Column("updated_at", sa.DateTime(timezone=True)),
        sa.Column("links", sa.ARRAY(sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(
            ["source"], ["errata_source.name"], name=op.f("fk_advisory_source"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_advisory")),
        sa.UniqueConstraint("source", "name", "part", name=op.f("uq_advisory_source_name_part")),
    )
    op.create_index("ix_advisory_name", "advisory", ["name"])
    op.create_index("ix_advisory_issued", "advisory", ["issued_at", "id"])
    op.create_table(
        "advisory_fix",
        sa.Column("advisory_id", sa.BigInteger(), nullable=False),
        sa.Column("ecosystem", sa.Text(), nullable=False, comment="os-release ID"),
        sa.Column("distro_release", sa.Text(), nullable=False, comment="as advisory_release has it"),
        sa.Column("package", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="source or binary"),
        sa.Column("arch", sa.Text(), nullable=False, comment="empty: any"),
        sa.Column("module", sa.Text(), nullable=False, comment="name:stream; empty: none"),
        sa.Column(
            "pocket", sa.Text(), nullable=False, comment="esm-…: not there for everybody; empty: for everybody"
        ),
        sa.Column("state", sa.Text(), nullable=False, comment="fixed, open, undetermined or no-fix-planned"),
        sa.Column("evr", sa.Text(), nullable=False, comment="first fixed version; empty: none"),
        sa.Column("evr_key", sa.LargeBinary(), comment="null: there is none, or its order is not known"),
        sa.Column("introduced_key", sa.LargeBinary(), comment="versions below are not affected; null: all are"),
        sa.Column("note", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["advisory_id"], ["advisory.id"], name=op.f("fk_advisory_fix_advisory_id"), ondelete="CASCADE"
        ),
    )
    op.create_index("ix_advisory_fix_advisory_id", "advisory_fix", ["advisory_id"])
    op.create_index("ix_advisory_fix_package", "advisory_fix", ["package", "ecosystem", "distro_release"])
    op.create_table(
        "advisory_cve",
        sa.Column("advisory_id", sa.BigInteger(), nullable=False),
        sa.Column("cve", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["advisory_id"], ["advisory.id"], name=op.f("fk_advisory_cve_advisory_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("advisory_id", "cve", name=op.f("pk_advisory_cve")),
    )
    op.create_index("ix_advisory_cve_cve", "advisory_cve", ["cve"])
    op.create_table(
        "advisory_release",
        sa.Column("ecosystem", sa.Text(), nullable=False),
        sa.Column("distro_release", sa.Text(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False, comment="+1 with each change of its security fixes"),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("ecosystem", "distro_release", name=op.f("pk_advisory_release")),
    )


def _cves() -> None:
    op.create_table(
        "cve",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("digest", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False, comment="published or rejected"),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("score", sa.Float(), comment="of the rating that is shown; null: nobody rated it"),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("vector", sa.Text(), nullable=False),
        sa.Column("cvss_version", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False, comment="who rated it so"),
        sa.Column(
            "metrics",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="every rating, with who gave it",
        ),
        sa.Column("cwes", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True)),
        sa.Column("updated_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(["source"], ["errata_source.name"], name=op.f("fk_cve_source"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", "source", name=op.f("pk_cve")),
    )
    op.create_index("ix_cve_source", "cve", ["source"])
    op.create_table(
        "known_exploited",
        sa.Column("cve", sa.Text(), nullable=False),
        sa.Column("added_on", sa.Date(), nullable=False),
        sa.Column("due_on", sa.Date()),
        sa.Column("ransomware", sa.Boolean(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("cve", name=op.f("pk_known_exploited")),
    )
    op.create_table(
        "exploit_score",
        sa.Column("cve", sa.Text(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False, comment="EPSS: probability of exploitation within 30 days"),
        sa.Column("percentile", sa.Float()),
        sa.Column("model", sa.Text(), nullable=False, comment="scores of different models are not comparable"),
        sa.Column("scored_on", sa.Date()),
        sa.PrimaryKeyConstraint("cve", name=op.f("pk_exploit_score")),
    )


def downgrade() -> None:
    op.drop_column("repository_set", "distro_release")
    op.drop_column("repository_set", "ecosystem")
    op.drop_column("evaluation", "advisory_generation")
    op.drop_index("ix_package_source_name", table_name="package")
    op.drop_column("package", "source_key")
    op.drop_column("package", "source_name")
    for table in ("lifecycle", "exploit_score", "known_exploited", "cve", "advisory_release"):
        op.drop_table(table)
    for table in ("advisory_cve", "advisory_fix", "advisory", "errata_source"):
        op.drop_table(table)
