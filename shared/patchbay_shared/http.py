"""Plumbing of the services that speak HTTP: problem documents (RFC 9457), health, times of requests."""

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, current_app, g, jsonify, request, request_finished, request_started
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from patchbay_shared.errors import InvalidInput, PatchbayError, Unavailable
from patchbay_shared.log import get_logger
from patchbay_shared.metrics import HTTP_SECONDS
from patchbay_shared.tracing import name_request, trace_id

log = get_logger("http")

PROBLEM = "application/problem+json"


def problem(
    status: int,
    detail: str,
    *,
    title: str | None = None,
    pointer: str | None = None,
    headers: dict[str, str] | None = None,
    **extra: Any,
) -> Response:
    """An error as application/problem+json; `pointer` says where in the document, as `$.packages[17].version`."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": title or HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        **extra,
    }
    if pointer:
        body["pointer"] = pointer
    response = jsonify(body)
    response.status_code = status
    response.content_type = PROBLEM
    response.headers.update(headers or {})
    return response


def add_problem_handlers(app: Flask) -> None:
    """Turn every error of the tree, and Flask's own, into a problem document."""

    @app.errorhandler(InvalidInput)
    def invalid(exc: InvalidInput) -> Response:
        return problem(400, str(exc), pointer=exc.pointer)

    @app.errorhandler(Unavailable)
    def unavailable(exc: Unavailable) -> Response:
        return problem(503, str(exc), headers={"Retry-After": "10"})

    @app.errorhandler(PatchbayError)
    def known(exc: PatchbayError) -> Response:
        log.error("request_failed", exc_info=exc)
        return problem(500, str(exc))

    @app.errorhandler(HTTPException)
    def http_error(exc: HTTPException) -> Response:
        exc = as_routed(exc)
        headers = {k: v for k, v in exc.get_headers() if k.lower() in {"allow", "retry-after", "www-authenticate"}}
        return problem(exc.code or 500, exc.description or "", headers=headers)

    @app.errorhandler(Exception)
    def unexpected(exc: Exception) -> Response:
        log.error("request_failed", exc_info=exc)
        return problem(500, "Patchbay made a mistake; the log of the service says which.", trace_id=trace_id())


def as_routed(exc: HTTPException) -> HTTPException:
    """404 in place of the 405 that werkzeug gives for a number above the maximum of a route."""
    adapter = current_app.create_url_adapter(request) if isinstance(exc, MethodNotAllowed) else None
    return NotFound() if adapter is not None and request.method in adapter.allowed_methods() else exc


def observe_requests(app: Flask, service: str) -> None:
    """Time every request by its route; what no route answers is the route "none"."""

    def started(_app: Flask, **_: Any) -> None:
        g.request_started_at = time.perf_counter()

    def finished(_app: Flask, response: Response, **_: Any) -> None:
        route = request.url_rule.rule if request.url_rule else "none"
        method = request.method if request.url_rule else "any"
        seconds = time.perf_counter() - g.get("request_started_at", time.perf_counter())
        HTTP_SECONDS.labels(service, method, route, str(response.status_code)).observe(seconds)
        name_request(method, route, response.status_code)

    request_started.connect(started, app, weak=False)
    request_finished.connect(finished, app, weak=False)


def add_health(app: Flask, checks: dict[str, Callable[[], None]]) -> None:
    """`/healthz`: the process answers. `/readyz`: so does each resource it needs, by name."""

    @app.get("/healthz")
    def healthz() -> Response:
        return jsonify({"status": "ok"})

    @app.get("/readyz")
    def readyz() -> Response:
        failing = {}
        for name, check in checks.items():
            try:
                check()
            except Unavailable as exc:
                failing[name] = str(exc)
        if failing:
            return problem(503, "Not ready: " + ", ".join(sorted(failing)) + ".", failing=failing)
        return jsonify({"status": "ready", "checked": sorted(checks)})
