"""What an operator decides of repositories: label, enable, link; and their mirrors."""

from itertools import groupby
from typing import Any
from uuid import UUID

import msgspec
from flask import abort
from marshmallow import Schema, ValidationError, fields, validates_schema
from patchbay_shared.messages import REPOSITORY_OPERATED, RepositoryOperated
from werkzeug.exceptions import UnprocessableEntity

from patchbay_api.conventions.lists import WholeList
from patchbay_api.hosts import Requested
from patchbay_api.resource import Resource, context
from patchbay_api.store import mirrors as store
from patchbay_api.store import repositories

mirrors = Resource("mirrors", "Mirrors of repositories, and what operators decide of repositories.")


class MirrorState(Schema):
    """A URL that serves a repository."""

    id = fields.Integer(required=True)
    url = fields.String(required=True)
    rank = fields.Integer(required=True, metadata={"description": "The lowest is tried first; links: from 1000."})
    state = fields.String(required=True, metadata={"description": "pending, ok, failing, untrusted or lagging"})
    message = fields.String(required=True)
    failure_count = fields.Integer(required=True, metadata={"description": "Failures in a row."})
    published_at = fields.AwareDateTime(
        required=True, allow_none=True, metadata={"description": "The age of what it serves, by its own word."}
    )
    checked_at = fields.AwareDateTime(required=True, allow_none=True)


class Mirrors(WholeList):
    """The mirrors of a repository, and which other repositories share its crawls."""

    items = fields.List(fields.Nested(MirrorState), required=True)
    linked_to = fields.UUID(
        required=True, allow_none=True, metadata={"description": "The repository whose crawls serve this one."}
    )
    serves = fields.List(fields.UUID(), required=True, metadata={"description": "Those linked to this one."})


class RepositoryDecision(Schema):
    """What is not named stays as it is."""

    enabled = fields.Boolean()
    security = fields.Boolean(
        allow_none=True,
        metadata={"description": "null: what the distribution or the hosts say counts again."},
    )

    @validates_schema
    def something(self, data: dict[str, Any], **_: Any) -> None:
        """An empty body would be a mistake."""
        if not data:
            raise ValidationError("Say what to change: enabled, security or both.", "enabled")


class LinkTo(Schema):
    """Which repository is to lead."""

    leader_id = fields.UUID(required=True, metadata={"description": "Its crawls will serve this repository."})


class Candidate(Schema):
    """One address of an archive."""

    id = fields.UUID(required=True)
    name = fields.String(required=True)
    url = fields.String(required=True)
    suite = fields.String(required=True)
    linked_to = fields.UUID(required=True, allow_none=True)


class LinkProposal(Schema):
    """Repositories whose Release files name the same archive; the first one would lead."""

    origin = fields.String(required=True)
    label = fields.String(required=True)
    release_suite = fields.String(required=True)
    codename = fields.String(required=True)
    repositories = fields.List(fields.Nested(Candidate), required=True)


class LinkProposals(WholeList):
    """All of them."""

    items = fields.List(fields.Nested(LinkProposal), required=True)


@mirrors.patch(
    "/repositories/<uuid:repository_id>",
    Requested,
    status=202,
    body=RepositoryDecision,
    permission="repositories.operate",
)
def decide_repository(body: dict[str, Any], repository_id: UUID) -> dict[str, Any]:
    """Label a repository as one of security updates or not, and have it crawled or not."""
    _require(repository_id)
    return _publish(RepositoryOperated(repository_id, **body), "change")


@mirrors.get("/repositories/<uuid:repository_id>/mirrors", Mirrors, permission="repositories.read")
def list_mirrors(repository_id: UUID) -> dict[str, Any]:
    """List a repository's mirrors."""
    _require(repository_id)
    with context().database.transaction() as connection:
        leader, serves = store.linked_of(connection, repository_id)
        return {"items": store.mirrors_of(connection, repository_id), "linked_to": leader, "serves": serves}


@mirrors.get("/repositories/link-proposals", LinkProposals, permission="repositories.read")
def list_link_proposals() -> dict[str, Any]:
    """List archives that hosts name under several addresses and that are not linked throughout."""
    return {"items": [each for each in _archives() if not _linked_throughout(each["repositories"])]}


@mirrors.post(
    "/repositories/<uuid:repository_id>/mirrors/link",
    Requested,
    status=202,
    body=LinkTo,
    permission="repositories.operate",
)
def link_repository(body: dict[str, Any], repository_id: UUID) -> dict[str, Any]:
    """Let the crawls of another address of the same archive serve this repository too."""
    _require(repository_id)
    leader: UUID = body["leader_id"]
    candidates: list[Any] = next(
        (each["repositories"] for each in _archives() if repository_id in {c["id"] for c in each["repositories"]}), []
    )
    found = next((each for each in candidates if each["id"] == leader), None)
    if leader == repository_id or found is None:
        raise _refused("It is no other address of the same archive; see GET /api/v1/repositories/link-proposals.")
    if found["linked_to"] is not None or any(each["linked_to"] == repository_id for each in candidates):
        raise _refused("A repository that is linked cannot lead, and one that leads cannot be linked.")
    return _publish(RepositoryOperated(repository_id, linked_to=leader), "link")


@mirrors.post(
    "/repositories/<uuid:repository_id>/mirrors/unlink", Requested, status=202, permission="repositories.operate"
)
def unlink_repository(repository_id: UUID) -> dict[str, Any]:
    """Let a repository be crawled by itself again."""
    _require(repository_id)
    return _publish(RepositoryOperated(repository_id, linked_to=None), "unlink")


def _archives() -> list[dict[str, Any]]:
    """The archives that several repositories name, with those repositories."""
    with context().database.transaction() as connection:
        rows = store.archives(connection)
    groups = groupby(rows, key=lambda row: tuple(row[name] for name in store.NAMES))
    named = [(dict(zip(store.NAMES, names, strict=True)), list(members)) for names, members in groups]
    return [
        {**names, "repositories": members}
        for names, members in named
        if len(members) > 1 and names["origin"] and (names["release_suite"] or names["codename"])
    ]


def _linked_throughout(members: list[Any]) -> bool:
    return sum(each["linked_to"] is None for each in members) <= 1


def _require(repository_id: UUID) -> None:
    with context().database.transaction() as connection:
        if repositories.repository_by_id(connection, repository_id) is None:
            abort(404, f"There is no repository {repository_id}; no host names it any more.")


def _publish(decision: RepositoryOperated, what: str) -> dict[str, Any]:
    context().bus.publish(REPOSITORY_OPERATED, msgspec.json.encode(decision))
    return {"id": decision.repository_id, "requested": what}


def _refused(complaint: str) -> UnprocessableEntity:
    error = UnprocessableEntity()
    error.data = {"messages": {"json": {"leader_id": [complaint]}}}  # type: ignore[attr-defined]
    return error
