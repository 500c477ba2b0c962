"""Written by api: what people and programs may do, second factors, and the record of what they did."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
)

from patchbay_shared.tables.metadata import at, metadata

user_role = Table(
    "user_role",
    metadata,
    Column("name", Text, primary_key=True, comment="viewer, operator and admin are in the code, not here"),
    Column("description", Text, nullable=False, server_default=""),
    Column("permissions", ARRAY(Text), nullable=False),
    at("created_at", now=True),
    info={"writer": "api"},
)

api_token = Table(
    "api_token",
    metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    Column("user_id", Integer, ForeignKey("user_account.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("token_hash", LargeBinary, nullable=False, unique=True, comment="SHA-256 of the token"),
    Column("prefix", Text, nullable=False, comment="its first characters, to recognise it by"),
    Column("permissions", ARRAY(Text), comment="null: all that its owner has"),
    Column("scope", ARRAY(Text), comment="tag:… and group:…, beside its owner's; null: that only"),
    at("created_at", now=True),
    at("expires_at", nullable=True),
    at("last_used_at", nullable=True),
    Column("last_used_from", Text, nullable=False, server_default="", comment="address"),
    at("revoked_at", nullable=True),
    info={"writer": "api"},
)

second_factor = Table(
    "second_factor",
    metadata,
    Column("user_id", Integer, ForeignKey("user_account.id", ondelete="CASCADE"), primary_key=True),
    Column("sealed", LargeBinary, nullable=False, comment="TOTP secret, encrypted by patchbay_shared.sealing"),
    Column("used_step", BigInteger, nullable=False, server_default="0", comment="30 s step of the last code taken"),
    Column("recovery_hashes", ARRAY(LargeBinary), nullable=False, comment="SHA-256; a used one is removed"),
    at("created_at", now=True),
    at("confirmed_at", nullable=True),
    info={"writer": "api"},
)

oidc_identity = Table(
    "oidc_identity",
    metadata,
    Column("subject", Text, primary_key=True, comment="issuer and subject, a space between"),
    Column("user_id", Integer, ForeignKey("user_account.id", ondelete="CASCADE"), nullable=False, unique=True),
    at("linked_at", now=True),
    info={"writer": "api"},
)

pending_sign_in = Table(
    "pending_sign_in",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True, comment="SHA-256 of what the browser holds meanwhile"),
    Column("kind", Text, nullable=False, comment="second-factor or oidc"),
    Column("user_id", Integer, ForeignKey("user_account.id", ondelete="CASCADE"), index=True),
    Column("sealed", LargeBinary, comment="oidc: nonce and PKCE verifier, encrypted"),
    at("expires_at"),
    info={"writer": "api"},
)

sign_in_failure = Table(
    "sign_in_failure",
    metadata,
    Column("source", Text, primary_key=True, comment="IPv4 address, or the /64 of an IPv6 one"),
    Column("failure_count", Integer, nullable=False),
    at("counted_since"),
    info={"writer": "api"},
)

audit_event = Table(
    "audit_event",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False, comment="1, 2, 3 … without a gap"),
    at("at"),
    Column("actor", Text, nullable=False, comment="user name; empty: nobody signed in"),
    Column("credential", Text, nullable=False, comment="session, token NAME, password, oidc or command line"),
    Column("address", Text, nullable=False, comment="where the request came from"),
    Column("action", Text, nullable=False, comment="operationId of the API"),
    Column("object_type", Text, nullable=False),
    Column("object_id", Text, nullable=False),
    Column("outcome", Text, nullable=False, comment="done, denied or failed"),
    Column("before", Text, comment="JSON, exactly as it was hashed"),
    Column("after", Text, comment="JSON, exactly as it was hashed"),
    Column("previous_hash", LargeBinary, nullable=False, comment="hash of the event before"),
    Column("hash", LargeBinary, nullable=False, comment="SHA-256 over all the other columns"),
    Index("ix_audit_event_at", "at"),
    Index("ix_audit_event_actor", "actor", "id"),
    Index("ix_audit_event_object", "object_type", "object_id", "id"),
    info={"writer": "api", "append_only": True},
)
