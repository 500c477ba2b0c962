"""What a patchman-client's lists mean, in either protocol."""

from typing import Any

import pytest
from patchbay_ingest.wire import patchman1
from patchbay_ingest.wire.patchman import report_of
from patchbay_ingest.wire.patchman_repos import rpm_url_kind
from patchbay_shared.errors import InvalidInput
from patchbay_shared.report import Report, ReportRepository

DEB = "'vim' '2' '9.0.1378' '2+deb12u2' 'amd64' 'deb'"
DEBIAN = "http://deb.example.org/debian"


def report(**form: str) -> Report:
    return report_and_note(**form)[0]


def report_and_note(**form: str) -> tuple[Report, str]:
    fields = {"arch": "x86_64", "kernel": "6.1.0", "os": "Debian 12.11", "packages": DEB, **form}
    return report_of(patchman1.upload_of(fields, hostname=fields.get("host", "deb1.example.com")))


def repos(lines: str, **form: str) -> list[ReportRepository]:
    found = report(repos=lines, **form).repos
    assert found is not None
    return found


def apt(path: str, base: str = DEBIAN, priority: str = "500") -> str:
    return f"'deb' 'Debian 12 x86_64 repo at {base}/{path}' '{priority}' '{base}/{path}'\n"


def rpm(*urls: str, identifier: str = "baseos", priority: str = "99") -> str:
    return f"'rpm' 'Rocky Linux 9 - BaseOS x86_64' '{identifier}' '{priority}' " + " ".join(f"'{u}'" for u in urls)


def test_a_debian_host_is_an_apt_host_of_its_native_architecture() -> None:
    """Evaluation needs the package manager and dpkg's architecture; the client names neither."""
    lines = "'dpkg' '' '1' '' 'amd64' 'deb'\n'libc6' '' '2.36' '9' 'i386' 'deb'\n'tzdata' '' '1' '1' 'all' 'deb'"

    found = report(packages=lines)

    assert (found.package_manager, found.native_arch, found.foreign_archs) == ("apt", "amd64", ["i386"])


def test_apt_indexes_are_put_together_to_sources() -> None:
    """One line an index on the wire; one source a base and suite."""
    lines = (
        apt("dists/bookworm/main/binary-amd64") + apt("dists/bookworm/contrib/binary-amd64")
        + apt("dists/bookworm-updates/main/binary-amd64")
    )  # fmt: skip

    first, second = repos(lines)

    assert (first.urls, first.suite, first.components) == ([DEBIAN], "bookworm", ["main", "contrib"])
    assert (first.id, first.type, first.arch, first.priority) == ("bookworm", "deb", ["amd64"], 500)
    assert (second.suite, second.components) == ("bookworm-updates", ["main"])


def test_architectures_of_one_source_are_joined_only_where_their_components_are_the_same() -> None:
    """Else an index would be looked for that the host does not use."""
    lines = "".join(
        apt(f"dists/bookworm/{component}/binary-{arch}")
        for component, arch in [("main", "amd64"), ("main", "i386"), ("non-free", "amd64")]
    )

    assert [(each.components, each.arch) for each in repos(lines)] == [
        (["main", "non-free"], ["amd64"]),
        (["main"], ["i386"]),
    ]


def test_a_suite_may_have_a_slash() -> None:
    """`stable/updates`: the component is the last part before the architecture."""
    [found] = repos(apt("dists/buster/updates/main/binary-amd64"))

    assert (found.suite, found.components, found.security) == ("buster/updates", ["main"], True)


