"""Agreement with apt, dnf, zypper and pacman on the hosts of the update oracle.

The hosts are those of the shared folder (PATCHBAY_SHARED, or `../shared` beside the checkout) and the few that
are kept in tests/data/oracle, so that the suite stands alone. Compared is (name, arch, from, to), as sets.
"""

import json
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from patchbay_repo_sync.snapshot import Snapshots

from patchbay.evaluate import Evaluation, read_report
from patchbay.mirror import open_fetch

_HERE = Path(__file__).parent
_SHARED = Path(os.environ.get("PATCHBAY_SHARED", _HERE.parent.parent / "shared"))
_FOLDERS = {"kept": _HERE / "data" / "oracle", "shared": _SHARED / "oracle"}
_HOSTNAMES = [f"{name}repos" for name in ("", "deb.", "vendor.", "security.", "exp.", "flat.", "same.", "phased.")]
Row = tuple[str, str, str, str]


def _hosts() -> list[object]:
    found = [
        pytest.param(where, path, id=f"{where}-{path.stem}")
        for where, folder in _FOLDERS.items()
        for path in sorted(folder.glob("dev/*/*.json"))
    ]
    if not (_FOLDERS["shared"] / "dev").is_dir():
        reason = f"no update oracle at {_FOLDERS['shared']}; set PATCHBAY_SHARED"
        found.append(pytest.param("shared", Path(), id="shared", marks=pytest.mark.skip(reason=reason)))
    return list(found)


@pytest.fixture(scope="session")
def evaluations() -> dict[str, Evaluation]:
    """One evaluation a folder: every repository is read once a session."""
    return {
        where: Evaluation(
            Snapshots(
                open_fetch(
                    {"PATCHBAY_MIRROR_MAP": " ".join(f"http://{name}.test={folder / 'repos'}" for name in _HOSTNAMES)}
                )
            )
        )
        for where, folder in _FOLDERS.items()
    }


@pytest.fixture(scope="session")
def agreement(request: pytest.FixtureRequest) -> Iterator[dict[str, list[tuple[int, int, int]]]]:
    """Collects (agreed, missed, wrong) of every host and prints the sum of each family at the end."""
    counts: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    yield counts
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")
    for family, hosts in sorted(counts.items()):
        exact = sum(not missed and not wrong for _, missed, wrong in hosts)
        agreed, missed, wrong = (sum(column) for column in zip(*hosts, strict=True))
        line = (
            f"{family}: {exact} of {len(hosts)} hosts exact; {agreed} updates agreed, {missed} missed, {wrong} wrong"
        )
        if reporter is not None:
            reporter.write_line(f"\n{line}")


@pytest.mark.parametrize(("where", "path"), _hosts())
def test_a_host_has_the_updates_that_its_package_manager_lists(
    where: str,
    path: Path,
    evaluations: dict[str, Evaluation],
    agreement: dict[str, list[tuple[int, int, int]]],
) -> None:
    """The package manager's own answer is the bar, in security as well: nothing missed, nothing invented."""
    listed = json.loads(path.read_bytes())["expected"]["updates"]
    expected: set[Row] = {(row["name"], row["arch"], row["from"], row["to"]) for row in listed}

    updates = evaluations[where].updates(read_report(path))

    found: set[Row] = {(update.name, update.arch, update.installed, update.candidate) for update in updates}
    agreement[path.parent.name].append((len(found & expected), len(expected - found), len(found - expected)))
    assert len(updates) == len(found)
    assert (sorted(expected - found), sorted(found - expected)) == ([], [])
    assert not evaluations[where].missing
    if path.parent.name in {"dnf", "zypper"}:
        # apt has no notion of it, pacman's databases do not say.
        security = {(row["name"], row["arch"], row["from"], row["to"]) for row in listed if row["security"]}
        said = {
            (update.name, update.arch, update.installed, update.candidate) for update in updates if update.security
        }
        assert (sorted(security - said), sorted(said - security)) == ([], [])
