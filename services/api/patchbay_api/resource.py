"""How a file declares its operations: one typed decorator an operation, the rest follows from it.

The permission that it needs, the event of the audit, the refusal of unknown query parameters, the validation of the
input and the operation's place in the OpenAPI document (with every status it may answer) all come from the same
declaration.
"""

import functools
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from http import HTTPStatus
from typing import Any, TypeVar

from flask import current_app, g, request
from flask_smorest import Blueprint
from marshmallow import EXCLUDE, RAISE, Schema
from patchbay_shared.rate_limit import TokenBuckets
from patchbay_shared.service import Context
from sqlalchemy import Connection
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import Forbidden, TooManyRequests, UnprocessableEntity

from patchbay_api.auditing import Declared, denied, recorded
from patchbay_api.auth import Principal, authenticate
from patchbay_api.conventions.export import CONTENT_TYPES
from patchbay_api.conventions.lists import (
    NoParameters,
    SelectedList,
    SelectedPage,
    as_list,
    is_list,
    is_page,
    with_list_parameters,
    with_selected_fields,
)
from patchbay_api.conventions.repeats import RepeatHeader, claimed
from patchbay_api.permissions import PERMISSIONS, PUBLIC, WITHOUT_ROLE
from patchbay_api.scopes import ScopedDatabase

PREFIX = "/api/v1"
View = TypeVar("View", bound=Callable[..., Any])


class _Parser(FlaskParser):
    """Refuses what a schema does not name, in the body and in the query."""

    DEFAULT_UNKNOWN_BY_LOCATION = {  # noqa: RUF012  (webargs' own interface)
        "json": RAISE,
        "query": RAISE,
        "headers": EXCLUDE,
    }


class _Blueprint(Blueprint):  # type: ignore[misc]  # flask-smorest ships no types
    ARGUMENTS_PARSER = _Parser()

    @staticmethod
    def _prepare_response_content(data: Any) -> Any:
        return with_selected_fields(data)

    @staticmethod
    def _make_doc_response_schema(schema: Any) -> Any:
        if not isinstance(schema, Schema) or not is_list(type(schema)):
            return schema
        return {"anyOf": [schema, SelectedPage if is_page(type(schema)) else SelectedList]}


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
        permission: str,
    ) -> Callable[[View], View]:
        """A read: 200 with an ETag, or 304."""
        return self._operation("GET", rule, status=200, answer=answer, query=query, permission=permission)

    def post(
        self,
        rule: str,
        answer: type[Schema],
        *,
        status: int,
        body: type[Schema] | None = None,
        query: type[Schema] | None = None,
        permission: str,
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
            permission=permission,
            errors=errors,
        )

    def patch(
        self,
        rule: str,
        answer: type[Schema],
        *,
        status: int,
        body: type[Schema],
        permission: str,
        errors: tuple[int, ...] = (),
    ) -> Callable[[View], View]:
        """A change of some fields of a thing; those that the body does not name stay as they are."""
        return self._operation(
            "PATCH", rule, status=status, answer=answer, body=body, permission=permission, errors=errors
        )

    def delete(self, rule: str, *, permission: str, errors: tuple[int, ...] = ()) -> Callable[[View], View]:
        """The end of a thing: 204."""
        return self._operation("DELETE", rule, status=204, permission=permission, errors=errors)

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
        operation = self._operation("GET", rule, status=200, query=query, permission=permission)
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
        if permission not in PERMISSIONS and permission not in WITHOUT_ROLE:
            raise TypeError(f"An endpoint must name a permission of permissions.py, not {permission!r}.")
        blueprint = self.blueprint
        item = _item_of(answer)
        own_query = query
        if item:
            query = with_list_parameters(query or NoParameters, item)
        repeatable = permission != PUBLIC and method != "GET"
        usual = _errors(method, rule, permission, body=body is not None, repeatable=repeatable)
        names = frozenset(field.data_key or name for name, field in query().fields.items()) if query else frozenset()

        def decorate(function: View) -> View:
            view: Any = function
            if item:
                view = as_list(
                    function if own_query else _without_first(function), item, context, paged=is_page(answer)
                )
            declared = None
            if method == "GET" and answer and not own_query:
                self._readers[rule] = (function, answer)
            if method != "GET":
                declared = Declared(
                    function.__name__, self._name, method, answer, body, lambda: self._readers.get(rule)
                )
                view = recorded(view, declared, context)
            if body:
                view = blueprint.arguments(body, location="json")(view)
            if query:
                view = blueprint.arguments(query, location="query")(view)
            if repeatable:
                view = blueprint.arguments(RepeatHeader, location="headers")(_without_first(view))
            for content_type in CONTENT_TYPES.values() if item else ():
                text = {"type": "string"}
                view = blueprint.alt_response(status, schema=text, content_type=content_type, success=True)(view)
            view = blueprint.response(status, answer, headers=_headers(method))(view)
            for error in sorted({*usual, *errors}):
                view = blueprint.alt_response(error, response=HTTPStatus(error).name)(view)
            described = {"operationId": function.__name__, "x-permission": permission}
            view = blueprint.doc(security=[] if permission == PUBLIC else [{"bearer": []}], **described)(view)
            blueprint.route(rule, methods=[method])(
                _guarded(view, permission, names, declared, repeatable=repeatable)
            )
            return function

        return decorate


