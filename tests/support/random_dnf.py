"""Random hosts for dnf: repositories, policy and installed packages, and what `dnf check-update` says of them."""

import random
import re
from pathlib import Path
from typing import Any

from live_host import MIRROR, Row, run
from patchbay_shared.versions import evr_key
from rpm_host import Rpm, install, write_repository

PLUGINS = Path("/usr/local/lib/patchbay-test-tools/usr/lib/python3/dist-packages")
"""Where setup/install-test-tools unpacks dnf's plugins."""
VERSIONLOCK = PLUGINS / "dnf-plugins" / "versionlock.py"

_STEMS = (
    "app",
    "app-1",
    "app-1-2",
    "lib",
    "lib-x",
    "kernel",
    "kernel-core",
    "python3.11",
    "g++",
    "z",
    "zz",
    "nodejs",
)
_VERSIONS = ("1.0~rc1", "1.0", "1.0^git1", "1.0.1", "1.a", "1.10", "1.9", "2.0~~", "2.0", "2.0a", "10", "0")
_RELEASES = ("1", "1.el9", "1.el9_2", "2", "0.1", "10.el9", "1~b")
_ARCHES = (
    ("x86_64",),
    ("x86_64",),
    ("x86_64", "i686"),
    ("noarch",),
    ("x86_64", "noarch"),
    ("i686",),
    ("i586", "i686"),
)
_ROW = re.compile(r"^(\S+)\.([^.\s]+)\s+(\S+)\s+(\S+)\s*$", re.MULTILINE)


def write_host(folder: Path, rng: random.Random) -> dict[str, Any]:
    """Write `folder`/mirror (repositories) and `folder`/root (database and configuration); the host's report."""
    names = [*_STEMS, *(f"p{number}" for number in range(30))]
    universe = {name: _versions(name, names, rng) for name in names}
    repositories: list[dict[str, Any]] = []
    known_modules = _module_universe(universe, rng)
    for number in range(rng.randint(1, 4)):
        repo_id = rng.choice(("base", "updates", "extra", "zeta", "Alpha")) + str(number)
        share = rng.choice((0.3, 0.6, 0.9))
        carried = [rpm for versions in universe.values() for rpm in versions if rng.random() < share]
        modules, advisories = _modules(known_modules, rng), _advisories(carried, rng)
        write_repository(folder / "mirror" / repo_id, carried, modules=modules, advisories=advisories)
        repositories.append(_repository(number, repo_id, names, carried, rng))
    installed = _installed(universe, rng)
    install(folder / "root", installed)
    carried = [rpm for versions in universe.values() for rpm in versions]
    report = {
        "hostname": "made.example.org", "arch": "x86_64", "package_manager": "dnf", "releasever": "9",
        "os_release": {"ID": "rhel", "VERSION_ID": "9", "PLATFORM_ID": "platform:el9"},
        "dnf": {"obsoletes": rng.random() < 0.85},
        "excludes": _patterns(names, carried, rng, rng.choice((0, 0, 1, 3))),
        "pins": [
            {"type": "versionlock", "entry": rng.choice(("", "", "", "!")) + entry}
            for entry in _locks(names, carried, rng)
        ],
        "modules": _module_states(known_modules, rng),
        "repos": repositories,
        "packages": [rpm.reported() for rpm in installed],
    }  # fmt: skip
    _configure(folder, report)
    return report


def check_update(folder: Path, *options: str) -> set[Row]:
    """The rows of `dnf check-update`, with the installed version that each is compared with."""
    root = folder / "root"
    plugins = ["--noplugins"]
    if (root / "etc" / "dnf" / "plugins" / "versionlock.list").exists():
        plugins = [
            "--disableplugin=*", "--enableplugin=versionlock", f"--setopt=pluginpath={PLUGINS}/dnf-plugins",
            f"--setopt=pluginconfpath={root}/etc/dnf/plugins",
        ]  # fmt: skip
    printed = run(
        [
            "dnf", "-q", "--color=never", f"--config={root}/etc/dnf/dnf.conf", f"--installroot={root}",
            f"--setopt=reposdir={root}/etc/yum.repos.d", "--releasever=9", "--forcearch=x86_64", *plugins,
            f"--setopt=cachedir={folder}/cache", "check-update", *options,
        ],
        codes=(0, 100),
        HOME=str(root),
        COLUMNS="600",
        PYTHONPATH=str(PLUGINS),
    )  # fmt: skip
    newest: dict[tuple[str, str], str] = {}
    for line in (root / "installed").read_text().splitlines():
        name, arch, evr = line.split(" ")
        for key in ((name, arch), (name, "")):
            if key not in newest or evr_key("rpm", newest[key]) < evr_key("rpm", evr):
                newest[key] = evr
    listed = printed.partition("Obsoleting Packages")[0]
    return {
        (name, arch, newest.get((name, arch)) or newest[name, ""], evr) for name, arch, evr, _ in _ROW.findall(listed)
    }


