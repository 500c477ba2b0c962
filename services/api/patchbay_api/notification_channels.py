"""Where notifications go: channels, a test of each, and what was delivered."""

import secrets
from typing import Any
from urllib.parse import urlsplit

from flask import abort
from marshmallow import Schema, ValidationError, fields, validate, validates_schema
from patchbay_shared.errors import InvalidInput
from patchbay_shared.tables import notification, notification_channel
from sqlalchemy import Connection, RowMapping, delete, insert, select, update
from werkzeug.exceptions import UnprocessableEntity

from patchbay_api.auth import principal
from patchbay_api.conventions.lists import WholeList
from patchbay_api.notifications import outbox
from patchbay_api.notifications.senders import ChannelTarget, address_of, check_service, mail_url
from patchbay_api.paging import STORABLE, Key, Number, Page, PageQuery, fetch_page, page_of
from patchbay_api.resource import Resource, context

notification_channels = Resource("notification-channels", "Where notifications go, and what was delivered.")

_ID = "<int(max=2147483647):channel_id>"
_NUMBER = "<int(max=9223372036854775807):notification_id>"
_MAIL = r"^[^\s@,;<>\x00]{1,64}@[^\s@,;<>\x00]{1,190}$"


def _text(longest: int, description: str, **arguments: Any) -> fields.String:
    return fields.String(
        validate=[validate.Length(1, longest), validate.Regexp(STORABLE)],
        metadata={"description": description},
        **arguments,
    )


class Channel(Schema):
    """A channel, without its secrets."""

    id = fields.Integer(required=True)
    name = fields.String(required=True)
    type = fields.String(required=True, metadata={"description": "webhook, email or apprise"})
    address = fields.String(required=True, metadata={"description": "Without what may be secret."})
    enabled = fields.Boolean(required=True)
    changed_by = fields.String(required=True)
    changed_at = fields.AwareDateTime(required=True)


class ChannelMade(Channel):
    """With the secret that signs, shown this once."""

    secret = fields.String(
        required=True, allow_none=True, metadata={"description": "webhook: the key of X-Patchbay-Signature"}
    )


class Channels(WholeList):
    """All of them, by name."""

    items = fields.List(fields.Nested(Channel), required=True)


class Mail(Schema):
    """A mail server and who gets the mail."""

    server = fields.String(required=True, validate=[validate.Length(1, 253), validate.Regexp(r"^[A-Za-z0-9._-]+$")])
    port = fields.Integer(load_default=587, validate=validate.Range(1, 65_535))
    security = fields.String(load_default="starttls", validate=validate.OneOf(["starttls", "ssl", "none"]))
    username = fields.String(load_default="", validate=[validate.Length(max=200), validate.Regexp(STORABLE)])
    password = fields.String(
        load_default="",
        validate=[validate.Length(max=200), validate.Regexp(STORABLE)],
        metadata={"writeOnly": True},
    )
    sender = fields.String(required=True, validate=validate.Regexp(_MAIL))
    recipients = fields.List(
        fields.String(validate=validate.Regexp(_MAIL)), required=True, validate=validate.Length(1, 50)
    )


class NewChannel(Schema):
    """A channel to be made: of a webhook and of apprise the `url`, of mail the `mail`."""

    name = _text(100, "For people.", required=True)
    type = fields.String(required=True, validate=validate.OneOf(["webhook", "email", "apprise"]))
    url = _text(2_000, "webhook: http or https; apprise: as slack://…", load_only=True)
    secret = _text(200, "webhook: the key of the signature; one is made if it is left out. Write-only.")
    mail = fields.Nested(Mail)
    enabled = fields.Boolean(load_default=True)

    @validates_schema
    def consistent(self, data: dict[str, Any], **_: Any) -> None:
        """What the type needs, and nothing else."""
        needed = "mail" if data["type"] == "email" else "url"
        if needed not in data:
            raise ValidationError(f"A channel of type {data['type']} needs it.", needed)
        if data["type"] == "webhook" and not _is_web(data["url"]):
            raise ValidationError("A URL with http or https, without a user.", "url")
        if data["type"] == "apprise":
            try:
                check_service(data["url"])
            except InvalidInput as exc:
                raise ValidationError(str(exc), "url") from None


class ChannelChange(Schema):
    """What is not named stays as it is; a target is changed by making another channel."""

    name = _text(100, "For people.")
    enabled = fields.Boolean()

    @validates_schema
    def something(self, data: dict[str, Any], **_: Any) -> None:
        """An empty body would be a mistake."""
        if not data:
            raise ValidationError("Say what to change: name, enabled or both.", "enabled")


class NotificationItem(Schema):
    """One thing that was told."""

    kind = fields.String(required=True)
    subject = fields.String(required=True)
    title = fields.String(required=True)
    detail = fields.String(required=True)
    host_count = fields.Integer(required=True)


class Notification(Schema):
    """One message to one channel."""

    id = fields.Integer(required=True)
    channel_id = fields.Integer(required=True)
    channel = fields.String(required=True)
    rule = fields.String(required=True, metadata={"description": "empty: a test of the channel"})
    title = fields.String(required=True)
    items = fields.List(fields.Nested(NotificationItem), required=True)
    state = fields.String(required=True, metadata={"description": "waiting, sent or failed"})
    attempts = fields.Integer(required=True)
    error = fields.String(required=True, metadata={"description": "Of the last attempt."})
    created_at = fields.AwareDateTime(required=True)
    next_attempt_at = fields.AwareDateTime(required=True)
    sent_at = fields.AwareDateTime(required=True, allow_none=True)


class NotificationQuery(PageQuery):
    """Which messages; the newest come first."""

    state = fields.String(validate=validate.OneOf(["waiting", "sent", "failed"]))


