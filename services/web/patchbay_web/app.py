"""The WSGI application of the pages."""

import hashlib
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flask import Flask, Response, g, redirect, render_template, request, url_for
from flask_wtf.csrf import CSRFError, CSRFProtect
from patchbay_shared.errors import StartupError, Unavailable
from patchbay_shared.http import add_health
from patchbay_shared.log import get_logger
from patchbay_shared.service import Context
from patchbay_shared.settings import Settings
from werkzeug.exceptions import HTTPException

from patchbay_web import navigation, presentation, session
from patchbay_web.client import Api, Refused, SignedOut
from patchbay_web.pages import (
    account,
    advisories,
    audit,
    cves,
    dashboard,
    dead_letters,
    enrolment,
    exceptions,
    feeds,
    groups,
    help_,
    host_acts,
    host_manage,
    hosts,
    lifecycles,
    live,
    mirror_access,
    notification_channels,
    notification_rules,
    operation,
    packages,
    releases,
    reports,
    repositories,
    search,
    tokens,
    users,
    views,
)

log = get_logger("web")

PAGES = (
    account.pages,
    dashboard.pages,
    hosts.pages,
    enrolment.pages,
    host_acts.pages,
    host_manage.pages,
    views.pages,
    packages.pages,
    groups.pages,
    advisories.pages,
    cves.pages,
    exceptions.pages,
    lifecycles.pages,
    releases.pages,
    repositories.pages,
    mirror_access.pages,
    feeds.pages,
    operation.pages,
    reports.pages,
    dead_letters.pages,
    notification_rules.pages,
    notification_channels.pages,
    users.pages,
    tokens.pages,
    audit.pages,
    search.pages,
    help_.pages,
    live.pages,
)
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_YEAR_SECONDS = 31_536_000


def make_app(context: Context) -> Flask:
    """The pages as a WSGI application; of the context only the settings are used."""
    return app_of(context.settings)


