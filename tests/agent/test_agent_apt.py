"""What the agent says of a host with dpkg and apt."""

import os
from typing import Any

import pytest
from patchbay_repo_sync.formats.apt import package_of
from patchbay_shared.report import ReportPackage, ReportRepository


def status(*stanzas: str) -> str:
    return "\n".join(stanza.strip() + "\n" for stanza in stanzas)


def stanza(
    name: str, version: str, *, arch: str = "amd64", words: str = "install ok installed", more: str = ""
) -> str:
    return f"Package: {name}\nStatus: {words}\nArchitecture: {arch}\nVersion: {version}\n{more}"


def packages(tree: Any) -> dict[str, ReportPackage]:
    return {package.name: package for package in tree.report().packages}


def repositories(tree: Any) -> list[ReportRepository]:
    found: list[ReportRepository] = tree.report().repos
    return found


@pytest.mark.parametrize(
    ("version", "parts"),
    [
        ("2:9.0.1378-2+deb12u2", ("2", "9.0.1378", "2+deb12u2")),
        ("12.4+deb12u11", ("", "12.4+deb12u11", "")),
        ("1.0-rc-1-3", ("", "1.0-rc-1", "3")),
        ("0:1:2-3", ("0", "1:2", "3")),
    ],
)
def test_a_version_is_split_as_dpkg_splits_it(apt_tree: Any, version: str, parts: tuple[str, str, str]) -> None:
    """The epoch ends at the first colon, the revision starts after the last hyphen."""
    apt_tree.write("/var/lib/dpkg/status", stanza("p", version))

    package = packages(apt_tree)["p"]

    assert (package.epoch, package.version, package.release) == parts
    assert package.evr == version


def test_a_hold_is_the_selection_and_not_the_status(apt_tree: Any) -> None:
    """`dpkg --set-selections` writes hold into the first word."""
    apt_tree.write(
        "/var/lib/dpkg/status", status(stanza("kept", "1", words="hold ok installed"), stanza("free", "1"))
    )

    found = packages(apt_tree)

    assert found["kept"].held
    assert not found["free"].held


def test_a_removed_package_keeps_its_status_word(apt_tree: Any) -> None:
    """Its configuration files are no installed package; one that never was installed is not reported."""
    apt_tree.write(
        "/var/lib/dpkg/status",
        status(
            stanza("gone", "1", words="deinstall ok config-files"),
            stanza("never", "1", words="unknown ok not-installed"),
            stanza("half", "1", words="install ok half-configured"),
        ),
    )

    assert {name: package.status for name, package in packages(apt_tree).items()} == {
        "gone": "config-files",
        "half": "half-configured",
    }


def test_the_source_is_given_where_it_differs(apt_tree: Any) -> None:
    """Advisories name source packages, and binNMUs have a version of their own."""
    apt_tree.write(
        "/var/lib/dpkg/status",
        status(
            stanza("same", "1-1"),
            stanza("other", "2:1-1+b1", more="Source: origin (1-1)\n"),
            stanza("rebuilt", "1-1+b2", more="Source: rebuilt (1-1)\n"),
        ),
    )

    found = packages(apt_tree)

    assert (found["same"].source, found["same"].source_version) == (None, None)
    assert (found["other"].source, found["other"].source_version) == ("origin", "1-1")
    assert (found["rebuilt"].source, found["rebuilt"].source_version) == (None, "1-1")


def test_automatic_packages_are_those_that_apt_marked(apt_tree: Any) -> None:
    """apt files a package of architecture all under the native one."""
    apt_tree.write(
        "/var/lib/dpkg/status",
        status(stanza("dpkg", "1"), stanza("lib", "1"), stanza("data", "1", arch="all"), stanza("tool", "1")),
    )
    apt_tree.write(
        "/var/lib/apt/extended_states",
        "Package: lib\nArchitecture: amd64\nAuto-Installed: 1\n\nPackage: data\nArchitecture: amd64\n"
        "Auto-Installed: 1\n\nPackage: tool\nArchitecture: amd64\nAuto-Installed: 0\n",
    )

    assert {name: package.auto for name, package in packages(apt_tree).items()} == {
        "dpkg": False,
        "lib": True,
        "data": True,
        "tool": False,
    }


