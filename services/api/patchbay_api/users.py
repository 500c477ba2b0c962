"""Users: who may sign in, in which role, for which hosts."""

from typing import Any

from flask import abort
from marshmallow import Schema, ValidationError, fields, validate, validates_schema
from patchbay_shared.tables import user_account
from sqlalchemy import Connection, RowMapping
from werkzeug.exceptions import Forbidden

from patchbay_api.accounts import LONGEST_PASSWORD, hash_password, new_password, password_complaint
from patchbay_api.auth import principal
from patchbay_api.paging import STORABLE, Key, Page, PageQuery, fetch_page, page_of, text_field
from patchbay_api.permissions import BUILT_IN_ROLES, permissions_of
from patchbay_api.problems import conflict, unprocessable
from patchbay_api.resource import Resource, context
from patchbay_api.scopes import scope_field, shown_scope
from patchbay_api.store import accounts
from patchbay_api.store import users as store

users = Resource("users", "Who may sign in, in which role, for which hosts.")

_USERNAME = r"^[a-z0-9][a-z0-9._@+-]*$"
_USER = "/users/<int(max=2147483647):user_id>"


class UserQuery(PageQuery):
    """Which accounts; they are in order of their names."""

    q = text_field("Part of the user name.")
    role = text_field("Only this role.")
    disabled = fields.Boolean(metadata={"description": "Whether it may not sign in any more."})


class User(Schema):
    """An account."""

    id = fields.Integer(required=True)
    username = fields.String(required=True)
    role = fields.String(required=True)
    scope = shown_scope("Which hosts it sees and acts on.")
    disabled = fields.Boolean(required=True)
    waiting = fields.Boolean(required=True, metadata={"description": "Pausing after failed attempts to sign in."})
    must_change_password = fields.Boolean(required=True)
    has_password = fields.Boolean(
        required=True, metadata={"description": "false: it signs in by OpenID Connect only."}
    )
    second_factor = fields.Boolean(required=True, metadata={"description": "It signs in with a code beside."})
    oidc_subject = fields.String(
        required=True, allow_none=True, metadata={"description": "Issuer and subject of OpenID Connect; null: none."}
    )
    session_count = fields.Integer(required=True)
    token_count = fields.Integer(
        required=True, metadata={"description": "API tokens that are neither revoked nor expired."}
    )
    created_at = fields.AwareDateTime(required=True)
    last_sign_in_at = fields.AwareDateTime(required=True, allow_none=True)


class NewUser(Schema):
    """An account to make."""

    username = fields.String(
        required=True,
        validate=[
            validate.Length(1, 100),
            validate.Regexp(
                _USERNAME, error="Small letters, digits and . _ @ + -, beginning with a letter or digit."
            ),
        ],
    )
    role = text_field("viewer, operator, admin, or the name of a role of GET /roles.", required=True)
    scope = scope_field("Which hosts it sees and acts on.")
    password = fields.String(
        load_default=None,
        allow_none=True,
        validate=[validate.Length(1, LONGEST_PASSWORD), validate.Regexp(STORABLE)],
        metadata={
            "description": "To be changed at the first sign-in; null: one is generated and shown this once.",
            "writeOnly": True,
        },
    )
    oidc_subject = text_field(
        "Issuer and subject: it signs in by OpenID Connect, and has no password.", load_default=None
    )

    @validates_schema
    def consistent(self, data: dict[str, Any], **_: Any) -> None:
        """Refuse an account that could sign in by two ways by mistake."""
        if data.get("password") and data.get("oidc_subject"):
            raise ValidationError("An account has a password or a subject of OpenID Connect.", "password")


class CreatedUser(User):
    """A new account."""

    initial_password = fields.String(
        required=True, allow_none=True, metadata={"description": "If it was generated; shown this once."}
    )


