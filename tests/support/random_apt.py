"""Random hosts for apt: suites, preferences and installed packages, and what `apt list --upgradable` says of them."""

import hashlib
import random
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from live_host import MIRROR, OTHER_MIRROR, Row, run
from patchbay_repo_sync.formats.apt import package_of

_VERSIONS = (
    "1.0-1", "1.0-1+deb12u1", "1.0-1+b1", "1.0-2~bpo12+1", "1.0~rc1-1", "1:0.9-1", "1.1-0ubuntu1", "1.01-1",
    "0:1.0-1", "1.0+dfsg-1", "2.0", "1.0-1~deb12u1", "20240101", "1.0.1-1", "1.10-1", "2:0.1-1",
)  # fmt: skip
_ROW = re.compile(r"^(\S+?)/\S* (\S+) (\S+) \[upgradable from: (\S+)\]$", re.MULTILINE)
_ORIGINS = ("Debian", "Vendor", "Acme Inc.", "")
_LABELS = ("Debian", "Debian-Security", "Tools")


@dataclass(frozen=True)
class _Deb:
    name: str
    version: str
    arch: str
    source: str = ""
    size: int = 10
    depends: str = ""
    multi_arch: str = ""
    phased: int | None = None

    def stanza(self, **first: str) -> str:
        fields = {
            "Package": self.name, **first, "Installed-Size": str(self.size), "Maintainer": "made",
            "Architecture": self.arch, "Multi-Arch": self.multi_arch, "Source": self.source, "Version": self.version,
            "Depends": self.depends,
        }  # fmt: skip
        return "".join(f"{name}: {value}\n" for name, value in fields.items() if value)

    def indexed(self) -> str:
        phased = "" if self.phased is None else f"Phased-Update-Percentage: {self.phased}\n"
        filename = f"pool/{self.name}_{self.version.replace(':', '%3a')}_{self.arch}.deb"
        return f"{self.stanza()}{phased}Filename: {filename}\nSize: 1\nSHA256: {'0' * 64}\nDescription: made\n"


def write_host(folder: Path, rng: random.Random, *, rebuilds: bool = True) -> dict[str, Any]:
    """Write `folder`/mirror (suites) and `folder`/root (dpkg's status, apt's lists and configuration); the report.

    With `rebuilds` some suites have equal versions with other content, and the report says which one is installed.
    """
    native, foreign = rng.choice((("amd64", ["i386"]), ("amd64", ["i386"]), ("amd64", []), ("i386", [])))
    names = [f"p{number}" for number in range(40)] + ["libc6", "libx", "linux-image", "c++", "vim"]
    universe = {name: _versions(name, rng) for name in names}
    (folder / "root" / "lists" / "partial").mkdir(parents=True)
    repositories = []
    suites = rng.sample(("stable", "stable-updates", "stable-security", "stable-backports", "tools", "sid"), 5)
    for number in range(rng.randint(1, 5)):
        repositories.append(_write_suite(folder, number, suites[number], universe, native, rng, rebuilds=rebuilds))
    preferences = _preferences(names, rng)
    packages = _installed(universe, [native, *foreign], rng, rebuilds=rebuilds)
    report = {
        "hostname": "made.example.org", "arch": "x86_64" if native == "amd64" else "i686", "package_manager": "apt",
        "os_release": {"ID": "debian", "VERSION_ID": "12"}, "native_arch": native, "foreign_archs": foreign,
        "machine_id": f"{rng.getrandbits(128):032x}", "preferences": preferences,
        "default_release": rng.choice(
            (None, None, None, None, _known_release(folder, repositories, rng), "n=tools", "now", "a=gone")
        ),
        "repos": repositories,
        "packages": [_reported(deb, status, with_content=rebuilds) for deb, status in packages],
    }  # fmt: skip
    _configure(folder, report, packages)
    return report


def list_upgradable(folder: Path) -> set[Row]:
    """The rows of `apt list --upgradable`."""
    printed = run(["apt", "list", "--upgradable"], APT_CONFIG=str(folder / "root" / "apt.conf"))
    return {(name, arch, old, new) for name, new, arch, old in _ROW.findall(printed)}


def _versions(name: str, rng: random.Random) -> list[_Deb]:
    found = []
    source = rng.choice(("", "", "", f"src-{name}", f"{name} (1.0-1)"))
    for version in rng.sample(_VERSIONS, rng.randint(1, 5)):
        deb = _Deb(
            name, version, "", source, rng.randint(1, 99), rng.choice(("", "", "libc6 (>= 2.0)")),
            rng.choice(("", "", "foreign", "no")),
        )  # fmt: skip
        if rng.random() < 0.1:
            deb = replace(deb, phased=rng.choice((0, 10, 50, 100)))
        for arch in rng.choice((("amd64", "i386"), ("amd64",), ("all",), ("amd64", "i386"), ("amd64", "all"))):
            found.append(replace(deb, arch=arch))
    return found


