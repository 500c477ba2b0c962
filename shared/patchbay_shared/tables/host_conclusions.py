"""Written by update-engine: what follows for one host, beside the verdicts on its packages."""

from sqlalchemy import ARRAY, Boolean, Column, ForeignKey, Integer, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from patchbay_shared.tables.metadata import at, metadata

reboot_verdict = Table(
    "reboot_verdict",
    metadata,
    Column("host_id", Uuid, ForeignKey("host.id", ondelete="CASCADE"), primary_key=True),
    Column("required", Boolean, comment="null: nothing says so"),
    Column("rule", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("boot_id", Text, nullable=False, comment="of the report that it was judged from"),
    at("judged_at"),
    info={"writer": "update-engine"},
)

opinion = Table(
    "opinion",
    metadata,
    Column("host_id", Uuid, ForeignKey("host.id", ondelete="CASCADE"), primary_key=True),
    Column("client", JSONB, nullable=False, comment="the package manager's own list: ClientUpdate"),
    Column("only_client", JSONB, comment="updates that only the client lists; null: not compared yet"),
    Column("only_server", JSONB, comment="updates that only Patchbay lists"),
    Column("difference_count", Integer, comment="of both; null: not compared yet"),
    at("reported_at"),
    at("compared_at", nullable=True),
    info={"writer": "update-engine"},
)

reverse_name = Table(
    "reverse_name",
    metadata,
    Column("host_id", Uuid, ForeignKey("host.id", ondelete="CASCADE"), primary_key=True),
    Column("address", Text, nullable=False, comment="host.peer_address when it was looked up"),
    Column("state", Text, nullable=False, comment="named, none (the address has no name), unknown (no answer)"),
    Column("names", ARRAY(Text), nullable=False, comment="in lower case, the canonical one first"),
    at("checked_at", nullable=True),
    at("due_at"),
    info={"writer": "update-engine"},
)