class UserChange(Schema):
    """What is not named stays as it is."""

    role = text_field("viewer, operator, admin, or the name of a role of GET /roles.")
    scope = scope_field("Which hosts it sees and acts on.", load_default=None)
    disabled = fields.Boolean()
    oidc_subject = text_field("Issuer and subject of OpenID Connect; null: not linked any more.", allow_none=True)

    @validates_schema
    def something(self, data: dict[str, Any], **_: Any) -> None:
        """An empty body would be a mistake."""
        if not data:
            raise ValidationError("Say what to change: role, scope, disabled or oidc_subject.", "role")


class NewPassword(Schema):
    """A password that somebody else sets."""

    password = fields.String(
        load_default=None,
        allow_none=True,
        validate=[validate.Length(1, LONGEST_PASSWORD), validate.Regexp(STORABLE)],
        metadata={"description": "null: one is generated and shown this once.", "writeOnly": True},
    )


class PasswordReset(Schema):
    """What became of it."""

    id = fields.Integer(required=True)
    username = fields.String(required=True)
    initial_password = fields.String(
        required=True, allow_none=True, metadata={"description": "If it was generated; shown this once."}
    )


class SignedOut(Schema):
    """How many sessions ended."""

    id = fields.Integer(required=True)
    count = fields.Integer(required=True)


@users.get("/users", page_of(User, "UserPage"), query=UserQuery, permission="users.read")
def list_users(query: dict[str, Any]) -> Page:
    """List users."""
    statement = store.users()
    if query.get("q"):
        statement = statement.where(user_account.c.username.icontains(query["q"], autoescape=True))
    if query.get("role"):
        statement = statement.where(user_account.c.role == query["role"])
    if "disabled" in query:
        statement = statement.where(user_account.c.disabled.is_(query["disabled"]))
    with context().database.transaction() as connection:
        return fetch_page(
            connection,
            statement,
            [Key(user_account.c.username, str)],
            sort="username",
            limit=query["limit"],
            cursor=query.get("cursor"),
        )


@users.get(_USER, User, permission="users.read")
def get_user(user_id: int) -> Any:
    """Show one user."""
    with context().database.transaction() as connection:
        return _user_or_404(connection, user_id)


@users.post("/users", CreatedUser, status=201, body=NewUser, permission="users.manage", errors=(409,))
def create_user(body: dict[str, Any]) -> dict[str, Any]:
    """Make a user; the password is theirs to change at the first sign-in."""
    generated = None if body["password"] or body["oidc_subject"] else new_password()
    if body["password"]:
        _judge(body["password"], body["username"])
    password = body["password"] or generated
    password_hash = hash_password(password) if password else ""
    with context().database.transaction() as connection:
        store.lock(connection)
        _require_grantable(connection, body["role"])
        user_id = store.add_user(
            connection,
            username=body["username"],
            role=body["role"],
            scope=_normal(body["scope"]),
            password_hash=password_hash,
            must_change_password=password is not None,
        )
        if user_id is None:
            raise conflict(f"There is a user {body['username']} already.")
        if not store.link(connection, user_id, body["oidc_subject"]):
            raise conflict("Another account is linked to this subject.")
        return {**_user_or_404(connection, user_id), "initial_password": generated}


@users.patch(_USER, User, status=200, body=UserChange, permission="users.manage", errors=(409,))
def change_user(body: dict[str, Any], user_id: int) -> Any:
    """Change a user's role, hosts or right to sign in; the user's sessions end, so that it holds at once."""
    with context().database.transaction() as connection:
        store.lock(connection)
        found = _manageable(connection, user_id)
        if user_id == principal().user_id:
            raise conflict("Nobody changes their own rights; another administrator can.")
        if "role" in body:
            _require_grantable(connection, body["role"])
        if "oidc_subject" in body:
            _link(connection, found, body["oidc_subject"])
        values = {name: value for name, value in body.items() if name != "oidc_subject"}
        if "scope" in body:
            values["scope"] = _normal(body["scope"])
        if values:
            store.change_user(connection, user_id, **values)
        _require_administrator(connection)
        accounts.end_sessions(connection, user_id)
        return _user_or_404(connection, user_id)


