"""The agent on a real Debian host, and on hosts that the oracle corpus describes."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
from patchbay_shared.report import Report, ReportPackage


@pytest.fixture(scope="module")
def here(agent: Any) -> Report:
    report: Report = msgspec.json.decode(agent.canonical(agent.collect(agent.Host("/"), manager="apt")), type=Report)
    return report


@pytest.mark.live
def test_the_packages_of_this_host_are_those_of_dpkg_query(here: Report) -> None:
    """Name, architecture, version and status of every package, as dpkg itself prints them."""
    form = "${Package} ${Architecture} ${Version} ${db:Status-Status}\n"
    said = subprocess.run(["dpkg-query", "-W", "-f", form], check=True, capture_output=True, text=True).stdout

    reported = {f"{each.name} {each.arch} {each.evr} {each.status}" for each in here.packages or []}
    assert reported == {line for line in said.splitlines() if not line.endswith("not-installed")}


@pytest.mark.live
def test_the_sources_of_this_host_are_those_of_dpkg_query(here: Report) -> None:
    """dpkg works out source package and source version of each."""
    form = "${Package} ${Architecture} ${source:Package} ${source:Version}\n"
    said = subprocess.run(["dpkg-query", "-W", "-f", form], check=True, capture_output=True, text=True).stdout

    def source(each: ReportPackage) -> str:
        return f"{each.name} {each.arch} {each.source or each.name} {each.source_version or each.evr}"

    assert {source(each) for each in here.packages or []} == set(said.splitlines())


@pytest.mark.live
def test_automatic_packages_of_this_host_are_those_of_apt_mark(here: Report) -> None:
    """apt-mark reads the same state with apt's own code."""
    said = subprocess.run(["apt-mark", "showauto"], check=True, capture_output=True, text=True).stdout

    reported = {each.name for each in here.packages or [] if each.auto}
    assert reported == {line.split(":")[0] for line in said.splitlines()}


