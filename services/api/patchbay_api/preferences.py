"""What somebody prefers to see: kept with the account, so that it is the same in every browser."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema
from patchbay_shared.tables import user_account
from sqlalchemy import Select, select

from patchbay_api.auth import principal
from patchbay_api.paging import STORABLE
from patchbay_api.problems import unprocessable
from patchbay_api.resource import Resource, context
from patchbay_api.store import users as store

preferences = Resource("preferences", "What somebody prefers to see, in every browser.")

MOST_NAMES = 20
_TEXTS = fields.List(
    fields.String(validate=[validate.Length(max=100), validate.Regexp(STORABLE)]),
    allow_none=True,
    validate=validate.Length(max=100),
)


class Preferences(Schema):
    """Names and what was chosen, in its order."""

    values = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.String()),
        required=True,
        metadata={"description": "As host_columns or dashboard_cards; absent: nothing was chosen."},
    )


class PreferencesChange(Schema):
    """What is not named stays as it is."""

    values = fields.Dict(
        keys=fields.String(validate=validate.Regexp(r"^[a-z][a-z0-9_]{0,49}$", error="Not as host_columns.")),
        values=_TEXTS,
        required=True,
        validate=validate.Length(1, MOST_NAMES),
        metadata={"description": "null: as if nothing had been chosen."},
    )

    @validates_schema
    def named(self, data: dict[str, Any], **_: Any) -> None:
        """A null among the texts is no text."""
        if any(None in (texts or []) for texts in data["values"].values()):
            raise ValidationError("Texts only.", "values")


@preferences.get("/me/preferences", Preferences, permission="own-account")
def get_preferences() -> dict[str, Any]:
    """Show what I prefer."""
    with context().database.transaction() as connection:
        return {"values": connection.scalar(_mine()) or {}}


@preferences.patch("/me/preferences", Preferences, status=200, body=PreferencesChange, permission="own-account")
def change_preferences(body: dict[str, Any]) -> dict[str, Any]:
    """Choose something, or nothing any more."""
    with context().database.transaction() as connection:
        values = {**(connection.scalar(_mine().with_for_update()) or {}), **body["values"]}
        kept = {name: texts for name, texts in values.items() if texts is not None}
        if len(kept) > MOST_NAMES:
            raise unprocessable("values", f"At most {MOST_NAMES} preferences are kept; give one up with null.")
        store.change_user(connection, principal().user_id, preferences=kept)
    return {"values": kept}


def _mine() -> Select[Any]:
    return select(user_account.c.preferences).where(user_account.c.id == principal().user_id)
