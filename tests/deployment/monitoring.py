"""Prometheus by the profile `monitoring`: it finds every process, and its rules give figures."""

import json
import subprocess

from composition import ENGINES, Composition
from processes import wait_for

SERVICES = ("ingest", "api", "web", "update-engine", "repo-sync", "errata")
PROCESSES = len(SERVICES) - 1 + ENGINES
RECORDED = ("patchbay:hosts:max", "patchbay:repositories:max", "patchbay:queue_messages:max")


def require_measurements(composition: Composition) -> None:
    """Each replica of each service is scraped, and what is recorded from them has values."""
    composition.compose("--profile", "monitoring", "up", "-d", "--no-deps", "prometheus")
    wait_for(
        lambda: number(composition, "sum(up)") == PROCESSES and number(composition, "count(up)") == PROCESSES,
        within_seconds=120, what=f"{PROCESSES} scraped processes",
    )  # fmt: skip
    for recorded in RECORDED:
        wait_for(lambda name=recorded: number(composition, f"count({name})"), within_seconds=60, what=recorded)


def number(composition: Composition, expression: str) -> float | None:
    """The value of an expression that has one sample; None while there is none, or nobody answers."""
    try:
        told = composition.exec(
            "prometheus", "promtool", "query", "instant", "--format=json", "http://localhost:9090", expression
        )
    except subprocess.CalledProcessError:
        return None
    samples = json.loads(told or "[]")
    return float(samples[0]["value"][1]) if samples else None
