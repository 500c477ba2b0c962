"""How a file declares its operations: one typed decorator an operation, the rest follows from it.

The permission that it needs, the event of the audit, the refusal of unknown query parameters, the validation of the
input and the operation's place in the OpenAPI document (with every status it may answer) all come from the same
declaration.
"""

import functools
from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus
from typing import Any, TypeVar

from flask import current_app, g, request
from flask_smorest import Blueprint
from marshmallow import RAISE, Schema
from patchbay_shared.service import Context
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import Forbidden, UnprocessableEntity

from patchbay_api.auditing import Declared, denied, recorded
from patchbay_api.auth import Principal, authenticate
from patchbay_api.permissions import BY_ROLE, PERMISSIONS, PUBLIC, WITHOUT_ROLE, Role
from patchbay_api.scopes import ScopedDatabase

PREFIX = "/api/v1"
View = TypeVar("View", bound=Callable[..., Any])


class _Parser(FlaskParser):
    """Refuses what a schema does not name, in the body and in the query."""

    DEFAULT_UNKNOWN_BY_LOCATION = {"json": RAISE, "query": RAISE}  # noqa: RUF012  (webargs' own interface)


class _Blueprint(Blueprint):  # type: ignore[misc]  # flask-smorest ships no types
    ARGUMENTS_PARSER = _Parser()


class Resource:
    """The operations on one kind of thing."""

    def __init__(self, name: str, description: str) -> None:
        self._name = name
        self._readers: dict[str, tuple[Callable[..., Any], type[Schema]]] = {}
        self.blueprint = _Blueprint(name, __name__, description=description, url_prefix=PREFIX)

    def get(
        self,
        rule: str,
        answer: type[Schema],
        *,
        query: type[Schema] | None = None,
        permission: str = "",
        role: Role = "viewer",
    ) -> Callable[[View], View]:
        """A read: 200 with an ETag, or 304."""
        needed = _needed(permission, role)
        return self._operation("GET", rule, status=200, answer=answer, query=query, permission=needed)

    def post(
        self,
        rule: str,
        answer: type[Schema],
        *,
        status: int,
        body: type[Schema] | None = None,
        query: type[Schema] | None = None,
        permission: str = "",
        role: Role | None = None,
        errors: tuple[int, ...] = (),
    ) -> Callable[[View], View]:
        """An action; `errors` are statuses that it answers beside the usual ones."""
        return self._operation(
            "POST",
            rule,
            status=status,
            answer=answer,
            body=body,
            query=query,
            permission=_needed(permission, role),
            errors=errors,
        )

    def patch(
        self,
        rule: str,
        answer: type[Schema],
        *,
        status: int,
        body: type[Schema],
        permission: str = "",
        role: Role | None = None,
        errors: tuple[int, ...] = (),
    ) -> Callable[[View], View]:
        """A change of some fields of a thing; those that the body does not name stay as they are."""
        needed = _needed(permission, role)
        return self._operation(
            "PATCH", rule, status=status, answer=answer, body=body, permission=needed, errors=errors
        )

    def delete(
        self, rule: str, *, permission: str = "", role: Role | None = None, errors: tuple[int, ...] = ()
    ) -> Callable[[View], View]:
        """The end of a thing: 204."""
        return self._operation("DELETE", rule, status=204, permission=_needed(permission, role), errors=errors)

    def document(
        self,
        rule: str,
        *,
        content_type: str,
        schema: dict[str, Any],
        query: type[Schema] | None = None,
        permission: str,
    ) -> Callable[[View], View]:
        """A read in a form that others have defined: its view answers a `Response` of `content_type`."""
        operation = self._operation("GET", rule, status=200, query=query, permission=_needed(permission, None))
        described = self.blueprint.alt_response(200, schema=schema, content_type=content_type, success=True)

        def decorate(function: View) -> View:
            operation(described(function))
            return function

        return decorate

    def _operation(
        self,
        method: str,
        rule: str,
        *,
        status: int,
        permission: str,
        answer: type[Schema] | None = None,
        query: type[Schema] | None = None,
        body: type[Schema] | None = None,
        errors: tuple[int, ...] = (),
    ) -> Callable[[View], View]:
        blueprint = self.blueprint
        names = frozenset(field.data_key or name for name, field in query().fields.items()) if query else frozenset()

        def decorate(function: View) -> View:
            view: Any = function
            declared = None
            if method == "GET" and answer and not query:
                self._readers[rule] = (function, answer)
            if method != "GET":
                declared = Declared(
                    function.__name__, self._name, method, answer, body, lambda: self._readers.get(rule)
                )
                view = recorded(view, declared)
            if body:
                view = blueprint.arguments(body, location="json")(view)
            if query:
                view = blueprint.arguments(query, location="query")(view)
            view = blueprint.response(status, answer, headers=_headers(method))(view)
            for error in sorted({*_errors(method, rule, permission, body=body is not None), *errors}):
                view = blueprint.alt_response(error, response=HTTPStatus(error).name)(view)
            described = {"operationId": function.__name__, "x-permission": permission}
            view = blueprint.doc(security=[] if permission == PUBLIC else [{"bearer": []}], **described)(view)
            blueprint.route(rule, methods=[method])(_guarded(view, permission, names, declared))
            return function

        return decorate


def context() -> Context:
    """The context of the running application; the database is narrowed to the hosts that the person who asks sees."""
    found: Context = current_app.extensions["patchbay"]
    asking: Principal | None = g.get("principal")
    if asking is None or not asking.scopes:
        return found
    return replace(found, database=ScopedDatabase(found.database, asking.scopes))


def _needed(permission: str, role: Role | None) -> str:
    """The permission of a declaration. Raises TypeError for one that names none, or one that nobody knows."""
    needed = permission or (BY_ROLE[role] if role else "")
    if needed not in PERMISSIONS and needed not in WITHOUT_ROLE:
        raise TypeError(f"An endpoint must name a permission of permissions.py, not {needed!r}.")
    return needed


def _guarded(
    view: Callable[..., Any], permission: str, names: frozenset[str], declared: Declared | None
) -> Callable[..., Any]:
    @functools.wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        if permission != PUBLIC:
            try:
                authenticate(context(), permission)
            except Forbidden as exc:
                if declared:
                    denied(declared, kwargs, exc)
                raise
        for name in request.args:
            if name not in names:
                known = f"known are {', '.join(sorted(names))}" if names else "this address takes none"
                raise _unknown_parameter(name, known)
        return view(*args, **kwargs)

    return guarded


def _unknown_parameter(name: str, known: str) -> UnprocessableEntity:
    error = UnprocessableEntity()
    error.data = {"messages": {"query": {name: [f"Unknown query parameter; {known}."]}}}  # type: ignore[attr-defined]
    return error


def _errors(method: str, rule: str, permission: str, *, body: bool) -> list[int]:
    """Every status but success that an operation of this kind may answer."""
    statuses = [401, 422, 500, 503]
    if permission != PUBLIC:
        statuses.append(403)
    if "<" in rule:
        statuses.append(404)
    if body:
        statuses += [400, 413]
    if method == "GET":
        statuses.append(304)
    return sorted(statuses)


def _headers(method: str) -> dict[str, Any] | None:
    if method != "GET":
        return None
    return {"ETag": {"description": "Send it back as If-None-Match.", "schema": {"type": "string"}}}