def _write_suite(
    folder: Path,
    number: int,
    suite: str,
    universe: dict[str, list[_Deb]],
    native: str,
    rng: random.Random,
    *,
    rebuilds: bool,
) -> dict[str, Any]:
    site = rng.choice((MIRROR, MIRROR, OTHER_MIRROR))
    flat = rng.random() < 0.12
    codename, archive = rng.choice(((suite, suite), (suite, f"old{suite}"), (f"{suite}name", suite), ("", suite)))
    release = {
        "Origin": rng.choice(_ORIGINS), "Label": rng.choice(_LABELS), "Suite": archive, "Codename": codename,
        "Version": rng.choice(("12", "12.5", "")), "Date": "Thu, 01 Jan 2026 00:00:00 UTC",
        "Architectures": "amd64 i386", "Components": "main extra",
    }  # fmt: skip
    if suite in {"stable-backports", "sid"} and rng.random() < 0.8:
        release["NotAutomatic"] = "yes"
        if rng.random() < 0.6:
            release["ButAutomaticUpgrades"] = "yes"
    text = "".join(f"{name}: {value}\n" for name, value in release.items() if value) + "SHA256:\n"
    base = f"repo{number}" if flat else f"repo{number}/dists/{suite}"
    components = [""] if flat else rng.choice((["main"], ["main", "extra"]))
    arches = rng.choice((["amd64", "i386"], ["amd64", "i386"], [native]))
    share, rebuilt = rng.choice((0.3, 0.6)), rebuilds and rng.random() < 0.3
    lines = []
    for component in components:
        carried = [deb for versions in universe.values() for deb in versions if rng.random() < share]
        if rebuilt:
            carried = [replace(deb, size=deb.size + 1) if rng.random() < 0.7 else deb for deb in carried]
        for arch in [""] if flat else ["amd64", "i386"]:
            members = [deb for deb in carried if flat or deb.arch in {arch, "all"}]
            place = "" if flat else f"{component}/binary-{arch}/"
            index = "\n".join(deb.indexed() for deb in members) or "\n"
            path = folder / "mirror" / base / place
            path.mkdir(parents=True, exist_ok=True)
            (path / "Packages").write_text(index)
            lines.append(f" {_sha256(index)} {len(index.encode())} {place}Packages\n")
            _list_file(folder, f"{site}/{base}/{'./' if flat else place}Packages").write_text(index)
    text += "".join(lines)
    (folder / "mirror" / base / "Release").write_text(text)
    _list_file(folder, f"{site}/{base}/{'./' if flat else ''}Release").write_text(text)
    return {
        "id": f"{suite}-{number}", "type": "deb", "enabled": number == 0 or rng.random() < 0.92,
        "urls": [f"{site}/repo{number}"], "suite": "./" if flat else suite,
        "components": [] if flat else components, "arch": arches, "trusted": True,
    }  # fmt: skip


def _known_release(folder: Path, repositories: list[dict[str, Any]], rng: random.Random) -> str:
    """A name of an enabled suite: apt refuses APT::Default-Release if none has it."""
    place = repositories[0]["urls"][0].rpartition("/")[2]
    [release] = (folder / "mirror" / place).rglob("Release")
    fields = dict(line.split(": ", 1) for line in release.read_text().splitlines() if ": " in line)
    return rng.choice([fields[name] for name in ("Suite", "Codename", "Version") if name in fields])


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _list_file(folder: Path, url: str) -> Path:
    """Where apt keeps a fetched file."""
    name = url.partition("://")[2].replace("/", "_")
    return folder / "root" / "lists" / name


def _installed(
    universe: dict[str, list[_Deb]], arches: list[str], rng: random.Random, *, rebuilds: bool
) -> list[tuple[_Deb, str]]:
    found: dict[tuple[str, str], tuple[_Deb, str]] = {}
    for versions in universe.values():
        for arch in arches if rng.random() < 0.3 else [rng.choice(arches)]:
            fitting = [deb for deb in versions if deb.arch == arch or (deb.arch == "all" and arch == arches[0])]
            if not fitting or rng.random() < 0.1:
                continue
            deb = rng.choice(fitting)
            if rng.random() < 0.2:
                deb = replace(deb, version=rng.choice(("0.1-1", "1.0-1", "3:1-1")), size=deb.size + 1000)
                if not rebuilds and any(other.version == deb.version for other in versions):
                    continue
            elif rebuilds and rng.random() < 0.15:
                deb = replace(deb, size=deb.size + 1)
            status = rng.choice(("install ok installed",) * 8 + ("hold ok installed", "deinstall ok config-files"))
            found[deb.name, arch] = (deb, status)
    return list(found.values())


