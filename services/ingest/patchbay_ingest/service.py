"""Ingest: accepts reports from the hosts it knows, and queues them."""

from patchbay_shared.service import Service
from patchbay_shared.settings import Settings, comma_separated

from patchbay_ingest.app import make_app


def prefixed_paths(settings: Settings) -> tuple[str, ...]:
    """The prefixes under which everything is served once more."""
    return tuple(comma_separated(settings.path_prefixes))


SERVICE = Service(
    name="ingest",
    summary="Accepts reports from the hosts it knows, and queues them.",
    reads=(
        "enrolment_token",
        "evaluation",
        "host",
        "host_approval",
        "host_credential",
        "host_merge",
        "host_removal",
        "host_token_revocation",
        "receipt",
        "verdict",
    ),
    writes=("host_credential",),
    publishes=("report.received", "report.refused"),
    app=make_app,
    paths=("/api/v1/reports", "/api/v1/enrol", "/agent", "/reports/upload", "/api/report", "/t"),
    more_paths=prefixed_paths,
)
