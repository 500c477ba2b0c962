"""Written by ingest: who may report as which host."""

from sqlalchemy import Column, Integer, LargeBinary, Table, Text, Uuid

from patchbay_shared.tables.metadata import at, metadata

host_credential = Table(
    "host_credential",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True, comment="SHA-256 of the host's token"),
    Column("host_id", Uuid, nullable=False, index=True),
    Column("enrolment_token_id", Integer, nullable=False),
    Column("hostname", Text, nullable=False, comment="as given when enrolling"),
    Column("machine_id", Text, nullable=False),
    at("enrolled_at", now=True),
    at("revoked_at", nullable=True),
    info={"writer": "ingest"},
)
