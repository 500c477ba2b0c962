"""How every write is recorded: by the declaration of its endpoint, so that none can be forgotten.

The event is part of the transaction that it tells of: no change without its event, no event of a change that failed.

A change of a thing that can also be read is recorded with what differs before and after; everything else with what
was asked and what was answered. Secrets are recorded as being there, never as what they are: fields that are
write-only, and those whose names say so.
"""

import functools
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from flask import current_app, g, request
from marshmallow import Schema
from patchbay_shared.errors import PatchbayError, Unavailable
from patchbay_shared.service import Context
from werkzeug.exceptions import Forbidden, HTTPException, Unauthorized

from patchbay_api.auth import Principal, asked_from
from patchbay_api.store import audit as store
from patchbay_api.unit_of_work import UnitOfWork

HIDDEN = "(hidden)"
LONGEST_CHARACTERS = 20_000
_SECRET_WORDS = {"password", "token", "secret", "code", "codes", "key"}
_NO_SECRETS = {"routing_key", "enrolment_token", "api_token"}
_CREDENTIALS_IN_URL = re.compile(r"(?<=://)[^/@\s]+(?=@)")


@dataclass(frozen=True)
class Declared:
    """What the declaration of an endpoint says of it."""

    action: str
    object_type: str
    method: str
    answer: type[Schema] | None
    body: type[Schema] | None
    reader: Callable[[], tuple[Callable[..., Any], type[Schema]] | None]
    """The view that shows the thing, and the shape of what it shows; None: nothing does."""


def about(
    *, object_id: str | None = None, actor: str | None = None, credential: str | None = None, **after: Any
) -> None:
    """Say in a view what its event is about, where the declaration cannot know."""
    g.audit_about = {"object_id": object_id, "actor": actor, "credential": credential, "after": after or None}


def recorded(view: Callable[..., Any], declared: Declared, context: Callable[[], Context]) -> Callable[..., Any]:
    """The view, with an event for each success and each refusal. `context` is that of the request."""

    @functools.wraps(view)
    def record(*args: Any, **kwargs: Any) -> Any:
        unit = UnitOfWork(context())
        try:
            with unit:
                before = _state_before(declared, kwargs, unit)
                answer = view(*args, **kwargs)
                event = _event(declared, kwargs, answer, before, _body(declared, args))
                with unit.database.transaction() as connection:
                    store.append(connection, event)  # last: it holds up every other write until the commit
        except (Unauthorized, Forbidden) as exc:
            denied(declared, kwargs, exc)
            raise
        try:
            unit.send()
        except Unavailable as exc:
            why = json.dumps({"why": f"It was not handed on: {exc}"}, ensure_ascii=False)
            _append(replace(event, outcome="failed", before=None, after=why))
            raise
        return answer

    return record


def denied(declared: Declared, view_args: Mapping[str, Any], exc: HTTPException) -> None:
    """Record a refusal of somebody who is known, or of an attempt to become so."""
    _append(_described(declared, view_args, None, outcome="denied", before=None, after={"why": exc.description}))


def _append(event: store.Event) -> None:
    """Record what changes nothing, in a transaction of its own."""
    context: Context = current_app.extensions["patchbay"]
    with context.database.transaction() as connection:
        store.append(connection, event)


def _event(
    declared: Declared, view_args: dict[str, Any], answer: Any, before: dict[str, Any] | None, body: Any
) -> store.Event:
    """Of a write that was done, as the transaction sees it."""
    after = None if declared.method == "DELETE" else _state(declared, view_args)
    if before is not None and after is not None:
        changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
        before, after = ({name: each.get(name) for name in sorted(changed)} for each in (before, after))
    if not after and declared.method != "DELETE":
        after = _asked_and_answered(declared, body, answer)
    return _described(declared, view_args, answer, outcome="done", before=before or None, after=after)


def _described(
    declared: Declared, view_args: Mapping[str, Any], answer: Any, *, outcome: str, before: Any, after: Any
) -> store.Event:
    said: dict[str, Any] = g.pop("audit_about", {})
    asking: Principal | None = g.get("principal")
    context: Context = current_app.extensions["patchbay"]
    named = [str(value) for value in view_args.values()]
    if not named and isinstance(answer, Mapping):
        named = [str(answer[name]) for name in ("id", "name") if name in answer][:1]
    credential = ("token " + asking.api_token if asking.api_token else "session") if asking else "none"
    return store.Event(
        actor=said.get("actor") or (asking.username if asking else ""),
        credential=said.get("credential") or credential,
        address=asked_from(context)[0],
        action=declared.action,
        object_type=declared.object_type,
        object_id=said.get("object_id") or " ".join(named),
        outcome=outcome,
        before=_json(before),
        after=_json(said["after"] if said.get("after") else after),
    )


def _body(declared: Declared, args: tuple[Any, ...]) -> Any:
    return args[-1] if declared.body and args and isinstance(args[-1], Mapping) else None


def _state_before(declared: Declared, view_args: dict[str, Any], unit: UnitOfWork) -> dict[str, Any] | None:
    """The thing before the change. Who changes the same thing waits: one's "after" is the next one's "before".

    The thing's lock is the first that a transaction takes, the chain's is the last: no two wait in a circle.
    """
    if declared.method not in {"PATCH", "DELETE"} or declared.reader() is None:
        return None
    with unit.database.transaction() as connection:
        store.lock_thing(connection, " ".join([declared.object_type, *map(str, view_args.values())]))
    return _state(declared, view_args)


def _state(declared: Declared, view_args: dict[str, Any]) -> dict[str, Any] | None:
    """The thing as its own GET shows it."""
    found = declared.reader() if declared.method in {"PATCH", "DELETE"} else None
    if found is None:
        return None
    view, schema = found
    try:
        shown: dict[str, Any] = schema().dump(view(**view_args))
    except (HTTPException, PatchbayError):
        return None
    state: dict[str, Any] = _without_secrets(shown, frozenset())
    return state


def _asked_and_answered(declared: Declared, body: Any, answer: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if body:
        found["asked"] = _without_secrets(body, _write_only(declared.body))
    if request.args:
        found["query"] = request.args.to_dict()
    if declared.answer and answer is not None:
        found["answered"] = _without_secrets(declared.answer().dump(answer), frozenset())
    return found


def _write_only(schema: type[Schema] | None) -> frozenset[str]:
    described = schema().fields.items() if schema else ()
    return frozenset(name for name, field in described if field.load_only or field.metadata.get("writeOnly"))


def _without_secrets(value: Any, write_only: frozenset[str]) -> Any:
    if isinstance(value, Mapping):
        return {
            str(name): HIDDEN
            if each not in (None, "", [], False) and not isinstance(each, bool) and _is_secret(str(name), write_only)
            else _without_secrets(each, write_only)
            for name, each in value.items()
        }
    if isinstance(value, list | tuple):
        return [_without_secrets(each, write_only) for each in value]
    return _CREDENTIALS_IN_URL.sub(HIDDEN, value) if isinstance(value, str) else value


def _is_secret(name: str, write_only: frozenset[str]) -> bool:
    return name in write_only or (name not in _NO_SECRETS and bool(_SECRET_WORDS & set(name.split("_"))))


def _json(value: Any) -> str | None:
    if value is None:
        return None
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str).replace("\\u0000", "")
    if len(text) > LONGEST_CHARACTERS:
        return json.dumps({"too_long_characters": len(text), "begins": text[:1_000]}, ensure_ascii=False)
    return text
