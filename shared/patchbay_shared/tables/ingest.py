"""Written by ingest: who may report as which host."""

from sqlalchemy import Boolean, Column, DateTime, Index, Integer, LargeBinary, Table, Text, Uuid

from patchbay_shared.tables.metadata import at, metadata

host_credential = Table(
    "host_credential",
    metadata,
    Column(
        "token_hash",
        LargeBinary,
        primary_key=True,
        comment="SHA-256 of the host's token, or of a shared token and the host's name",
    ),
    Column("host_id", Uuid, nullable=False, index=True),
    Column("enrolment_token_id", Integer, comment="null: a client of protocol1_networks"),
    Column("hostname", Text, nullable=False, comment="as given when enrolling"),
    Column("machine_id", Text, nullable=False),
    Column("shared_token", Boolean, nullable=False, server_default="false", comment="it has no token of its own"),
    Column("pending", Boolean, nullable=False, server_default="false", comment="it reports once approved"),
    at("enrolled_at", now=True),
    at("revoked_at", nullable=True),
    Column("replaced_by", LargeBinary, comment="token_hash of the token that ends this one once used"),
    Column("expires_at", DateTime(timezone=True), comment="when it ends if its successor is never used"),
    Index("ix_host_credential_enrolment_token_id", "enrolment_token_id", "hostname"),
    info={"writer": "ingest"},
)
