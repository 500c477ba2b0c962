"""errata: advisories, CVEs, scores and lifecycles beyond what repositories themselves publish.

| file | what is in it |
|---|---|
| feeds | every feed that is crawled, with its canonical address |
| handlers, crawl | the timed job; one crawl of one feed |
| advisory | the one model of records, and how a bad one is put aside |
| sources/ | one file a feed: pure parsers |
| updateinfo | the advisories that repo-sync read beside packages |
| store, sources_table | SQL: the records by COPY; the feeds with their leases |
| lifecycle | release calendars and the small table |
| exposure | how many vulnerabilities each host has, and how many of them are overdue or waived |
| outstanding | how severe and how old the security updates are that hosts have outstanding |
| totals | how many hosts each CVE touches, on how many each advisory is outstanding, how severe the unrated are |
| cve_index | every CVE that anybody names, with what lists of them are filtered and sorted by |
"""

from patchbay_shared.messages import ADVISORIES_CHANGED
from patchbay_shared.service import Context, Job, Service, Workers

from patchbay_errata.crawl import Crawler
from patchbay_errata.exposure import count_exposures
from patchbay_errata.handlers import crawl_due
from patchbay_errata.outstanding import rate_outstanding
from patchbay_errata.totals import Totals
from patchbay_errata.updateinfo import read_updateinfo

_LOOK_EVERY_SECONDS = 5.0


def workers(context: Context) -> Workers:
    """One crawling thread; replicas share the feeds by leases."""
    crawler = Crawler(context.settings, context.database, context.bus)
    return Workers(
        jobs=[
            Job("crawl-feeds", _LOOK_EVERY_SECONDS, crawl_due(crawler)),
            Job("read-updateinfo", _LOOK_EVERY_SECONDS, read_updateinfo(context.database)),
            Job("rate-outstanding", _LOOK_EVERY_SECONDS, rate_outstanding(context.database)),
            Job("count-exposures", _LOOK_EVERY_SECONDS, count_exposures(context.database)),
            Job("sum-exposures", _LOOK_EVERY_SECONDS, Totals(context.database).run),
        ]
    )


SERVICE = Service(
    name="errata",
    summary="Gathers advisories, CVEs, scores, lifecycles.",
    reads=(
        "repository",
        "repository_index",
        "host",
        "evaluation",
        "verdict",
        "package",
        "package_set",
        "package_event",
        "repository_set",
        "reboot_verdict",
        "host_label",
        "risk_exception",
        "remediation_policy",
    ),
    writes=(
        "errata_source",
        "advisory",
        "advisory_fix",
        "advisory_cve",
        "advisory_release",
        "cve",
        "known_exploited",
        "exploit_score",
        "lifecycle",
        "host_exposure",
        "outstanding_security",
        "exposure_set",
        "cve_exposure",
        "advisory_exposure",
        "advisory_rating",
        "cve_index",
    ),
    publishes=(ADVISORIES_CHANGED,),
    workers=workers,
)
