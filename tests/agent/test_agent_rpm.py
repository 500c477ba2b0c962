"""What the agent says of a host with rpm and dnf, dnf 5 or yum."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from patchbay_shared.report import ModuleState, Report, ReportRepository

VARIABLES = {
    "releasever": "9.4",
    "releasever_major": "9",
    "releasever_minor": "4",
    "arch": "i686",
    "basearch": "i386",
}


def repositories(tree: Any, variables: dict[str, str] | None = None) -> list[ReportRepository]:
    configuration = tree.agent.DnfConfiguration(tree.host)
    records = tree.agent.dnf_repositories(tree.host, configuration, variables or VARIABLES)
    return msgspec.convert(records, type=list[ReportRepository])


def test_urls_are_expanded_as_dnf_expands_them(tree: Any) -> None:
    """The variables of the release, both spellings, a default, and an unknown one that stays."""
    tree.write(
        "/etc/yum.repos.d/a.repo",
        "[base]\nname=Base $releasever\nbaseurl=http://a.test/$releasever_major/${releasever_minor}/$basearch/os/\n"
        "  http://b.test/$releasever/$arch, http://c.test/${stream:-stable}/$unknown\n",
    )

    [found] = repositories(tree)

    assert found.name == "Base 9.4"
    assert found.urls == [
        "http://a.test/9/4/i386/os/",
        "http://b.test/9.4/i686",
        "http://c.test/stable/$unknown",
    ]


def test_variable_files_are_read_with_the_later_directory_winning(tree: Any) -> None:
    """/etc/dnf/vars comes after /etc/yum/vars; the value is the first line."""
    tree.write("/etc/yum/vars/stream", "yum\n")
    tree.write("/etc/yum/vars/infra", "stock\nsecond line\n")
    tree.write("/etc/dnf/vars/stream", "dnf")

    assert tree.agent.variable_files(tree.host, ["/etc/yum/vars", "/etc/dnf/vars"]) == {
        "stream": "dnf",
        "infra": "stock",
    }


def test_a_repository_is_reported_with_all_that_decides_updates(tree: Any) -> None:
    """Priority, cost, excludes, includes, module_hotfixes and gpgcheck, under either name of the option."""
    tree.write("/etc/dnf/dnf.conf", "[main]\ngpgcheck=1\n")
    tree.write(
        "/etc/yum.repos.d/a.repo",
        "# comment\n[a]\nmetalink=https://m.test/metalink?arch=$basearch\nenabled=0\npriority=10\ncost=500\n"
        "exclude=kernel* foo\nexcludepkgs=bar\nincludepkgs=x, y\nmodule_hotfixes=1\ngpgkey=file:///etc/key\n",
    )

    [found] = repositories(tree)

    assert (found.type, found.enabled, found.priority, found.cost) == ("rpm-md", False, 10, 500)
    assert (found.metalink, found.urls) == ("https://m.test/metalink?arch=i386", [])
    assert (found.excludes, found.includes) == (["bar", "kernel*", "foo"], ["x", "y"])
    assert (found.module_hotfixes, found.gpgcheck, found.signed_by) == (True, True, "file:///etc/key")


def test_a_repository_without_options_has_dnf_s_defaults(tree: Any) -> None:
    """Enabled, priority 99, cost 1000."""
    tree.write("/etc/yum.repos.d/a.repo", "[a]\nmirrorlist=http://m.test/list\n")

    [found] = repositories(tree)

    assert (found.enabled, found.priority, found.cost, found.mirrorlist) == (True, 99, 1000, "http://m.test/list")


def test_a_mirrorlist_that_is_a_metalink_is_reported_as_one(tree: Any) -> None:
    """Fedora's old files say mirrorlist=…metalink?…; dnf looks at the word."""
    tree.write("/etc/yum.repos.d/a.repo", "[a]\nmirrorlist=https://m.test/metalink?repo=f\n")

    [found] = repositories(tree)

    assert (found.mirrorlist, found.metalink) == (None, "https://m.test/metalink?repo=f")


def test_repositories_come_in_dnf_s_order_and_the_first_of_an_id_counts(tree: Any) -> None:
    """Sections of dnf.conf first, then files by name; a section without any URL is none."""
    tree.write("/etc/dnf/dnf.conf", "[main]\nbest=1\n[inline]\nbaseurl=http://i.test\n")
    tree.write("/etc/yum.repos.d/b.repo", "[twice]\nbaseurl=http://b.test\n")
    tree.write("/etc/yum.repos.d/a.repo", "[twice]\nbaseurl=http://a.test\n[none]\nname=x\n")
    tree.write("/etc/yum.repos.d/c.repo.rpmsave", "[saved]\nbaseurl=http://s.test\n")

    assert [(found.id, found.urls) for found in repositories(tree)] == [
        ("inline", ["http://i.test"]),
        ("twice", ["http://a.test"]),
    ]