@users.delete(_USER, permission="users.manage", errors=(409,))
def delete_user(user_id: int) -> None:
    """Remove a user, with all sessions and API tokens."""
    with context().database.transaction() as connection:
        store.lock(connection)
        _manageable(connection, user_id)
        if user_id == principal().user_id:
            raise conflict("Nobody removes their own account; another administrator can.")
        store.delete_user(connection, user_id)
        _require_administrator(connection)


@users.post(
    f"{_USER}/password", PasswordReset, status=200, body=NewPassword, permission="users.manage", errors=(409,)
)
def reset_password(body: dict[str, Any], user_id: int) -> dict[str, Any]:
    """Set a user's password, to be changed at the next sign-in; the user's sessions end, and a pause is over."""
    if user_id == principal().user_id:
        raise conflict("For your own password use POST /api/v1/me/password.")
    with context().database.transaction() as connection:
        username: str = _manageable(connection, user_id)["username"]
    if body["password"]:
        _judge(body["password"], username)
    generated = None if body["password"] else new_password()
    password_hash = hash_password(body["password"] or generated or "")
    with context().database.transaction() as connection:
        store.lock(connection)
        _manageable(connection, user_id)
        store.set_password(connection, user_id, password_hash, must_change=True)
        accounts.end_sessions(connection, user_id)
    return {"id": user_id, "username": username, "initial_password": generated}


@users.post(f"{_USER}/sign-out", SignedOut, status=200, permission="users.manage")
def sign_out_user(user_id: int) -> dict[str, Any]:
    """End all sessions of a user; API tokens stay."""
    with context().database.transaction() as connection:
        _manageable(connection, user_id)
        return {"id": user_id, "count": accounts.end_sessions(connection, user_id)}


@users.delete(f"{_USER}/second-factor", permission="users.manage")
def drop_second_factor(user_id: int) -> None:
    """Take away a user's second factor, whose device is lost; sessions end."""
    with context().database.transaction() as connection:
        found = _manageable(connection, user_id)
        if not store.drop_second_factor(connection, user_id):
            abort(404, f"{found['username']} has no second factor.")
        accounts.end_sessions(connection, user_id)


def _link(connection: Connection, found: RowMapping, subject: str | None) -> None:
    if subject is None and not found["has_password"]:
        raise conflict("It has no password: it could not sign in any more. Reset its password first.")
    if not store.link(connection, found["id"], subject):
        raise conflict("Another account is linked to this subject.")


def _user_or_404(connection: Connection, user_id: int) -> RowMapping:
    found = store.user_by_id(connection, user_id)
    if found is None:
        abort(404, f"There is no user {user_id}.")
    return found


def _manageable(connection: Connection, user_id: int) -> RowMapping:
    """The account. Aborts with 404; raises Forbidden if it may do what the person who asks may not."""
    found = _user_or_404(connection, user_id)
    _require_not_above(connection, found["role"])
    return found


def _require_grantable(connection: Connection, role: str) -> None:
    if role not in BUILT_IN_ROLES and store.custom_role(connection, role) is None:
        raise unprocessable("role", f"There is no role {role[:40]}; GET /api/v1/roles has them all.")
    _require_not_above(connection, role)


def _require_not_above(connection: Connection, role: str) -> None:
    """Nobody gives rights that they do not have, or takes over an account that has them."""
    custom = None if role in BUILT_IN_ROLES else store.custom_role(connection, role)
    beyond = permissions_of(role, custom["permissions"] if custom else None) - principal().permissions
    if beyond:
        raise Forbidden(f"The role {role} may do what you may not: {', '.join(sorted(beyond))}.")


def _require_administrator(connection: Connection) -> None:
    if store.administrator_count(connection) == 0:
        raise conflict("It is the last administrator who sees every host; make another one first.")


def _judge(password: str, username: str) -> None:
    complaint = password_complaint(password, username, min_length=context().settings.password_min_length)
    if complaint:
        raise unprocessable("password", complaint)


def _normal(scope: list[str] | None) -> list[str] | None:
    return sorted(set(scope)) if scope is not None else None
