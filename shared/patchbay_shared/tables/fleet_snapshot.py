"""Written by api: the fleet's figures as they were, hour by hour and later day by day."""

from sqlalchemy import Column, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from patchbay_shared.tables.metadata import at, metadata

_AT = at("at")
_AT.primary_key = True

fleet_snapshot = Table(
    "fleet_snapshot",
    metadata,
    _AT,
    Column("dimension", Text, primary_key=True, comment="fleet, os, severity or age"),
    Column("value", Text, primary_key=True, comment="which of them; empty for fleet"),
    Column("figures", JSONB, nullable=False, comment="name to number"),
    info={"writer": "api"},
)
