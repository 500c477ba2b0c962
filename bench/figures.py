"""How a benchmark prints a figure: one JSON object a line, beside a floor or a peer of the same run."""

import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil


def figure(
    name: str,
    values: Sequence[float] | float,
    unit: str,
    *,
    target: str,
    floor: float | None = None,
    peer: str | None = None,
) -> None:
    """Print the median of `values`; `spread` is (max - min) / median."""
    series = [float(values)] if isinstance(values, int | float) else [float(each) for each in values]
    median = statistics.median(series)
    line: dict[str, object] = {"name": name, "value": round(median, 3), "unit": unit, "target": target}
    if floor is not None:
        line["floor"] = round(floor, 3)
    if peer is not None:
        line["peer"] = peer
    line["n"] = len(series)
    line["spread"] = round((max(series) - min(series)) / median, 3) if median else 0.0
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def shared_folder() -> Path:
    """The recordings beside the checkout; the benchmarks cannot run without them."""
    folder = Path(os.environ.get("PATCHBAY_SHARED", Path(__file__).parents[2] / "shared"))
    if not (folder / "bench").is_dir():
        raise SystemExit(f"No recordings in {folder}; name their folder with PATCHBAY_SHARED.")
    return folder


def test_support() -> None:
    """Make the modules of tests/support importable."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))


class CpuMeter:
    """CPU seconds of this process and of the embedded PostgreSQL, together, by the scheduler's own clock."""

    def __init__(self, data_folder: Path) -> None:
        pid = int((data_folder / "postmaster.pid").read_text().splitlines()[0])
        self._postmaster = psutil.Process(pid)

    def seconds(self) -> float:
        total = time.process_time()
        for process in [self._postmaster, *self._postmaster.children(recursive=True)]:
            try:
                total += int(Path(f"/proc/{process.pid}/schedstat").read_text().split()[0]) / 1e9
            except FileNotFoundError:
                continue
        # What ended in the meantime is in the postmaster's account of its children.
        own = self._postmaster.cpu_times()
        return total + own.children_user + own.children_system