def context() -> Context:
    """The context of the running application.

    The database is narrowed to the hosts that the person who asks sees; while a list is exported it is one snapshot,
    and while something is changed it is the one transaction of that change.
    """
    under_way: Context | None = g.get("export_context") or g.get("unit_context")
    return under_way or _narrowed()


def separate_transaction() -> AbstractContextManager[Connection]:
    """A transaction that stays even if the write around it is refused, for what counts attempts.

    Use it before the write's own transaction has begun: a request that holds two connections could starve others.
    """
    return _narrowed().database.transaction()


def _narrowed() -> Context:
    found: Context = current_app.extensions["patchbay"]
    asking: Principal | None = g.get("principal")
    if asking is None or not asking.scopes:
        return found
    return replace(found, database=ScopedDatabase(found.database, asking.scopes))


def _item_of(answer: type[Schema] | None) -> Schema | None:
    if answer is None or not is_list(answer):
        return None
    items: Any = answer._declared_fields["items"]
    item: Schema = items.inner.schema
    return item


def _without_first(view: Callable[..., Any]) -> Callable[..., Any]:
    """The view of which nothing wants to know the first of what was parsed."""

    @functools.wraps(view)
    def without(_parsed: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        return view(*args, **kwargs)

    return without


def _guarded(
    view: Callable[..., Any],
    permission: str,
    names: frozenset[str],
    declared: Declared | None,
    *,
    repeatable: bool,
) -> Callable[..., Any]:
    @functools.wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        caller = ""
        if permission != PUBLIC:
            try:
                caller = authenticate(context(), permission).username
            except Forbidden as exc:
                if declared:
                    denied(declared, kwargs, exc)
                raise
            _require_rate(caller)
        for name in request.args:
            if name not in names:
                known = f"known are {', '.join(sorted(names))}" if names else "this address takes none"
                raise _unknown_parameter(name, known)
        if not repeatable:
            return view(*args, **kwargs)
        with claimed(context(), caller) as claim:
            if claim.answer is None:
                claim.keep(view(*args, **kwargs))
        return claim.answer

    return guarded


def _require_rate(caller: str) -> None:
    """Raises TooManyRequests."""
    buckets: TokenBuckets[str] = current_app.extensions["patchbay_rate"]
    seconds, _ = buckets.take(caller)
    if seconds:
        raise TooManyRequests(
            "More requests than one person may make in a minute (PATCHBAY_API_REQUESTS_PER_MINUTE); "
            "wait as long as Retry-After says.",
            retry_after=math.ceil(seconds),
        )


def _unknown_parameter(name: str, known: str) -> UnprocessableEntity:
    error = UnprocessableEntity()
    error.data = {"messages": {"query": {name: [f"Unknown query parameter; {known}."]}}}  # type: ignore[attr-defined]
    return error


def _errors(method: str, rule: str, permission: str, *, body: bool, repeatable: bool) -> list[int]:
    """Every status but success that an operation of this kind may answer."""
    statuses = [401, 422, 500, 503]
    if permission != PUBLIC:
        statuses += [403, 429]
    if repeatable:
        statuses.append(409)
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