def test_dnf_5_overrides_change_what_they_match(tree: Any) -> None:
    """`dnf config-manager setopt` of dnf 5 writes into repos.override.d."""
    tree.write("/etc/yum.repos.d/a.repo", "[a-one]\nbaseurl=http://a.test\n[b]\nbaseurl=http://b.test\n")
    tree.write("/etc/dnf/repos.override.d/99-config_manager.repo", "[a-*]\nenabled=0\npriority=5\n")

    assert [(found.id, found.enabled, found.priority) for found in repositories(tree)] == [
        ("a-one", False, 5),
        ("b", True, 99),
    ]


def test_of_too_many_repositories_the_enabled_ones_are_reported(tree: Any) -> None:
    """A subscribed RHEL host lists thousands, nearly all disabled; the wire takes two thousand."""
    report = {"packages": [], "repos": [{"id": str(number), "enabled": number > 2990} for number in range(3000)]}

    tree.agent.within_limits(report)

    assert len(report["repos"]) == 2000
    assert [each["id"] for each in report["repos"][:10]] == [str(number) for number in range(2991, 3000)] + ["0"]


def test_the_main_section_gives_dnf_s_options(tree: Any) -> None:
    """Drop-ins of dnf 5 come first, lists add up, dnf.conf has the last word."""
    tree.write("/usr/share/dnf5/libdnf.conf.d/20.conf", "[main]\nbest=False\ninstallonly_limit=5\n")
    tree.write("/etc/dnf/libdnf5.conf.d/10.conf", "[main]\nexcludepkgs=foo\n")
    tree.write(
        "/etc/dnf/dnf.conf", "[main]\ninstallonly_limit=2\nobsoletes=0\nexcludepkgs=bar*\ninstallonlypkgs=mykernel\n"
    )
    configuration = tree.agent.DnfConfiguration(tree.host)

    assert configuration.options() == {
        "obsoletes": False,
        "best": False,
        "installonly_limit": 2,
        "installonlypkgs": ["mykernel"],
    }
    assert configuration.items("excludepkgs") == ["foo", "bar*"]


def test_version_locks_count_where_the_plugin_is_on(tree: Any) -> None:
    """A list that a removed plugin left behind locks nothing."""
    tree.write("/etc/dnf/other.list", "# Added\nbash-0:5.1-1.*\n!kernel-0:5.14-2.*\n\n")
    without = tree.agent.versionlock_entries(tree.host)
    tree.write("/etc/dnf/plugins/versionlock.conf", "[main]\nenabled = 1\nlocklist = /etc/dnf/other.list")

    assert without == []
    assert tree.agent.versionlock_entries(tree.host) == ["bash-0:5.1-1.*", "!kernel-0:5.14-2.*"]


def test_a_lock_of_yum_is_written_as_dnf_writes_it(tree: Any) -> None:
    """yum puts the epoch before the name."""
    tree.write("/etc/yum/pluginconf.d/versionlock.conf", "[main]\nenabled=1\n")
    tree.write("/etc/yum/pluginconf.d/versionlock.list", "0:bash-4.2.46-34.el7.*\n!1:a-b-1-2.x86_64\n")

    assert tree.agent.versionlock_entries(tree.host) == ["bash-0:4.2.46-34.el7.*", "!a-b-1:1-2.x86_64"]


def test_a_lock_of_dnf_5_is_written_as_dnf_4_writes_it(tree: Any) -> None:
    """Exact and excluded versions have an equal in the older syntax; a range has none and is left out."""
    tree.write(
        "/etc/dnf/versionlock.toml",
        'version = "1.0"\n\n[[packages]]\nname = "bash"\ncomment = "x"\n[[packages.conditions]]\nkey = "evr"\n'
        'comparator = "="\nvalue = "0:5.2-3.fc40"\n\n[[packages]]\nname = "vim"\n[[packages.conditions]]\n'
        'key = "evr"\ncomparator = "!="\nvalue = "2:9-1"\n\n[[packages]]\nname = "range"\n'
        '[[packages.conditions]]\nkey = "evr"\ncomparator = "<"\nvalue = "2"\n',
    )

    assert tree.agent.versionlock_entries(tree.host) == ["bash-0:5.2-3.fc40.*", "!vim-2:9-1.*"]


