"""What travels on the broker: routing keys, queues (one per consumer and lane), and the small bodies.

A message is a nudge: except for the report itself it carries ids, and a sweep finds the same work by SQL.
"""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

import msgspec

REPORT_RECEIVED = "report.received"
REPORT_REFUSED = "report.refused"
REPOSITORY_REFERENCED = "repository.referenced"
SYNC_REQUESTED = "sync.requested"
REPOSITORY_OPERATED = "repository.operated"
REPOSITORY_CHANGED = "repository.changed"
ADVISORIES_CHANGED = "advisories.changed"
JUDGING_REPOSITORIES_CHANGED = "judging-repositories.changed"
HOST_EVALUATED = "host.evaluated"
EVALUATION_REQUESTED = "evaluation.requested"
REPORT_REPROCESS_REQUESTED = "report.reprocess-requested"
HOST_REMOVED = "host.removed"
DEAD_LETTERS_REQUESTED = "dead-letters.requested"
HOSTS_OPERATED = "hosts.operated"
MESSAGE_DEAD = "message.dead"


@dataclass(frozen=True)
class QueueSpec:
    """A durable quorum queue and the routing keys bound to it."""

    name: str
    routing_keys: tuple[str, ...]


FRESH_REPORTS = QueueSpec("update-engine.reports", (REPORT_RECEIVED,))
RECALCULATION = QueueSpec(
    "update-engine.recalculation", (REPOSITORY_CHANGED, ADVISORIES_CHANGED, JUDGING_REPOSITORIES_CHANGED)
)
OPERATOR = QueueSpec(
    "update-engine.operator",
    (EVALUATION_REQUESTED, REPORT_REPROCESS_REQUESTED, HOST_REMOVED, DEAD_LETTERS_REQUESTED, HOSTS_OPERATED),
)
REFUSALS = QueueSpec("update-engine.refusals", (REPORT_REFUSED,))
SYNC_NUDGES = QueueSpec("repo-sync.nudges", (REPOSITORY_REFERENCED, SYNC_REQUESTED, REPOSITORY_OPERATED))
DEAD_LETTERS = QueueSpec("update-engine.dead-letters", (MESSAGE_DEAD,))

QUEUES = (FRESH_REPORTS, RECALCULATION, OPERATOR, REFUSALS, SYNC_NUDGES, DEAD_LETTERS)


class ReportReceived(msgspec.Struct, frozen=True):
    """Header of REPORT_RECEIVED; the body beside it is that of patchbay_shared.report_body.

    `content_digest` is SHA-256 (hex) over everything of the report that can change a verdict or a fact,
    without times: equal digests mean that there is nothing to store.
    """

    receipt_id: UUID
    host_id: UUID
    received_at: float
    """Unix seconds, by ingest's clock."""
    content_digest: str
    size_bytes: int
    collected_at: float | None = None
    """Unix seconds, by the host's clock."""
    note: str = ""
    """What of the report could not be read or will not be evaluated; kept in the receipt."""
    tags: list[str] = []
    """What the operator gave every host of its enrolment token, in addition to the report's own."""
    sections: dict[str, str] = {}
    """Section (patchbay_shared.report.SECTIONS) to its digest (hex), of those that the host may leave out next
    time, because the digest is true, and of those that it left out this time, because it is stored."""
    left_out: list[str] = []
    """Those that it left out."""
    peer: str = ""
    """The IP address that it came from, as far as proxies are believed; "": not known."""


class ReportRefused(msgspec.Struct, frozen=True):
    """Body of REPORT_REFUSED: ingest did not take a report of a host that it knows."""

    receipt_id: UUID
    host_id: UUID
    received_at: float
    """Unix seconds, by ingest's clock."""
    size_bytes: int
    reason: str


class RepositoryNudge(msgspec.Struct, frozen=True):
    """Body of REPOSITORY_REFERENCED and SYNC_REQUESTED; no ids means "look for new references"."""

    repository_ids: list[UUID] = []
    force: bool = False


class RepositoryOperated(msgspec.Struct, frozen=True, omit_defaults=True):
    """Body of REPOSITORY_OPERATED: what an operator decided of one repository. What is UNSET stays as it is."""

    repository_id: UUID
    enabled: bool | msgspec.UnsetType = msgspec.UNSET
    security: bool | msgspec.UnsetType | None = msgspec.UNSET
    """None: what the distribution or the hosts say counts again."""
    linked_to: UUID | msgspec.UnsetType | None = msgspec.UNSET
    """The repository whose syncs are to serve this one as well; None: it is crawled by itself again."""


class RepositoryChanged(msgspec.Struct, frozen=True):
    """Body of REPOSITORY_CHANGED. `names` of None means that any package may have changed."""

    repository_id: UUID
    generation: int
    names: list[str] | None = None


class AdvisoryChange(msgspec.Struct, frozen=True):
    """The packages of one distribution release whose security advisories changed."""

    ecosystem: str
    """os-release ID."""
    distro_release: str
    generation: int
    """Of `advisory_release`, after the change."""
    names: list[str]
    """Exactly those, sorted: names of source or of binary packages, as the advisories have them."""


class AdvisoriesChanged(msgspec.Struct, frozen=True):
    """Body of ADVISORIES_CHANGED."""

    source: str
    changes: list[AdvisoryChange]


class JudgingRepositoriesChanged(msgspec.Struct, frozen=True):
    """Body of JUDGING_REPOSITORIES_CHANGED: operators decided by which repositories hosts are judged."""


class EvaluationRequested(msgspec.Struct, frozen=True):
    """Body of EVALUATION_REQUESTED."""

    host_ids: list[UUID]


class HostsOperated(msgspec.Struct, frozen=True):
    """Body of HOSTS_OPERATED: one part of what an operator asked for, with the job that it belongs to."""

    job_id: UUID
    part: int
    action: Literal["evaluate", "rename", "remove", "merge"]
    """remove and merge: as the tables host_removal and host_merge say."""
    host_ids: list[UUID]
    hostname: str = ""
    """Of rename; empty: as the host calls itself."""


class ReprocessRequested(msgspec.Struct, frozen=True):
    """Body of REPORT_REPROCESS_REQUESTED: a kept report is to be stored and judged again."""

    receipt_id: UUID


class HostRemoved(msgspec.Struct, frozen=True):
    """Body of HOST_REMOVED: an operator has removed a host (`host_removal`)."""

    host_id: UUID


class DeadLettersRequested(msgspec.Struct, frozen=True):
    """Body of DEAD_LETTERS_REQUESTED; ids that are gone already are passed over."""

    action: Literal["replay", "discard"]
    ids: list[int]


class HostEvaluated(msgspec.Struct, frozen=True):
    """Body of HOST_EVALUATED."""

    host_id: UUID
    evaluation_id: int
