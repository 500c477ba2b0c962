"""What operators do: saved views, jobs over many hosts, and answers kept for repeated requests.

Written by api, but for `job_part`: how far update-engine has come with a job.
"""

from sqlalchemy import (
    ARRAY,
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
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

from patchbay_shared.tables.metadata import at, metadata

kept_answer = Table(
    "kept_answer",
    metadata,
    Column("caller", Text, primary_key=True, comment="user name"),
    Column("key", Text, primary_key=True, comment="the request's Idempotency-Key"),
    Column("fingerprint", LargeBinary, nullable=False, comment="SHA-256 of method, address and body"),
    Column("status", SmallInteger, comment="null: the request is at work"),
    Column("content_type", Text, nullable=False, server_default=""),
    Column("sealed", LargeBinary, comment="the body, encrypted by patchbay_shared.sealing"),
    at("created_at", now=True),
    Index("ix_kept_answer_created_at", "created_at"),
    info={"writer": "api"},
)

saved_view = Table(
    "saved_view",
    metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    Column("owner", Text, nullable=False, comment="user name"),
    Column("name", Text, nullable=False),
    Column("list", Text, nullable=False, comment="which list it is a view of, as hosts"),
    Column("query", Text, nullable=False),
    Column("sort", Text, nullable=False),
    Column("fields", ARRAY(Text), nullable=False, comment="columns that are shown; empty: the usual ones"),
    Column("shared", Boolean, nullable=False, comment="everybody sees it"),
    at("changed_at", now=True),
    UniqueConstraint("owner", "name"),
    info={"writer": "api"},
)

job = Table(
    "job",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("action", Text, nullable=False),
    Column("query", Text, nullable=False, comment="which hosts were asked for; empty where they were named"),
    Column("parameters", JSONB, nullable=False),
    Column("requested_by", Text, nullable=False, comment="user name"),
    at("requested_at", now=True),
    Column("subject_ids", ARRAY(Uuid), nullable=False, comment="of the hosts, or the repositories, ascending"),
    Column("part_count", Integer, nullable=False, comment="parts handed to update-engine; 0: none"),
    Column("done_count", Integer, nullable=False, comment="done at once, by api itself"),
    Index("ix_job_requested_at", "requested_at", "id"),
    info={"writer": "api"},
)

job_part = Table(
    "job_part",
    metadata,
    Column("job_id", Uuid, ForeignKey("job.id", ondelete="CASCADE"), primary_key=True),
    Column("part", Integer, primary_key=True),
    Column("done_count", Integer, nullable=False),
    Column("failed_count", Integer, nullable=False),
    Column("message", Text, nullable=False, comment="why some failed"),
    at("finished_at"),
    Index("ix_job_part_finished_at", "finished_at"),
    info={"writer": "update-engine"},
)
