"""Every table, by the one service that writes it.

`Table.info["writer"]` names that service; `patchbay_shared.migrate` turns it into GRANTs, so a service that
writes another's table is refused by PostgreSQL itself.
"""

from patchbay_shared.tables.access import (
    api_token,
    audit_event,
    oidc_identity,
    pending_sign_in,
    second_factor,
    sign_in_failure,
    user_role,
)
from patchbay_shared.tables.api import (
    enrolment_token,
    host_approval,
    host_merge,
    host_removal,
    host_token_revocation,
    user_account,
    user_session,
)
from patchbay_shared.tables.errata import (
    advisory,
    advisory_cve,
    advisory_fix,
    advisory_release,
    cve,
    errata_source,
    exploit_score,
    known_exploited,
    lifecycle,
)
from patchbay_shared.tables.exposure import (
    advisory_exposure,
    advisory_rating,
    cve_exposure,
    exposure_set,
    host_exposure,
    outstanding_security,
    remediation_policy,
    risk_exception,
)
from patchbay_shared.tables.fleet_snapshot import fleet_snapshot
from patchbay_shared.tables.host_conclusions import opinion, reboot_verdict, reverse_name
from patchbay_shared.tables.host_labels import host_group, host_label
from patchbay_shared.tables.ingest import host_credential
from patchbay_shared.tables.metadata import SERVICES, metadata
from patchbay_shared.tables.notifications import (
    notification,
    notification_channel,
    notification_noticed,
    notification_rule,
)
from patchbay_shared.tables.operations import job, job_part, kept_answer, saved_view
from patchbay_shared.tables.os_groups import (
    group_repository_set,
    host_repository_choice,
    os_group,
    os_group_repository,
    os_variant_group,
)
from patchbay_shared.tables.repo_sync import (
    available_package,
    mirror,
    mirror_access,
    repository,
    repository_index,
    repository_sync,
)
from patchbay_shared.tables.update_engine import (
    dead_letter,
    evaluation,
    host,
    package,
    package_event,
    package_set,
    receipt,
    report_body,
    repository_reference,
    repository_set,
    verdict,
)

__all__ = [
    "SERVICES",
    "advisory",
    "advisory_cve",
    "advisory_exposure",
    "advisory_fix",
    "advisory_rating",
    "advisory_release",
    "api_token",
    "audit_event",
    "available_package",
    "cve",
    "cve_exposure",
    "dead_letter",
    "enrolment_token",
    "errata_source",
    "evaluation",
    "exploit_score",
    "exposure_set",
    "fleet_snapshot",
    "group_repository_set",
    "host",
    "host_approval",
    "host_credential",
    "host_exposure",
    "host_group",
    "host_label",
    "host_merge",
    "host_removal",
    "host_repository_choice",
    "host_token_revocation",
    "job",
    "job_part",
    "kept_answer",
    "known_exploited",
    "lifecycle",
    "metadata",
    "mirror",
    "mirror_access",
    "notification",
    "notification_channel",
    "notification_noticed",
    "notification_rule",
    "oidc_identity",
    "opinion",
    "os_group",
    "os_group_repository",
    "os_variant_group",
    "outstanding_security",
    "package",
    "package_event",
    "package_set",
    "pending_sign_in",
    "reboot_verdict",
    "receipt",
    "remediation_policy",
    "report_body",
    "repository",
    "repository_index",
    "repository_reference",
    "repository_set",
    "repository_sync",
    "reverse_name",
    "risk_exception",
    "saved_view",
    "second_factor",
    "sign_in_failure",
    "user_account",
    "user_role",
    "user_session",
    "verdict",
]
