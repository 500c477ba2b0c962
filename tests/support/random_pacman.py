"""Random hosts for pacman: databases, configuration and installed packages, and what `pacman -Qu` says of them."""

import io
import random
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from live_host import MIRROR, Row, run

_VERSIONS = (
    "1.0-1", "1.0-2", "1.0-1.1", "1.0rc1-1", "1.0.a-1", "1.0.1-1", "1:0.9-1", "2:0.1-1", "1.0alpha-1",
    "1.0+r3+gabc-1",    "1.10-1", "1.9-1", "01.0-1", "1.0_1-1", "20240101-1", "1.0-10", "1..0-1", "1.0.-1", "0:1.0-1",
)  # fmt: skip
_GROUPS = ("base-devel", "gnome", "kde")
_USAGES = ("All", "All", "All", "All", "Sync Search", "Sync Install Upgrade", "Upgrade", "Search", "Install")


@dataclass(frozen=True)
class _Package:
    name: str
    version: str
    arch: str = "x86_64"
    replaces: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    def description(self, *, filename: bool) -> str:
        fields = {
            "FILENAME": [f"{self.name}-{self.version}-{self.arch}.pkg.tar.zst"] if filename else [],
            "NAME": [self.name], "VERSION": [self.version], "BASE": [self.name], "DESC": ["made"],
            "CSIZE": ["1"], "ISIZE": ["1"], "SIZE": ["1"], "SHA256SUM": ["0" * 64], "ARCH": [self.arch],
            "BUILDDATE": ["1700000000"], "INSTALLDATE": ["1700000000"], "PACKAGER": ["made"],
            "REPLACES": list(self.replaces), "GROUPS": list(self.groups), "VALIDATION": ["none"],
        }  # fmt: skip
        return "".join(f"%{key}%\n" + "\n".join(values) + "\n\n" for key, values in fields.items() if values)


def write_host(folder: Path, rng: random.Random) -> dict[str, Any]:
    """Write `folder`/mirror (databases) and `folder`/root (local database, pacman.conf); the host's report."""
    names = [f"p{number}" for number in range(60)] + ["lib32-x", "linux", "linux-lts", "gtk+", "a@b"]
    groups = {name: tuple(sorted(set(rng.choices(_GROUPS, k=rng.choice((0, 0, 1, 2)))))) for name in names}
    repositories: list[dict[str, Any]] = []
    for order, repo_id in enumerate(rng.sample(("core", "extra", "multilib", "testing", "zeta"), rng.randint(1, 4))):
        packages = [_package(name, names, groups, rng) for name in names if rng.random() < 0.6]
        _write_database(folder / "mirror" / repo_id, repo_id, packages)
        repositories.append(
            {
                "id": repo_id, "type": "pacman", "enabled": True, "urls": [f"{MIRROR}/{repo_id}"], "arch": "x86_64",
                "order": order, "usage": rng.choice(_USAGES),
            }
        )  # fmt: skip
    installed = [_package(name, names, groups, rng) for name in names if rng.random() < 0.85]
    pins = [
        {"type": "IgnorePkg", "name": rng.choice((*names, "p1*", "p[2-4]", "linux*", "*32*", "p[!1-8]", "[^a-z]*"))}
        for _ in range(rng.choice((0, 0, 2, 4)))
    ] + [{"type": "IgnoreGroup", "name": rng.choice((*_GROUPS, "k*"))} for _ in range(rng.choice((0, 0, 1)))]
    report = {
        "hostname": "made.example.org", "arch": "x86_64", "package_manager": "pacman", "os_release": {"ID": "arch"},
        "pins": pins, "repos": repositories,
        "packages": [_reported(package) for package in installed],
    }  # fmt: skip
    _configure(folder, report, installed)
    return report


def query_updates(folder: Path) -> set[Row]:
    """The rows of `pacman -Qu` that are not ignored."""
    printed = run(["pacman", "--config", str(folder / "root" / "pacman.conf"), "-Qu"], codes=(0, 1))
    rows = re.findall(r"^(\S+) (\S+) -> (\S+)( \[ignored\])?$", printed, re.MULTILINE)
    arches = dict(line.split(" ") for line in (folder / "root" / "candidates").read_text().splitlines())
    return {(name, arches[f"{name}={new}"], old, new) for name, old, new, ignored in rows if not ignored}


def _package(name: str, names: list[str], groups: dict[str, tuple[str, ...]], rng: random.Random) -> _Package:
    replaces = ()
    if rng.random() < 0.08:
        replaces = (rng.choice(names) + rng.choice(("", "", "<2", ">=1.0", "=1.0-1", "<1:0")),)
    own = groups[name] if rng.random() < 0.9 else ()
    return _Package(name, rng.choice(_VERSIONS), "any" if hash_of(name) % 3 == 0 else "x86_64", replaces, own)


def hash_of(name: str) -> int:
    """The same for the same name in every process."""
    return sum(name.encode())


def _write_database(folder: Path, repo_id: str, packages: list[_Package]) -> None:
    folder.mkdir(parents=True)
    with tarfile.open(folder / f"{repo_id}.db", "w:gz", compresslevel=1) as archive:
        for package in packages:
            data = package.description(filename=True).encode()
            member = tarfile.TarInfo(f"{package.name}-{package.version}/desc")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    with (folder.parent / "candidates").open("a") as file:
        file.writelines(f"{package.name}={package.version} {package.arch}\n" for package in packages)


def _reported(package: _Package) -> dict[str, Any]:
    epoch, _, rest = package.version.rpartition(":")
    version, _, release = rest.rpartition("-")
    return {
        "name": package.name, "epoch": epoch, "version": version, "release": release, "arch": package.arch,
        "type": "pacman", "groups": list(package.groups),
    }  # fmt: skip


def _configure(folder: Path, report: dict[str, Any], installed: list[_Package]) -> None:
    root = folder / "root"
    local, sync = root / "db" / "local", root / "db" / "sync"
    local.mkdir(parents=True)
    sync.mkdir()
    (local / "ALPM_DB_VERSION").write_text("9\n")
    (folder / "mirror" / "candidates").rename(root / "candidates")
    for package in installed:
        entry = local / f"{package.name}-{package.version}"
        entry.mkdir()
        (entry / "desc").write_text(package.description(filename=False))
        (entry / "files").write_text("%FILES%\n")
    lines = ["[options]", f"RootDir = {root}", f"DBPath = {root}/db", f"LogFile = {root}/log", "Architecture = auto"]
    lines += [f"{pin['type']} = {pin['name']}" for pin in report["pins"]]
    for repository in report["repos"]:
        repo_id = repository["id"]
        lines += [f"[{repo_id}]", "SigLevel = Never", f"Usage = {repository['usage']}", f"Server = file:///{repo_id}"]
        (sync / f"{repo_id}.db").write_bytes((folder / "mirror" / repo_id / f"{repo_id}.db").read_bytes())
    (root / "pacman.conf").write_text("\n".join(lines) + "\n")
