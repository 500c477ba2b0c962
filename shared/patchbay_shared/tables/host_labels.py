"""Written by api: what operators say of hosts, beside what the hosts report of themselves."""

from sqlalchemy import ARRAY, Column, ForeignKey, Identity, Index, Integer, Table, Text, Uuid

from patchbay_shared.tables.metadata import at, metadata

host_group = Table(
    "host_group",
    metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("description", Text, nullable=False, server_default=""),
    at("created_at", now=True),
    info={"writer": "api"},
)

host_label = Table(
    "host_label",
    metadata,
    Column("host_id", Uuid, ForeignKey("host.id", ondelete="CASCADE"), primary_key=True),
    Column(
        "group_id",
        Integer,
        ForeignKey("host_group.id", ondelete="SET NULL"),
        index=True,
        comment="a host is in one group or in none",
    ),
    Column("tags", ARRAY(Text), nullable=False, server_default="{}", comment="beside host.tags, which it reports"),
    Column("notes", Text, nullable=False, server_default=""),
    Column("changed_by", Text, nullable=False, comment="user name"),
    at("changed_at", now=True),
    Index("ix_host_label_tags", "tags", postgresql_using="gin"),
    info={"writer": "api"},
)