@pytest.mark.parametrize("url", [f"{DEBIAN}/local/./", f"{DEBIAN}/local//./", f"{DEBIAN}/local"])
def test_a_flat_repository_is_known_by_its_base(url: str) -> None:
    """`<base>/<path>` without dists."""
    [found] = repos(f"'deb' 'n' '500' '{url}'")

    assert (found.urls, found.suite, found.components) == ([f"{DEBIAN}/local"], "./", [])


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://mirrors.rockylinux.org/mirrorlist?arch=x86_64&repo=BaseOS-9", "mirrorlist"),
        ("http://mirrorlist.centos.org/?release=7&arch=x86_64&repo=os", "mirrorlist"),
        ("https://mirrors.almalinux.org/mirrorlist/9/baseos", "mirrorlist"),
        ("https://cdn.amazonlinux.com/al2023/core/mirrors/2023.5/x86_64/mirror.list", "mirrorlist"),
        ("https://mirrors.fedoraproject.org/metalink?repo=epel-9&arch=x86_64", "metalink"),
        ("http://dl.rockylinux.org/pub/rocky/9/BaseOS/x86_64/os/", "baseurl"),
        ("https://mirrors.example.org/rocky/9/BaseOS/x86_64/os", "baseurl"),
        ("file:///srv/mirrorlist/repo", "baseurl"),
    ],
)
def test_an_rpm_url_is_told_apart(url: str, kind: str) -> None:
    """They share one column on the wire."""
    assert rpm_url_kind(url) == kind


def test_a_dnf_repository_has_its_own_id_its_priority_and_its_urls() -> None:
    """The CPE prefix that the client adds is taken off again."""
    line = rpm(
        "https://mirrors.rockylinux.org/mirrorlist?repo=BaseOS-9", "http://dl.example.org/9/os/",
        identifier="cpe:/o:rocky:rocky:9::baseos-baseos", priority="10",
    )  # fmt: skip

    [found] = repos(
        line, packages="'bash' '' '5.1.8' '9.el9' 'x86_64' 'rpm'", os="Rocky Linux 9.5 [cpe:/o:rocky:rocky:9::baseos]"
    )

    assert (found.id, found.priority, found.type) == ("baseos", 10, "rpm-md")
    assert (found.mirrorlist, found.urls) == (
        "https://mirrors.rockylinux.org/mirrorlist?repo=BaseOS-9",
        ["http://dl.example.org/9/os/"],
    )


@pytest.mark.parametrize(
    ("os", "manager"),
    [("openSUSE Leap 15.6", "zypper"), ("SUSE Linux Enterprise Server 15 SP6", "zypper"), ("Fedora Linux 41", "dnf"),
     ("CentOS Linux release 7.9.2009 (Core)", "yum"), ("unknown", "dnf")],
)  # fmt: skip
def test_an_rpm_host_is_of_zypper_or_dnf(os: str, manager: str) -> None:
    """By its distribution."""
    assert report(os=os, packages="'bash' '' '5' '1' 'x86_64' 'rpm'").package_manager == manager


def test_rpm_names_and_the_kernel_have_their_plus_again() -> None:
    """The client writes %2b for +."""
    found = report(kernel="6.1%2bdeb", packages="'libstdc%2b%2b' '' '8.5.0' '22.module%2bel8' 'x86_64' 'rpm'")

    assert found.packages is not None
    assert (found.packages[0].name, found.packages[0].release, found.kernel) == (
        "libstdc++",
        "22.module+el8",
        "6.1+deb",
    )


def test_packages_of_a_module_have_their_modularity_label() -> None:
    """The module's line lists its artifacts; rpm's label is rebuilt from it."""
    found = report(
        os="Rocky Linux 8.10", packages="'nodejs' '1' '18.1' '1.module%2bel8' 'x86_64' 'rpm'",
        modules="'nodejs' '18' '8100' 'abc' 'x86_64' 'appstream' 'nodejs-1:18.1-1.module+el8.x86_64'",
    )  # fmt: skip

    assert found.packages is not None
    assert found.packages[0].modularitylabel == "nodejs:18:8100:abc"
    assert [(each.name, each.stream, each.state) for each in found.modules] == [("nodejs", "18", "enabled")]


def test_keys_are_not_packages() -> None:
    """rpm lists imported keys as gpg-pubkey, with `(none)` for an architecture."""
    lines = "'gpg-pubkey' '' 'a' 'b' '' 'rpm'\n'bash' '' '5' '1' 'x86_64' 'rpm'"

    assert [each.name for each in report(packages=lines, os="Fedora Linux 41").packages or []] == ["bash"]


@pytest.mark.parametrize("field", ["repos", "packages"])
def test_an_empty_list_means_unchanged(field: str) -> None:
    """A package manager's hook sends no repositories; no host has no packages."""
    assert getattr(report(**{field: ""}), field) is None


