"""Ingest over HTTP: authenticate, bound, decode, publish, answer. No decision about the content."""

import math
from importlib import resources
from pathlib import Path
from uuid import UUID

import msgspec
from flask import Flask, Response, g, jsonify, request
from patchbay_shared.errors import InvalidInput
from patchbay_shared.http import add_health, add_problem_handlers, problem
from patchbay_shared.metrics import count_refusal
from patchbay_shared.proxies import TrustedProxies
from patchbay_shared.report import Short, Word
from patchbay_shared.report_body import TooLarge
from patchbay_shared.service import Context
from patchbay_shared.settings import comma_separated

from patchbay_ingest.clients import add_client_routes
from patchbay_ingest.identity import Forbidden, Identity, Unauthenticated, require_approved
from patchbay_ingest.intake import Refusals, SectionsLacking, accept, content_of, require_stored
from patchbay_ingest.limits import Limits, RateLimited
from patchbay_ingest.outcomes import Outcomes
from patchbay_ingest.peer import Prefixes
from patchbay_ingest.wire import patchbay as patchbay_wire
from patchbay_ingest.wire import sbom
from patchbay_ingest.wire.body import Body, UnsupportedEncoding, decompress, read_bounded

ENROLMENT_MAX_BYTES = 16_384
RECEIPT_HEADER = "Patchbay-Receipt"


class EnrolmentRequest(msgspec.Struct):
    """Body of POST /api/v1/enrol."""

    hostname: Word
    machine_id: Short = ""


