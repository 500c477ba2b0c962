"""notifications: channels, rules, what rules noticed, and the outbox"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0014"
down_revision: str | None = "0013"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "notification_channel",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False, comment="webhook, email or apprise"),
        sa.Column("address", sa.Text(), nullable=False, comment="for people, without secrets"),
        sa.Column(
            "sealed",
            sa.LargeBinary(),
            nullable=False,
            comment="ChannelTarget, encrypted by patchbay_shared.sealing",
        ),
        sa.Column("enabled", sa.Boolean(), server_default="true", nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False, comment="user name"),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notification_channel")),
        sa.UniqueConstraint("name", name=op.f("uq_notification_channel_name")),
    )
    op.create_table(
        "notification_rule",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kinds", sa.ARRAY(sa.Text()), nullable=False, comment="kinds of events"),
        sa.Column("query", sa.Text(), server_default="", nullable=False, comment="which hosts; empty: all"),
        sa.Column("channel_ids", sa.ARRAY(sa.Integer()), nullable=False),
        sa.Column(
            "include_present", sa.Boolean(), server_default="false", nullable=False, comment="also what was so before"
        ),
        sa.Column(
            "digest_minutes", sa.Integer(), server_default="0", nullable=False, comment="collected for so long"
        ),
        sa.Column(
            "delay_minutes",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="told once it is so for so long",
        ),
        sa.Column("quiet_from", sa.Time(), nullable=True, comment="told later from then"),
        sa.Column("quiet_until", sa.Time(), nullable=True, comment="until then"),
        sa.Column("timezone", sa.Text(), server_default="UTC", nullable=False, comment="of the quiet hours"),
        sa.Column("enabled", sa.Boolean(), server_default="true", nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False, comment="user name"),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "error",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="why its last look failed; empty: it did not",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notification_rule")),
        sa.UniqueConstraint("name", name=op.f("uq_notification_rule_name")),
    )
    op.create_table(
        "notification_noticed",
        sa.Column("rule_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False, comment="an advisory, a CVE, a host's id, …"),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("host_count", sa.Integer(), nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["rule_id"],
            ["notification_rule.id"],
            name=op.f("fk_notification_noticed_rule_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("rule_id", "kind", "subject", name=op.f("pk_notification_noticed")),
    )
    op.create_table(
        "notification",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("channel_id", sa.Integer(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False, comment="its name; empty: a test of the channel"),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column(
            "items",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="[{kind, subject, title, detail, host_count}]",
        ),
        sa.Column("state", sa.Text(), server_default="waiting", nullable=False, comment="waiting, sent or failed"),
        sa.Column("attempts", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("error", sa.Text(), server_default="", nullable=False, comment="of the last attempt"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["channel_id"],
            ["notification_channel.id"],
            name=op.f("fk_notification_channel_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notification")),
    )
    op.create_index("ix_notification_state", "notification", ["state", "next_attempt_at"])


def downgrade() -> None:
    for table in ("notification", "notification_noticed", "notification_rule", "notification_channel"):
        op.drop_table(table)
