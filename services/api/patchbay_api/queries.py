"""Help with writing queries."""

from typing import Any

from marshmallow import Schema, fields, validate

from patchbay_api.paging import STORABLE
from patchbay_api.query.complete import complete
from patchbay_api.query.documentation import VOCABULARIES
from patchbay_api.query.grammar import MAX_CHARACTERS
from patchbay_api.resource import Resource, context

queries = Resource("query", "Help with writing queries.")


class CompletionQuery(Schema):
    """What has been written so far."""

    text = fields.String(
        load_default="",
        validate=[validate.Length(max=MAX_CHARACTERS), validate.Regexp(STORABLE)],
        metadata={"description": "The query as it stands."},
    )
    position = fields.Integer(
        validate=validate.Range(0, MAX_CHARACTERS),
        metadata={"description": "Where the cursor is, in characters; without it: at the end."},
    )
    list = fields.String(
        load_default="hosts",
        validate=validate.OneOf(list(VOCABULARIES)),
        metadata={"description": "Which list is asked."},
    )


class Suggestion(Schema):
    """A text that could replace what is being written."""

    text = fields.String(required=True)
    kind = fields.String(required=True, metadata={"description": "field, keyword or value"})
    description = fields.String(required=True)


class Completion(Schema):
    """What could replace `length` characters from `position` on."""

    position = fields.Integer(required=True)
    length = fields.Integer(required=True)
    items = fields.List(fields.Nested(Suggestion), required=True)


@queries.get("/query/complete", Completion, query=CompletionQuery, permission="hosts.read")
def complete_query(query: dict[str, Any]) -> Any:
    """Suggest what could stand at the cursor of a query."""
    text: str = query["text"]
    position = min(query.get("position", len(text)), len(text))
    with context().database.transaction() as connection:
        return complete(connection, text, position, VOCABULARIES[query["list"]])