def make_app(context: Context) -> Flask:
    """The WSGI application of ingest."""
    app = Flask("patchbay_ingest", static_folder=None)
    app.url_map.strict_slashes = False
    settings, bus = context.settings, context.bus
    prefixed = Prefixes(app.wsgi_app, comma_separated(settings.path_prefixes))
    proxied = TrustedProxies(prefixed, comma_separated(settings.trusted_proxies))
    app.wsgi_app = proxied  # type: ignore[method-assign]  # Flask's documented place for middleware
    identity = Identity(context.database, approve_hosts=settings.approve_hosts)
    refusals = app.extensions["refusals"] = Refusals(bus)
    limits = Limits(settings)
    outcomes = Outcomes(context.database, waiting_count=settings.http_threads // 2)
    add_problem_handlers(app)
    add_health(app, {"broker": bus.ping})
    _add_refusals(app, refusals)

    @app.before_request
    def note_the_peer() -> None:
        g.peer = request.remote_addr or ""

    @app.post("/api/v1/enrol")
    def enrol() -> tuple[Response, int]:
        token = _bearer()
        _require_json()
        body = read_bounded(request.stream, declared=request.content_length, limit=ENROLMENT_MAX_BYTES)
        try:
            wanted = msgspec.json.decode(body, type=EnrolmentRequest)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise InvalidInput(f"The body is not an enrolment request: {exc}", pointer="$") from exc
        caller, host_token = identity.enrol(
            token, hostname=wanted.hostname, machine_id=wanted.machine_id, peer=g.peer
        )
        return jsonify({"host_id": str(caller.host_id), "token": host_token, "pending": caller.pending}), 201

    @app.post("/api/v1/enrol/rotate")
    def rotate() -> tuple[Response, int]:
        token = _bearer()
        caller = identity.host_of(token)
        limits.require(caller.host_id)
        return jsonify({"host_id": str(caller.host_id), "token": identity.rotate(token)}), 201

    @app.post("/api/v1/reports")
    def report() -> tuple[Response, int]:
        if request.mimetype in sbom.MEDIA_TYPES:
            return bill_of_materials()
        caller = identity.host_of(_bearer())
        g.host_id = caller.host_id
        limits.require(caller.host_id)
        require_approved(caller)
        _require_json()
        body = read_body()
        wait_seconds = _wait_seconds()
        content = patchbay_wire.content_of(body)
        require_stored(context.database, caller.host_id, content)
        receipt_id = accept(bus, caller, content, peer=g.peer, size_bytes=len(body.sent))
        return answer(receipt_id, wait_seconds, sorted(content.sections))

    def bill_of_materials() -> tuple[Response, int]:
        """A host's token, or an enrolment token: then the host is its name, as for patchman-clients."""
        token = _bearer()
        if known := identity.require_known(token):
            g.host_id = known.host_id
        body = read_body()
        wait_seconds = _wait_seconds()
        decoded, note = sbom.report_of(body.document, request.mimetype, hostname=request.args.get("hostname", ""))
        caller = identity.client_of(token, decoded.hostname, peer=g.peer)
        g.host_id = caller.host_id
        limits.require(caller.host_id)
        require_approved(caller)
        receipt_id = accept(bus, caller, content_of(decoded), peer=g.peer, size_bytes=len(body.sent), note=note)
        return answer(receipt_id, wait_seconds)

    def answer(receipt_id: UUID, wait_seconds: float, sections: list[str] | None = None) -> tuple[Response, int]:
        """`sections`: those that the client may leave out next time, as long as they are the same."""
        told = {"sections": sections} if sections else {}
        if outcome := outcomes.wait_for(receipt_id, wait_seconds):
            document = msgspec.to_builtins(outcome) | told
            return Response(msgspec.json.encode(document), mimetype="application/json"), 200
        return jsonify({"receipt": str(receipt_id)} | told), 202

    def read_body() -> Body:
        sent = read_bounded(request.stream, declared=request.content_length, limit=settings.report_max_bytes)
        encoding = request.headers.get("Content-Encoding", "")
        return decompress(sent, encoding, limit=settings.report_max_expanded_bytes)

    add_client_routes(app, settings, identity, bus, limits, outcomes)

    @app.get("/agent/patchbay-agent")
    def agent() -> Response:
        return Response(agent_file("patchbay_agent.py"), mimetype="text/x-python")

    @app.get("/agent/install.sh")
    def install_script() -> Response:
        return Response(agent_file("install.sh"), mimetype="text/x-shellscript")

    return app


def agent_file(name: str) -> bytes:
    """A file of the agent: from the installed distribution, or from agent/ of the checkout."""
    installed = resources.files("patchbay_ingest") / "agent" / name
    if installed.is_file():
        return installed.read_bytes()
    return (Path(__file__).parents[3] / "agent" / name).read_bytes()


def _add_refusals(app: Flask, refusals: Refusals) -> None:
    """Each error as a problem; and of a host that is known, a receipt that says why its report was refused."""

    @app.errorhandler(Unauthenticated)
    def unauthenticated(exc: Unauthenticated) -> Response:
        return problem(401, str(exc), headers={"WWW-Authenticate": 'Bearer realm="Patchbay"'})

    @app.errorhandler(Forbidden)
    def forbidden(exc: Forbidden) -> Response:
        return problem(403, str(exc))

    @app.errorhandler(SectionsLacking)
    def lacking(exc: SectionsLacking) -> Response:
        return problem(409, str(exc), lacking=exc.lacking)

    @app.errorhandler(RateLimited)
    def rate_limited(exc: RateLimited) -> Response:
        g.told_before = not exc.first
        return problem(429, str(exc), headers={"Retry-After": str(math.ceil(exc.retry_after_seconds))})

    @app.errorhandler(TooLarge)
    def too_large(exc: TooLarge) -> Response:
        return problem(413, str(exc))

    @app.errorhandler(UnsupportedEncoding)
    def unsupported(exc: UnsupportedEncoding) -> Response:
        return problem(415, str(exc), headers={"Accept-Encoding": "gzip, zstd"})

    @app.after_request
    def leave_a_receipt(response: Response) -> Response:
        lost = response.status_code >= 400 if g.get("sends_once") else 400 <= response.status_code < 500
        if lost and "host_id" in g and not g.get("told_before"):
            document = response.get_json(silent=True) or {}
            reason = g.get("reason") or document.get("detail") or response.status
            receipt_id = refusals.tell(g.host_id, reason=str(reason), size_bytes=request.content_length or 0)
            response.headers[RECEIPT_HEADER] = str(receipt_id)
        if response.status_code >= 400 and request.endpoint in {"report", "upload", "json_report"}:
            count_refusal(response.status_code)
        return response


def _bearer() -> str:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token.strip():
        raise Unauthenticated("A token is needed: send it as `Authorization: Bearer <token>`.")
    return token.strip()


def _wait_seconds() -> float:
    """`?wait=`: how long the client would wait for the verdict. Raises InvalidInput."""
    text = request.args.get("wait", "0")
    if not text.isdecimal() or len(text) > 4:
        raise InvalidInput(f"The parameter wait is {text!r}; expected a number of seconds.", pointer="wait")
    return float(text)


def _require_json() -> None:
    if request.mimetype != "application/json":
        raise UnsupportedEncoding(
            f"Content-Type is {request.mimetype or 'missing'}; a report is sent as application/json, "
            "a bill of materials as application/vnd.cyclonedx+json or application/spdx+json."
        )
