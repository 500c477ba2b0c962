"""Random hosts, judged by Patchbay and by pacman itself. PATCHBAY_LIVE_SEED repeats a run."""

from pathlib import Path

import pytest
from live_host import difference, generator, listed, needs
from random_pacman import query_updates, write_host

pytestmark = pytest.mark.live


@pytest.mark.parametrize("number", range(12))
def test_a_random_host_has_the_updates_that_pacman_lists(number: int, tmp_path: Path) -> None:
    """`pacman -Qu` is the bar: nothing missed, nothing invented, under any policy."""
    needs("pacman")
    name, rng = generator(number)
    report = write_host(tmp_path, rng)

    ours = listed(report, tmp_path / "mirror")

    assert difference(query_updates(tmp_path), ours) == "", name