def test_an_interrupted_dpkg_is_read_with_its_journal(apt_tree: Any) -> None:
    """Until dpkg merges it, updates/ holds the newer state."""
    apt_tree.write("/var/lib/dpkg/status", stanza("p", "1"))
    apt_tree.write("/var/lib/dpkg/updates/0001", stanza("p", "2"))
    apt_tree.write("/var/lib/dpkg/updates/tmp.i", stanza("p", "3"))

    assert packages(apt_tree)["p"].version == "2"


def test_the_time_of_installation_is_that_of_the_file_list(apt_tree: Any) -> None:
    """Multi-arch packages carry the architecture in the file's name."""
    apt_tree.write("/var/lib/dpkg/status", status(stanza("tool", "1"), stanza("libc6", "1", arch="i386")))
    os.utime(apt_tree.write("/var/lib/dpkg/info/tool.list", ""), (0, 1_700_000_000))
    os.utime(apt_tree.write("/var/lib/dpkg/info/libc6:i386.list", ""), (0, 1_700_000_001))

    found = packages(apt_tree)

    assert (found["tool"].installed_at, found["libc6"].installed_at) == (1_700_000_000, 1_700_000_001)


def test_the_content_digest_is_the_catalogue_s(apt_tree: Any) -> None:
    """Only then does an equal version with other content show as apt shows it."""
    relations = (
        "Installed-Size: 12\nDepends: libc6 (>= 2.36), foo (<< 2) | bar\nBreaks: old (< 1)\nMulti-Arch: no\n"
        "Conflicts: a,\n b\n"
    )
    apt_tree.write("/var/lib/dpkg/status", stanza("p", "1-1", more=relations))
    record = f"Package: p\nVersion: 1-1\nArchitecture: amd64\n{relations}".encode().strip()
    available = package_of(1, record)

    assert available is not None
    assert packages(apt_tree)["p"].content == available.content


def test_a_one_line_source_is_read_with_its_options(apt_tree: Any) -> None:
    """Options stand in brackets; comments, deb-src and commented lines are no sources."""
    apt_tree.write(
        "/etc/apt/sources.list",
        "# deb http://a.test/off stable main\n"
        "deb-src http://a.test/debian stable main\n"
        "deb [arch=amd64,arm64 signed-by=/usr/share/keyrings/a.gpg trusted=yes check-valid-until=no] "
        "http://a.test/debian stable main contrib # mine\n",
    )

    [found] = repositories(apt_tree)

    assert (found.urls, found.suite, found.components) == (["http://a.test/debian"], "stable", ["main", "contrib"])
    assert (found.arch, found.signed_by, found.trusted) == (["amd64", "arm64"], "/usr/share/keyrings/a.gpg", True)
    assert found.check_valid_until is False


def test_every_uri_and_suite_of_a_stanza_is_a_repository(apt_tree: Any) -> None:
    """deb822 sources list several of both; a disabled one is reported as disabled."""
    apt_tree.write(
        "/etc/apt/sources.list.d/a.sources",
        "# first\nTypes: deb deb-src\nURIs: http://a.test/debian https://b.test/debian\n"
        "Suites: stable stable-updates\n"
        "Components: main\n\nTypes: deb-src\nURIs: http://src.test\nSuites: stable\n\n"
        "Enabled: no\nTypes: deb\nURIs: http://c.test/\nSuites: ./\n",
    )

    found = repositories(apt_tree)

    assert [(each.urls[0], each.suite, each.enabled) for each in found] == [
        ("http://a.test/debian", "stable", True),
        ("http://a.test/debian", "stable-updates", True),
        ("https://b.test/debian", "stable", True),
        ("https://b.test/debian", "stable-updates", True),
        ("http://c.test/", "./", False),
    ]


