"""Written by api: whom operators want told what, what each rule has noticed, and the outbox."""

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
    Time,
)
from sqlalchemy.dialects.postgresql import JSONB

from patchbay_shared.tables.metadata import at, metadata

notification_channel = Table(
    "notification_channel",
    metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("type", Text, nullable=False, comment="webhook, email or apprise"),
    Column("address", Text, nullable=False, comment="for people, without secrets"),
    Column("sealed", LargeBinary, nullable=False, comment="ChannelTarget, encrypted by patchbay_shared.sealing"),
    Column("enabled", Boolean, nullable=False, server_default="true"),
    Column("changed_by", Text, nullable=False, comment="user name"),
    at("changed_at", now=True),
    info={"writer": "api"},
)

notification_rule = Table(
    "notification_rule",
    metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("kinds", ARRAY(Text), nullable=False, comment="kinds of events"),
    Column("query", Text, nullable=False, server_default="", comment="which hosts; empty: all"),
    Column("channel_ids", ARRAY(Integer), nullable=False),
    Column("include_present", Boolean, nullable=False, server_default="false", comment="also what was so before"),
    Column("digest_minutes", Integer, nullable=False, server_default="0", comment="collected for so long"),
    Column("delay_minutes", Integer, nullable=False, server_default="0", comment="told once it is so for so long"),
    Column("quiet_from", Time, comment="told later from then"),
    Column("quiet_until", Time, comment="until then"),
    Column("timezone", Text, nullable=False, server_default="UTC", comment="of the quiet hours"),
    Column("enabled", Boolean, nullable=False, server_default="true"),
    Column("changed_by", Text, nullable=False, comment="user name"),
    at("changed_at", now=True),
    at("started_at", nullable=True),  # of its first look; what was so before is not news
    Column("error", Text, nullable=False, server_default="", comment="why its last look failed; empty: it did not"),
    info={"writer": "api"},
)

notification_noticed = Table(
    "notification_noticed",
    metadata,
    Column("rule_id", Integer, ForeignKey("notification_rule.id", ondelete="CASCADE"), primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("subject", Text, primary_key=True, comment="an advisory, a CVE, a host's id, …"),
    Column("title", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("host_count", Integer, nullable=False),
    at("first_seen_at", now=True),
    at("last_seen_at", now=True),
    at("told_at", nullable=True),
    info={"writer": "api"},
)

notification = Table(
    "notification",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("channel_id", Integer, ForeignKey("notification_channel.id", ondelete="CASCADE"), nullable=False),
    Column("rule", Text, nullable=False, comment="its name; empty: a test of the channel"),
    Column("title", Text, nullable=False),
    Column("items", JSONB, nullable=False, comment="[{kind, subject, title, detail, host_count}]"),
    Column("state", Text, nullable=False, server_default="waiting", comment="waiting, sent or failed"),
    Column("attempts", SmallInteger, nullable=False, server_default="0"),
    Column("error", Text, nullable=False, server_default="", comment="of the last attempt"),
    at("created_at", now=True),
    at("next_attempt_at", now=True),
    at("leased_until", nullable=True),
    at("sent_at", nullable=True),
    Index("ix_notification_state", "state", "next_attempt_at"),
    info={"writer": "api"},
)
