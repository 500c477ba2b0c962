"""Sections that a host left out of its report, because what it would have said is stored already.

A host names what it leaves out by digest, so it does not matter which of its reports was stored before this one:
either exactly that is stored, or the report is refused and the host sends the whole.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from patchbay_shared.messages import ReportReceived
from patchbay_shared.report import SECTIONS, Report, ReportPackage
from patchbay_shared.report_body import body_of
from sqlalchemy import Connection, text

from patchbay_update_engine.sets import RepositorySet


def refusal_of(header: ReportReceived, stored: Mapping[str, str]) -> str:
    """Why a report cannot be completed: what it leaves out is not what is stored. Else ""."""
    lacking = [name for name in header.left_out if stored.get(name) != header.sections.get(name)]
    if not lacking:
        return ""
    return (
        f"The report leaves out {', '.join(lacking)}, but what was stored of this host when it was handled is not "
        "what it names; the host sends the whole with its next report."
    )


def digests_after(header: ReportReceived, report: Report, stored: Mapping[str, str]) -> dict[str, str]:
    """Section to the digest of what is stored once this report is; `report` as it came.

    A section without a digest of its own is only known still if the report did not touch it: a report without
    repositories leaves what hangs on them, the policy and the modules, as they were.
    """
    untouched = {"packages"} if report.packages is None else set()
    if keeps_repositories(header, report):
        untouched |= {"repos", "modules", "policy"}
    return {
        name: digest
        for name in SECTIONS
        if (digest := (stored if name in untouched else header.sections).get(name)) is not None
    }


def keeps_repositories(header: ReportReceived, report: Report) -> bool:
    """Whether a report says nothing of repositories, as a package manager's hook: all of their set stays."""
    return report.repos is None and "repos" not in header.left_out


def completed(report: Report, header: ReportReceived, stored: RepositorySet) -> Report:
    """The report with what it left out and the repository set has."""
    values: dict[str, Any] = {}
    if "repos" in header.left_out:
        values["repos"] = stored.document.repositories
    for name in ("modules", "policy"):
        if name in header.left_out:
            values |= {field: getattr(stored.document.policy, field) for field in SECTIONS[name]}
    return msgspec.structs.replace(report, **values)


def whole(
    connection: Connection, header: ReportReceived, report: Report, body: bytes, package_set_id: int
) -> tuple[ReportReceived, bytes]:
    """A completed report as if it had been sent whole, so that it can be read and processed again by itself."""
    if not header.left_out:
        return header, body
    if "packages" in header.left_out:
        report = msgspec.structs.replace(report, packages=stored_packages(connection, package_set_id))
    return msgspec.structs.replace(header, left_out=[]), body_of(msgspec.structs.replace(report, unchanged=[]))


def stored_packages(connection: Connection, set_id: int) -> list[ReportPackage]:
    """The packages of a set as a report has them, without what decides nothing (time, automatic)."""
    rows = connection.execute(
        text("""
            SELECT p.type, p.name, p.arch, p.evr, p.details, p.id = ANY(s.held_ids) AS held,
                p.id = ANY(s.config_ids) AS removed
            FROM package_set s JOIN package p ON p.id = ANY(s.package_ids || s.config_ids)
            WHERE s.id = :id ORDER BY p.name, p.arch, p.evr_key
        """),
        {"id": set_id},
    )
    packages = [
        {
            "name": row.name,
            "arch": row.arch,
            "type": row.type,
            "status": "config-files" if row.removed else "installed",
            "held": row.held,
            **_parts(row.type, row.evr),
            **(row.details or {}),
        }
        for row in rows
    ]
    return msgspec.convert(packages, list[ReportPackage])


def _parts(kind: str, evr: str) -> dict[str, str]:
    """Epoch, version and release, so that they make the same text again."""
    if kind not in {"deb", "rpm", "pacman", "arch"}:
        return {"version": evr}
    epoch, colon, rest = evr.partition(":")
    if not colon:
        epoch, rest = "", evr
    version, dash, release = rest.rpartition("-")
    return {"epoch": epoch, "version": version, "release": release} if dash else {"epoch": epoch, "version": rest}
