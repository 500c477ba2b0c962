"""The MetaData that all tables share, and the columns that recur."""

from datetime import datetime

from sqlalchemy import Column, DateTime, MetaData, func

SERVICES = ("ingest", "repo-sync", "update-engine", "errata", "api", "web")

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def at(name: str, *, nullable: bool = False, now: bool = False) -> Column[datetime]:
    """A timestamptz column; `now` lets the database fill it in."""
    return Column(name, DateTime(timezone=True), nullable=nullable, server_default=func.now() if now else None)
