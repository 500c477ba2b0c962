"""Random hosts for zypper: repositories, locks, vendors, installed packages, and what `zypper list-updates` says."""

import random
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

from live_host import MIRROR, Row, run
from rpm_host import Rpm, install, write_repository

_VERSIONS = ("1.0~rc1", "1.0", "1.0.1", "1.a", "1.10", "1.9", "2.0", "2.0a", "10", "0.9")
_RELEASES = ("1", "lp155.1.1", "lp155.2.1", "150400.3.1", "2", "0.1")
_VENDORS = (
    "openSUSE",
    "SUSE LLC <https://www.suse.com/>",
    "http://packman.links2linux.de",
    "openSUSE Build Service",
    "",
)
_ARCHES = (("x86_64",), ("x86_64",), ("x86_64",), ("x86_64", "i586"), ("noarch",), ("i686",), ("x86_64", "i686"))


def write_host(folder: Path, rng: random.Random) -> dict[str, Any]:
    """Write `folder`/mirror (repositories) and `folder`/root (database and configuration); the host's report."""
    names = [f"p{number}" for number in range(30)] + ["lib1", "lib-x", "kernel-default", "tool"]
    vendor_of = {name: rng.choice(_VENDORS[:2]) for name in names}
    universe = {name: _versions(name, names, rng) for name in names}
    installed = _installed(universe, vendor_of, rng)
    repositories: list[dict[str, Any]] = []
    for number in range(rng.randint(1, 4)):
        repo_id = rng.choice(("oss", "update", "packman", "home", "Zeta")) + str(number)
        share = rng.choice((0.4, 0.8))
        strange = rng.random() < 0.3
        carried = []
        for name, versions in universe.items():
            vendor = rng.choice(_VENDORS) if strange else vendor_of[name]
            carried += [replace(rpm, vendor=vendor) for rpm in versions if rng.random() < share]
        if number == 0:
            # What is installed stays in a repository: a report does not carry the relations of packages.
            known = {(rpm.name, rpm.evr, rpm.arch) for rpm in carried}
            carried += [rpm for rpm in installed if (rpm.name, rpm.evr, rpm.arch) not in known]
        write_repository(folder / "mirror" / repo_id, carried, advisories=_advisories(carried, number, rng))
        repositories.append(
            {
                "id": repo_id, "type": "rpm-md", "enabled": number == 0 or rng.random() < 0.9,
                "urls": [f"{MIRROR}/{repo_id}/"], "arch": "x86_64", "priority": rng.choice((99, 99, 99, 50, 120)),
            }
        )  # fmt: skip
    install(folder / "root", installed)
    report = {
        "hostname": "made.example.org", "arch": "x86_64", "package_manager": "zypper",
        "os_release": {"ID": "opensuse-leap", "VERSION_ID": "15.5"},
        "zypp": {
            "allow_vendor_change": rng.random() < 0.25,
            "multiversion": rng.choice((["provides:multiversion(kernel)"], ["provides:multiversion(kernel)", "p1"])),
        },
        "pins": [
            {"type": "lock", "match": "glob", "name": rng.choice((*names, "p1*", "lib*", "p[2-4]", "kernel-?efault"))}
            for _ in range(rng.choice((0, 0, 1, 3)))
        ],
        "repos": repositories,
        "packages": [rpm.reported() for rpm in installed],
    }  # fmt: skip
    _configure(folder, report)
    return report


def list_updates(folder: Path) -> set[Row]:
    """The rows of `zypper list-updates`."""
    root = folder / "root"
    options = ["zypper", "--root", str(root), "--non-interactive", "--no-gpg-checks"]
    run([*options, "--quiet", "refresh"], HOME=str(root), ZYPP_CONF=str(root / "etc" / "zypp" / "zypp.conf"))
    printed = run(
        [*options, "--no-refresh", "--xmlout", "list-updates"],
        HOME=str(root),
        ZYPP_CONF=str(root / "etc" / "zypp" / "zypp.conf"),
    )
    # An equal `edition-old` (a kernel for another architecture) is left out.
    return {
        (
            each.get("name", ""),
            each.get("arch", ""),
            each.get("edition-old") or each.get("edition", ""),
            each.get("edition", ""),
        )
        for each in ET.fromstring(printed).iter("update")
    }