def _reported(deb: _Deb, status: str, *, with_content: bool) -> dict[str, Any]:
    epoch, colon, rest = deb.version.partition(":")
    if not colon:
        epoch, rest = "", deb.version
    version, dash, release = rest.rpartition("-")
    package: dict[str, Any] = {
        "name": deb.name, "epoch": epoch, "version": version if dash else rest, "release": release if dash else "",
        "arch": deb.arch, "type": "deb", "status": status.split()[2], "held": status.startswith("hold"),
    }  # fmt: skip
    if deb.source:
        package["source"] = deb.source.split()[0]
    if with_content:
        known = package_of(0, deb.stanza().encode())
        assert known is not None
        package["content"] = known.content
    return package


def _preferences(names: list[str], rng: random.Random) -> str:
    stanzas = []
    for _ in range(rng.choice((0, 0, 1, 2, 4))):
        some = rng.choice(
            ("*", "*", rng.choice(names), f"{rng.choice(names)} {rng.choice(names)}", "p1*", "/^p[2-4]/", "src:src-*",
             "lib*:any", "lib*:i386", "*:any", "src:p*", "p?", "P3*", "/p.$/", "lib*:native",
             f"{rng.choice(names)}:any")
        )  # fmt: skip
        pin = rng.choice(
            (
                "release a=stable", "release n=stable", "release o=Debian", "release o=Vendor", "release l=Tools",
                "release l=Debian-Security", "release c=extra", "release b=i386", "release v=12", "release v=12*",
                "release a=stable-*", "release n=/back/", "release *", "release o=Debian,a=stable-security",
                "release stable-backports", "release 12", "origin mirror.example.org", 'origin "vendor.example.org"',
                'origin ""', "origin *.org", "version 1.0*", "version *deb12*", "version 1.0-1", "version /^1:/",
                "release a=now", "release n=sid", "release a=oldstable", "release o=Acme*", "version *",
                "release c=now",
            )
        )  # fmt: skip
        priority = rng.choice((-1, 1, 50, 99, 100, 101, 500, 501, 900, 990, 991, 1000, 1001, 600, 989))
        if some == "*" and rng.random() < 0.1:
            priority = "never"
        stanzas.append(f"Package: {some}\nPin: {pin}\nPin-Priority: {priority}\n")
    return "\n".join(stanzas)


def _configure(folder: Path, report: dict[str, Any], packages: list[tuple[_Deb, str]]) -> None:
    root = folder / "root"
    for name in ("archives/partial", "etc/preferences.d", "etc/apt.conf.d", "etc/trusted.gpg.d"):
        (root / name).mkdir(parents=True)
    (root / "status").write_text(
        "\n".join(deb.stanza(Status=status) + "Description: made\n" for deb, status in packages)
    )
    (root / "preferences").write_text(report["preferences"])
    (root / "machine-id").write_text(report["machine_id"] + "\n")
    lines = [
        f"{'deb' if repository['enabled'] else '# deb'} [trusted=yes arch={','.join(repository['arch'])}] "
        f"{repository['urls'][0]} {repository['suite']} {' '.join(repository['components'])}"
        for repository in report["repos"]
    ]
    (root / "sources.list").write_text("\n".join(lines) + "\n")
    architectures = " ".join(f'"{arch}";' for arch in (report["native_arch"], *report["foreign_archs"]))
    default = f'APT::Default-Release "{report["default_release"]}";\n' if report["default_release"] else ""
    (root / "apt.conf").write_text(
        f'APT::Architecture "{report["native_arch"]}"; APT::Architectures {{{architectures}}};\n{default}'
        f'Dir::State "{root}"; Dir::State::status "{root}/status"; Dir::State::lists "{root}/lists";\n'
        f'Dir::Cache "{root}"; Dir::Etc "{root}/etc"; Dir::Etc::sourcelist "{root}/sources.list";\n'
        f'Dir::Etc::sourceparts "/dev/null"; Dir::Etc::preferences "{root}/preferences";\n'
        f'Dir::Etc::machine-id "{root}/machine-id"; Dir::Log "{root}"; APT::Sandbox::User "root";\n'
        'Acquire::Languages "none";\n'
    )
