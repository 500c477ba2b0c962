"""Random hosts for tests against the real package managers: seeds, and Patchbay's own answer."""

import os
import random
import secrets
import shutil
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
from patchbay_repo_sync.snapshot import Snapshots
from patchbay_shared.report import Report

from patchbay.evaluate import Evaluation
from patchbay.mirror import open_fetch

Row = tuple[str, str, str, str]
"""Name, architecture, from, to."""
MIRROR, OTHER_MIRROR = "http://mirror.example.org", "http://vendor.example.org"
"""Two names of one folder."""
# The workers of one run share the identifier that pytest-xdist gives it.
_SEED = os.environ.get("PATCHBAY_LIVE_SEED") or os.environ.get("PYTEST_XDIST_TESTRUNUID") or secrets.token_hex(4)


def needs(*tools: str) -> None:
    """Skip unless the real tools are here: commands, or paths of files."""
    missing = [each for each in tools if not shutil.which(each) and not Path(each).exists()]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}; setup/install-test-tools installs them, as root")


def generator(number: int) -> tuple[str, random.Random]:
    """The generator of a host, and how to repeat it. PATCHBAY_LIVE_SEED sets the seed of a run."""
    return f"PATCHBAY_LIVE_SEED={_SEED}, number {number}", random.Random(f"{_SEED}/{number}")


def listed(report: dict[str, Any], mirror: Path) -> set[Row]:
    """What Patchbay lists for a report whose repositories are below MIRROR, served from a folder."""
    evaluation = Evaluation(
        Snapshots(open_fetch({"PATCHBAY_MIRROR_MAP": f"{MIRROR}={mirror} {OTHER_MIRROR}={mirror}"}))
    )
    updates = evaluation.updates(msgspec.convert(report, Report))
    assert not evaluation.missing, evaluation.missing
    rows = {(each.name, each.arch, each.installed, each.candidate) for each in updates}
    assert len(rows) == len(updates), "an update is listed twice"
    return rows


def run(command: list[str], codes: tuple[int, ...] = (0,), **environment: str) -> str:
    """The output of a tool in the C locale."""
    done = subprocess.run(
        command, env={**os.environ, "LC_ALL": "C", **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode in codes, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


def difference(theirs: set[Row], ours: set[Row]) -> str:
    """What is missing and what is invented, for an assertion; empty where they agree."""
    missed, invented = sorted(theirs - ours), sorted(ours - theirs)
    return "" if theirs == ours else f"missed {missed}, invented {invented}"