def _versions(name: str, names: list[str], rng: random.Random) -> list[Rpm]:
    """Every build of a package, each for all of its architectures."""
    epoch = rng.choice(("", "", "", "1:"))
    found = []
    for _ in range(rng.randint(1, 5)):
        if rng.random() < 0.1:
            epoch = "2:"
        evr = f"{epoch}{rng.choice(_VERSIONS)}-{rng.choice(_RELEASES)}"
        others = [other for other in names if other != name]
        obsoletes = []
        if rng.random() < 0.12:
            condition = rng.choice(("", " < 2.0-1", " <= 1.0-1", " < 10", " = 1.0-1", " < 1:0", " > 1.9"))
            obsoletes = [rng.choice(others) + condition]
        if rng.random() < 0.04:
            obsoletes.append(f"{name} < 2")
        provides = [rng.choice(others)] if rng.random() < 0.05 else []
        for arch in rng.choice(_ARCHES):
            found.append(Rpm(name, evr, arch, obsoletes=tuple(obsoletes), provides=tuple(provides)))
    return list({(rpm.evr, rpm.arch): rpm for rpm in found}.values())


def _installed(universe: dict[str, list[Rpm]], rng: random.Random) -> list[Rpm]:
    found = []
    for versions in universe.values():
        if rng.random() < 0.15:
            continue
        first = rng.choice(versions)
        found.append(first)
        if rng.random() < 0.25:
            found.append(rng.choice(versions))
        if rng.random() < 0.1:
            found.append(Rpm(first.name, "5-1", first.arch))
    return list({(rpm.name, rpm.evr, rpm.arch): rpm for rpm in found}.values())


def _repository(
    number: int, repo_id: str, names: list[str], carried: list[Rpm], rng: random.Random
) -> dict[str, Any]:
    return {
        "id": repo_id,
        "type": "rpm-md",
        "enabled": number == 0 or rng.random() < 0.9,
        "urls": [f"{MIRROR}/{repo_id}/"],
        "arch": "x86_64",
        "priority": rng.choice((99, 99, 99, 10, 50, 150)),
        "cost": rng.choice((1000, 1000, 500, 1500)),
        "excludes": _patterns(names, carried, rng, rng.choice((0, 0, 0, 2))),
        "includes": _patterns(names, carried, rng, rng.choice((0, 0, 0, 0, 0, 6))),
        "module_hotfixes": rng.random() < 0.15,
    }


def _patterns(names: list[str], carried: list[Rpm], rng: random.Random, count: int) -> list[str]:
    """Patterns of every form that dnf knows."""
    found = []
    for _ in range(count if carried else 0):
        rpm = rng.choice(carried)
        epoch, version, release = rpm.parts
        found.append(
            rng.choice(
                (
                    rpm.name, rpm.name, f"{rpm.name}*", f"{rpm.name}.{rpm.arch}", "*.i686", "app-1*", "lib?x",
                    "[a-k]*",
                    f"{rpm.name}-{version}", f"{rpm.name}-{version}-{release}", f"{rpm.name}-{version[:1]}*",
                    f"{rpm.name}-{version}-{release}.{rpm.arch}", rpm.nevra,
                    f"{rpm.name}-{epoch}:{version}-{release}",
                    f"{rpm.name}-{version}*.{rpm.arch}", f"*-{version}-{release}", "p1?", f"{rpm.name}-*-{release}.*",
                    f"{rpm.name}.*", "*-core", "nothing-of-this", f"{rpm.name}-{epoch}:{version}",
                )
            )
        )  # fmt: skip
    return found


def _locks(names: list[str], carried: list[Rpm], rng: random.Random) -> list[str]:
    """Entries as the versionlock plugin writes them, and as people do."""
    found = []
    for _ in range(rng.choice((0, 0, 0, 2, 5))):
        rpm = rng.choice(carried)
        epoch, version, release = rpm.parts
        found.append(
            rng.choice(
                (
                    f"{rpm.name}-{epoch}:{version}-{release}.*", f"{rpm.name}-{epoch}:{version}-{release}.*",
                    rpm.name,
                    rpm.nevra, f"{rpm.name}-{version}-{release}", f"{rpm.name}-{version}", f"{rpm.name}-{version}*",
                    f"{rpm.name}.{rpm.arch}", f"{rpm.name}-0:9.9-9.*",
                    f"{rpm.name[:2]}*-{epoch}:{version}-{release}.*",
                )
            )
        )  # fmt: skip
    return found


def _module_universe(universe: dict[str, list[Rpm]], rng: random.Random) -> dict[str, list[str]]:
    """The documents of each module: streams of some versions, each with artifacts of the module's own names."""
    found: dict[str, list[str]] = {}
    names = rng.sample(sorted(universe), 16)
    for number, module in enumerate(("m1", "m2", "m3", "nodejs")):
        members = names[number * 4 : number * 4 + 4] + rng.sample(names, rng.choice((0, 0, 1)))
        documents = found[module] = []
        for stream in ("1", "2", "rhel8"):
            required = [rng.choice(("platform: [el9]", "platform: [el9]", "platform: [el9]", "platform: []", "{}"))]
            if module != "m1" and rng.random() < 0.3:
                required.append(rng.choice(('m1: ["1"]', "m1: []", 'm1: ["1", "2"]')))
            for version in rng.sample((1, 2, 3), rng.choice((1, 1, 2))):
                artifacts = [rpm for name in members for rpm in universe[name] if rng.random() < 0.4]
                documents.append(
                    _stream(module, stream, version, artifacts, [each for each in required if each != "{}"])
                )
    return found


