"""What every list can do: only some fields of its rows, and the whole of it as CSV or NDJSON."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from flask import g, request
from marshmallow import Schema, fields, validate
from patchbay_shared.service import Context
from werkzeug.exceptions import UnprocessableEntity

from patchbay_api.conventions.export import CONTENT_TYPES, exported, exported_whole

_JSON = "application/json"

SelectedPage = Schema.from_dict(
    {
        "fields": fields.List(fields.String(), required=True, metadata={"description": "Those that were asked for."}),
        "items": fields.List(fields.Dict(keys=fields.String()), required=True),
        "next_cursor": fields.String(required=True, allow_none=True),
        "total_count": fields.Integer(required=True),
    },
    name="SelectedPage",
)
"""A page whose rows have only the fields that `fields` names."""


SelectedList = Schema.from_dict(
    {
        "fields": fields.List(fields.String(), required=True, metadata={"description": "Those that were asked for."}),
        "items": fields.List(fields.Dict(keys=fields.String()), required=True),
    },
    name="SelectedList",
)
"""A whole list whose rows have only the fields that `fields` names."""


class WholeList(Schema):
    """A list that is answered without pages: it is only as long as what is configured, or as one host has.

    Its rows are its `items`.
    """


class NoParameters(Schema):
    """Of a list that takes only what all lists take."""


def is_list(answer: type[Schema] | None) -> bool:
    """Whether an answer is a list of things, in pages or whole."""
    return is_page(answer) or (answer is not None and issubclass(answer, WholeList))


def is_page(answer: type[Schema] | None) -> bool:
    """Whether an answer was made by `page_of`."""
    return answer is not None and {"items", "next_cursor"} <= answer._declared_fields.keys()


def with_list_parameters(query: type[Schema], item: Schema) -> type[Schema]:
    """A list's parameters, and those that all lists have."""
    names = ", ".join(_names(item))
    more = {
        "selected_fields": fields.String(
            data_key="fields",
            validate=validate.Length(1, 2_000),
            metadata={"description": f"Only these fields of each row, with commas between them; of {names}."},
        ),
        "wanted_format": fields.String(
            data_key="format",
            validate=validate.OneOf(["json", *CONTENT_TYPES]),
            metadata={
                "description": "csv and ndjson give the whole list, whatever `limit` and `cursor` say; without it,"
                " the header Accept decides."
            },
        ),
    }
    return type(query.__name__, (query,), {"__doc__": query.__doc__, **more})


def as_list(
    view: Callable[..., Any], item: Schema, context: Callable[[], Context], *, paged: bool
) -> Callable[..., Any]:
    """The view of a list, given its loaded parameters; answers a page or streams an export."""

    @functools.wraps(view)
    def listed(query: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        selected = _selected(query.pop("selected_fields", None), item)
        wanted = query.pop("wanted_format", None) or _accepted()
        if wanted == "json":
            g.selected_fields = selected
            return view(query, *args, **kwargs)
        name = request.path.rstrip("/").rpartition("/")[2]
        if not paged:
            rows = item.dump(view(query, *args, **kwargs)["items"], many=True)
            return exported_whole(rows, format_=wanted, columns=selected or _names(item), name=name)
        return exported(
            context(),
            lambda: view(dict(query), *args, **kwargs),
            item,
            format_=wanted,
            columns=selected or _names(item),
            name=name,
        )

    return listed


def with_selected_fields(content: Any) -> Any:
    """A dumped answer, of its rows only the fields that were asked for."""
    selected: Sequence[str] | None = g.get("selected_fields")
    if not selected:
        return content
    rows = [{name: row[name] for name in selected if name in row} for row in content["items"]]
    return {**content, "items": rows, "fields": list(selected)}


def _names(item: Schema) -> list[str]:
    return [field.data_key or name for name, field in item.fields.items()]


def _selected(text: str | None, item: Schema) -> list[str] | None:
    if text is None:
        return None
    known = _names(item)
    selected = list(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in selected:
        if name not in known:
            error = UnprocessableEntity()
            complaint = f"Rows have no field {name!r}; known are {', '.join(known)}."
            error.data = {"messages": {"query": {"fields": [complaint]}}}  # type: ignore[attr-defined]
            raise error
    return selected


def _accepted() -> str:
    best = request.accept_mimetypes.best_match([_JSON, *CONTENT_TYPES.values()], default=_JSON)
    return next((name for name, content_type in CONTENT_TYPES.items() if content_type == best), "json")
