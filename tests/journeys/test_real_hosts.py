"""The main job on real hosts: the agent, the server, and the package manager's own answer, side by side."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from processes import Standalone

pytestmark = pytest.mark.live

AGENT = Path(__file__).parents[2] / "agent" / "patchbay_agent.py"


def needs(*commands: str) -> None:
    """Skip unless the real tools are here."""
    missing = [each for each in commands if not shutil.which(each)]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}; setup/install-test-tools installs them, as root")


def output(*command: str | Path, codes: tuple[int, ...] = (0,), **environment: str) -> str:
    done = subprocess.run(
        [str(each) for each in command],
        env={**os.environ, "LC_ALL": "C", **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode in codes, done.stderr + done.stdout
    return done.stdout


def report(up: Standalone, folder: Path, *options: str | Path, **environment: str) -> str:
    """Enrol with the agent and send one report; the receipt id."""
    state = ["--config", folder / "agent.conf", "--state-dir", folder / "state"]
    output(
        sys.executable,
        AGENT,
        "enrol",
        *state,
        "--server",
        up.url,
        "--token",
        up.enrolment_token,
        *options,
        **environment,
    )
    printed = output(sys.executable, AGENT, "report", *state, *options, **environment)
    found = re.search(r"[0-9a-f]{8}-[0-9a-f-]{27}", printed)
    assert found, printed
    return found[0]


def updates(up: Standalone) -> list[tuple[str, str, str, str]]:
    """(name, arch, installed, candidate) of the only host."""
    api = up.sign_in()
    [host] = api.items("/hosts")
    return sorted(
        (each["name"], each["arch"], each["installed"], each["candidate"])
        for each in api.items(f"/hosts/{host['id']}/updates", limit=200)
        if each["listed"]
    )


def settled(up: Standalone, expected: list[tuple[str, str, str, str]]) -> list[tuple[str, str, str, str]]:
    """The updates once every repository is crawled and judged, or after a minute whatever they are then."""
    deadline = time.monotonic() + 60
    while (seen := updates(up)) != expected and time.monotonic() < deadline:
        time.sleep(0.2)
    return seen


def test_this_debian_host_has_the_updates_that_apt_lists(
    standalone: Callable[..., Standalone], open_folder: Path, shared: Path
) -> None:
    """The machine's own packages against the recorded Debian 12 mirror: `apt list --upgradable` is the bar."""
    needs("apt", "dpkg")
    if "bookworm" not in Path("/etc/os-release").read_text():
        pytest.skip("the recorded mirror is Debian 12's; this host is not")
    repositories = shared / "oracle" / "repos" / "apt"
    mirror_map = (
        f"http://deb.debian.org/debian={repositories / 'debian'} "
        f"http://deb.debian.org/debian-security={repositories / 'debian-security'}"
    )
    up = standalone(PATCHBAY_MIRROR_MAP=mirror_map).start()
    report(up, open_folder)

    answer = apt_list_upgradable(open_folder, repositories)

    assert settled(up, answer) == answer
    assert len(answer) > 0


def apt_list_upgradable(folder: Path, repositories: Path) -> list[tuple[str, str, str, str]]:
    """apt's answer for this machine, over the same indexes."""
    for name in ("lists/partial", "cache/archives/partial", "sources"):
        (folder / "apt" / name).mkdir(parents=True)
    (folder / "apt" / "sources" / "recorded.list").write_text(
        f"deb [trusted=yes] file:{repositories}/debian bookworm main\n"
        f"deb [trusted=yes] file:{repositories}/debian bookworm-updates main\n"
        f"deb [trusted=yes] file:{repositories}/debian-security bookworm-security main\n"
    )
    options = [
        "-oDir::Etc::sourcelist=/dev/null", f"-oDir::Etc::sourceparts={folder}/apt/sources",
        f"-oDir::State::lists={folder}/apt/lists", f"-oDir::Cache={folder}/apt/cache", "-oAPT::Sandbox::User=root",
    ]  # fmt: skip
    output("apt-get", "update", "-q", *options)
    line = re.compile(r"^(\S+?)/\S+ (\S+) (\S+) \[upgradable from: (\S+)\]$", re.MULTILINE)
    found = line.findall(output("apt", "list", "--upgradable", *options))
    return sorted((name, arch, installed, candidate) for name, candidate, arch, installed in found)


