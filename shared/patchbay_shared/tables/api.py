"""Written by api: people, their sessions, and the tokens that let hosts enrol."""

from sqlalchemy import ARRAY, Boolean, Column, ForeignKey, Identity, Integer, LargeBinary, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from patchbay_shared.tables.metadata import at, metadata

user_account = Table(
    "user_account",
    metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    Column("username", Text, nullable=False, unique=True, comment="lower case"),
    Column("password_hash", Text, nullable=False, comment="argon2id; empty: signs in elsewhere only"),
    Column("role", Text, nullable=False, comment="viewer, operator, admin or the name of a user_role"),
    Column("scope", ARRAY(Text), comment="tag:… and group:…: hosts that have one of them; null: all hosts"),
    Column("must_change_password", Boolean, nullable=False, server_default="false"),
    Column("disabled", Boolean, nullable=False, server_default="false"),
    Column("failed_sign_in_count", Integer, nullable=False, server_default="0"),
    at("locked_until", nullable=True),
    at("created_at", now=True),
    at("password_changed_at", now=True),
    at("last_sign_in_at", nullable=True),
    Column("preferences", JSONB, nullable=False, server_default="{}", comment="name to texts, as pages keep them"),
    info={"writer": "api"},
)

user_session = Table(
    "user_session",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True, comment="SHA-256 of the session token"),
    Column("user_id", Integer, ForeignKey("user_account.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("address", Text, nullable=False, server_default=""),
    Column("user_agent", Text, nullable=False, server_default=""),
    at("created_at", now=True),
    at("last_used_at", now=True),
    at("expires_at"),
    info={"writer": "api"},
)

enrolment_token = Table(
    "enrolment_token",
    metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    Column("name", Text, nullable=False),
    Column("token_hash", LargeBinary, nullable=False, unique=True, comment="SHA-256 of the token"),
    Column("use_limit", Integer, comment="how many hosts it lets in; null: any number"),
    Column("networks", ARRAY(Text), nullable=False, server_default="{}", comment="CIDR; empty: from anywhere"),
    Column("tags", ARRAY(Text), nullable=False, server_default="{}", comment="given to each of its hosts"),
    at("created_at", now=True),
    at("expires_at", nullable=True),
    at("revoked_at", nullable=True),
    info={"writer": "api"},
)

host_removal = Table(
    "host_removal",
    metadata,
    Column("host_id", Uuid, primary_key=True, comment="its tokens end, and its reports are refused"),
    Column("removed_by", Text, nullable=False, comment="user name"),
    at("removed_at", now=True),
    info={"writer": "api"},
)

host_merge = Table(
    "host_merge",
    metadata,
    Column("host_id", Uuid, primary_key=True, comment="was another entry of the same machine"),
    Column(
        "into_id", Uuid, nullable=False, index=True, comment="the host that stays: its tokens and reports go there"
    ),
    Column("merged_by", Text, nullable=False, comment="user name"),
    at("merged_at", now=True),
    info={"writer": "api"},
)

host_token_revocation = Table(
    "host_token_revocation",
    metadata,
    Column("host_id", Uuid, primary_key=True, comment="tokens that it got before are void; it may enrol again"),
    Column("revoked_by", Text, nullable=False, comment="user name"),
    at("revoked_at", now=True),
    info={"writer": "api"},
)

host_approval = Table(
    "host_approval",
    metadata,
    Column("host_id", Uuid, primary_key=True),
    Column("approved_by", Text, nullable=False, comment="user name"),
    at("approved_at", now=True),
    info={"writer": "api"},
)
