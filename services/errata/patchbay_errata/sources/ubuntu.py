"""Ubuntu's security notices: `database-all.json`, one object keyed by notice id without "USN-"."""

from collections.abc import Iterator

import msgspec
from patchbay_shared.errors import InvalidInput

from patchbay_errata.advisory import (
    Advisory,
    Decoder,
    Fix,
    Rejected,
    checked,
    cves_in,
    decoded,
    each_record,
    from_epoch,
)


class _Version(msgspec.Struct):
    version: str = ""
    pocket: str = ""


class _Release(msgspec.Struct):
    sources: dict[str, _Version] = {}
    binaries: dict[str, _Version] = {}
    allbinaries: dict[str, _Version] = {}


class _Notice(msgspec.Struct):
    title: str = ""
    timestamp: float | None = None
    releases: dict[str, _Release] = {}
    id: str = ""
    isummary: str | None = ""
    description: str | None = ""
    cves: list[str] = []


def notices(data: bytes, rejected: Rejected) -> Iterator[Advisory]:
    """One advisory a notice, with its source packages and every binary that was built from them.

    A binary's pocket is kept: what is only in esm-infra or esm-apps is not there for everybody. Launchpad
    bugs among the CVEs are left out. Raises InvalidInput.
    """
    every = decoded(data, dict[str, msgspec.Raw], "Ubuntu's notice database")
    decoder = Decoder(_Notice)

    def notice(item: tuple[str, msgspec.Raw]) -> Iterator[Advisory]:
        key, raw = item
        yield _advisory(key, decoder.decode(raw))

    yield from each_record(((key, (key, raw)) for key, raw in every.items()), notice, rejected)


def _advisory(key: str, notice: _Notice) -> Advisory:
    if not key.strip():
        raise InvalidInput("it has no id")
    number = key.removeprefix("USN-")
    fixes: list[Fix] = []
    for codename, release in notice.releases.items():
        binaries = release.allbinaries or release.binaries
        pockets = {each.pocket for each in binaries.values() if each.pocket.startswith("esm")}
        pocket = pockets.pop() if len(pockets) == 1 else ""
        for kind, packages in (("source", release.sources), ("binary", binaries)):
            for name, each in packages.items():
                if not each.version:
                    continue
                special = each.pocket if each.pocket.startswith("esm") else pocket if kind == "source" else ""
                fixes.append(Fix("ubuntu", codename, name, kind, each.version, pocket=special))  # type: ignore[arg-type]  # of the tuple
    return checked(
        Advisory(
            id=f"USN-{number}",
            vendor="ubuntu",
            title=notice.title,
            description=notice.description or notice.isummary or "",
            url=f"https://ubuntu.com/security/notices/USN-{number}",
            issued_at=None if notice.timestamp is None else from_epoch(notice.timestamp),
            fixes=tuple(fixes),
            cves=cves_in(*notice.cves),
        )
    )
