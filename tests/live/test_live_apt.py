"""Random hosts, judged by Patchbay and by apt itself. PATCHBAY_LIVE_SEED repeats a run."""

from pathlib import Path

import pytest
from live_host import difference, generator, listed, needs
from random_apt import list_upgradable, write_host

pytestmark = pytest.mark.live


@pytest.mark.parametrize("number", range(12))
def test_a_random_host_has_the_updates_that_apt_lists(number: int, tmp_path: Path) -> None:
    """`apt list --upgradable` is the bar: nothing missed, nothing invented, under any policy."""
    needs("apt")
    name, rng = generator(number)
    report = write_host(tmp_path, rng)

    ours = listed(report, tmp_path / "mirror")

    assert difference(list_upgradable(tmp_path), ours) == "", name