class Queued(Schema):
    """A message in the outbox; `GET /notifications/{id}` says what became of it."""

    id = fields.Integer(required=True)


_SHOWN = [
    notification_channel.c[name] for name in ("id", "name", "type", "address", "enabled", "changed_by", "changed_at")
]


@notification_channels.get("/notification-channels", Channels, permission="notifications.read")
def list_notification_channels() -> dict[str, Any]:
    """List channels."""
    with context().database.transaction() as connection:
        rows = connection.execute(select(*_SHOWN).order_by(notification_channel.c.name)).mappings()
        return {"items": list(rows)}


@notification_channels.post(
    "/notification-channels", ChannelMade, status=201, body=NewChannel, permission="notifications.manage"
)
def add_notification_channel(body: dict[str, Any]) -> dict[str, Any]:
    """Make a channel. What it sends to is kept encrypted and never shown again."""
    secret = None
    if body["type"] == "email":
        url = mail_url(**body["mail"])
        address = f"{', '.join(body['mail']['recipients'])} by {body['mail']['server']}"
    else:
        url, address = body["url"], address_of(body["type"], body["url"])
    if body["type"] == "webhook":
        secret = body.get("secret") or secrets.token_urlsafe(32)
    target = ChannelTarget(url=url, secret=secret or "")
    sealed = target.sealed(context().settings.secret_key)
    with context().database.transaction() as connection:
        _refuse_taken(connection, body["name"])
        made = connection.execute(
            insert(notification_channel)
            .values(
                name=body["name"],
                type=body["type"],
                address=address,
                sealed=sealed,
                enabled=body["enabled"],
                changed_by=principal().username,
            )
            .returning(*_SHOWN)
        )
        return {**made.mappings().one(), "secret": secret if "secret" not in body else None}


@notification_channels.patch(
    f"/notification-channels/{_ID}", Channel, status=200, body=ChannelChange, permission="notifications.manage"
)
def change_notification_channel(body: dict[str, Any], channel_id: int) -> RowMapping:
    """Rename a channel, or turn it on or off."""
    with context().database.transaction() as connection:
        _channel_or_404(connection, channel_id)
        if "name" in body:
            _refuse_taken(connection, body["name"], but=channel_id)
        changed = connection.execute(
            update(notification_channel)
            .where(notification_channel.c.id == channel_id)
            .values(**body, changed_by=principal().username)
            .returning(*_SHOWN)
        )
        return changed.mappings().one()


@notification_channels.delete(f"/notification-channels/{_ID}", permission="notifications.manage")
def drop_notification_channel(channel_id: int) -> None:
    """Drop a channel, with its messages."""
    with context().database.transaction() as connection:
        _channel_or_404(connection, channel_id)
        connection.execute(delete(notification_channel).where(notification_channel.c.id == channel_id))


@notification_channels.post(
    f"/notification-channels/{_ID}/test", Queued, status=202, permission="notifications.manage"
)
def test_notification_channel(channel_id: int) -> dict[str, Any]:
    """Send a message that says only that it arrived."""
    with context().database.transaction() as connection:
        found = _channel_or_404(connection, channel_id)
        title = f"Test of the channel {found['name']} by {principal().username}"
        return {"id": outbox.add_test(connection, channel_id, title)}


@notification_channels.get(
    "/notifications",
    page_of(Notification, "NotificationPage"),
    query=NotificationQuery,
    permission="notifications.read",
)
def list_notifications(query: dict[str, Any]) -> Page:
    """List what was delivered and what waits, the newest first."""
    statement = _notifications()
    if query.get("state"):
        statement = statement.where(notification.c.state == query["state"])
    with context().database.transaction() as connection:
        return fetch_page(
            connection,
            statement,
            [Key(notification.c.id, Number, descending=True)],
            sort="-id",
            limit=query["limit"],
            cursor=query.get("cursor"),
        )


@notification_channels.get(f"/notifications/{_NUMBER}", Notification, permission="notifications.read")
def get_notification(notification_id: int) -> RowMapping:
    """Show one message and what became of it."""
    with context().database.transaction() as connection:
        found = connection.execute(_notifications().where(notification.c.id == notification_id)).mappings()
        row = found.one_or_none()
    if row is None:
        abort(404, f"There is no notification {notification_id}.")
    return row


@notification_channels.post(f"/notifications/{_NUMBER}/retry", Queued, status=202, permission="notifications.manage")
def retry_notification(notification_id: int) -> dict[str, Any]:
    """Deliver a message again that was given up."""
    with context().database.transaction() as connection:
        if not outbox.retry(connection, notification_id):
            abort(404, f"There is no failed notification {notification_id}.")
    return {"id": notification_id}


def _notifications() -> Any:
    return select(notification, notification_channel.c.name.label("channel")).join(
        notification_channel, notification_channel.c.id == notification.c.channel_id
    )


def _channel_or_404(connection: Connection, channel_id: int) -> RowMapping:
    rows = connection.execute(select(*_SHOWN).where(notification_channel.c.id == channel_id))
    found = rows.mappings().one_or_none()
    if found is None:
        abort(404, f"There is no channel {channel_id}.")
    return found


def _refuse_taken(connection: Connection, name: str, *, but: int | None = None) -> None:
    taken = connection.scalar(select(notification_channel.c.id).where(notification_channel.c.name == name))
    if taken is not None and taken != but:
        error = UnprocessableEntity()
        error.data = {"messages": {"json": {"name": [f"A channel is called {name!r} already."]}}}  # type: ignore[attr-defined]
        raise error


def _is_web(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in {"http", "https"} and bool(parts.hostname) and "@" not in parts.netloc and parts.port != 0
        )
    except ValueError:
        return False
