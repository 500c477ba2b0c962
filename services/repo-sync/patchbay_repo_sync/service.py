"""repo-sync: crawls mirrors into the catalogue of packages.

| file | what is in it |
|---|---|
| handlers | nudges and timed jobs |
| sync, progress, sisters | one sync of one repository; how far it has come; which of its mirrors lag |
| links, operated | several addresses of one archive, crawled once; what an operator decides |
| crawl/ | one file a format: what to fetch from a mirror, and how it is checked |
| formats/ | readers of metadata, bounded |
| signature, mirrorlist | who signed, where else to look |
| reported | what hosts report as available, where no mirror can be read |
| store, swap, lease | SQL: repositories and leases; a new generation in one transaction; heartbeats |
"""

from patchbay_shared.bus import Subscription
from patchbay_shared.messages import REPOSITORY_CHANGED, SYNC_NUDGES
from patchbay_shared.service import Context, Job, Service, Workers

from patchbay_repo_sync.handlers import fill_from_reports, learn_references, nudge_handler, prune_history, sync_due
from patchbay_repo_sync.sync import Syncer

_LOOK_EVERY_SECONDS = 1.0
_PRUNE_EVERY_SECONDS = 3_600.0


def workers(context: Context) -> Workers:
    """One consumer of nudges, the sweep for references, and `sync_threads` crawling threads."""
    database, settings = context.database, context.settings
    syncers = [Syncer(settings, database, context.bus) for _ in range(max(1, settings.sync_threads))]
    return Workers(
        subscriptions=[Subscription(SYNC_NUDGES, nudge_handler(database, context.bus))],
        jobs=[
            *(
                Job("sync-due" if number == 1 else f"sync-due-{number}", _LOOK_EVERY_SECONDS, sync_due(syncer))
                for number, syncer in enumerate(syncers, start=1)
            ),
            Job(
                "learn-references",
                float(settings.sweep_seconds),
                learn_references(database, float(settings.sync_interval_seconds)),
            ),
            Job("fill-from-reports", float(settings.sweep_seconds), fill_from_reports(database, context.bus)),
            Job("prune-sync-history", _PRUNE_EVERY_SECONDS, prune_history(database)),
        ],
    )


SERVICE = Service(
    name="repo-sync",
    summary="Crawls mirrors into the catalogue of packages.",
    reads=("repository_reference", "repository_set", "host", "opinion", "package", "package_set", "mirror_access"),
    writes=("repository", "mirror", "repository_index", "available_package", "repository_sync"),
    consumes=(SYNC_NUDGES.name,),
    publishes=(REPOSITORY_CHANGED,),
    workers=workers,
)
