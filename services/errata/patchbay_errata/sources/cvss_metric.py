"""CVSS ratings: the score is worked out from the vector, so that every provider's is of the same arithmetic."""

from functools import lru_cache

from cvss import CVSS2, CVSS3, CVSS4
from cvss.exceptions import CVSSError

from patchbay_errata.advisory import Metric

_REMEMBERED_VECTORS = 20_000


def metric(vector: str, provider: str, *, primary: bool = False) -> Metric | None:
    """The rating that a vector means; None for one that is no CVSS vector."""
    rated = _rated(vector.strip())
    if rated is None:
        return None
    version, score, severity = rated
    return Metric(provider, version, vector.strip(), score, severity, primary)


@lru_cache(_REMEMBERED_VECTORS)
def _rated(vector: str) -> tuple[str, float, str] | None:
    try:
        if vector.startswith("CVSS:4.0/"):
            four = CVSS4(vector)
            return "4.0", float(four.base_score), str(four.severity).lower()
        if vector.startswith("CVSS:3"):
            three = CVSS3(vector)
            return vector[5:8], float(three.base_score), str(three.severities()[0]).lower()
        two = CVSS2(vector.strip("()"))
        return "2.0", float(two.base_score), str(two.severities()[0]).lower()
    except (CVSSError, ValueError, KeyError, IndexError):
        return None


def best(metrics: tuple[Metric, ...]) -> Metric | None:
    """The rating to show: version 3.1 before 3.0, 4.0 and 2.0; of equals NVD's own, then the first.

    3.1 comes first because it is what nearly every CVE has: scores of 4.0 are not comparable with it.
    """
    order = ("3.1", "3.0", "4.0", "2.0")
    ranked = sorted(metrics, key=lambda each: (order.index(each.version), not each.primary))
    return ranked[0] if ranked else None