def test_an_inline_key_is_reported_as_it_is(apt_tree: Any) -> None:
    """A folded Signed-By is the armoured key itself; a lone dot stands for an empty line."""
    apt_tree.write(
        "/etc/apt/sources.list.d/a.sources",
        "Types: deb\nURIs: http://a.test\nSuites: stable\nComponents: main\nArchitectures: amd64 i386\n"
        "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n -----END PGP PUBLIC KEY BLOCK-----\n",
    )

    [found] = repositories(apt_tree)

    assert found.signed_by == "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nabc\n-----END PGP PUBLIC KEY BLOCK-----"
    assert found.arch == ["amd64", "i386"]


def test_the_components_of_one_suite_are_joined(apt_tree: Any) -> None:
    """Several lines for one suite are one repository unless they differ in more than the component."""
    apt_tree.write(
        "/etc/apt/sources.list",
        "deb http://a.test/debian stable main\ndeb http://a.test/debian/ stable contrib main\n"
        "deb [trusted=yes] http://a.test/debian stable extra\n",
    )

    assert [found.components for found in repositories(apt_tree)] == [["main", "contrib"], ["extra"]]


def test_ids_are_unique_and_begin_with_the_suite(apt_tree: Any) -> None:
    """A person must recognise the repository in a verdict."""
    apt_tree.write(
        "/etc/apt/sources.list",
        "deb http://a.test/debian bookworm main\ndeb http://b.test/apt bookworm main\n"
        "deb [trusted=yes] http://b.test/apt bookworm extra\ndeb http://c.test/flat ./\n",
    )

    assert [found.id for found in repositories(apt_tree)] == [
        "bookworm",
        "bookworm@b.test/apt",
        "bookworm@b.test/apt#2",
        "c.test/flat",
    ]


@pytest.mark.parametrize(
    "uri",
    [
        "mirror+http://m.test/list",
        "cdrom:[Debian GNU/Linux 12 _Bookworm_]/",
        "file:/srv/mirror",
        "tor+http://x.onion/d",
    ],
)
def test_a_uri_that_is_not_http_is_passed_as_it_is(apt_tree: Any, uri: str) -> None:
    """What cannot be crawled is still shown."""
    apt_tree.write("/etc/apt/sources.list", f"deb {uri} bookworm main\n")

    [found] = repositories(apt_tree)

    assert (found.urls, found.suite) == ([uri], "bookworm")


def test_credentials_stay_on_the_host(apt_tree: Any) -> None:
    """A mirror's password is nobody else's business."""
    apt_tree.write("/etc/apt/sources.list", "deb https://me:secret@a.test/debian stable main\n")

    assert repositories(apt_tree)[0].urls == ["https://a.test/debian"]
    assert "secret" not in str(apt_tree.collected())


def test_a_security_suite_is_known_by_its_name_or_by_its_release(apt_tree: Any) -> None:
    """The Release file that apt fetched says so even where the suite is configured by another name."""
    apt_tree.write(
        "/etc/apt/sources.list",
        "deb http://a.test/debian-security bookworm-security main\ndeb http://a.test/old buster/updates main\n"
        "deb http://a.test/debian bookworm main\n",
    )
    apt_tree.write(
        "/var/lib/apt/lists/a.test_old_dists_buster_updates_InRelease",
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nOrigin: Debian\nLabel: Debian-Security\n",
    )

    found = repositories(apt_tree)

    assert [each.security for each in found] == [True, True, False]
    assert found[1].name == "Debian buster/updates"


