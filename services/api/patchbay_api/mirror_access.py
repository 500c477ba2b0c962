"""Access to mirrors that are not open to everybody: set and dropped here, used by repo-sync, never shown again."""

from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificates
from flask import abort
from marshmallow import Schema, ValidationError, fields, validate, validates_schema
from patchbay_shared.mirror_access import MirrorAccess

from patchbay_api.auth import principal
from patchbay_api.conventions.lists import WholeList
from patchbay_api.resource import Resource, context
from patchbay_api.store import mirrors as store

mirror_access = Resource("mirror-access", "Access to mirrors that are not open to everybody. Secrets are write-only.")

_PROXIES = {"http", "https", "socks5", "socks5h"}


def _secret(description: str, *, longest: int = 4_096) -> fields.String:
    return fields.String(
        load_default="",
        validate=[validate.Length(max=longest), validate.Regexp(r"^[^\x00]*$")],
        metadata={"description": description, "writeOnly": True},
    )


class Access(Schema):
    """An entry, without its secrets."""

    id = fields.Integer(required=True)
    url = fields.String(required=True, metadata={"description": "What the mirrors' URLs begin with."})
    kinds = fields.List(
        fields.String(),
        required=True,
        metadata={"description": "What it consists of: basic, bearer, certificate, authorities, proxy."},
    )
    changed_by = fields.String(required=True)
    changed_at = fields.AwareDateTime(required=True)


class Accesses(WholeList):
    """All of them."""

    items = fields.List(fields.Nested(Access), required=True)


class NewAccess(Schema):
    """An entry as it is set; it replaces the whole entry of the same URL."""

    url = fields.String(
        required=True,
        validate=validate.Length(1, 2_000),
        metadata={"description": "http or https; it counts for this URL and all below it, the longest first."},
    )
    username = _secret("For basic authentication.")
    password = _secret("For basic authentication.")
    token = _secret("Sent as Authorization: Bearer.")
    client_certificate = _secret("PEM, with the certificates between it and its authority.", longest=20_000)
    client_key = _secret("PEM, not encrypted.", longest=20_000)
    authorities = _secret("PEM: certificates to believe in place of the usual ones.", longest=20_000)
    proxy = _secret("URL with http, https, socks5 or socks5h.")

    @validates_schema
    def consistent(self, data: dict[str, Any], **_: Any) -> None:
        """Refuse what could never work."""
        parts = _split(data["url"], "url")
        if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc or parts.query:
            raise ValidationError("A URL with http or https, without a user and a query.", "url")
        if data["proxy"] and _split(data["proxy"], "proxy").scheme not in _PROXIES:
            raise ValidationError("A URL with http, https, socks5 or socks5h.", "proxy")
        if data["username"] and data["token"]:
            raise ValidationError("Either a user or a token.", "token")
        if bool(data["client_certificate"]) != bool(data["client_key"]):
            raise ValidationError("A certificate and its key belong together.", "client_key")
        if not MirrorAccess(**_secrets(data)).kinds:
            raise ValidationError("It has nothing to get in with.", "url")
        _refuse_unreadable(data)


def _split(url: str, field: str) -> Any:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  (it is judged by being read)
    except ValueError:
        raise ValidationError("Not a URL.", field) from None
    return parts


def _secrets(data: dict[str, Any]) -> dict[str, str]:
    return {name: value for name, value in data.items() if name != "url"}


def _refuse_unreadable(data: dict[str, Any]) -> None:
    for field in ("client_certificate", "authorities"):
        try:
            if data[field]:
                load_pem_x509_certificates(data[field].encode())
        except ValueError:
            raise ValidationError("Not a certificate in PEM.", field) from None
    try:
        if data["client_key"]:
            load_pem_private_key(data["client_key"].encode(), password=None)
    except (ValueError, TypeError):
        raise ValidationError("Not a key in PEM, or an encrypted one.", "client_key") from None


@mirror_access.get("/mirror-access", Accesses, permission="mirror-access.read")
def list_mirror_access() -> dict[str, Any]:
    """List which mirrors are accessed how."""
    with context().database.transaction() as connection:
        return {"items": store.accesses(connection)}


@mirror_access.post("/mirror-access", Access, status=200, body=NewAccess, permission="mirror-access.manage")
def set_mirror_access(body: dict[str, Any]) -> Any:
    """Set how mirrors below a URL are accessed."""
    access = MirrorAccess(**_secrets(body))
    sealed = access.sealed(context().settings.secret_key)
    with context().database.transaction() as connection:
        return store.set_access(
            connection, url=body["url"].rstrip("/"), kinds=access.kinds, sealed=sealed, by=principal().username
        )


@mirror_access.delete("/mirror-access/<int(max=2147483647):access_id>", permission="mirror-access.manage")
def drop_mirror_access(access_id: int) -> None:
    """Access mirrors below a URL as everybody does."""
    with context().database.transaction() as connection:
        if not store.drop_access(connection, access_id):
            abort(404, f"There is no entry {access_id}.")
