"""How a file declares its operations: one typed decorator an operation, the rest follows from it.

The role check, the refusal of unknown query parameters, the validation of the input and the operation's
place in the OpenAPI document (with every status it may answer) all come from the same declaration.
"""

import functools
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, TypeVar

from flask import current_app, request
from flask_smorest import Blueprint
from marshmallow import RAISE, Schema
from patchbay_shared.service import Context
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import UnprocessableEntity

from patchbay_api.auth import Role, authenticate

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
        self.blueprint = _Blueprint(name, __name__, description=description, url_prefix=PREFIX)

    def get(
        self,
        rule: str,
        answer: type[Schema],
        *,
        query: type[Schema] | None = None,
        role: Role = "viewer",
    ) -> Callable[[View], View]:
        """A read: 200 with an ETag, or 304."""
        return self._operation("GET", rule, status=200, answer=answer, query=query, role=role)

    def post(
        self,
        rule: str,
        answer: type[Schema],
        *,
        status: int,
        body: type[Schema] | None = None,
        query: type[Schema] | None = None,
        role: Role | None,
    ) -> Callable[[View], View]:
        """An action; `role` of None means that anybody may ask."""
        return self._operation("POST", rule, status=status, answer=answer, body=body, query=query, role=role)

    def patch(
        self, rule: str, answer: type[Schema], *, status: int, body: type[Schema], role: Role
    ) -> Callable[[View], View]:
        """A change of some fields of a thing; those that the body does not name stay as they are."""
        return self._operation("PATCH", rule, status=status, answer=answer, body=body, role=role)

    def delete(self, rule: str, *, role: Role) -> Callable[[View], View]:
        """The end of a thing: 204."""
        return self._operation("DELETE", rule, status=204, role=role)

    def _operation(
        self,
        method: str,
        rule: str,
        *,
        status: int,
        role: Role | None,
        answer: type[Schema] | None = None,
        query: type[Schema] | None = None,
        body: type[Schema] | None = None,
    ) -> Callable[[View], View]:
        blueprint = self.blueprint
        names = frozenset(field.data_key or name for name, field in query().fields.items()) if query else frozenset()

        def decorate(function: View) -> View:
            view: Any = function
            if body:
                view = blueprint.arguments(body, location="json")(view)
            if query:
                view = blueprint.arguments(query, location="query")(view)
            view = blueprint.response(status, answer, headers=_headers(method))(view)
            for error in _errors(method, rule, role, body=body is not None):
                view = blueprint.alt_response(error, response=HTTPStatus(error).name)(view)
            view = blueprint.doc(operationId=function.__name__, security=[{"session": []}] if role else [])(view)
            blueprint.route(rule, methods=[method])(_guarded(view, role, names))
            return function

        return decorate


def context() -> Context:
    """The context of the running application."""
    found: Context = current_app.extensions["patchbay"]
    return found


def _guarded(view: Callable[..., Any], role: Role | None, names: frozenset[str]) -> Callable[..., Any]:
    @functools.wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        if role:
            authenticate(context(), role)
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


def _errors(method: str, rule: str, role: Role | None, *, body: bool) -> list[int]:
    """Every status but success that an operation of this kind may answer."""
    statuses = [401, 422, 500, 503]
    if role:
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