SPEC = """
Name: {name}
Version: {version}
Release: {release}
Summary: made for a test
License: MIT
BuildArch: noarch
{extra}
%description
Made for a test.
%files
"""


def build(folder: Path, name: str, version: str, release: str, extra: str = "") -> Path:
    spec = folder / f"{name}-{version}.spec"
    spec.write_text(SPEC.format(name=name, version=version, release=release, extra=extra))
    top = folder / "rpmbuild"
    output("rpmbuild", "-bb", "--quiet", "--define", f"_topdir {top}", spec)
    [built] = (top / "RPMS" / "noarch").glob(f"{name}-{version}-{release}.noarch.rpm")
    return built


EXPECTED = [("epoch", "1:9.0-1", "2:1.0-1"), ("plain", "1.0-1", "1.1-1"), ("tilde", "2.0~rc1-1", "2.0-1")]


def test_an_rpm_host_has_the_updates_that_dnf_lists(standalone: Callable[..., Standalone], open_folder: Path) -> None:
    """An installroot filled by rpm, a repository made by createrepo_c: `dnf check-update` is the bar."""
    needs("rpmbuild", "rpm", "dnf", "createrepo_c")
    root, repository = open_folder / "root", open_folder / "mirror" / "updates"
    repository.mkdir(parents=True)
    old = [
        build(open_folder, "release-files", "9", "1", "Provides: system-release = 9"),
        build(open_folder, "plain", "1.0", "1"),
        build(open_folder, "tilde", "2.0~rc1", "1"),
        build(open_folder, "epoch", "9.0", "1", "Epoch: 1"),
        build(open_folder, "current", "3.0", "1"),
        build(open_folder, "excluded", "1.0", "1"),
        build(open_folder, "orphan", "1.0", "1"),
    ]
    new = [
        build(open_folder, "plain", "1.1", "1"),
        build(open_folder, "tilde", "2.0", "1"),
        build(open_folder, "epoch", "1.0", "1", "Epoch: 2"),
        build(open_folder, "excluded", "1.1", "1"),
        old[4],
    ]
    for each in new:
        shutil.copy(each, repository)
    output("createrepo_c", "-q", repository)
    (root / "etc" / "yum.repos.d").mkdir(parents=True)
    (root / "etc" / "dnf").mkdir()
    # Debian's rpm keeps its database in the home folder; a real rpm host has it here.
    (open_folder / ".rpmmacros").write_text("%_dbpath /var/lib/rpm\n")
    home = {"HOME": str(open_folder)}
    (root / "etc" / "hostname").write_text("rpm1.example.org\n")
    (root / "etc" / "os-release").write_text('ID=rocky\nVERSION_ID="9.5"\nPRETTY_NAME="Rocky Linux 9.5"\n')
    (root / "etc" / "dnf" / "dnf.conf").write_text("[main]\nexcludepkgs=excluded\n")
    (root / "etc" / "yum.repos.d" / "updates.repo").write_text(
        "[updates]\nname=Updates $releasever\nbaseurl=http://mirror.example.org/$releasever/updates/\nenabled=1\n"
        "gpgcheck=0\n[off]\nname=Off\nbaseurl=http://mirror.example.org/off/\nenabled=0\n"
    )
    output("rpm", "--root", root, "-i", "--nodeps", *old, **home)
    up = standalone(PATCHBAY_MIRROR_MAP=f"http://mirror.example.org/9/updates={repository}").start()
    report(up, open_folder, "--root", root, **home)

    listed = output(
        "dnf", "-q", f"--installroot={root}", f"--config={root}/etc/dnf/dnf.conf", "--setopt=reposdir=/nonexistent",
        f"--repofrompath=updates,file://{repository}", "--noplugins", "--releasever=9",
        f"--setopt=cachedir={open_folder}/dnf", "check-update", codes=(0, 100), **home,
    )  # fmt: skip
    answer = sorted(re.findall(r"^(\S+)\.(\S+)\s+(\S+)\s+updates\s*$", listed, re.MULTILINE))
    expected = [(name, "noarch", installed, candidate) for name, installed, candidate in EXPECTED]
    assert settled(up, expected) == expected
    assert answer == [(name, arch, candidate) for name, arch, _, candidate in expected]