def test_arch_repositories_have_their_architecture_and_order_again() -> None:
    """The client's shell drops $arch from the URL, and it sends the repositories in no order."""
    lines = (
        "'arch' 'Arch Linux extra x86_64' 'extra' 'https://m.example.org/extra/os/'\n"
        "'arch' 'Arch Linux core x86_64' 'core' 'https://m.example.org/core/os/' 'https://n.example.org/core/os/x86_64'"
    )

    core, extra = repos(lines, os="Arch Linux", packages="'bash' '' '5.2' '1' 'x86_64' 'arch'")

    assert core.urls == ["https://m.example.org/core/os/x86_64", "https://n.example.org/core/os/x86_64"]
    assert (core.id, core.order, extra.id, extra.order, core.type) == ("core", 0, "extra", 1, "pacman")


def test_gentoo_packages_are_kept_with_a_note() -> None:
    """Accepted by the protocol, not evaluated; a slot in the column of epochs harms nothing."""
    found, note = report_and_note(
        os="Gentoo Linux 2.17",
        packages="'gcc' '14/14.2' '14.2.1_p2024' '1' 'amd64' 'gentoo' 'sys-devel' 'gentoo'",
        repos="'gentoo' 'Gentoo Linux gentoo Repo x86_64' 'gentoo' '-1000' 'rsync://rsync.gentoo.org/gentoo-portage'",
    )

    assert found.packages is not None
    assert found.repos is not None
    assert (found.packages[0].name, found.packages[0].evr) == ("sys-devel/gcc", "14.2.1_p2024-r1")
    assert found.repos[0].urls == ["rsync://rsync.gentoo.org/gentoo-portage"]
    assert (found.package_manager, "not evaluated" in note) == ("portage", True)


def test_passwords_in_urls_are_not_stored() -> None:
    """Whoever reads the host's page must not read its mirror's password."""
    [found] = repos("'deb' 'n' '500' 'https://user:secret@m.example.org/debian/dists/sid/main/binary-amd64'")

    assert found.urls == ["https://m.example.org/debian"]


def test_a_repository_line_that_cannot_be_read_is_noted_and_the_host_kept() -> None:
    """It is some other program's output; a host must not be lost over it."""
    found, note = report_and_note(repos="rubbish\n" + apt("dists/sid/main/binary-amd64") + rpm())

    assert found.repos is not None
    assert len(found.repos) == 1
    assert "Line 1 of repos" in note
    assert "'baseos'" in note


def test_a_package_line_that_cannot_be_read_refuses_the_report() -> None:
    """Half a list of packages would be taken for removals."""
    with pytest.raises(InvalidInput, match="Line 2 of packages"):
        report(packages=f"{DEB}\n'vim' '2'")


def test_an_update_in_both_lists_is_a_security_update() -> None:
    """yum lists security updates among the others too; apt has no repository."""
    found = report(sec_updates="bash.amd64 5.2-2", bug_updates="bash.amd64 5.2-2\nzsh.amd64 1:5-1 main\nchatter")

    assert [(each.name, each.to, each.repo, each.security) for each in found.updates or []] == [
        ("bash", "5.2-2", "", True),
        ("zsh", "1:5-1", "main", None),
    ]


@pytest.mark.parametrize(
    ("tags", "expected"), [("Default", []), ("www,dev", ["www", "dev"]), ("Server", ["Server"]), ("", [])]
)
def test_tags_are_separated_by_commas_and_default_means_none(tags: str, expected: list[str]) -> None:
    """`Default` is what a client without tags sends."""
    assert report(tags=tags).tags == expected


@pytest.mark.parametrize(("sent", "expected"), [("True", True), ("ServerCheck", None), ("", None)])
def test_a_reboot_is_required_or_unknown(sent: str, expected: Any) -> None:
    """ServerCheck: the client could not tell."""
    assert report(reboot=sent).reboot_required is expected


def test_a_nul_character_is_refused() -> None:
    """PostgreSQL cannot store it."""
    with pytest.raises(InvalidInput, match="NUL"):
        report(kernel="6.1\x00")


def test_a_backslash_before_u0000_is_no_nul() -> None:
    """The text `\\u0000` itself is harmless."""
    assert report(kernel="\\u0000").kernel == "\\u0000"
