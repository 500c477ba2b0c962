"""Update-engine: stores what hosts said, decides what is outstanding."""

from patchbay_shared.bus import Subscription
from patchbay_shared.messages import DEAD_LETTERS, FRESH_REPORTS, OPERATOR, RECALCULATION, REFUSALS
from patchbay_shared.service import Context, Job, Service, Workers

from patchbay_update_engine.handlers import Engine
from patchbay_update_engine.requests import Requests
from patchbay_update_engine.reverse_names import ReverseNames


def workers(context: Context) -> Workers:
    """One lane a thread: fresh reports never wait behind a recalculation, nor an operator behind either."""
    engine = Engine(context.settings, context.database, context.bus)
    requests = Requests(engine, context.database, context.bus)
    reverse_names = Job("reverse-names", context.settings.sweep_seconds, ReverseNames(context.database).run)
    return Workers(
        subscriptions=[
            *[Subscription(FRESH_REPORTS, engine.report_received)] * context.settings.engine_threads,
            Subscription(RECALCULATION, engine.recalculate, prefetch=1),
            Subscription(OPERATOR, requests.handle, prefetch=1),
            Subscription(REFUSALS, engine.report_refused),
            Subscription(DEAD_LETTERS, engine.message_died, prefetch=1),
        ],
        jobs=[
            Job("evaluate-stale", context.settings.sweep_seconds, engine.evaluate_stale),
            Job("remove-hosts", context.settings.sweep_seconds, engine.remove_hosts),
            Job("merge-hosts", context.settings.sweep_seconds, engine.merge_hosts),
            Job("clean", 3_600, engine.clean),
            *([reverse_names] if context.settings.reverse_dns else []),
        ],
    )


SERVICE = Service(
    name="update-engine",
    summary="Stores what hosts said, decides what is outstanding.",
    reads=(
        "repository",
        "repository_index",
        "available_package",
        "advisory",
        "advisory_fix",
        "advisory_release",
        "host_removal",
        "host_merge",
        "os_group",
        "os_group_repository",
        "os_variant_group",
        "host_repository_choice",
    ),
    writes=(
        "package",
        "package_set",
        "repository_reference",
        "repository_set",
        "host",
        "package_event",
        "receipt",
        "report_body",
        "reboot_verdict",
        "opinion",
        "reverse_name",
        "evaluation",
        "verdict",
        "dead_letter",
        "group_repository_set",
        "job_part",
    ),
    consumes=(
        "report.received",
        "report.refused",
        "repository.changed",
        "advisories.changed",
        "judging-repositories.changed",
        "evaluation.requested",
        "report.reprocess-requested",
        "host.removed",
        "dead-letters.requested",
        "hosts.operated",
        "message.dead",
    ),
    publishes=("repository.referenced", "host.evaluated", "whatever a replayed dead letter was"),
    workers=workers,
)
