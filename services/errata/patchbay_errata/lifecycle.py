"""Lifecycles of distribution releases: distro-info-data's calendars, and a small table for the others."""

import csv
import io
from collections.abc import Iterator
from datetime import date
from importlib.resources import files

from patchbay_shared.errors import InvalidInput
from patchbay_shared.exposure import REPOSITORY

from patchbay_errata.advisory import Lifecycle, Rejected, each_record

_DISTRO_INFO = "distro-info-data (ISC)"


def distro_info(data: bytes, rejected: Rejected, *, ecosystem: str) -> Iterator[Lifecycle]:
    """`debian.csv` or `ubuntu.csv`; lines may end early. Releases to come have no dates. Raises InvalidInput."""
    try:
        reader = csv.DictReader(io.StringIO(data.decode("utf-8-sig")))
        rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as exc:
        raise InvalidInput(f"The release calendar of {ecosystem} cannot be read: {exc}") from exc
    if not {"version", "series", "eol"} <= set(reader.fieldnames or ()):
        raise InvalidInput(f"The release calendar of {ecosystem} lacks the columns version, series and eol.")
    if not rows:
        raise InvalidInput(f"The release calendar of {ecosystem} has no release.")

    def row(values: dict[str, str | None]) -> Iterator[Lifecycle]:
        if not values["series"]:
            raise InvalidInput("it has no series")
        number = (values["version"] or "").removesuffix(" LTS")
        if ecosystem == "debian":
            number = number.removesuffix(".0")
        extended = values.get("eol-lts") or values.get("eol-esm")
        yield Lifecycle(
            ecosystem=ecosystem,
            version=number or values["series"],
            codename=values["series"],
            name=f"{ecosystem.capitalize()} {values['version'] or values['codename']}".strip(),
            released_on=_day(values.get("release")),
            ends_on=_day(values.get("eol")),
            extended_ends_on=_day(extended),
            source=_DISTRO_INFO,
        )

    yield from each_record(((f"row {n}", values) for n, values in enumerate(rows, start=2)), row, rejected)


def small_table() -> list[Lifecycle]:
    """The releases in `lifecycle.csv`, which says for each where its dates are from."""
    text = files("patchbay_errata").joinpath("lifecycle.csv").read_text(encoding="utf-8")
    return [
        Lifecycle(
            ecosystem=row["ecosystem"],
            version=row["version"],
            codename=row["codename"],
            name=row["name"],
            released_on=_day(row["released_on"]),
            ends_on=_day(row["ends_on"]),
            extended_ends_on=_day(row["extended_ends_on"]),
            source=row["source"],
        )
        for row in csv.DictReader(io.StringIO(text))
    ]


def repository_table() -> list[Lifecycle]:
    """Third-party repositories whose end is known: `version` is a regular expression that their URLs match."""
    text = files("patchbay_errata").joinpath("repository_lifecycle.csv").read_text(encoding="utf-8")
    return [
        Lifecycle(
            ecosystem=REPOSITORY,
            version=row["pattern"],
            name=row["name"],
            released_on=_day(row["released_on"]),
            ends_on=_day(row["ends_on"]),
            source=row["source"],
        )
        for row in csv.DictReader(io.StringIO(text))
    ]


def codename_of(ecosystem: str, version: str) -> str:
    """The codename of a numbered release of Debian or Ubuntu; "" if the small table does not have it.

    >>> codename_of("debian", "11"), codename_of("ubuntu", "22.04"), codename_of("debian", "6.0")
    ('bullseye', 'jammy', 'squeeze')
    """
    return _codenames().get((ecosystem, version.removesuffix(".0") if ecosystem == "debian" else version), "")


def _codenames() -> dict[tuple[str, str], str]:
    if not _CODENAMES:
        _CODENAMES.update({(each.ecosystem, each.version): each.codename for each in small_table() if each.codename})
    return _CODENAMES


_CODENAMES: dict[tuple[str, str], str] = {}


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None
