"""Errors as RFC 9457 problem documents, thrown, answered and documented in one way."""

from http import HTTPStatus
from typing import Any

from flask import Response
from flask_smorest import Api
from marshmallow import Schema, fields
from patchbay_shared.http import PROBLEM, as_routed, problem
from werkzeug.exceptions import Conflict, HTTPException, UnprocessableEntity

from patchbay_api.query.grammar import InvalidQuery

_KEPT_HEADERS = {"allow", "retry-after", "www-authenticate"}


class Problem(Schema):
    """What every error looks like."""

    type = fields.String(required=True, metadata={"description": "about:blank: `title` says it all."})
    title = fields.String(required=True, metadata={"description": "The status in words."})
    status = fields.Integer(required=True)
    detail = fields.String(required=True, metadata={"description": "What was wrong, and what to do."})
    pointer = fields.String(metadata={"description": "Where in the request, as `$.query.limit`."})
    position = fields.Integer(
        metadata={"description": "Of a query that cannot be read: where the mistake is, in characters."}
    )
    length = fields.Integer(metadata={"description": "How many characters it has."})
    errors = fields.Dict(metadata={"description": "All complaints, by place and field."})


def invalid_query(error: InvalidQuery) -> Response:
    """422 that points at the word of the query."""
    pointer = error.pointer or "$.query.query"
    return problem(
        422, f"{pointer.removeprefix('$.')}: {error}", pointer=pointer, position=error.position, length=error.length
    )


class ProblemApi(Api):  # type: ignore[misc]  # flask-smorest ships no types
    """flask-smorest, with its own error shape replaced by problem documents."""

    ERROR_SCHEMA = Problem
    DEFAULT_ERROR_RESPONSE_NAME = None  # every status is documented by itself

    def handle_http_exception(self, error: HTTPException) -> Response:
        error = as_routed(error)
        headers = {name: value for name, value in error.get_headers() if name.lower() in _KEPT_HEADERS}
        status = error.code or 500
        complaints = (getattr(error, "data", None) or {}).get("messages")
        if complaints:
            detail, pointer = _first_complaint(complaints)
            return problem(status, detail, pointer=pointer, headers=headers, errors=complaints)
        return problem(status, error.description or HTTPStatus(status).phrase, headers=headers)

    def _register_responses(self) -> None:
        for status in HTTPStatus:
            document: dict[str, Any] = {"description": status.phrase}
            if status >= HTTPStatus.BAD_REQUEST:
                document["content"] = {PROBLEM: {"schema": self.ERROR_SCHEMA}}
            self.spec.components.response(status.name, document, lazy=True)


def unprocessable(field: str, complaint: str, *, location: str = "json") -> UnprocessableEntity:
    """422 about one field of the body, or of the query."""
    error = UnprocessableEntity()
    error.data = {"messages": {location: {field: [complaint]}}}  # type: ignore[attr-defined]
    return error


def conflict(detail: str) -> Conflict:
    """409: it contradicts what is there."""
    return Conflict(detail)


def _first_complaint(complaints: dict[str, Any]) -> tuple[str, str]:
    """The sentence and the pointer of the first complaint in marshmallow's nested dict."""
    pointer, value = "$", complaints
    while isinstance(value, dict) and value:
        key, value = next(iter(value.items()))
        pointer += f"[{key}]" if isinstance(key, int) else f".{key}"
    text = value[0] if isinstance(value, list) and value else value
    return f"{pointer.removeprefix('$.')}: {text}", pointer
