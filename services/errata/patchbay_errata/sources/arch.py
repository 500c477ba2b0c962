"""Arch's security tracker: `issues/all.json`, a list of AVGs. Packages are binary names."""

from collections.abc import Iterator

import msgspec

from patchbay_errata.advisory import Advisory, Decoder, Fix, Rejected, checked, cves_in, decoded, each_record, level


class _Group(msgspec.Struct):
    name: str
    packages: list[str]
    status: str
    severity: str = ""
    affected: str = ""
    type: str = ""
    fixed: str | None = None
    issues: list[str] = []
    advisories: list[str] = []


def issues(data: bytes, rejected: Rejected) -> Iterator[Advisory]:
    """One advisory an AVG. Only the status Fixed means that the repositories have the fixed version.

    "Not affected" groups fix nothing. The tracker gives no dates. Raises InvalidInput.
    """
    groups = decoded(data, list[msgspec.Raw], "Arch's security tracker")
    decoder = Decoder(_Group)

    def group(raw: msgspec.Raw) -> Iterator[Advisory]:
        yield _advisory(decoder.decode(raw))

    yield from each_record(((f"$[{n}]", raw) for n, raw in enumerate(groups)), group, rejected)


def _advisory(group: _Group) -> Advisory:
    fixes: tuple[Fix, ...] = ()
    available = group.status == "Fixed" and bool(group.fixed)
    if group.status != "Not affected":
        fixes = tuple(
            Fix(
                "arch",
                "",
                name,
                "binary",
                group.fixed or "" if available else "",
                state="fixed"
                if available
                else "open"
                if group.status in {"Vulnerable", "Testing"}
                else "undetermined",
                introduced=group.affected,
                note="" if available or not group.fixed else f"fixed in {group.fixed}, not in the repositories",
            )
            for name in group.packages
        )
    return checked(
        Advisory(
            id=group.name,
            vendor="arch",
            type="security" if group.status != "Not affected" else "other",
            severity=level(group.severity),
            vendor_severity=group.severity,
            status="final" if available or group.status == "Not affected" else "pending",
            title=f"{', '.join(group.packages)}: {group.type}",
            url=f"https://security.archlinux.org/{group.name}",
            fixes=fixes,
            cves=cves_in(*group.issues),
            references=tuple(group.advisories),
        )
    )
