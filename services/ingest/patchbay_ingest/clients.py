"""The two protocols of an unmodified patchman-client, at its own addresses (docs/migrate-from-patchman.md).

The client ignores every error and sends a report once, so what it loses must show here: each refusal of a
host that is known leaves a receipt.
"""

from collections.abc import Callable, Mapping
from uuid import UUID

from flask import Flask, Response, abort, g, jsonify, request
from patchbay_shared.bus import Bus
from patchbay_shared.errors import InvalidInput
from patchbay_shared.settings import Settings, comma_separated

from patchbay_ingest.identity import Forbidden, Identity, Unauthenticated, require_approved, within
from patchbay_ingest.intake import accept, content_of
from patchbay_ingest.limits import Limits
from patchbay_ingest.outcomes import Outcomes, text_of
from patchbay_ingest.peer import name_of
from patchbay_ingest.wire import patchman1, patchman2
from patchbay_ingest.wire.body import decompress, read_bounded
from patchbay_ingest.wire.patchman import Upload, hostname_of, report_of

_ECHOED = ("host", "os", "arch", "kernel", "report", "tags", "protocol", "reboot")
_ECHOED_LISTS = ("repos", "modules", "packages", "sec_updates", "bug_updates")


ECHO_WAIT_SECONDS = 20.0


def add_client_routes(
    app: Flask, settings: Settings, identity: Identity, bus: Bus, limits: Limits, outcomes: Outcomes
) -> None:
    """`/reports/upload/` and `/api/report/`, each also below `/t/<token>` for clients that can send no header."""
    open_networks = comma_separated(settings.protocol1_networks)

    def require_known(token: str) -> None:
        try:
            caller = identity.require_known(token)
        except Unauthenticated:
            raise Forbidden("This key is not known, has expired or has been revoked.") from None
        if caller:
            g.host_id = caller.host_id

    def take(token: str, hostname: str, read: Callable[[], Upload]) -> UUID:
        try:
            report, note = report_of(read())
        except InvalidInput:
            if host_id := identity.known_client(token, hostname):
                g.host_id = host_id
            raise
        caller = identity.client_of(token, hostname, peer=g.peer) if token else identity.anonymous_of(hostname)
        g.host_id = caller.host_id
        limits.require(caller.host_id)
        require_approved(caller)
        size_bytes = request.content_length or 0
        return accept(bus, caller, content_of(report), peer=g.peer, size_bytes=size_bytes, note=note)

    @app.route("/reports/upload/", methods=["GET", "POST"])
    @app.route("/t/<token>/reports/upload/", methods=["GET", "POST"])
    def upload(token: str = "") -> Response:
        if request.method == "GET":
            abort(404)
        g.sends_once = True
        token = token or _token_of_request()
        if token:
            require_known(token)
        elif not within(g.peer, open_networks):
            raise Forbidden(
                "Protocol 1 carries no credentials. Name the host's network in PATCHBAY_PROTOCOL1_NETWORKS, or put "
                "an enrolment token into the client's server URL: https://<server>/t/<token>."
            )
        request.max_content_length = request.max_form_memory_size = settings.report_max_bytes
        form = request.form
        if not form:
            raise InvalidInput("The request has no form fields; protocol 1 is multipart/form-data.")
        hostname = hostname_of(form.get("host", "")) or name_of(g.peer).lower()
        receipt_id = take(token, hostname, lambda: patchman1.upload_of(form, hostname=hostname))
        if form.get("report") == "true":
            outcome = outcomes.wait_for(receipt_id, ECHO_WAIT_SECONDS)
            echo = _echo({**form.to_dict(), "host": hostname})
            return Response(f"{echo}\n{text_of(outcome)}", mimetype="text/plain")
        return Response(status=204)

    @app.post("/api/report/")
    @app.post("/t/<token>/api/report/")
    def json_report(token: str = "") -> tuple[Response, int]:
        g.sends_once = True
        token = token or _token_of_request()
        if not token:
            raise Forbidden("Authentication credentials were not provided: send `Authorization: Api-Key <key>`.")
        require_known(token)
        sent = read_bounded(request.stream, declared=request.content_length, limit=settings.report_max_bytes)
        document = decompress(
            sent, request.headers.get("Content-Encoding", ""), limit=settings.report_max_expanded_bytes
        ).document
        hostname = hostname_of(patchman2.hostname_in(document))
        try:
            receipt_id = take(token, hostname, lambda: patchman2.upload_of(document))
        except patchman2.BadUpload:
            raise
        except InvalidInput as exc:
            raise patchman2.BadUpload(str(exc), field=(exc.pointer or "$").removeprefix("$.")) from exc
        body = {"status": "accepted", "report_id": str(receipt_id), "message": "Report queued for processing"}
        return jsonify(body), 202

    @app.errorhandler(patchman2.BadUpload)
    def bad_upload(exc: patchman2.BadUpload) -> tuple[Response, int]:
        g.reason = f"{exc.field}: {exc}"
        return jsonify({"status": "error", "errors": {exc.field: [str(exc)]}}), 400


def _token_of_request() -> str:
    """The key of a request, wherever a client can be made to put it; "" if there is none.

    An Api-Key has the form `<prefix>.<secret>`; the secret alone counts. curl's `--user` gives Basic: the
    password counts, or the user name if there is no password.
    """
    given = request.authorization
    if given is not None and given.type == "basic":
        return given.password or given.username or ""
    kind, _, key = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() in {"api-key", "bearer"}:
        return key.strip().rpartition(".")[2]
    return request.args.get("token", "")


def _echo(fields: Mapping[str, str]) -> str:
    """What was sent, as text for a person (`report=true`)."""
    lines = ["This report was received:", ""]
    lines += [f"{name + ':':<10}{fields.get(name, '')}" for name in _ECHOED]
    for name in _ECHOED_LISTS:
        if rows := fields.get(name, "").split("\n"):
            lines += ["", f"{name.replace('_', ' ')}:", *(f"  {row.strip()}" for row in rows if row.strip())]
    return "\n".join(lines) + "\n"
