"""Ingest: accepts reports from the hosts it knows, and queues them."""

from patchbay_shared.service import Service

from patchbay_ingest.app import make_app

SERVICE = Service(
    name="ingest",
    summary="Accepts reports from the hosts it knows, and queues them.",
    reads=("enrolment_token", "host_credential"),
    writes=("host_credential",),
    publishes=("report.received",),
    app=make_app,
    paths=("/api/v1/reports", "/api/v1/enrol", "/agent"),
)