def test_module_states_are_dnf_s_files(tree: Any) -> None:
    """Only a stream that is enabled or a module that is disabled changes what is offered."""
    tree.write(
        "/etc/dnf/modules.d/nodejs.module", "[nodejs]\nname=nodejs\nstream=20\nprofiles=common, s2i\nstate=enabled\n"
    )
    tree.write("/etc/dnf/modules.d/php.module", "[php]\nname=php\nprofiles=\nstate=disabled\nstream=\n")
    tree.write("/etc/dnf/modules.d/ruby.module", "[ruby]\nname=ruby\nprofiles=\nstate=\nstream=\n")

    found = msgspec.convert(tree.agent.dnf_modules(tree.host), type=list[ModuleState])

    assert found == [
        ModuleState(name="nodejs", stream="20", state="enabled", profiles=["common", "s2i"]),
        ModuleState(name="php", state="disabled"),
    ]


def test_dnf_s_history_says_what_came_as_a_dependency(tree: Any) -> None:
    """The newest reason counts: 1 is a dependency, 2 the user."""
    path = tree.write("/var/lib/dnf/history.sqlite", "")
    path.unlink()
    with sqlite3.connect(path) as history:
        history.execute("CREATE TABLE rpm (item_id INTEGER, name TEXT, arch TEXT)")
        history.execute("CREATE TABLE trans_item (id INTEGER PRIMARY KEY, item_id INTEGER, reason INTEGER)")
        history.execute("INSERT INTO rpm VALUES (1, 'lib', 'x86_64'), (2, 'tool', 'noarch')")
        history.execute("INSERT INTO trans_item VALUES (1, 1, 2), (2, 2, 2), (3, 1, 1)")
    history.close()

    automatic = tree.agent.dnf_automatic(tree.host)

    assert (automatic("lib", "x86_64"), automatic("tool", "noarch"), automatic("new", "noarch")) == (
        True,
        False,
        None,
    )


def test_a_host_without_an_rpm_database_is_not_given_an_empty_one(tree: Any) -> None:
    """rpm makes the database that it is asked for."""
    with pytest.raises(tree.agent.AgentError, match="no rpm database"):
        tree.collected("dnf")

    assert not (tree.root / "var").exists()


@pytest.fixture
def rpm_report(rpm_root: Callable[[], Path], agent: Any) -> Report:
    root = rpm_root()
    (root / "etc/yum.repos.d").mkdir(parents=True, exist_ok=True)
    (root / "etc/hostname").write_text("el9.example.test\n")
    (root / "etc/os-release").write_text('ID="fixture"\nID_LIKE="rhel fedora"\nVERSION_ID="8.8"\n')
    (root / "etc/yum.repos.d/a.repo").write_text("[a]\nbaseurl=http://a.test/$releasever/\n")
    report: Report = msgspec.json.decode(agent.canonical(agent.collect(agent.Host(str(root)))), type=Report)
    return report


@pytest.mark.live
def test_the_packages_of_a_real_rpm_database_are_reported(rpm_report: Report) -> None:
    """Every part of the version apart, with vendor, source and module; from the database below the root."""
    found = {package.name: package for package in rpm_report.packages or []}

    assert set(found) == {"fixture-release", "kernel-core", "nodejs", "bash-libs"}
    assert found["nodejs"].evr == "1:20.11.0-1.module_el9"
    assert (found["bash-libs"].epoch, found["bash-libs"].evr) == ("0", "5.1~rc1-2^git1.el9")
    assert found["bash-libs"].vendor == "Ünïcode | GmbH"
    assert found["nodejs"].vendor is None
    assert found["kernel-core"].source is None
    assert all(package.installed_at for package in found.values())


@pytest.mark.live
def test_the_module_label_of_a_package_is_reported(rpm_report: Report) -> None:
    """It tells a package of a stream from one beside it."""
    assert [package.modularitylabel for package in rpm_report.packages or [] if package.name == "nodejs"] == [
        "nodejs:20:9040020240101:abcdef"
    ]


@pytest.mark.live
def test_the_release_version_is_the_provided_one(rpm_report: Report) -> None:
    """dnf takes the version of system-release(releasever), neither the package's own nor that of os-release."""
    assert (rpm_report.package_manager, rpm_report.releasever) == ("dnf", "9")
    assert [repository.urls for repository in rpm_report.repos or []] == [["http://a.test/9/"]]
