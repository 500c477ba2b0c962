"""Random hosts, judged by Patchbay and by dnf itself. PATCHBAY_LIVE_SEED repeats a run."""

from pathlib import Path

import pytest
from live_host import difference, generator, listed, needs
from random_dnf import VERSIONLOCK, check_update, write_host

pytestmark = pytest.mark.live


@pytest.mark.parametrize("number", range(12))
def test_a_random_host_has_the_updates_that_dnf_lists(number: int, tmp_path: Path) -> None:
    """`dnf check-update` is the bar: nothing missed, nothing invented, under any policy."""
    needs("dnf", "rpmdb", str(VERSIONLOCK))
    name, rng = generator(number)
    report = write_host(tmp_path, rng)

    ours = listed(report, tmp_path / "mirror")

    assert difference(check_update(tmp_path), ours) == "", name
