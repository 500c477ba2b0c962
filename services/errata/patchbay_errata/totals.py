"""How many hosts of the fleet each CVE touches, on how many each advisory's fix is outstanding, how severe it is.

Summed up again where a host's count, a verdict or a score has changed.
"""

import threading
import time

from patchbay_shared.db import Database
from patchbay_shared.exposure_totals import ADVISORY_RATINGS, CVE_TOTALS, advisory_totals
from sqlalchemy import Connection, text

REST = 20
"""After summing up nothing is summed up for so many times as long: a large fleet changes without end."""
_LOCK = 0x70617463_746F7473

# What the sums follow from. The ids of evaluations are added up because a host can go to another that is there.
_STATE = """
    SELECT concat_ws('|',
        (SELECT concat_ws(',', count(*), max(counted_at)) FROM host_exposure),
        (SELECT concat_ws(',', count(*), sum(h.evaluation_id), max(e.evaluated_at))
         FROM host h JOIN evaluation e ON e.id = h.evaluation_id),
        (SELECT max(changed_at) FROM errata_source))
"""
_PUBLISHED = "SELECT max(changed_at) FROM errata_source"


def _replacing(table: str, key: str, values: tuple[str, ...], totals: str) -> str:
    columns = ", ".join((key, *values))
    new = ", ".join(f"{each} = EXCLUDED.{each}" for each in values)
    compared = ", ".join(f"{table}.{each}" for each in values), ", ".join(f"EXCLUDED.{each}" for each in values)
    return f"""
        WITH total AS MATERIALIZED ({totals}), gone AS (
            DELETE FROM {table} t WHERE NOT EXISTS (SELECT FROM total WHERE total.{key} = t.{key})
        )
        INSERT INTO {table} ({columns}) SELECT {columns} FROM total ORDER BY {key}
        ON CONFLICT ({key}) DO UPDATE SET {new} WHERE ({compared[0]}) IS DISTINCT FROM ({compared[1]})
    """


_CVES = _replacing("cve_exposure", "cve", ("host_count", "state_counts", "level", "urgency"), CVE_TOTALS)
_ADVISORIES = _replacing(
    "advisory_exposure",
    "advisory",
    ("host_count", "urgency", "worst_cve", "level"),
    advisory_totals("SELECT * FROM cve_exposure"),
)
_RATINGS = _replacing("advisory_rating", "advisory_id", ("cve", "level"), ADVISORY_RATINGS)


class Totals:
    """The sums of one process: it remembers of what they are, and of when."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._state = ""
        self._rated_of = ""
        self._rest_until = 0.0

    def run(self, _stop: threading.Event) -> None:
        """Sum up, if anything has changed and the last time is long enough ago; one replica at a time."""
        started = time.monotonic()
        if started < self._rest_until:
            return
        with self._database.transaction() as connection:
            state = connection.scalar(text(_STATE)) or ""
            if state == self._state or not connection.scalar(
                text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": _LOCK}
            ):
                return
            sum_up(connection)
            published = f"of {connection.scalar(text(_PUBLISHED))}"
            if published != self._rated_of:
                connection.execute(text(_RATINGS))
        self._state, self._rated_of = state, published
        self._rest_until = time.monotonic() + REST * (time.monotonic() - started)


def sum_up(connection: Connection) -> None:
    """Write the sums of what is known now; what did not change is not written again."""
    connection.execute(text("SELECT set_config('jit', 'off', true)"))
    connection.execute(text(_CVES))
    connection.execute(text(_ADVISORIES))