def test_preferences_are_joined_in_apt_s_order(apt_tree: Any) -> None:
    """The one file first, then the parts by name; other extensions and odd names are not apt's."""
    pin = "Package: {}\nPin: release a=x\nPin-Priority: 1\n"
    apt_tree.write("/etc/apt/preferences", pin.format("zero"))
    for name in ("20two", "10one.pref", "30three.bak", "40 four", ".50five", "60six.x.pref", "70.seven"):
        apt_tree.write(f"/etc/apt/preferences.d/{name}", pin.format(name))

    lines = apt_tree.report().preferences.split("\n")

    assert [line for line in lines if line.startswith("Package")] == [
        "Package: zero",
        "Package: 10one.pref",
        "Package: 20two",
        "Package: 60six.x.pref",
    ]


def test_foreign_architectures_are_part_of_every_source(apt_tree: Any) -> None:
    """apt fetches a source without arch= for each of dpkg's architectures."""
    apt_tree.write("/var/lib/dpkg/arch", "amd64\ni386\n")
    apt_tree.write("/etc/apt/sources.list", "deb http://a.test/debian stable main\n")

    report = apt_tree.report()

    assert (report.native_arch, report.foreign_archs) == ("amd64", ["i386"])
    assert report.repos[0].arch == ["amd64", "i386"]


def test_a_flag_file_asks_for_a_reboot(apt_tree: Any) -> None:
    """Debian's packages name themselves in the flag's second file."""
    apt_tree.write("/run/reboot-required", "*** System restart required ***\n")
    apt_tree.write("/run/reboot-required.pkgs", "libc6\nlinux-base\nlibc6\n")

    report = apt_tree.report()

    assert (report.reboot_required, report.reboot_reasons) == (True, ["libc6", "linux-base"])


def test_a_link_cannot_lead_out_of_the_root(apt_tree: Any) -> None:
    """An absolute link means a place below the root, as in a chroot."""
    (apt_tree.root / "etc/machine-id").unlink()
    (apt_tree.root / "etc/machine-id").symlink_to("/../../var/id")
    apt_tree.write("/var/id", "f" * 32)

    assert apt_tree.report().machine_id == "f" * 32


def test_a_version_without_an_order_does_not_cost_the_report(
    apt_tree: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The server would refuse the whole of it for one package of an odd vendor."""
    apt_tree.write(
        "/var/lib/dpkg/status", status(stanza("odd", "x:1"), stanza("blank", "1 2"), stanza("good", "1_2"))
    )

    assert list(packages(apt_tree)) == ["good"]
    assert "odd is not reported" in capsys.readouterr().err


@pytest.mark.live
def test_the_configuration_of_the_root_is_apt_config_s(apt_tree: Any) -> None:
    """Default release and moved directories come from the root's apt.conf.d, not from this machine's."""
    apt_tree.write(
        "/etc/apt/apt.conf.d/99x", 'APT::Default-Release "stable%20x";\nDir::Etc::sourcelist "other.list";\n'
    )
    apt_tree.write("/etc/apt/other.list", "deb http://a.test/debian stable main\n")

    report = apt_tree.report()

    assert report.default_release == "stable%20x"
    assert [each.urls for each in report.repos] == [["http://a.test/debian"]]


def test_a_list_of_mirrors_on_the_host_is_read_there(apt_tree: Any) -> None:
    """Debian's cloud images name one; the server cannot read it, and knows the archive by its first mirror."""
    apt_tree.write(
        "/etc/apt/sources.list.d/debian.sources",
        "Types: deb\nURIs: mirror+file:///etc/apt/mirrors/debian.list\nSuites: bookworm\nComponents: main\n",
    )
    apt_tree.write(
        "/etc/apt/mirrors/debian.list",
        "# the provider's\nhttps://me:secret@cdn.test/debian\tpriority:2\nhttps://deb.test/debian priority:1\n"
        "https://packages.test/debian priority:1 type:deb\n\n",
    )
    apt_tree.write("/etc/apt/sources.list", "deb mirror+file:/etc/apt/mirrors/none.list bookworm main\n")

    found = repositories(apt_tree)

    assert [each.urls for each in found] == [
        ["mirror+file:/etc/apt/mirrors/none.list"],
        ["https://deb.test/debian", "https://cdn.test/debian"],
    ]
