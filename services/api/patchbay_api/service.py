"""The API: every read and every operator's action, as JSON below /api/v1.

Reads all tables. Writes accounts, sessions, enrolment tokens, approvals, exceptions and policies, and the
groups, tags and notes of hosts. Publishes
what operators ask for, which repo-sync and update-engine act on.
"""

from patchbay_shared.messages import (
    DEAD_LETTERS_REQUESTED,
    EVALUATION_REQUESTED,
    HOST_REMOVED,
    JUDGING_REPOSITORIES_CHANGED,
    REPORT_REPROCESS_REQUESTED,
    REPOSITORY_OPERATED,
    SYNC_REQUESTED,
)
from patchbay_shared.service import Context, Job, Service, Workers

from patchbay_api.app import make_app
from patchbay_api.gauges import gauges
from patchbay_api.notifications.rules import Notifier
from patchbay_api.resource import PREFIX
from patchbay_api.trends import snapshot_job


def workers(context: Context) -> Workers:
    """What goes on without anybody asking; each job may run in several replicas."""
    snapshot = Job("fleet-snapshot", context.settings.sweep_seconds, snapshot_job(context))
    return Workers(jobs=[snapshot, *Notifier(context).jobs()])


SERVICE = Service(
    name="api",
    summary="The JSON API: every read and every operator's action.",
    reads=(
        "host",
        "evaluation",
        "verdict",
        "package",
        "package_set",
        "package_event",
        "available_package",
        "repository_set",
        "repository",
        "repository_index",
        "repository_sync",
        "mirror",
        "receipt",
        "report_body",
        "dead_letter",
        "host_credential",
        "reboot_verdict",
        "opinion",
        "reverse_name",
        "advisory",
        "advisory_fix",
        "advisory_cve",
        "errata_source",
        "cve",
        "known_exploited",
        "exploit_score",
        "lifecycle",
        "group_repository_set",
        "host_exposure",
        "outstanding_security",
        "exposure_set",
        "cve_exposure",
        "cve_index",
        "advisory_exposure",
        "advisory_rating",
        "package_event",
    ),
    writes=(
        "user_account",
        "user_session",
        "enrolment_token",
        "host_approval",
        "host_removal",
        "host_merge",
        "host_token_revocation",
        "mirror_access",
        "os_group",
        "os_group_repository",
        "os_variant_group",
        "host_repository_choice",
        "fleet_snapshot",
        "risk_exception",
        "remediation_policy",
        "notification_channel",
        "notification_rule",
        "notification_noticed",
        "notification",
        "host_group",
        "host_label",
        "user_role",
        "api_token",
        "second_factor",
        "oidc_identity",
        "pending_sign_in",
        "sign_in_failure",
        "audit_event",
        "kept_answer",
        "saved_view",
        "job",
    ),
    publishes=(
        DEAD_LETTERS_REQUESTED,
        EVALUATION_REQUESTED,
        HOST_REMOVED,
        JUDGING_REPOSITORIES_CHANGED,
        REPORT_REPROCESS_REQUESTED,
        REPOSITORY_OPERATED,
        SYNC_REQUESTED,
    ),
    app=make_app,
    paths=(PREFIX,),
    workers=workers,
    gauges=gauges,
)
