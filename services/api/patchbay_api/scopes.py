"""Scopes: the hosts that an account or an API token is confined to, as terms such as tag:web and group:lab."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from marshmallow import fields, validate
from patchbay_shared import scoped_views
from patchbay_shared.db import Database
from sqlalchemy import Connection

_TERM = r"^(tag|group):[^\x00]{1,100}$"


def scope_field(
    description: str, *, load_default: list[str] | None = None, required: bool = False
) -> "fields.List[str]":
    """A body's scope: null, or at least one term."""
    settings = {"required": True} if required else {"load_default": load_default}
    return fields.List(
        fields.String(
            validate=[validate.Length(max=110), validate.Regexp(_TERM, error="Not as tag:web or group:lab.")]
        ),
        allow_none=True,
        validate=validate.Length(1, 50),
        metadata={"description": f"{description} Hosts with one of these tags or groups; null: every host."},
        **settings,
    )


def shown_scope(description: str) -> "fields.List[str]":
    """An answer's scope."""
    return fields.List(
        fields.String(),
        required=True,
        allow_none=True,
        metadata={
            "description": f"{description} tag:… and group:…, one of which a host must have; null: every host."
        },
    )


class ScopedDatabase(Database):
    """The database as somebody sees it who may see some hosts only: every transaction is narrowed."""

    def __init__(self, whole: Database, scopes: Sequence[Sequence[str]]) -> None:
        self.engine = whole.engine
        self._scopes = scopes

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """As that of the whole database, with the views of `scoped_views` in front of the tables."""
        with super().transaction() as connection:
            scoped_views.enter(connection, self._scopes)
            yield connection