def _versions(name: str, names: list[str], rng: random.Random) -> list[Rpm]:
    """Every build of a package, each for all of its architectures."""
    epoch = rng.choice(("", "", "", "", "1:"))
    arches = rng.choice(_ARCHES)
    found = []
    for _ in range(rng.randint(1, 5)):
        version, release = rng.choice(_VERSIONS), rng.choice(_RELEASES)
        evr = f"{epoch}{version}-{release}"
        others = [other for other in names if other != name]
        provides, requires, conflicts, obsoletes = [], [], [], []
        if name == "kernel-default":
            provides.append("multiversion(kernel)")
        if rng.random() < 0.12:
            requires.append(rng.choice(("nothing-provides-this", rng.choice(others), f"{rng.choice(others)} >= 1.5")))
        if rng.random() < 0.06:
            # Whether a kernel may be obsoleted beside others differs between versions of libsolv.
            named = [other for other in others if other != "kernel-default"]
            obsoletes.append(rng.choice(named) + rng.choice((" < 1.0", " < 2.0", "")))
        if rng.random() < 0.04:
            conflicts.append(rng.choice(others) + rng.choice((" < 1.0", " > 1.9")))
        if rng.random() < 0.05:
            provides.append(f"{rng.choice(others)} = {version}")
        if rng.random() < 0.1:
            arches = rng.choice(_ARCHES)
        for arch in arches:
            found.append(
                Rpm(name, evr, arch, "", tuple(provides), tuple(requires), tuple(conflicts), tuple(obsoletes))
            )
    return list({(rpm.evr, rpm.arch): rpm for rpm in found}.values())


def _installed(universe: dict[str, list[Rpm]], vendor_of: dict[str, str], rng: random.Random) -> list[Rpm]:
    """A consistent set: what a package needs is there, and nothing is there that another refuses."""
    found: list[Rpm] = []
    for name, versions in universe.items():
        plain = [rpm for rpm in versions if not (rpm.requires or rpm.conflicts or rpm.obsoletes or rpm.provides)]
        if name == "kernel-default":
            plain = versions
            plain = [rpm for rpm in plain if not (rpm.requires or rpm.conflicts or rpm.obsoletes)]
        if not plain or rng.random() < 0.1:
            continue
        rpm = rng.choice(plain)
        found.append(replace(rpm, vendor=vendor_of[name]))
        if name in {"kernel-default"} and rng.random() < 0.5:
            found.append(replace(rng.choice(plain), vendor=vendor_of[name]))
        twin = next((other for other in plain if other.evr == rpm.evr and other.arch != rpm.arch), None)
        if twin is not None and rng.random() < 0.3:
            found.append(replace(twin, vendor=vendor_of[name]))
    return list({(rpm.name, rpm.evr, rpm.arch): rpm for rpm in found}.values())


def _advisories(carried: list[Rpm], number: int, rng: random.Random) -> list[dict[str, Any]]:
    return [
        {
            "id": f"made-{number}-{each}",
            "type": rng.choice(("security", "recommended")),
            # Debian's libsolv does not mark what a retracted patch lists, SUSE's does: not compared here.
            "status": "stable",
            "packages": rng.sample(carried, min(len(carried), 2)),
        }
        for each in range(rng.choice((0, 0, 4)))
    ]


def _configure(folder: Path, report: dict[str, Any]) -> None:
    """Write the root's configuration as the report says it is."""
    root = folder / "root"
    (root / "etc" / "zypp" / "repos.d").mkdir(parents=True)
    zypp = report["zypp"]
    (root / "etc" / "zypp" / "zypp.conf").write_text(
        f"[main]\narch = x86_64\nsolver.onlyRequires = true\nmultiversion = {','.join(zypp['multiversion'])}\n"
        f"solver.allowVendorChange = {str(zypp['allow_vendor_change']).lower()}\n"
    )
    for repository in report["repos"]:
        (root / "etc" / "zypp" / "repos.d" / f"{repository['id']}.repo").write_text(
            f"[{repository['id']}]\nname={repository['id']}\nbaseurl=file://{folder}/mirror/{repository['id']}\n"
            f"enabled={int(repository['enabled'])}\nautorefresh=0\ngpgcheck=0\ntype=rpm-md\n"
            f"priority={repository['priority']}\n"
        )
    (root / "etc" / "zypp" / "locks").write_text(
        "".join(
            f"\ntype: package\nmatch_type: glob\ncase_sensitive: on\nsolvable_name: {pin['name']}\n"
            for pin in report["pins"]
        )
    )
