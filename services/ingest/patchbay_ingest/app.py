"""Ingest over HTTP: authenticate, bound, decode, publish, answer. No decision about the content."""

import hashlib
import time
from importlib import resources
from pathlib import Path

import msgspec
import zstandard
from flask import Flask, Response, jsonify, request
from patchbay_shared.errors import InvalidInput
from patchbay_shared.http import add_health, add_problem_handlers, problem
from patchbay_shared.log import get_logger
from patchbay_shared.messages import REPORT_RECEIVED, ReportReceived
from patchbay_shared.receipts import new_receipt_id
from patchbay_shared.report import Report, Short, Word
from patchbay_shared.service import Context

from patchbay_ingest.identity import Identity, Unauthenticated
from patchbay_ingest.wire import patchbay as patchbay_wire
from patchbay_ingest.wire.body import TooLarge, UnsupportedEncoding, decompress, read_bounded

log = get_logger("ingest")

ENROLMENT_MAX_BYTES = 16_384


class EnrolmentRequest(msgspec.Struct):
    """Body of POST /api/v1/enrol."""

    hostname: Word
    machine_id: Short = ""


def make_app(context: Context) -> Flask:
    """The WSGI application of ingest."""
    app = Flask("patchbay_ingest", static_folder=None)
    settings, bus = context.settings, context.bus
    identity = Identity(context.database)
    add_problem_handlers(app)
    add_health(app, {"broker": bus.ping})

    @app.errorhandler(Unauthenticated)
    def unauthenticated(exc: Unauthenticated) -> Response:
        return problem(401, str(exc), headers={"WWW-Authenticate": 'Bearer realm="Patchbay"'})

    @app.errorhandler(TooLarge)
    def too_large(exc: TooLarge) -> Response:
        return problem(413, str(exc))

    @app.errorhandler(UnsupportedEncoding)
    def unsupported(exc: UnsupportedEncoding) -> Response:
        return problem(415, str(exc), headers={"Accept-Encoding": "gzip, zstd"})

    @app.post("/api/v1/enrol")
    def enrol() -> tuple[Response, int]:
        token = _bearer()
        _require_json()
        body = read_bounded(request.stream, declared=request.content_length, limit=ENROLMENT_MAX_BYTES)
        try:
            wanted = msgspec.json.decode(body, type=EnrolmentRequest)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise InvalidInput(f"The body is not an enrolment request: {exc}", pointer="$") from exc
        host_id, host_token = identity.enrol(token, hostname=wanted.hostname, machine_id=wanted.machine_id)
        return jsonify({"host_id": str(host_id), "token": host_token}), 201

    @app.post("/api/v1/reports")
    def report() -> tuple[Response, int]:
        host_id = identity.host_of(_bearer())
        _require_json()
        sent = read_bounded(request.stream, declared=request.content_length, limit=settings.report_max_bytes)
        document = decompress(
            sent, request.headers.get("Content-Encoding", ""), limit=settings.report_max_expanded_bytes
        )
        decoded = patchbay_wire.report_of(document)
        content = content_of(decoded)
        receipt_id = new_receipt_id()
        header = ReportReceived(
            receipt_id=receipt_id,
            host_id=host_id,
            received_at=time.time(),
            content_digest=hashlib.sha256(content).hexdigest(),
            size_bytes=len(sent),
            collected_at=decoded.collected_at,
        )
        bus.publish(
            REPORT_RECEIVED,
            zstandard.ZstdCompressor(level=1).compress(content),
            {"report": msgspec.json.encode(header).decode()},
            wait=True,
        )
        log.info("report_accepted", host_id=str(host_id), receipt_id=str(receipt_id), bytes=len(sent))
        return jsonify({"receipt": str(receipt_id)}), 202

    @app.get("/agent/patchbay-agent")
    def agent() -> Response:
        return Response(agent_file("patchbay_agent.py"), mimetype="text/x-python")

    @app.get("/agent/install.sh")
    def install_script() -> Response:
        return Response(agent_file("install.sh"), mimetype="text/x-shellscript")

    return app


def content_of(report: Report) -> bytes:
    """The report as it travels: everything that can change a fact or a verdict, and no times.

    msgpack of `Report` without what differs between two reports of an unchanged host.
    """
    return msgspec.msgpack.encode(
        msgspec.structs.replace(report, collected_at=None, collect_seconds=None, digests={})
    )


def agent_file(name: str) -> bytes:
    """A file of the agent: from the installed distribution, or from agent/ of the checkout."""
    installed = resources.files("patchbay_ingest") / "agent" / name
    if installed.is_file():
        return installed.read_bytes()
    return (Path(__file__).parents[3] / "agent" / name).read_bytes()


def _bearer() -> str:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token.strip():
        raise Unauthenticated("A token is needed: send it as `Authorization: Bearer <token>`.")
    return token.strip()


def _require_json() -> None:
    if request.mimetype != "application/json":
        raise UnsupportedEncoding(
            f"Content-Type is {request.mimetype or 'missing'}; a report is sent as application/json."
        )
