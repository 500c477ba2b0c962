"""Random hosts, judged by Patchbay and by zypper itself. PATCHBAY_LIVE_SEED repeats a run."""

from pathlib import Path

import pytest
from live_host import difference, generator, listed, needs
from random_zypper import list_updates, write_host

pytestmark = pytest.mark.live


@pytest.mark.parametrize("number", range(12))
def test_a_random_host_has_the_updates_that_zypper_lists(number: int, tmp_path: Path) -> None:
    """`zypper list-updates` is the bar: nothing missed, nothing invented, under any policy."""
    needs("zypper", "rpmdb")
    name, rng = generator(number)
    report = write_host(tmp_path, rng)

    ours = listed(report, tmp_path / "mirror")

    assert difference(list_updates(tmp_path), ours) == "", name