@pytest.mark.live
def test_the_repositories_of_this_host_are_those_apt_fetches(here: Report) -> None:
    """apt-get indextargets lists what apt makes of its sources."""
    command = ["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(COMPONENT)", "Created-By: Packages"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout

    reported = {
        f"{each.urls[0].rstrip('/')} {each.suite} {component}"
        for each in here.repos or []
        if each.enabled
        for component in each.components
    }
    assert reported == {line.replace("/ ", " ", 1) for line in said.splitlines()}


@pytest.mark.live
def test_every_field_of_a_report_is_one_of_the_wire(agent: Any) -> None:
    """A misspelt key would be ignored by the server without a word."""

    class Strict(Report, frozen=True, forbid_unknown_fields=True):
        """The same shape, refusing what it does not know."""

    document = agent.canonical(agent.collect(agent.Host("/")))
    decoded = msgspec.json.decode(document, type=Strict)

    assert json.loads(document).keys() <= {field.encode_name for field in msgspec.structs.fields(Strict)}
    known = {field.encode_name for field in msgspec.structs.fields(ReportPackage)}
    assert all(set(each) <= known for each in json.loads(document)["packages"])
    assert decoded.boot_id


def oracle_hosts(family: str, limit: int) -> list[Any]:
    shared = Path(os.environ.get("PATCHBAY_SHARED", str(Path(__file__).parents[3] / "shared")))
    return sorted((shared / "oracle/dev" / family).glob("*.json"))[:limit]


APT_HOSTS = oracle_hosts("apt", 6)
PACMAN_HOSTS = oracle_hosts("pacman", 6)

needs_apt_hosts = pytest.mark.skipif(not APT_HOSTS, reason="the oracle corpus is not beside the checkout")
needs_pacman_hosts = pytest.mark.skipif(not PACMAN_HOSTS, reason="the oracle corpus is not beside the checkout")


def facts(packages: list[Any]) -> set[tuple[Any, ...]]:
    keys = ("name", "epoch", "version", "release", "arch")
    return {
        (
            *(each.get(key, "") for key in keys),
            bool(each.get("held")),
            each.get("status", ""),
            each.get("source") or each["name"],
        )
        for each in packages
    }


@needs_apt_hosts
@pytest.mark.parametrize("path", APT_HOSTS, ids=lambda path: path.stem)
def test_a_root_written_from_an_oracle_apt_host_is_reported_as_that_host(tree: Any, path: Path) -> None:
    """Status file, deb822 sources and preferences there and back, with everything that decides updates."""
    host = json.loads(path.read_text())["report"]
    tree.write("/var/lib/dpkg/arch", "\n".join([host["native_arch"], *host["foreign_archs"]]) + "\n")
    stanzas = []
    for each in host["packages"]:
        version = each["version"] + ("-" + each["release"] if each["release"] else "")
        selection = "hold" if each.get("held") else "install"
        stanzas.append(
            f"Package: {each['name']}\nStatus: {selection} ok {each.get('status', 'installed')}\n"
            f"Architecture: {each['arch']}\nVersion: {each['epoch'] + ':' if each['epoch'] else ''}{version}\n"
            + (f"Source: {each['source']}\n" if each.get("source") else "")
        )
    tree.write("/var/lib/dpkg/status", "\n".join(stanzas))
    sources = [
        f"Types: deb\nURIs: {each['urls'][0]}\nSuites: {each['suite']}\nComponents: {' '.join(each['components'])}\n"
        f"Architectures: {' '.join(each['arch'])}\nEnabled: {'yes' if each['enabled'] else 'no'}\n"
        + (f"Signed-By: /{each['signed_by']}\n" if each["signed_by"] else "Trusted: yes\n")
        for each in host["repos"]
    ]
    tree.write("/etc/apt/sources.list.d/all.sources", "\n".join(sources))
    tree.write("/etc/apt/preferences", host["preferences"])

    found = tree.collected("apt")

    assert facts(found["packages"]) == facts(host["packages"])
    assert found.get("foreign_archs", []) == host["foreign_archs"]
    assert found.get("preferences", "") == host["preferences"].strip("\n")
    keys = ("urls", "suite", "components", "arch", "enabled", "security")
    assert {str([each.get(key) for key in keys]) for each in found["repos"]} == {
        str([each.get(key) for key in keys]) for each in host["repos"]
    }


@needs_pacman_hosts
@pytest.mark.parametrize("path", PACMAN_HOSTS, ids=lambda path: path.stem)
def test_a_root_written_from_an_oracle_pacman_host_is_reported_as_that_host(tree: Any, path: Path) -> None:
    """The local database and pacman.conf there and back; what is commented out pacman does not know."""
    host = json.loads(path.read_text())["report"]
    for each in host["packages"]:
        version = f"{each['epoch'] + ':' if each['epoch'] else ''}{each['version']}-{each['release']}"
        groups = "".join(f"{group}\n" for group in each.get("groups", []))
        tree.write(
            f"/var/lib/pacman/local/{each['name']}-{version}/desc",
            f"%NAME%\n{each['name']}\n\n%VERSION%\n{version}\n\n%ARCH%\n{each['arch']}\n"
            + (f"\n%GROUPS%\n{groups}" if groups else ""),
        )
    lines = ["[options]", f"Architecture = {host['arch']}"]
    lines += [f"{pin['type']} = {pin['name']}" for pin in host["pins"]]
    enabled = [each for each in host["repos"] if each["enabled"]]
    for each in enabled:
        lines += [f"[{each['id']}]", f"Server = {each['urls'][0]}", f"Usage = {each['usage']}"]
    tree.write("/etc/pacman.conf", "\n".join(lines) + "\n")

    found = tree.collected("pacman")

    assert facts(found["packages"]) == facts(host["packages"])
    assert sorted(found.get("pins", []), key=str) == sorted(host["pins"], key=str)
    assert [(each["id"], each["urls"], each["usage"]) for each in found["repos"]] == [
        (each["id"], each["urls"], each["usage"]) for each in enabled
    ]