def app_of(settings: Settings) -> Flask:
    """The pages, asking the API at `settings.api_url` or the public URL. Raises StartupError without a key."""
    if not settings.secret_key:
        raise StartupError(
            "PATCHBAY_SECRET_KEY is not set; give every web process the same long random text, "
            "or forms made by one would be refused by the others."
        )
    app = Flask("patchbay_web")
    app.extensions["patchbay_settings"] = settings
    app.extensions["patchbay_api"] = client = Api(settings.api_url or settings.base_url, session.asker_header)
    app.config.update(
        SECRET_KEY=settings.secret_key,
        SESSION_COOKIE_NAME="patchbay_form",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=settings.secure_cookies,
        WTF_CSRF_TIME_LIMIT=settings.session_seconds,
        MAX_CONTENT_LENGTH=64_000,
    )
    CSRFProtect(app)
    listeners = max(1, min(settings.event_listeners, settings.http_threads // 8))
    app.extensions["patchbay_listeners"] = threading.BoundedSemaphore(listeners)
    _bound_requests(app, limit=max(2, settings.http_threads // 2 - listeners))
    add_health(app, {"api": client.ping})
    app.before_request(session.restore)
    app.before_request(account.first_step)
    for pages in PAGES:
        app.register_blueprint(pages)
    _add_errors(app)
    _add_presentation(app)
    app.after_request(_finish)
    return app


def _bound_requests(app: Flask, *, limit: int) -> None:
    """Refuse pages above `limit` at a time: each waits for the API, which in embedded mode shares the threads."""
    running = threading.BoundedSemaphore(limit)

    @app.before_request
    def enter() -> tuple[str, int, dict[str, str]] | None:
        if request.endpoint in {"static", "live.stream"}:  # listeners have places of their own
            return None
        if not running.acquire(blocking=False):
            page = _error_page(503, "Busy", "Too many pages are being drawn at this moment; reload this one.")
            return page, 503, {"Retry-After": "2"}
        g.running = True
        return None

    @app.teardown_request
    def leave(_: BaseException | None) -> None:
        if g.pop("running", False):
            running.release()


def _add_errors(app: Flask) -> None:
    @app.errorhandler(SignedOut)
    def signed_out(_: SignedOut) -> Response:
        return session.to_sign_in()

    @app.errorhandler(Refused)
    def refused(exc: Refused) -> tuple[str, int]:
        title = {403: "Not allowed", 404: "Not found"}.get(exc.status, "That did not work")
        return _error_page(exc.status, title, str(exc)), exc.status

    @app.errorhandler(Unavailable)
    def unavailable(exc: Unavailable) -> tuple[str, int, dict[str, str]]:
        log.warning("api_unavailable", error=str(exc))
        page = _error_page(503, "Out of reach", f"{exc} Reports are kept meanwhile; reload in a moment.")
        return page, 503, {"Retry-After": "10"}

    @app.errorhandler(CSRFError)
    def forged(_: CSRFError) -> tuple[str, int]:
        return _error_page(400, "Form expired", "Go back, reload the page, and send the form again."), 400

    @app.errorhandler(HTTPException)
    def http_error(exc: HTTPException) -> tuple[str, int]:
        code = exc.code or 500
        detail = "There is no such page." if code == 404 else exc.description or ""
        return _error_page(code, exc.name, detail), code

    @app.errorhandler(Exception)
    def unexpected(exc: Exception) -> tuple[str, int]:
        log.error("page_failed", exc_info=exc)
        return _error_page(500, "Our mistake", "The log of the service says what went wrong."), 500


def _error_page(status: int, title: str, detail: str) -> str:
    return render_template("error.html", status=status, title=title, detail=detail)


def _add_presentation(app: Flask) -> None:
    static = Path(app.static_folder or "")
    versions = {
        str(path.relative_to(static)): hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        for path in static.rglob("*")
        if path.is_file()
    }
    styled = "vendor/tabler.min.css" in versions
    if not styled:
        log.warning("assets_missing", effect="pages are plain", fix="make assets")

    def asset(name: str) -> str:
        return url_for("static", filename=name, v=versions.get(name))

    def here(endpoint: str | None = None, /, **changes: Any) -> str:
        """The address of this page, or of another with its parameters, some of them changed; None removes one."""
        own = {"endpoint"}  # of url_for, as is what begins with _
        given = {name: value for name, value in request.args.items() if name not in own and name[:1] != "_"}
        values = {**(request.view_args or {}), **given, **changes}
        return url_for(endpoint or request.endpoint or "dashboard.show", **values)

    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.globals.update(
        asset=asset,
        printed_at=lambda: presentation.exact(datetime.now(UTC).isoformat()),
        here=here,
        styled=styled,
        may=session.may,
        may_operate=session.may_operate,
        menu=navigation.menu,
        state=presentation.state,
        repository_state=presentation.repository_state,
        receipt_state=presentation.receipt_state,
        restart_rule=presentation.restart_rule,
        advisory_url=presentation.advisory_url,
        advisory_page=presentation.advisory_page,
        cve_state=presentation.cve_state,
        feed_state=presentation.feed_state,
        severity_colour=presentation.severity_colour,
    )
    for name in (
        "age", "ago", "exact", "number", "plural", "quoted", "rater", "seconds", "size", "span", "timestamp", "until",
    ):  # fmt: skip
        app.jinja_env.filters[name] = getattr(presentation, name)

    @app.get("/favicon.ico")
    def favicon() -> Any:
        return redirect(asset("logo.svg"))


def _finish(response: Response) -> Response:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if request.endpoint == "static":
        if request.args.get("v") and response.status_code == 200:
            response.headers["Cache-Control"] = f"public, max-age={_YEAR_SECONDS}, immutable"
    else:
        response.headers.setdefault("Cache-Control", "no-store")
    return response
