"""What the agent says of a host with pacman."""

from typing import Any

import pytest
from patchbay_shared.report import Pin, Report

DESC = """\
%NAME%
{name}

%VERSION%
{version}

%BASE%
{base}

%ARCH%
x86_64

%INSTALLDATE%
1700000000

{more}
"""


@pytest.fixture
def arch_tree(tree: Any) -> Any:
    tree.write("/etc/os-release", "ID=arch\nPRETTY_NAME='Arch Linux'\n")
    write_package(tree, "glibc", "2.38-7")
    return tree


def write_package(tree: Any, name: str, version: str, *, base: str = "", more: str = "") -> None:
    text = DESC.format(name=name, version=version, base=base or name, more=more)
    tree.write(f"/var/lib/pacman/local/{name}-{version}/desc", text)


def report(tree: Any) -> Report:
    found: Report = tree.report()
    assert found.package_manager == "pacman"
    return found


def test_packages_are_those_of_the_local_database(arch_tree: Any) -> None:
    """Epoch, version and release apart; base, groups, reason and date as pacman has them."""
    write_package(arch_tree, "lib", "1:2.0.r1-3.1", base="suite", more="%GROUPS%\na\nb\n\n%REASON%\n1\n")

    [glibc, lib] = report(arch_tree).packages or []

    assert (lib.epoch, lib.version, lib.release, lib.evr) == ("1", "2.0.r1", "3.1", "1:2.0.r1-3.1")
    assert (lib.source, lib.groups, lib.auto, lib.installed_at) == ("suite", ["a", "b"], True, 1_700_000_000)
    assert (glibc.source, glibc.auto) == (None, False)


def test_repositories_are_in_order_with_their_servers(arch_tree: Any) -> None:
    """pacman takes the first repository that has a name; $repo and $arch are put in, includes are followed."""
    arch_tree.write(
        "/etc/pacman.conf",
        "[options]\nArchitecture = auto\n[core]\nInclude = /etc/pacman.d/mirrorlist\n# [testing]\n"
        "[extra]\nUsage = Sync Search\nServer = http://own.test/$repo\nInclude = /etc/pacman.d/mirrorlist\n",
    )
    arch_tree.write("/etc/pacman.d/mirrorlist", "#Server = http://off.test\nServer = http://m.test/$repo/os/$arch\n")

    [core, extra] = report(arch_tree).repos or []

    assert (core.id, core.order, core.usage, core.urls) == ("core", 0, "All", ["http://m.test/core/os/x86_64"])
    assert (extra.order, extra.usage) == (1, "Sync Search")
    assert extra.urls == ["http://own.test/extra", "http://m.test/extra/os/x86_64"]


def test_ignored_packages_and_groups_are_pins(arch_tree: Any) -> None:
    """Both options may be given several times, also in an included file by pattern."""
    arch_tree.write("/etc/pacman.conf", "[options]\nIgnorePkg = linux* foo\nInclude = /etc/pacman.d/*.conf\n")
    arch_tree.write("/etc/pacman.d/x.conf", "IgnorePkg = bar\nIgnoreGroup = gnome\n")

    assert report(arch_tree).pins == [
        Pin(type="IgnorePkg", name="linux*"),
        Pin(type="IgnorePkg", name="foo"),
        Pin(type="IgnorePkg", name="bar"),
        Pin(type="IgnoreGroup", name="gnome"),
    ]


def test_an_include_that_includes_itself_ends(arch_tree: Any) -> None:
    """pacman stops at ten levels."""
    arch_tree.write("/etc/pacman.conf", "[core]\nServer = http://m.test\nInclude = /etc/pacman.conf\n")

    [core] = report(arch_tree).repos or []

    assert set(core.urls) == {"http://m.test"}
