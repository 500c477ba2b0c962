"""The WSGI application of the API, and its OpenAPI document."""

import json
from threading import BoundedSemaphore
from typing import Any

from flask import Flask
from patchbay_shared.http import add_health, add_problem_handlers
from patchbay_shared.rate_limit import TokenBuckets
from patchbay_shared.service import Context

from patchbay_api.advisories import advisories
from patchbay_api.approvals import approvals
from patchbay_api.attention import attention
from patchbay_api.audit import audit
from patchbay_api.conventions.answers import finish_answers
from patchbay_api.cves import cves
from patchbay_api.dashboard import dashboard
from patchbay_api.dead_letters import dead_letters
from patchbay_api.documentation import add_documentation
from patchbay_api.enrolment import enrolment
from patchbay_api.events import events
from patchbay_api.exceptions import exceptions
from patchbay_api.groups import groups
from patchbay_api.host_actions import host_actions
from patchbay_api.host_facets import host_facets
from patchbay_api.host_history import host_history
from patchbay_api.host_identity import host_identity
from patchbay_api.host_merges import host_merges
from patchbay_api.host_updates import host_updates
from patchbay_api.hosts import hosts
from patchbay_api.integrations import integrations
from patchbay_api.jobs import jobs
from patchbay_api.lifecycles import lifecycles
from patchbay_api.mirror_access import mirror_access
from patchbay_api.mirrors import mirrors
from patchbay_api.notification_channels import notification_channels
from patchbay_api.notification_rules import notification_rules
from patchbay_api.os_groups import os_groups
from patchbay_api.own_account import own_account
from patchbay_api.packages import packages
from patchbay_api.preferences import preferences
from patchbay_api.problems import ProblemApi, invalid_query
from patchbay_api.queries import queries
from patchbay_api.query.grammar import InvalidQuery
from patchbay_api.receipts import receipts
from patchbay_api.remediation import remediation
from patchbay_api.repositories import repositories
from patchbay_api.repository_packages import repository_packages
from patchbay_api.resource import PREFIX
from patchbay_api.roles import roles
from patchbay_api.sbom import sbom
from patchbay_api.second_factor import second_factor
from patchbay_api.sessions import sessions
from patchbay_api.single_sign_on import single_sign_on
from patchbay_api.syncs import syncs
from patchbay_api.tokens import tokens
from patchbay_api.trends import trends
from patchbay_api.users import users
from patchbay_api.views import views

RESOURCES = (
    sessions,
    single_sign_on,
    own_account,
    preferences,
    second_factor,
    users,
    roles,
    tokens,
    audit,
    dashboard,
    trends,
    attention,
    hosts,
    host_updates,
    host_facets,
    host_history,
    packages,
    groups,
    os_groups,
    queries,
    host_actions,
    host_merges,
    jobs,
    views,
    events,
    advisories,
    cves,
    lifecycles,
    exceptions,
    remediation,
    sbom,
    integrations,
    repositories,
    repository_packages,
    mirrors,
    mirror_access,
    syncs,
    receipts,
    dead_letters,
    notification_channels,
    notification_rules,
    enrolment,
    approvals,
    host_identity,
)
MAX_BODY_BYTES = 64_000
VERSION = "1.0.0"

_DESCRIPTION = """\
Every read and every operator's action. Sign in at `POST /api/v1/sessions`, or make an API token, and
send `Authorization: Bearer <token>`. `x-permission` says what an operation needs.
Lists are paged: pass `next_cursor` back as `cursor`. Errors are
problem documents (RFC 9457). Reads carry an ETag. Every list can be had as CSV or NDJSON (`format`)."""


def make_app(context: Context) -> Flask:
    """The API as a WSGI application."""
    app, _ = _assembled()
    app.extensions["patchbay"] = context
    app.extensions["patchbay_event_places"] = BoundedSemaphore(context.settings.event_listeners)
    app.extensions["patchbay_rate"] = TokenBuckets(context.settings.api_requests_per_minute, 60)
    add_health(app, {"database": context.database.ping})
    return app


def openapi_document() -> dict[str, Any]:
    """The document as served at /api/v1/openapi.json; needs neither database nor broker."""
    _, api = _assembled()
    document: dict[str, Any] = json.loads(json.dumps(api.spec.to_dict(), sort_keys=True))
    return document


def openapi_text() -> str:
    """The content of docs/openapi.json."""
    return json.dumps(openapi_document(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _assembled() -> tuple[Flask, ProblemApi]:
    app = Flask("patchbay_api", static_folder=None)
    app.config.update(
        API_TITLE="Patchbay",
        API_VERSION=VERSION,
        OPENAPI_VERSION="3.1.0",
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
        API_SPEC_OPTIONS={
            "info": {
                "description": _DESCRIPTION,
                "license": {"name": "GPL-3.0-or-later", "identifier": "GPL-3.0-or-later"},
            },
            "servers": [{"url": "/"}],
        },
    )
    app.url_map.strict_slashes = False
    add_problem_handlers(app)
    app.register_error_handler(InvalidQuery, invalid_query)
    api = ProblemApi(app)
    api.spec.components.security_scheme(
        "bearer",
        {
            "type": "http",
            "scheme": "bearer",
            "description": "The token of `POST /api/v1/sessions`, or an API token of `POST /api/v1/tokens`.",
        },
    )
    for resource in RESOURCES:
        api.register_blueprint(resource.blueprint)
    add_documentation(app, api.spec, PREFIX)
    finish_answers(app, PREFIX)
    return app, api
