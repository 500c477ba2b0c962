"""Exceptions: an advisory, a CVE or a package that is waived somewhere, by whom, why, and until when."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from flask import abort
from marshmallow import Schema, ValidationError, fields, validate, validates_schema
from patchbay_shared.tables import risk_exception

from patchbay_api.auth import principal
from patchbay_api.groups import check_group_id
from patchbay_api.paging import Key, Number, Page, PageQuery, fetch_page, page_of, text_field
from patchbay_api.resource import Resource, context
from patchbay_api.store import exceptions as store

exceptions = Resource("exceptions", "What is waived, where, by whom, why, and until when.")

KINDS = ("cve", "advisory", "package")
SCOPES = ("host", "tag", "group")
STATES = ("active", "expired", "ended")


def _word(description: str, longest: int = 200) -> fields.String:
    return fields.String(
        required=True,
        validate=[validate.Length(1, longest), validate.Regexp(r"^[^\x00]*[^\s\x00][^\x00]*\Z")],
        metadata={"description": description},
    )


class NewException(Schema):
    """What to waive, and who answers for it."""

    kind = fields.String(required=True, validate=validate.OneOf(KINDS))
    subject = _word("The id of the CVE or advisory, as listed; the name of a binary or source package.")
    scope = fields.String(required=True, validate=validate.OneOf(SCOPES))
    target = _word("The host's id, the tag, or the group's id.")
    owner = _word("Who answers for it.")
    reason = _word("Why it need not be fixed there, or not yet.", 2_000)
    expires_at = fields.AwareDateTime(
        load_default=None,
        allow_none=True,
        metadata={"description": "From then on what was waived counts again; null: until somebody ends it."},
    )

    @validates_schema
    def plausible(self, data: dict[str, Any], **_: Any) -> None:
        """An exception that holds nowhere or never would be a mistake."""
        if data["scope"] == "host":
            try:
                UUID(data["target"])
            except ValueError as exc:
                raise ValidationError("Not the id of a host; GET /api/v1/hosts lists them.", "target") from exc
        if data["scope"] == "group":
            check_group_id(data["target"])
        if data["expires_at"] is not None and data["expires_at"] <= datetime.now(UTC):
            raise ValidationError("It is in the past, so nothing would be waived.", "expires_at")


class RiskException(Schema):
    """An exception."""

    id = fields.Integer(required=True)
    kind = fields.String(required=True, validate=validate.OneOf(KINDS))
    subject = fields.String(required=True)
    scope = fields.String(required=True, metadata={"description": "host, tag or group"})
    target = fields.String(required=True)
    target_name = fields.String(
        required=True, allow_none=True, metadata={"description": "Its name; null: that host or group is gone."}
    )
    owner = fields.String(required=True)
    reason = fields.String(required=True)
    state = fields.String(
        required=True,
        validate=validate.OneOf(STATES),
        metadata={"description": "Only an active one waives anything; an expired one was not ended by anybody."},
    )
    created_by = fields.String(required=True)
    created_at = fields.AwareDateTime(required=True)
    expires_at = fields.AwareDateTime(required=True, allow_none=True)
    ended_at = fields.AwareDateTime(required=True, allow_none=True)
    ended_by = fields.String(required=True, allow_none=True)


class ExceptionQuery(PageQuery):
    """Which exceptions."""

    state = fields.String(validate=validate.OneOf(STATES))
    subject = text_field("Exactly this CVE, advisory or package.")
    scope = fields.String(validate=validate.OneOf(SCOPES), metadata={"description": "Only of this scope."})
    host_id = fields.UUID(metadata={"description": "Those in whose scope this host is."})


@exceptions.get(
    "/exceptions", page_of(RiskException, "RiskExceptionPage"), query=ExceptionQuery, permission="hosts.read"
)
def list_exceptions(query: dict[str, Any]) -> Page:
    """List exceptions, the newest first."""
    statement = store.exceptions(state=query.get("state"), subject=query.get("subject"), host_id=query.get("host_id"))
    if query.get("scope"):
        statement = statement.where(risk_exception.c.scope == query["scope"])
    with context().database.transaction() as connection:
        return fetch_page(
            connection,
            statement,
            [Key(risk_exception.c.id, Number, descending=True)],
            sort="-id",
            limit=query["limit"],
            cursor=query.get("cursor"),
        )


@exceptions.get("/exceptions/<int(max=9223372036854775807):exception_id>", RiskException, permission="hosts.read")
def get_exception(exception_id: int) -> Any:
    """Show one exception."""
    with context().database.transaction() as connection:
        return _or_404(store.exception_by_id(connection, exception_id), exception_id)


@exceptions.post("/exceptions", RiskException, status=201, body=NewException, permission="exceptions.operate")
def create_exception(body: dict[str, Any]) -> Any:
    """Waive an advisory, a CVE or a package for a host, a group or all hosts with a tag."""
    with context().database.transaction() as connection:
        return store.add_exception(connection, by=principal().username, **body)


@exceptions.post(
    "/exceptions/<int(max=9223372036854775807):exception_id>/end",
    RiskException,
    status=200,
    permission="exceptions.operate",
)
def end_exception(exception_id: int) -> Any:
    """End an exception: what it waived counts again. It stays listed; ending it twice changes nothing."""
    with context().database.transaction() as connection:
        return _or_404(store.end_exception(connection, exception_id, by=principal().username), exception_id)


def _or_404(found: Any, exception_id: int) -> Any:
    if found is None:
        abort(404, f"There is no exception {exception_id}.")
    return found
