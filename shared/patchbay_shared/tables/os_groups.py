"""Which repositories hosts are judged by: groups of operating system variants, and what operators decided of them.

Written by api, but for `group_repository_set`, which the engine makes of them.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    Uuid,
)

from patchbay_shared.tables.metadata import at, metadata

os_group = Table(
    "os_group",
    metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column(
        "use_host_repos",
        Boolean,
        nullable=False,
        server_default="true",
        comment="its hosts are judged by the repositories that they configure themselves",
    ),
    Column("generation", BigInteger, nullable=False, server_default="1", comment="+1 with each change of these"),
    Column("changed_by", Text, nullable=False, comment="user name"),
    at("changed_at", now=True),
    info={"writer": "api"},
)

os_group_repository = Table(
    "os_group_repository",
    metadata,
    Column("group_id", Integer, ForeignKey("os_group.id", ondelete="CASCADE"), primary_key=True),
    Column("repository_id", Uuid, primary_key=True),
    Column("position", SmallInteger, nullable=False, comment="in the operator's order; pacman takes the first"),
    Column("priority", Integer, comment="null: as the first host that named the repository has it"),
    info={"writer": "api"},
)

os_variant_group = Table(
    "os_variant_group",
    metadata,
    Column("os_name", Text, primary_key=True, comment="host.os_name"),
    Column("arch", Text, primary_key=True, comment="host.arch"),
    Column("group_id", Integer, ForeignKey("os_group.id", ondelete="CASCADE"), nullable=False, index=True),
    info={"writer": "api"},
)

host_repository_choice = Table(
    "host_repository_choice",
    metadata,
    Column("host_id", Uuid, primary_key=True),
    Column("use_host_repos", Boolean, nullable=False, comment="over that of its group"),
    Column("changed_by", Text, nullable=False, comment="user name"),
    at("changed_at", now=True),
    info={"writer": "api"},
)

group_repository_set = Table(
    "group_repository_set",
    metadata,
    Column("own_set_id", Integer, ForeignKey("repository_set.id", ondelete="CASCADE"), primary_key=True),
    Column("group_id", Integer, primary_key=True),
    Column("generation", BigInteger, nullable=False, comment="of the group that the set was made of"),
    Column("set_id", Integer, ForeignKey("repository_set.id", ondelete="CASCADE"), nullable=False),
    Index("ix_group_repository_set_set_id", "set_id"),
    info={"writer": "update-engine"},
)
