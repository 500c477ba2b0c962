"""who may do what: custom roles, scopes, API tokens, second factors; the audit's chain of events"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Grants keep the API's role from changing events; the trigger keeps everybody from it, a person at psql included.
_APPEND_ONLY = """
CREATE FUNCTION audit_event_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit_event is append-only: % is refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER audit_event_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_event
    FOR EACH STATEMENT EXECUTE FUNCTION audit_event_is_append_only();
"""


def upgrade() -> None:
    op.create_table(
        "audit_event",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False, comment="1, 2, 3 … without a gap"),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False, comment="user name; empty: nobody signed in"),
        sa.Column(
            "credential", sa.Text(), nullable=False, comment="session, token NAME, password, oidc or command line"
        ),
        sa.Column("address", sa.Text(), nullable=False, comment="where the request came from"),
        sa.Column("action", sa.Text(), nullable=False, comment="operationId of the API"),
        sa.Column("object_type", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False, comment="done, denied or failed"),
        sa.Column("before", sa.Text(), nullable=True, comment="JSON, exactly as it was hashed"),
        sa.Column("after", sa.Text(), nullable=True, comment="JSON, exactly as it was hashed"),
        sa.Column("previous_hash", sa.LargeBinary(), nullable=False, comment="hash of the event before"),
        sa.Column("hash", sa.LargeBinary(), nullable=False, comment="SHA-256 over all the other columns"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_event")),
    )
    op.create_index("ix_audit_event_actor", "audit_event", ["actor", "id"], unique=False)
    op.create_index("ix_audit_event_at", "audit_event", ["at"], unique=False)
    op.create_index("ix_audit_event_object", "audit_event", ["object_type", "object_id", "id"], unique=False)
    op.create_table(
        "sign_in_failure",
        sa.Column("source", sa.Text(), nullable=False, comment="IPv4 address, or the /64 of an IPv6 one"),
        sa.Column("failure_count", sa.Integer(), nullable=False),
        sa.Column("counted_since", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("source", name=op.f("pk_sign_in_failure")),
    )
    op.create_table(
        "user_role",
        sa.Column("name", sa.Text(), nullable=False, comment="viewer, operator and admin are in the code, not here"),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("permissions", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_user_role")),
    )
    op.create_table(
        "api_token",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False, comment="SHA-256 of the token"),
        sa.Column("prefix", sa.Text(), nullable=False, comment="its first characters, to recognise it by"),
        sa.Column("permissions", sa.ARRAY(sa.Text()), nullable=True, comment="null: all that its owner has"),
        sa.Column(
            "scope",
            sa.ARRAY(sa.Text()),
            nullable=True,
            comment="tag:… and group:…, beside its owner's; null: that only",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_from", sa.Text(), server_default="", nullable=False, comment="address"),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user_account.id"], name=op.f("fk_api_token_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_token")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_api_token_token_hash")),
    )
    op.create_index(op.f("ix_api_token_user_id"), "api_token", ["user_id"], unique=False)
    op.create_table(
        "oidc_identity",
        sa.Column("subject", sa.Text(), nullable=False, comment="issuer and subject, a space between"),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("linked_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user_account.id"], name=op.f("fk_oidc_identity_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_oidc_identity")),
        sa.UniqueConstraint("user_id", name=op.f("uq_oidc_identity_user_id")),
    )
    op.create_table(
        "pending_sign_in",
        sa.Column(
            "token_hash", sa.LargeBinary(), nullable=False, comment="SHA-256 of what the browser holds meanwhile"
        ),
        sa.Column("kind", sa.Text(), nullable=False, comment="second-factor or oidc"),
        sa.Column("user_id", sa.Integer(), nullable=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=True, comment="oidc: nonce and PKCE verifier, encrypted"),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user_account.id"], name=op.f("fk_pending_sign_in_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_pending_sign_in")),
    )
    op.create_index(op.f("ix_pending_sign_in_user_id"), "pending_sign_in", ["user_id"], unique=False)
    op.create_table(
        "second_factor",
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column(
            "sealed", sa.LargeBinary(), nullable=False, comment="TOTP secret, encrypted by patchbay_shared.sealing"
        ),
        sa.Column(
            "used_step",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="30 s step of the last code taken",
        ),
        sa.Column(
            "recovery_hashes", sa.ARRAY(sa.LargeBinary()), nullable=False, comment="SHA-256; a used one is removed"
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user_account.id"], name=op.f("fk_second_factor_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_second_factor")),
    )
    op.add_column(
        "user_account",
        sa.Column(
            "scope",
            sa.ARRAY(sa.Text()),
            nullable=True,
            comment="tag:… and group:…: hosts that have one of them; null: all hosts",
        ),
    )
    op.add_column(
        "user_account", sa.Column("must_change_password", sa.Boolean(), server_default="false", nullable=False)
    )
    op.add_column(
        "user_account",
        sa.Column("password_changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
    )
    op.add_column("user_account", sa.Column("last_sign_in_at", sa.DateTime(timezone=True), nullable=True))
    op.alter_column(
        "user_account",
        "password_hash",
        existing_type=sa.TEXT(),
        comment="argon2id; empty: signs in elsewhere only",
        existing_comment="argon2id",
        existing_nullable=False,
    )
    op.alter_column(
        "user_account",
        "role",
        existing_type=sa.TEXT(),
        comment="viewer, operator, admin or the name of a user_role",
        existing_comment="viewer, operator or admin",
        existing_nullable=False,
    )
    op.add_column("user_session", sa.Column("address", sa.Text(), server_default="", nullable=False))
    op.add_column("user_session", sa.Column("user_agent", sa.Text(), server_default="", nullable=False))
    op.add_column(
        "user_session",
        sa.Column("last_used_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
    )
    op.execute(_APPEND_ONLY)


def downgrade() -> None:
    op.drop_column("user_session", "last_used_at")
    op.drop_column("user_session", "user_agent")
    op.drop_column("user_session", "address")
    op.alter_column(
        "user_account",
        "role",
        existing_type=sa.TEXT(),
        comment="viewer, operator or admin",
        existing_comment="viewer, operator, admin or the name of a user_role",
        existing_nullable=False,
    )
    op.alter_column(
        "user_account",
        "password_hash",
        existing_type=sa.TEXT(),
        comment="argon2id",
        existing_comment="argon2id; empty: signs in elsewhere only",
        existing_nullable=False,
    )
    op.drop_column("user_account", "last_sign_in_at")
    op.drop_column("user_account", "password_changed_at")
    op.drop_column("user_account", "must_change_password")
    op.drop_column("user_account", "scope")
    op.drop_table("second_factor")
    op.drop_index(op.f("ix_pending_sign_in_user_id"), table_name="pending_sign_in")
    op.drop_table("pending_sign_in")
    op.drop_table("oidc_identity")
    op.drop_index(op.f("ix_api_token_user_id"), table_name="api_token")
    op.drop_table("api_token")
    op.drop_table("user_role")
    op.drop_table("sign_in_failure")
    op.drop_index("ix_audit_event_object", table_name="audit_event")
    op.drop_index("ix_audit_event_at", table_name="audit_event")
    op.drop_index("ix_audit_event_actor", table_name="audit_event")
    op.drop_table("audit_event")
    op.execute("DROP FUNCTION audit_event_is_append_only()")
