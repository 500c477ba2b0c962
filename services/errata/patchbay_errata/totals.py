"""How many hosts of the fleet each CVE touches, on how many each advisory's fix is outstanding, how severe it is.

Summed up again where a host's count, a verdict or a score has changed.
"""

import threading
import time

from patchbay_shared.db import Database
from patchbay_shared.exposure_totals import ADVISORY_RATINGS, CVE_TOTALS, advisory_totals
from sqlalchemy import Connection, text

from patchbay_errata.cve_index import index_cves
from patchbay_errata.replacing import replacing

REST = 20
"""After summing up nothing is summed up for so many times as long: a large fleet changes without end."""
_LOCK = 0x70617463_746F7473

# What the sums follow from. The ids of evaluations are added up because a host can go to another that is there.
_STATE = """
    SELECT concat_ws('|',
        (SELECT concat_ws(',', count(*), max(counted_at)) FROM host_exposure),
        (SELECT concat_ws(',', count(*), sum(h.evaluation_id), max(e.evaluated_at))
         FROM host h JOIN evaluation e ON e.id = h.evaluation_id)) AS hosts,
        (SELECT concat_ws(',', count(*), max(changed_at)) FROM errata_source) AS feeds
"""


_CVES = replacing("cve_exposure", "cve", ("host_count", "state_counts", "level", "urgency"), CVE_TOTALS)
_ADVISORIES = replacing(
    "advisory_exposure",
    "advisory",
    ("host_count", "urgency", "worst_cve", "level"),
    advisory_totals("SELECT * FROM cve_exposure"),
)
_RATINGS = replacing("advisory_rating", "advisory_id", ("cve", "level"), ADVISORY_RATINGS)


class Totals:
    """The sums of one process: it remembers of what they are, and of when."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen: tuple[str, str] = "", ""
        """Of the hosts, and of the feeds."""
        self._rest_until = 0.0

    def run(self, _stop: threading.Event) -> None:
        """Sum up, if anything has changed and the last time is long enough ago; one replica at a time."""
        started = time.monotonic()
        if started < self._rest_until:
            return
        with self._database.transaction() as connection:
            hosts, feeds = connection.execute(text(_STATE)).one()
            if (hosts, feeds) == self._seen or not connection.scalar(
                text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": _LOCK}
            ):
                return
            if feeds != self._seen[1]:
                index_cves(connection)
            sum_up(connection)
            if feeds != self._seen[1]:
                connection.execute(text(_RATINGS))
        self._seen = hosts, feeds
        self._rest_until = time.monotonic() + REST * (time.monotonic() - started)


def sum_up(connection: Connection) -> None:
    """Write the sums of what is known now; what did not change is not written again."""
    connection.execute(text("SELECT set_config('jit', 'off', true)"))
    connection.execute(text(_CVES))
    connection.execute(text(_ADVISORIES))