def _modules(known: dict[str, list[str]], rng: random.Random) -> str:
    """modules.yaml: some of the documents, and perhaps defaults. Empty for most repositories."""
    if rng.random() < 0.5:
        return ""
    documents = []
    for module in rng.sample(sorted(known), rng.randint(1, 4)):
        documents += [document for document in known[module] if rng.random() < 0.7]
        if rng.random() < 0.5:
            # One default for all: where three or more disagree, or a default is not what is required, it depends on
            # the order in which libmodulemd and libsolv come to them.
            stream = "1"
            documents.append(
                "---\ndocument: modulemd-defaults\nversion: 1\ndata:\n"
                f'  module: {module}\n  stream: "{stream}"\n...\n'
            )
    return "".join(documents)


def _stream(module: str, stream: str, version: int, artifacts: list[Rpm], required: list[str]) -> str:
    lines = [
        "---", "document: modulemd", "version: 2", "data:", f"  name: {module}", f'  stream: "{stream}"',
        f"  version: {version}", "  context: c0ffee00", "  arch: x86_64",
        "  summary: made", "  description: made", "  license:", "    module: [MIT]",
    ]  # fmt: skip
    if required:
        lines += ["  dependencies:", "  - requires:", *(f"      {each}" for each in required)]
    if artifacts:
        lines += ["  artifacts:", "    rpms:", *(f"    - {rpm.nevra}" for rpm in artifacts)]
    return "\n".join([*lines, "...\n"])


def _module_states(known: dict[str, list[str]], rng: random.Random) -> list[dict[str, Any]]:
    return [
        {"name": module, "stream": stream if state == "enabled" else "", "state": state, "profiles": []}
        for module in sorted(known)
        # What others require is left alone: of streams that exclude each other libsolv drops one or the other.
        if module != "m1" and rng.random() < 0.6
        for state in [rng.choice(("enabled", "enabled", "disabled"))]
        for stream in [rng.choice(("1", "2", "rhel8", "gone"))]
    ]


def _advisories(carried: list[Rpm], rng: random.Random) -> list[dict[str, Any]]:
    return [
        {
            "id": f"MADE-{rng.randint(1, 999)}",
            "type": rng.choice(("security", "bugfix")),
            "packages": rng.sample(carried, min(len(carried), 3)),
        }
        for _ in range(rng.randint(0, 12))
    ]


def _configure(folder: Path, report: dict[str, Any]) -> None:
    """Write the root's configuration as the report says it is."""
    root = folder / "root"
    for name in ("etc/dnf/plugins", "etc/dnf/modules.d", "etc/yum.repos.d"):
        (root / name).mkdir(parents=True)
    (root / "installed").write_text(
        "".join(f"{rpm['name']} {rpm['arch']} {_evr(rpm)}\n" for rpm in report["packages"])
    )
    (root / "etc" / "dnf" / "dnf.conf").write_text(
        f"[main]\ngpgcheck=0\nobsoletes={int(report['dnf']['obsoletes'])}\nmodule_platform_id=platform:el9\n"
        f"excludepkgs={','.join(report['excludes'])}\n"
    )
    for repository in report["repos"]:
        (root / "etc" / "yum.repos.d" / f"{repository['id']}.repo").write_text(
            f"[{repository['id']}]\nname={repository['id']}\nbaseurl=file://{folder}/mirror/{repository['id']}\n"
            f"enabled={int(repository['enabled'])}\npriority={repository['priority']}\ncost={repository['cost']}\n"
            f"module_hotfixes={int(repository['module_hotfixes'])}\n"
            f"excludepkgs={','.join(repository['excludes'])}\nincludepkgs={','.join(repository['includes'])}\n"
        )
    for module in report["modules"]:
        (root / "etc" / "dnf" / "modules.d" / f"{module['name']}.module").write_text(
            f"[{module['name']}]\nname={module['name']}\nstream={module['stream']}\nprofiles=\n"
            f"state={module['state']}\n"
        )
    if report["pins"]:
        locks = root / "etc" / "dnf" / "plugins" / "versionlock.list"
        locks.write_text("".join(f"{pin['entry']}\n" for pin in report["pins"]))
        (root / "etc" / "dnf" / "plugins" / "versionlock.conf").write_text(f"[main]\nenabled=1\nlocklist={locks}\n")


def _evr(package: dict[str, Any]) -> str:
    text = f"{package['version']}-{package['release']}"
    return text if package["epoch"] == "0" else f"{package['epoch']}:{text}"
